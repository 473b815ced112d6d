"""What all dialogs share: a box over the screen, its title, and keys that were held down before it opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.worker import Worker

from tui.widgets.line import Line

if TYPE_CHECKING:
    from tui.app import ConsoleApp

Answer = TypeVar("Answer")

DEAF_S = 0.4
"""So long after it opened a dialog takes no key: Enter held down, or typed for what stood there before, must not answer it (lazygit #4649)."""


class Dialog(ModalScreen[Answer | None], Generic[Answer]):
    """A box; None is the answer of who leaves it by escape. A subclass gives `body`, and calls `dismiss`."""

    BINDINGS = [Binding("escape", "leave", show=False)]  # noqa: RUF012 -- Textual's own way
    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background; }
    Dialog > Vertical { width: 78; max-width: 100%; height: auto; max-height: 100%; border: ascii $foreground; padding: 0 1; }
    Dialog.destroying > Vertical { border: ascii $error; }
    Dialog.destroying .dialog-title { color: $text-error; text-style: bold; }
    Dialog .dialog-title { text-style: bold; }
    Dialog .dialog-hint { text-style: dim; }
    """

    def __init__(
        self, title: str, *, hint: str = "esc back", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._heading = title
        self._hint = hint
        self._monotonic = monotonic
        self._opened_at = monotonic()

    def compose(self) -> ComposeResult:
        """Title, what the dialog is about, hints."""
        with Vertical():
            title = Line(self._heading)
            title.add_class("dialog-title")
            yield title
            yield from self.body()
            hint = Line(self._hint, id="dialog-hint")
            hint.add_class("dialog-hint")
            yield hint

    def body(self) -> list[Widget]:
        """Between title and hints."""
        return []

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)

    @property
    def is_deaf(self) -> bool:
        """Whether it opened just now."""
        return self._monotonic() - self._opened_at < DEAF_S

    def hear(self) -> None:
        """Takes keys from now on."""
        self._opened_at = -DEAF_S

    async def on_event(self, event: events.Event) -> None:
        """Keys that come too early are dropped, but escape, which changes nothing."""
        if isinstance(event, events.Key) and self.is_deaf and self.has_to_wait and event.key != "escape":
            event.stop()
            event.prevent_default()
            return
        await super().on_event(event)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Something that a key began here is over."""
        if event.worker.is_finished:
            cast("ConsoleApp", self.app).ended(event.worker)

    has_to_wait = False
    """Whether keys are dropped for a moment: where an answer changes something."""

    def say(self, text: str) -> None:
        """Says something in the row of hints."""
        self.query_one("#dialog-hint", Line).show(text)
