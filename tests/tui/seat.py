"""A person at the console: keys go in, rows of the screen come out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from textual import events
from textual.actions import ActionParseResult
from textual.keys import _character_to_key
from textual.pilot import Pilot

from engine.service import Engine
from tests.tui.pressed import DONE
from tui import keys
from tui.actions import ACTIONS
from tui.app import ConsoleApp
from tui.dialogs.base import Dialog
from tui.preferences import Preferences
from tui.typed import Typed

PATIENCE_S = 60.0
"""More than anything that a test waits for takes on a busy machine."""
_LOOKS = 6


class WatchedTyped(Typed):
    """Tells when all that was typed was given, and what it began is over or asks something.

    A key waits longer than a person would: on a busy machine a list is read in no second. Tests of what takes long set `longest_s`.
    """

    longest_s = 20.0

    def __init__(self, app: ConsoleApp) -> None:
        super().__init__(app)
        self.rested = asyncio.Event()

    def next(self, turn: int) -> None:
        """The next one, where there is one."""
        super().next(turn)
        if self.is_at_rest:
            self.rested.set()


class WatchedApp(ConsoleApp):
    """Tells each time that the screen was drawn, so that a test waits for what it is to see, and for no time."""

    drawn: asyncio.Event

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._typed = self.typed = WatchedTyped(self)

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
        for key in keys:
            self._send(key)
        await self.settle()

    async def type(self, text: str) -> None:
        """Types letters, into whatever field has the keys."""
        for letter in text:
            self._send(letter)
        await self.settle()

    def _send(self, key: str) -> None:
        letter = key if len(key) == 1 else _LETTERS.get(key)
        event = events.Key(_character_to_key(key) if len(key) == 1 else key, letter)
        event.set_sender(self.app)
        self.app.post_message(event)

    async def settle(self) -> None:
        """Waits until what was typed is over or asks something, or takes longer than others wait for it, and until that was drawn.

        In place of Textual's own way, which rests three times a fiftieth of a second at each key.
        """
        typed = self.app.typed
        await self.pilot._wait_for_screen()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(typed.longest_s + 1):
                while not typed.is_at_rest and self.app.is_running:
                    typed.rested.clear()
                    await typed.rested.wait()
        await self.pilot._wait_for_screen()
        self.app.screen._on_timer_update()

    async def paste(self, text: str) -> None:
        """Hands a text over at once, as a terminal does with what is pasted or dropped into it."""
        self.app.post_message(events.Paste(text))
        await self.settle()

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

    async def settles(self) -> None:
        """Waits until several looks in a row find the same screen: what was still on its way has come."""
        before, same = "", 0
        while same < _LOOKS:
            await self.pilot.pause()
            same = same + 1 if self.text == before else 0
            before = self.text

    async def misses(self, text: str) -> None:
        """Waits until a text is gone from the screen."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while text in self.text:
                    self.drawn.clear()
                    await self.drawn.wait()
        except TimeoutError as error:
            raise AssertionError(f"never gone: {text}\n{self.text}") from error


async def do(seat: Seat, title: str) -> None:
    """An action without a key, by the palette."""
    await seat.press("colon")
    await seat.type(title)
    await seat.press("enter")


_LETTERS: Mapping[str, str] = {
    "slash": "/", "space": " ", "question_mark": "?", "colon": ":", "asterisk": "*", "minus": "-", "less_than_sign": "<", "greater_than_sign": ">",
    "left_square_bracket": "[", "right_square_bracket": "]", "enter": "\r", "tab": "\t",
}  # fmt: skip
"""What those keys type that have a name longer than that."""


@asynccontextmanager
async def open_console(
    engine: Engine,
    *,
    size: tuple[int, int] = (80, 24),
    preferences: Preferences | None = None,
    is_read_only: bool = False,
    is_guiding: bool = False,
    kind: Callable[..., WatchedApp] = WatchedApp,
) -> AsyncIterator[Seat]:
    """A console on that engine, with its first screen drawn."""
    app = kind(engine, preferences or Preferences("home"), is_read_only=is_read_only, is_guiding=is_guiding)
    app.drawn = asyncio.Event()
    keys.follow(app.key_of)  # a seat has the screen drawn by itself
    async with app.run_test(size=size) as pilot:
        seat = Seat(app, pilot, app.drawn)
        await seat.sees("backups")
        yield seat
