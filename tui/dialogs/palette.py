"""Anything that can be done, found by its name from anywhere: an action, a verb of the command line with its arguments, a thing to go to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from textual import events, on
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from tui.actions import ACTIONS
from tui.dialogs.base import Dialog
from tui.palette.lines import Entry, Finder, Name, Wanted, entry_of, others
from tui.text import printable
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp
    from tui.place import Place

_HINT: Final = "enter do it    tab complete    up down choose    esc back"


class Palette(Dialog[Wanted]):
    """Those that are off are dim; why is said of the one under the cursor. The answer is what to do: it is done where the dialog was opened from."""

    BINDINGS = [  # noqa: RUF012 -- Textual's own way
        Binding("up,ctrl+p", "move(-1)", show=False, priority=True),
        Binding("down,ctrl+n", "move(1)", show=False, priority=True),
        Binding("pageup", "move(-14)", show=False, priority=True),
        Binding("pagedown", "move(14)", show=False, priority=True),
        Binding("tab", "complete", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    Palette > Vertical { height: 100%; max-height: 24; }
    Palette Horizontal { height: 1; }
    Palette Horizontal Line { width: 2; }
    Palette Input { width: 1fr; }
    Palette RowTable { height: 1fr; }
    Palette RowTable > Line { display: none; }
    """

    def __init__(
        self,
        console: ConsoleApp,
        places: Sequence[Place],
        names: Mapping[str, Sequence[Name]],
        used: Sequence[str],
    ) -> None:
        super().__init__("Commands", hint=_HINT)
        self._finder = Finder([*_entries(console, places), *others()], names, used)
        self._found: Sequence[Wanted] = ()
        self.table = RowTable(
            [Column("", 9), Column("", 20, is_flexible=True), Column("", 13, is_right=True)],
            empty="nothing is called so",
        )
        self._said = Line()

    def body(self) -> list[Widget]:
        """The line, what is found, what is to be known of the row under the cursor."""
        field = Input(compact=True, id="command", select_on_focus=False)
        field.cursor_blink = False
        self.table.list.can_focus = False
        return [Horizontal(Line(":"), field), self.table, self._said]

    def on_mount(self) -> None:
        """The line has the keys."""
        self._look("")
        self.query_one(Input).focus()

    # What is found.

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """A letter."""
        event.stop()
        self._look(event.value)

    def _look(self, line: str) -> None:
        self._found = self._finder.find(line)
        self.table.list.set_reactive(RowList.cursor, 0)
        self.table.show_rows([_row(str(number), each) for number, each in enumerate(self._found)], "0")
        self._tell()

    @property
    def _current(self) -> Wanted | None:
        row = self.table.current
        return self._found[int(row.key)] if row is not None else None

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Another one."""
        event.stop()
        self._tell()

    def _tell(self) -> None:
        current = self._current
        if current is None:
            self._said.show("")
        elif current.reason:
            self._said.show(printable(f"off: {current.reason}"), tone="warning")
        elif current.is_open:
            self._said.show(f"enter asks which {current.entry.noun}")
        else:
            self._said.show(printable(current.entry.title))

    # What the keys do.

    def action_move(self, step: int) -> None:
        """Another row."""
        self.table.list.cursor += step

    def action_complete(self) -> None:
        """The line becomes what the row says."""
        current = self._current
        if current is not None:
            self._put(current.line + (" " if current.entry.noun and not current.names else ""))

    def _put(self, line: str) -> None:
        field = self.query_one(Input)
        field.value = line
        field.cursor_position = len(line)

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self._take()

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """A click."""
        event.stop()
        self._take()

    def on_click(self, event: events.Click) -> None:
        """The line keeps the keys."""
        self.query_one(Input).focus()

    def _take(self) -> None:
        current = self._current
        if current is None or current.reason:
            return
        if not current.is_open:
            self.dismiss(current)
            return
        known = self._finder.names.get(current.entry.noun, ())
        if len(known) > 1:
            self._put(f"{current.line} ")
        else:
            self.dismiss(Wanted(current.entry, tuple(name for name, _ in known), current.options))


def _entries(console: ConsoleApp, places: Sequence[Place]) -> Sequence[Entry]:
    """All actions; those of the places that take keys now come first, and say whether they can be done."""
    here = {each.PLACE: each for each in reversed(places)}
    found = []
    for action in sorted(ACTIONS.values(), key=lambda each: _rank(each.place, each.place in here)):
        place = here.get(action.place)
        reason = console.why_off(action) or (place.why_off(action) if place is not None else "")
        found.append(entry_of(action, console.key_of(action), is_here=place is not None, reason=reason))
    return found


def _rank(place: str, is_here: bool) -> int:
    """This view, everywhere, other views; moves last."""
    if place in ("list", "text"):
        return 3
    return 1 if place == "everywhere" else 0 if is_here else 2


def _row(key: str, wanted: Wanted) -> Row:
    entry = wanted.entry
    title = f"{wanted.line}   {entry.title}" if wanted.names or wanted.options else entry.title
    if wanted.reason:
        title = f"{title} ({wanted.reason})"
    return Row(key, (entry.shown_key, printable(title), entry.place), "dim" if wanted.reason else "")
