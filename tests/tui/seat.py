"""A person at the console: keys go in, rows of the screen come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from textual import events
from textual.actions import ActionParseResult
from textual.pilot import Pilot

from engine.service import Engine
from tui.actions import ACTIONS
from tui.app import ConsoleApp
from tui.dialogs.base import Dialog
from tui.preferences import Preferences

PATIENCE_S = 60.0
"""More than anything that a test waits for takes on a busy machine."""
DONE: set[str] = set()
"""The actions that were done in this test; see pressed.py."""


class WatchedApp(ConsoleApp):
    """Tells each time that the screen was drawn, so that a test waits for what it is to see, and for no time."""

    drawn: asyncio.Event

    def post_display_hook(self) -> None:
        """Textual calls it after each drawing."""
        self.drawn.set()

    def run_guarded(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Remembers that the action was begun: it was not off."""
        DONE.add(name)
        super().run_guarded(work, name=name)

    async def run_action(
        self, action: str | ActionParseResult, default_namespace: Any = None, namespaces: Any = None
    ) -> bool:
        """Remembers moves too, which are done at once."""
        if isinstance(action, str):
            DONE.update(
                each for each in ACTIONS if each.startswith(("list.", "text.")) and f"'{each}'" in action
            )
        return await super().run_action(action, default_namespace, namespaces)


@dataclass(slots=True)
class Seat:
    """An app that runs without a terminal."""

    app: WatchedApp
    pilot: Pilot[int]
    drawn: asyncio.Event = field(default_factory=asyncio.Event)

    async def press(self, *keys: str) -> None:
        """Presses keys as Textual calls them, and waits until they were taken."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Types letters, into whatever field has the keys: as fast as a paste, for Textual's own way rests a twentieth of a second at each."""
        driver = self.app._driver
        assert driver is not None
        for letter in text[:-1]:
            key = events.Key(_KEYS.get(letter, letter), letter)
            key.set_sender(self.app)
            driver.send_message(key)
        await self.press(_KEYS.get(text[-1], text[-1]))

    async def paste(self, text: str) -> None:
        """Hands a text over at once, as a terminal does with what is pasted or dropped into it."""
        self.app.post_message(events.Paste(text))
        await self.pilot.pause()

    def hear(self) -> None:
        """Has the dialog that is open take keys at once: for a moment after it opened it takes none."""
        if isinstance(self.app.screen, Dialog):
            self.app.screen.hear()

    async def answer(self, key: str) -> None:
        """Answers a question."""
        self.hear()
        await self.press(key)

    async def type_name(self, name: str) -> None:
        """Types what a dialog asks for before it destroys something, over what was typed before, and presses enter."""
        self.hear()
        await self.press("ctrl+u")
        await self.type(name)
        await self.press("enter")

    @property
    def rows(self) -> list[str]:
        """What stands on the screen, one text a row."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.rows)

    async def sees(self, *texts: str) -> str:
        """Waits until all these texts are on the screen; gives it. Raises: AssertionError with the screen as it is, after a long while."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not all(each in self.text for each in texts):
                    self.drawn.clear()
                    await self.drawn.wait()
        except TimeoutError as error:
            raise AssertionError(f"never seen: {texts}\n{self.text}") from error
        return self.text

    async def misses(self, text: str) -> None:
        """Waits until a text is gone from the screen."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while text in self.text:
                    self.drawn.clear()
                    await self.drawn.wait()
        except TimeoutError as error:
            raise AssertionError(f"never gone: {text}\n{self.text}") from error


_KEYS: Mapping[str, str] = {
    " ": "space", "/": "slash", "-": "minus", "_": "underscore", ".": "full_stop", ":": "colon", ",": "comma", "@": "at",
    "*": "asterisk", "=": "equals_sign", "'": "apostrophe", "(": "left_parenthesis", ")": "right_parenthesis",
}  # fmt: skip


@asynccontextmanager
async def open_console(
    engine: Engine,
    *,
    size: tuple[int, int] = (80, 24),
    preferences: Preferences | None = None,
    is_read_only: bool = False,
    is_guiding: bool = False,
) -> AsyncIterator[Seat]:
    """A console on that engine, with its first screen drawn."""
    app = WatchedApp(
        engine, preferences or Preferences("home"), is_read_only=is_read_only, is_guiding=is_guiding
    )
    app.drawn = asyncio.Event()
    async with app.run_test(size=size) as pilot:
        seat = Seat(app, pilot, app.drawn)
        await seat.sees("backups")
        yield seat
