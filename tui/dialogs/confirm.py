"""Questions before what costs something, and before what destroys something."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input

from tui.dialogs.base import Dialog
from tui.widgets.line import Line
from tui.widgets.page import Page


class Confirm(Dialog[bool]):
    """`y` or `n`; Enter does nothing, so that one that was held down does no harm."""

    BINDINGS = [Binding("y", "answer(True)", show=False), Binding("n", "answer(False)", show=False)]  # noqa: RUF012
    has_to_wait = True

    def __init__(self, title: str, lines: Sequence[str] = (), *, yes: str = "do it") -> None:
        super().__init__(title, hint=f"y {yes}    n leave it    esc leave it")
        self._lines = lines

    def body(self) -> list[Widget]:
        """What will happen."""
        return [Page(self._lines, is_growing=True)] if self._lines else []

    def action_answer(self, answer: bool) -> None:
        """A key."""
        self.dismiss(answer)


class TypeName(Dialog[bool]):
    """Before what destroys: the plan is shown, and the name of what goes is typed, then Enter. Anything else is no."""

    has_to_wait = True

    def __init__(self, title: str, lines: Sequence[str], name: str) -> None:
        super().__init__(title, hint="esc leave everything as it is")
        self.add_class("destroying")
        self._lines, self._name = lines, name

    def body(self) -> list[Widget]:
        """The plan, and the question."""
        field = Input(placeholder="", compact=True, id="typed")
        field.cursor_blink = False
        return [
            Page(self._lines, is_growing=True),
            Line(f"Type {self._name} and press enter to go on:"),
            field,
        ]

    def on_mount(self) -> None:
        """The field has the keys."""
        self.query_one("#typed", Input).focus()

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        """Enter."""
        if event.value.strip() == self._name:
            self.dismiss(True)
        else:
            self.say(f"that is not {self._name}: nothing was done    esc leave everything as it is")


class Sentence(Dialog[bool]):
    """Something went wrong: one sentence, and the way out."""

    BINDINGS = [Binding("enter", "leave", show=False), Binding("q", "leave", show=False)]  # noqa: RUF012

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("That did not work", hint="esc or enter back")
        self._message, self._way_out = message, hint

    def body(self) -> list[Widget]:
        """The sentence."""
        return [Page([self._message, *([f"-> {self._way_out}"] if self._way_out else [])], is_growing=True)]


class AskSecret(Dialog[str]):
    """A passphrase or a code; never shown, never kept."""

    def __init__(self, title: str, question: str) -> None:
        super().__init__(title, hint="enter go on    esc leave it")
        self._question = question

    def body(self) -> list[Widget]:
        """The field."""
        field = Input(password=True, compact=True, id="secret")
        field.cursor_blink = False
        return [Line(self._question), field]

    def on_mount(self) -> None:
        """The field has the keys."""
        self.query_one("#secret", Input).focus()

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        """Enter."""
        self.dismiss(event.value)
