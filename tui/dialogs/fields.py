"""The fields of a form: text, one of a few values, lists, secrets, paths of this machine."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from tui import paths
from tui.widgets.line import Line

Values = Mapping[str, str]
Check = Callable[[Values], Awaitable[str]]
Offers = Callable[[Values], Awaitable[Sequence[tuple[str, str]]]]


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
    """Whether letters are hidden; not those of `value`, which says where the secret is kept."""
    is_needed: bool = False
    is_list: bool = False
    """Whether it holds several words, as a shell takes them; each line that is pasted is one."""
    is_path: Callable[[Values], bool] = lambda _values: False
    """Whether it holds paths of this machine: completed, picked from a list."""
    check: Check | None = None
    """Asked with all values when this one was changed: what it says stands beside the field; an error of the engine in red."""
    test: Check | None = None
    """Asked by ctrl+t in place of `check`: may change something for a moment."""
    is_checked_by_all: bool = False
    """Whether a change of any field asks its check again."""
    checked_by: Sequence[str] = ()
    """Or of which other ones: what takes long is not asked for each letter elsewhere."""
    offers: Offers | None = None
    """What may stand there, value and explanation, by ctrl+o; may raise errors of the engine."""
    is_shown: Callable[[Values], bool] = lambda _values: True
    """Whether the field makes sense beside the values of the others."""


class PathSuggester(Suggester):
    """Completes the last path of a field, in a thread: a mount may hang."""

    def __init__(self, is_path: Callable[[], bool], *, is_list: bool) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._is_path, self._is_list = is_path, is_list

    async def get_suggestion(self, value: str) -> str | None:
        """Textual asks for it at each letter."""
        if not self._is_path() or any(each in value for each in "'\"\\"):
            return None
        begun, space, last = value.rpartition(" ") if self._is_list else ("", "", value)
        found = await asyncio.to_thread(paths.completed, last)
        return None if found is None else begun + space + found


_CUT = (
    f"only the first {paths.MOST_LINES} lines were taken, and no more than {paths.MOST_LETTERS // 1024} KiB"
)


class FieldInput(Input):
    """A text. What is pasted is understood as paths where it holds paths, and is bounded; tab takes what is suggested."""

    BINDINGS = [Binding("tab", "complete", show=False)]  # noqa: RUF012 -- Textual's own way

    def __init__(self, field: Field, is_path: Callable[[], bool]) -> None:
        self._field, self._is_path = field, is_path  # first: setting the value asks for them
        super().__init__(
            field.value,
            compact=True,
            id=f"field-{field.name}",
            select_on_focus=False,
            suggester=PathSuggester(is_path, is_list=field.is_list),
        )
        self.cursor_blink = False

    def action_complete(self) -> None:
        """Tab: the completion that is shown, or the next field."""
        if self._suggestion and self.cursor_position == len(self.value):
            self.action_cursor_right()
        else:
            self.screen.focus_next()

    def watch_value(self, value: str) -> None:
        """A secret is hidden, but not the REF that was there."""
        self.password = self._field.is_secret and value != self._field.value

    def _on_paste(self, event: events.Paste) -> None:
        """Textual calls it, and its own after it unless that is prevented."""
        event.prevent_default()
        event.stop()
        text, is_more = self._taken(event.text)
        self.replace(text, *self.selection)
        if is_more:
            self.post_message(FieldRow.Said(self, _CUT))

    def _taken(self, text: str) -> tuple[str, bool]:
        if self._field.is_secret:
            return text[: paths.MOST_LETTERS].strip("\r\n"), len(text) > paths.MOST_LETTERS
        if self._field.is_list:
            found, is_more = paths.pasted(text)
            gap = " " if self.value and not self.value.endswith(" ") and self.cursor_position else ""
            return gap + shlex.join(found), is_more
        lines = text[: paths.MOST_LETTERS].splitlines() or [""]
        return (paths.plain(lines[0]) if self._is_path() else lines[0].strip()), len(
            text
        ) > paths.MOST_LETTERS


class Choice(Input):
    """A field of few values: left, right and space change it, a letter goes to the next one that begins with it."""

    BINDINGS = [Binding("left", "step(-1)", show=False), Binding("right,space", "step(1)", show=False)]  # noqa: RUF012

    def __init__(self, field: Field) -> None:
        super().__init__(
            field.value if field.value in field.choices else field.choices[0],
            compact=True,
            id=f"field-{field.name}",
        )
        self.cursor_blink = False
        self._choices = list(field.choices)

    def action_step(self, step: int) -> None:
        """A key."""
        index = self._choices.index(self.value) if self.value in self._choices else 0
        self.value = self._choices[(index + step) % len(self._choices)]

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        if event.text.strip() in self._choices:
            self.value = event.text.strip()

    async def on_key(self, event: events.Key) -> None:
        """A letter."""
        if event.is_printable and event.character not in (None, " "):
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
    FieldRow > .label { width: 18; max-width: 40%; }
    FieldRow > Input { width: 1fr; }
    FieldRow > .said { width: 26; max-width: 34%; }
    FieldRow:focus-within > .label { text-style: bold; }
    """

    class Said(Message):
        """A field has something to say of itself."""

        def __init__(self, field: Input, text: str) -> None:
            super().__init__()
            self.field, self.text = field, text

    def __init__(self, field: Field, values: Callable[[], Values]) -> None:
        super().__init__()
        self.field = field
        self.said = Line()
        self.said.add_class("said")
        self.tone = ""
        self._values = values
        self.input: Input = Choice(field) if field.choices else FieldInput(field, lambda: self.holds_paths)

    def compose(self) -> Iterator[Widget]:
        """Three parts."""
        label = Line(f"{self.field.label}{' *' if self.field.is_needed else ''}")
        label.add_class("label")
        yield label
        yield self.input
        yield self.said

    def say(self, text: str, tone: str = "") -> None:
        """Says something beside the field."""
        self.tone = tone
        self.said.show(text, tone=tone)

    @property
    def holds_paths(self) -> bool:
        """Whether it holds paths of this machine now."""
        return self.field.is_path(self._values())
