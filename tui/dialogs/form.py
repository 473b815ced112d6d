"""A wizard on one screen: fields from top to bottom, a live check beside each, and what it amounts to below."""

from __future__ import annotations

import asyncio
import functools
import shlex
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from textual import events, on
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Input

from engine.errors import HoldfastError
from engine.model.text import printable
from tui.dialogs import base
from tui.dialogs.base import Dialog
from tui.dialogs.fields import Check, Field, FieldInput, FieldRow, Offers, Values
from tui.widgets.line import Line
from tui.widgets.page import Page

if TYPE_CHECKING:
    from tui.app import ConsoleApp

__all__ = ["Check", "Field", "Form", "Offers", "Values"]

PATIENCE_S = 0.6
"""So long after the last letter a field is checked."""
_KEYS = "enter next   ctrl+s save   ctrl+t test   esc leave"


class Form(Dialog[bool]):
    """Asks for values until `save` takes them. `save` may raise errors of the engine: then the form stays open and says why. `preview` gives
    the lines of what the values amount to: the command line, and the TOML of the fleet's file; it may raise as well.
    """

    BINDINGS = [  # noqa: RUF012 -- Textual's own way
        Binding("ctrl+s", "save", show=False), Binding("ctrl+t", "test", show=False), Binding("ctrl+o", "choose", show=False),
        Binding("pagedown", "page(1)", show=False), Binding("pageup", "page(-1)", show=False),
        Binding("down", "app.focus_next", show=False), Binding("up", "app.focus_previous", show=False),
    ]  # fmt: skip
    DEFAULT_CSS = """
    Form > Vertical { width: 100%; height: 100%; }
    Form VerticalScroll { height: auto; max-height: 60%; scrollbar-size: 0 0; }
    Form Page { height: 1fr; }
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        save: Callable[[Values], Awaitable[None]],
        preview: Callable[[Values], Sequence[str]],
    ) -> None:
        super().__init__(title, hint=_KEYS)
        self._fields = fields
        self._save, self._preview = save, preview
        self._entered_at = self._monotonic()
        """When Enter came last, with no other key after it; one that opened the form counts."""
        self._rows = {each.name: FieldRow(each, lambda: self.everything) for each in fields}
        self._page = Page()
        self._standing = Line(id="standing")
        self._is_saving = False
        self._is_leaving = False
        self._refused: Sequence[str] = ()
        """Why it was not saved, and what to do: it stands until something is changed, whatever checks find meanwhile."""

    def body(self) -> list[Widget]:
        """The fields, where one is among them and what is wrong, and what they amount to."""
        self._page.can_focus = False
        everything = self.everything
        for row in self._rows.values():
            row.display = row.field.is_shown(everything)
        self._mounted = {name for name, row in self._rows.items() if row.display}
        self._scroll = VerticalScroll(*self._shown, can_focus=False)
        return [self._scroll, self._standing, self._page]

    def on_mount(self) -> None:
        """The first field that is empty has the keys; what has a value is checked."""
        self._changed()
        shown = self._shown
        empty = (row for row in shown if row.field.is_needed and not row.input.value)
        next(empty, shown[0]).input.focus()
        for row in shown:
            if row.field.check is not None and (row.input.value or row.field.is_checked_by_all):
                self._begin_check(row)

    # Values.

    @property
    def everything(self) -> Values:
        """What stands in all fields."""
        return {name: row.input.value.strip() for name, row in self._rows.items()}

    @property
    def values(self) -> Values:
        """What stands in the fields that are seen."""
        return {name: value for name, value in self.everything.items() if self._rows[name].display}

    @property
    def _shown(self) -> list[FieldRow]:
        return [row for row in self._rows.values() if row.display]

    def set_value(self, name: str, value: str) -> None:
        """Puts a value into a field: what a check found."""
        self._rows[name].input.value = value

    def _changed(self) -> None:
        everything = self.everything
        for name, row in self._rows.items():
            row.display = row.field.is_shown(everything)
            if row.display and name not in self._mounted:
                self._mount(name)
        self._stand()
        self._show_page()

    def _mount(self, name: str) -> None:
        """A field that is seen for the first time: of fifty most never are, and each costs."""
        names = list(self._rows)
        behind = next((each for each in names[names.index(name) :] if each in self._mounted), None)
        self._mounted.add(name)
        self._scroll.mount(self._rows[name], before=self._rows[behind] if behind is not None else None)

    def _show_page(self) -> None:
        """What is wrong with the field that has the keys, in whole; then what everything amounts to."""
        if self._refused:
            self._page.show([self._refused[0], *(f"-> {each}" for each in self._refused[1:])])
            return
        row = next((row for row in self._shown if row.input.has_focus), None)
        wrong = [row.said.shown, ""] if row is not None and row.tone == "risk" else []
        try:
            lines = self._preview(self.values)
        except HoldfastError as error:
            lines = [error.message] if not wrong else []
        self._page.show([*wrong, *lines])

    def _stand(self) -> None:
        """Where one is, and the whole of what is said beside the field, whose column is narrow; else what may stand there."""
        if self._refused:
            self._standing.show(f"-- not saved: {printable('; '.join(self._refused))}", tone="risk")
            return
        shown = self._shown
        row = next((row for row in shown if row.input.has_focus), None)
        place = f"{shown.index(row) + 1}/{len(shown)}" if row is not None else ""
        said, tone = (row.said.shown or row.field.explained, row.tone) if row is not None else ("", "")
        self._standing.show(f"-- {said}" if said else "--", place, tone=tone)

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """A letter: what it amounts to changes at once, the check waits for the end of the word."""
        event.stop()
        self._is_leaving = False
        self._refused = ()
        self._changed()
        row = self._row_of(event.input)
        if row.tone:
            row.say("")
        for each in self._shown:
            is_asked = each is row or each.field.is_checked_by_all or row.field.name in each.field.checked_by
            if each.field.check is not None and is_asked:
                self._begin_check(each)
        self._stand()

    @on(FieldRow.Said)
    def said_by_field(self, event: FieldRow.Said) -> None:
        """A paste that was cut, for one."""
        event.stop()
        self.say(event.text)

    @on(Input.Submitted)
    async def entered(self, event: Input.Submitted) -> None:
        """Enter goes to the next field; in the last one it saves."""
        event.stop()
        shown = self._shown
        if shown[-1].input is event.input:
            self.action_save()
        else:
            shown[shown.index(self._row_of(event.input)) + 1].input.focus()

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        """What may stand there, and how it is chosen."""
        row = next((row for row in self._rows.values() if row.input.has_focus), None)
        if row is not None:
            self._say_keys(row)
            self._stand()

    def _say_keys(self, row: FieldRow) -> None:
        can_choose = row.field.choices or row.field.offers or row.holds_paths
        self.say(("ctrl+o choose   " if can_choose else "") + _KEYS)

    async def on_event(self, event: events.Event) -> None:
        """An Enter that is held down goes to the last field, and saves nothing there."""
        if isinstance(event, events.Key):
            now = self._monotonic()
            is_repeated = event.key == "enter" and now - self._entered_at < base.DEAF_S
            self._entered_at = now if event.key == "enter" else -base.DEAF_S
            if is_repeated and self._shown[-1:] and self._shown[-1].input.has_focus:
                event.stop()
                event.prevent_default()
                self.say("enter once more, or ctrl+s, saves")
                return
        await super().on_event(event)

    # Leaving and saving.

    def action_leave(self) -> None:
        """Escape; where something was typed it takes two."""
        is_changed = any(
            row.input.value != row.field.value for row in self._rows.values() if not row.field.choices
        )
        if is_changed and not self._is_leaving and not self._is_saving:
            self._is_leaving = True
            self.say("esc again leaves, and nothing of this is kept")
        else:
            self.dismiss(None)

    def action_save(self) -> None:
        """Saves, unless something is missing."""
        for row in self._shown:
            if row.field.is_needed and not row.input.value.strip():
                row.say("is needed", "risk")
                row.input.focus()
                self._stand()
                return
        if not self._is_saving:
            self._is_saving = True
            worker = self.run_worker(self._try_to_save(), exit_on_error=False)
            cast("ConsoleApp", self.app).begins(worker)

    async def _try_to_save(self) -> None:
        self._refused = ()
        self._standing.show("-- saving…")
        try:
            await self._save(self.values)
        except HoldfastError as error:
            self._refused = (error.message, *([error.hint] if error.hint else []))
            self._stand()
            self._show_page()
        except Left:
            self._stand()
        else:
            self.dismiss(True)
        finally:
            self._is_saving = False

    # Checks.

    def action_test(self) -> None:
        """Checks every field again, as thoroughly as can be."""
        for row in self._shown:
            if row.field.check is not None or row.field.test is not None:
                self._begin_check(row, patience_s=0, is_test=True)

    def _row_of(self, field: Input) -> FieldRow:
        return next(row for row in self._rows.values() if row.input is field)

    def _begin_check(self, row: FieldRow, patience_s: float | None = None, *, is_test: bool = False) -> None:
        check = (row.field.test if is_test else None) or row.field.check
        assert check is not None
        wait_s = PATIENCE_S if patience_s is None else patience_s
        self._run(f"check {row.field.name}", functools.partial(self._check, row, check, wait_s))

    def _run(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """In the background; the one before of that group ends. A coroutine that was made already would be thrown away there unawaited."""
        self.run_worker(cast("Any", work), group=group, exclusive=True, exit_on_error=False)

    async def _check(self, row: FieldRow, check: Check, patience_s: float) -> None:
        await asyncio.sleep(patience_s)
        row.say("…", "dim")
        try:
            said = await check(self.values)
        except HoldfastError as error:
            row.say(printable(f"{error.message}{f'; {error.hint}' if error.hint else ''}"), "risk")
        except TimeoutError:
            row.say("no answer yet", "risk")
        else:
            row.say(printable(said), "good")
            self._changed()
        self._stand()
        self._show_page()

    def action_page(self, step: int) -> None:
        """Moves what it amounts to up or down: it never has the keys."""
        self._page.scroll_relative(y=step * max(1, self._page.size.height - 1), animate=False)

    # Choosing.

    def action_choose(self) -> None:
        """Opens a list of what may stand in this field."""
        row = next((row for row in self._shown if row.input.has_focus), None)
        if row is not None:
            self._run("choose", functools.partial(self._choose, row))

    async def _choose(self, row: FieldRow) -> None:
        from tui.dialogs.picker import Picker
        from tui.dialogs.several import Several

        console = cast("ConsoleApp", self.app)
        field = row.field
        if field.offers is None and not field.choices and not row.holds_paths:
            self.say("anything may stand here: type it")
            return
        if row.holds_paths and field.offers is None:
            picked = await console.ask(Picker(row.input.value if not field.is_list else ""))
            chosen = [picked] if picked else []
        else:
            self.say("looking…")
            try:
                offered = (
                    [(each, each) for each in field.choices]
                    if field.offers is None
                    else await field.offers(self.values)
                )
            except HoldfastError as error:
                row.say(printable(error.message), "risk")
                self._stand()
                return
            finally:
                self._say_keys(row)
            several = await console.ask(Several(field.label, offered, is_one=not field.is_list))
            chosen = list(several) if several is not None else []
        if chosen:
            self._put(row, chosen)
        row.input.focus()

    def _put(self, row: FieldRow, chosen: Sequence[str]) -> None:
        if not row.field.is_list:
            row.input.value = chosen[0]
        else:
            before = row.input.value.strip()
            row.input.value = (
                f"{before} {shlex.join(chosen)}".strip() if row.holds_paths else shlex.join(chosen)
            )
        if isinstance(row.input, FieldInput):
            row.input.cursor_position = len(row.input.value)


class Left(Exception):  # noqa: N818 -- no error: a person thought again
    """Raised by `save` where a question was answered with no: the form stays open."""
