"""What is known of the row under the cursor, beside its list where the terminal is wide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from engine.errors import UnknownNameError
from tui import bridge
from tui.widgets.page import Page

_STILL_S: Final = 0.1
"""So long the cursor must stand still before it is followed."""


class Detail(Page):
    """A page that reads only while it is seen: on a narrow terminal it costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.add_class("detail")
        self._read: Callable[[], Awaitable[Sequence[str]]] | None = None

    def follow(self, read: Callable[[], Awaitable[Sequence[str]]] | None) -> None:
        """Shows what `read` gives, once the cursor stands still; None: nothing. What is gone meanwhile is said to be."""
        self._read = read
        if self.display and self.is_mounted:
            self.console.run_latest(f"detail {id(self)}", self._follow)

    def on_show(self) -> None:
        """The terminal became wide, or the view came into sight again."""
        self.follow(self._read)

    async def _follow(self) -> None:
        await asyncio.sleep(_STILL_S)
        await bridge.background(self.console, self._show_read())

    async def _show_read(self) -> None:
        try:
            lines = await self._read() if self._read is not None else []
        except UnknownNameError:
            lines = ["it is gone"]
        if list(lines) != list(self.lines):
            self.show(lines)
