"""One line that is asked for at the bottom of whatever screen is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input

from tui.widgets.line import Line


class Prompt(Horizontal):
    """Asks for a line; `answer` becomes what was typed, or None for escape. `changed` is told of each letter."""

    BINDINGS = [Binding("escape", "leave", show=False, priority=True)]  # noqa: RUF012 -- Textual's own way
    DEFAULT_CSS = """
    Prompt { dock: bottom; height: 1; background: $background; }
    Prompt Line { width: auto; }
    Prompt Input { width: 1fr; }
    """

    def __init__(
        self,
        question: str,
        value: str,
        changed: Callable[[str], None] | None = None,
        *,
        is_secret: bool = False,
    ) -> None:
        super().__init__()
        self._question, self._value, self._changed = question, value, changed
        self._is_secret = is_secret
        self.answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def compose(self) -> ComposeResult:
        """The question, the field."""
        question = Line(self._question)
        question.styles.width = len(self._question)
        yield question
        field = Input(self._value, compact=True, password=self._is_secret, select_on_focus=False)
        field.cursor_blink = False
        yield field

    def on_mount(self) -> None:
        """The field has the keys."""
        self.query_one(Input).focus()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """A letter."""
        event.stop()
        if self._changed is not None and not self.answer.done():  # after enter it is on its way out
            self._changed(event.value)

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self._end(event.value)

    def action_leave(self) -> None:
        """Escape: all is as it was."""
        if self._changed is not None:
            self._changed(self._value)
        self._end(None)

    def on_unmount(self) -> None:
        """The screen under it is gone."""
        self._end(None)

    def _end(self, answer: str | None) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)
