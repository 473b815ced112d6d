"""The keys of this place by where they work, each with what it does or why it is off; Enter does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual import on
from textual.binding import Binding
from textual.widget import Widget

from tui import keys
from tui.actions import ACTIONS, of_place
from tui.actions.places import PLACES
from tui.dialogs.base import Dialog
from tui.text import printable
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp
    from tui.place import Place

_INNER: Final = frozenset({"list", "text"})
_HEADING: Final = "heading "


class Help(Dialog[str]):
    """The answer is an action's id."""

    BINDINGS = [Binding("colon", "palette", show=False)]  # noqa: RUF012 -- Textual's own way
    DEFAULT_CSS = """
    Help > Vertical { height: 100%; max-height: 48; }
    Help RowTable { height: 1fr; }
    """

    def __init__(self, console: ConsoleApp, places: Sequence[Place]) -> None:
        super().__init__(
            "Keys of this place",
            hint=keys.said("enter do it    {list.filter} search    : finds all others    esc back"),
        )
        self._reasons: dict[str, str] = {}
        self._rows: list[Row] = []
        for place in sorted(places, key=lambda each: _rank(each.PLACE)):
            self._rows.append(Row(_HEADING + place.PLACE, ("", f"-- {_called(place.PLACE)} --")))
            for action in of_place(place.PLACE):
                reason = console.why_off(action) or place.why_off(action)
                self._reasons[action.action_id] = reason
                given = console.preferences.keys_of(action.action_id)
                shown = " ".join(console.get_key_display_of(each) for each in given)
                title = printable(f"{action.title} ({reason})") if reason else action.title
                self._rows.append(Row(action.action_id, (shown, title), "dim" if reason else ""))
        self.table = RowTable(
            [Column("KEYS", 18), Column("WHAT THEY DO", 40, is_flexible=True)],
            empty="nothing can be done here",
        )
        self._title, self._said = Line(), Line()

    def body(self) -> list[Widget]:
        """The keys; of the one under the cursor all that it does, and what does the same at a shell, or why it is off."""
        return [self.table, self._title, self._said]

    def on_mount(self) -> None:
        """Begins with what is done in this view."""
        self.table.show_rows(self._rows)
        self.table.list.cursor = 1
        self.table.focus()

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Of another one."""
        event.stop()
        self._tell(event.row)

    def _tell(self, row: Row | None) -> None:
        action = ACTIONS.get(row.key) if row is not None else None
        self._title.show(action.title if action is not None else "", tone="dim")
        if action is None:
            self._said.show("")
        elif reason := self._reasons[action.action_id]:
            self._said.show(printable(f"off: {reason}"), tone="warning")
        else:
            shell = f"    at a shell: holdfast {', '.join(action.verbs)}" if action.verbs else ""
            self._said.show(f"id {action.action_id}{shell}")

    def action_palette(self) -> None:
        """What is done elsewhere is there."""
        self.dismiss("palette.open")

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter: what is off stays here, with its reason."""
        event.stop()
        if self._reasons.get(event.row.key) == "":
            self.dismiss(event.row.key)


def _rank(place: str) -> int:
    """This view, what moves in it, everywhere."""
    return 2 if place == "everywhere" else 1 if place in _INNER else 0


def _called(place: str) -> str:
    title = PLACES[place].title
    return title if place == "everywhere" or place in _INNER else f"this view: {title}"
