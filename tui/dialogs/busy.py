"""Something that takes its time while a person waits: it can be left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.widget import Widget

from engine.errors import HoldfastError
from tui.dialogs.base import Dialog
from tui.widgets.line import Line


class Busy(Dialog[Any]):
    """Runs `work` and answers with what it gives; None for who did not wait, and then it is broken off. An error of the engine is kept in
    `error`, and the answer is None.
    """

    def __init__(self, title: str, work: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(title, hint="esc do not wait")
        self._work = work
        self.error: HoldfastError | None = None

    def body(self) -> list[Widget]:
        """One line."""
        return [Line("one moment…")]

    def on_mount(self) -> None:
        """Begins; the worker ends with the dialog."""
        self.run_worker(self._run(), exit_on_error=False)

    async def _run(self) -> None:
        try:
            found = await self._work()
        except HoldfastError as error:
            self.error = error
            found = None
        self.dismiss(found)
