"""A wizard on one screen: fields from top to bottom, a live check beside each, and what it amounts to below."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from textual import events, on
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input

from engine.errors import HoldfastError
from tui.dialogs.base import Dialog
from tui.widgets.line import Line
from tui.widgets.page import Page

Values = Mapping[str, str]
Check = Callable[[Values], Awaitable[str]]

PATIENCE_S = 0.6
"""So long after the last letter a field is checked."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field."""

    name: str
    label: str
    """At most 17 columns."""
    value: str = ""
    explained: str = ""
    """What may stand there, in a few words; shown in the row of hints while the field has the keys."""
    choices: Sequence[str] = ()
    """What may stand there and nothing else: left and right change it. Empty: any text."""
    is_secret: bool = False
    is_needed: bool = False
    check: Check | None = None
    """Asked with all values when this one was changed: what it says stands beside the field; an error of the engine in red."""
    is_shown: Callable[[Values], bool] = lambda _values: True
    """Whether the field makes sense beside the values of the others."""


class Choice(Input):
    """A field of few values: left, right and space change it."""

    BINDINGS = [  # noqa: RUF012 -- Textual's own way
        Binding("left,h", "step(-1)", show=False), Binding("right,l,space", "step(1)", show=False),
    ]  # fmt: skip

    def __init__(self, value: str, choices: Sequence[str], *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(value or choices[0], compact=True, id=id)
        self._choices = list(choices)

    def action_step(self, step: int) -> None:
        """A key."""
        index = self._choices.index(self.value) if self.value in self._choices else 0
        self.value = self._choices[(index + step) % len(self._choices)]

    async def on_key(self, event: events.Key) -> None:
        """A letter goes to the next value that begins with it."""
        if event.is_printable and event.character not in (None, " ", "h", "l"):
            order = self._choices.index(self.value) + 1 if self.value in self._choices else 0
            turned = self._choices[order:] + self._choices[:order]
            found = next((each for each in turned if each.startswith(event.character or "")), None)
            if found is not None:
                self.value = found
        if event.is_printable or event.key in ("backspace", "delete"):
            event.stop()
            event.prevent_default()
            if event.key == "space":
                self.action_step(1)


class FieldRow(Horizontal):
    """Label, field, what the check says."""

    DEFAULT_CSS = """
    FieldRow { height: 1; }
    FieldRow > .label { width: 18; }
    FieldRow > Input { width: 1fr; }
    FieldRow > .said { width: 26; }
    FieldRow:focus-within > .label { text-style: bold; }
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.said = Line()
        self.said.add_class("said")

    def compose(self) -> Iterator[Widget]:
        """Three parts."""
        label = Line(f"{self.field.label}{' *' if self.field.is_needed else ''}")
        label.add_class("label")
        yield label
        identity = f"field-{self.field.name}"
        if self.field.choices:
            field: Input = Choice(self.field.value, self.field.choices, id=identity)
        else:
            field = Input(
                self.field.value,
                compact=True,
                password=self.field.is_secret,
                id=identity,
                select_on_focus=False,
            )
        field.cursor_blink = False
        yield field
        yield self.said

    @property
    def input(self) -> Input:
        """The field."""
        return self.query_one(Input)


class Form(Dialog[bool]):
    """Asks for values until `save` takes them. `save` may raise errors of the engine: then the form stays open and says why. `preview` gives
    the lines of what the values amount to: the command line, and the TOML of the fleet's file.
    """

    BINDINGS = [  # noqa: RUF012 -- Textual's own way
        Binding("ctrl+s", "save", show=False), Binding("ctrl+t", "test", show=False), Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]  # fmt: skip
    DEFAULT_CSS = """
    Form > Vertical { width: 100%; height: 100%; }
    Form VerticalScroll { height: auto; max-height: 60%; scrollbar-size: 0 0; }
    Form Page { height: 1fr; border-top: ascii $foreground; }
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        save: Callable[[Values], Awaitable[None]],
        preview: Callable[[Values], Sequence[str]],
    ) -> None:
        super().__init__(title, hint=_HINT)
        self._fields = fields
        self._save, self._preview = save, preview
        self._rows = {each.name: FieldRow(each) for each in fields}
        self._page = Page()
        self._is_saving = False

    def body(self) -> list[Widget]:
        """The fields, and what they amount to."""
        self._page.can_focus = False
        return [VerticalScroll(*self._rows.values(), can_focus=False), self._page]

    def on_mount(self) -> None:
        """The first field has the keys; what has a value is checked."""
        self._changed()
        next(row for row in self._rows.values() if row.display).input.focus()
        for row in self._rows.values():
            if row.display and row.field.check is not None and row.input.value:
                self._begin_check(row)

    @property
    def values(self) -> Values:
        """What stands in the fields that are seen."""
        return {name: row.input.value.strip() for name, row in self._rows.items() if row.display}

    def set_value(self, name: str, value: str) -> None:
        """Puts a value into a field: what a check found."""
        self._rows[name].input.value = value

    def _changed(self) -> None:
        everything = {name: row.input.value.strip() for name, row in self._rows.items()}
        for row in self._rows.values():
            row.display = row.field.is_shown(everything)
        try:
            lines = self._preview(self.values)
        except HoldfastError as error:
            lines = [error.message]
        self._page.show(lines)

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """A letter: what it amounts to changes at once, the check waits for the end of the word."""
        event.stop()
        self._changed()
        row = self._row_of(event.input)
        row.said.show("")
        if row.field.check is not None:
            self._begin_check(row)

    @on(Input.Submitted)
    async def entered(self, event: Input.Submitted) -> None:
        """Enter goes to the next field; in the last one it saves."""
        event.stop()
        shown = [row for row in self._rows.values() if row.display]
        if shown[-1].input is event.input:
            self.action_save()
        else:
            shown[shown.index(self._row_of(event.input)) + 1].input.focus()

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        """What may stand there."""
        row = next((row for row in self._rows.values() if row.input.has_focus), None)
        if row is not None:
            self.say(f"{row.field.explained}   {_HINT}" if row.field.explained else _HINT)

    def action_save(self) -> None:
        """Saves, unless something is missing."""
        for row in self._rows.values():
            if row.display and row.field.is_needed and not row.input.value.strip():
                row.said.show("is needed", tone="risk")
                row.input.focus()
                return
        if not self._is_saving:
            self._is_saving = True
            self.run_worker(self._try_to_save(), exit_on_error=False)

    async def _try_to_save(self) -> None:
        self.say("saving…")
        try:
            await self._save(self.values)
        except HoldfastError as error:
            self.say(f"{error.message}{f'; {error.hint}' if error.hint else ''}")
        else:
            self.dismiss(True)
        finally:
            self._is_saving = False

    def action_test(self) -> None:
        """Checks every field again."""
        for row in self._rows.values():
            if row.display and row.field.check is not None:
                self._begin_check(row, patience_s=0)

    def _row_of(self, field: Input) -> FieldRow:
        return next(row for row in self._rows.values() if row.input is field)

    def _begin_check(self, row: FieldRow, patience_s: float = PATIENCE_S) -> None:
        self.run_worker(
            self._check(row, patience_s), group=f"check {row.field.name}", exclusive=True, exit_on_error=False
        )

    async def _check(self, row: FieldRow, patience_s: float) -> None:
        await asyncio.sleep(patience_s)
        assert row.field.check is not None
        row.said.show("…", tone="dim")
        try:
            said = await row.field.check(self.values)
        except HoldfastError as error:
            row.said.show(error.message, tone="risk")
        else:
            row.said.show(said, tone="good")


_HINT = "enter next   ctrl+s save   ctrl+t test   esc leave"
