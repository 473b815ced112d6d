"""Keys that come while an action begins are meant for what it opens: they wait until that is there.

Over a slow line a burst of keys arrives at once. Without this `/prod` would open the filter and protect a backup by the `p`, for the field
takes a moment to stand there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual import events

if TYPE_CHECKING:
    from tui.app import ConsoleApp

LONGEST_S: Final = 0.3
"""An action that takes longer opens nothing just now: keys go on."""


class HeldKeys:
    """One of the app. Holds from the key that begins an action until the action is over, or something was opened, or time is up."""

    def __init__(self, console: ConsoleApp) -> None:
        self._console = console
        self._keys: list[tuple[str, str | None]] = []
        self._turn = 0
        self._is_holding = False

    def begin(self) -> int:
        """An action begins; the number is for `end`."""
        self._turn += 1
        self._is_holding = True
        turn = self._turn
        self._console.set_timer(LONGEST_S, lambda: self.end(turn))
        return turn

    def take(self, event: events.Key) -> bool:
        """Whether the key is held back."""
        if self._is_holding:
            self._keys.append((event.key, event.character))
        return self._is_holding

    def end(self, turn: int | None = None) -> None:
        """The action of that number is over; without one: something was opened and has the keys. What was held is given out soon, in its order."""
        if self._is_holding and turn in (None, self._turn):
            self._console.call_next(self._give_out)

    async def _give_out(self) -> None:
        """In the app's own turn, so that no key comes between; up to one that begins another action, which the rest waits for."""
        self._is_holding = False
        while self._keys and not self._is_holding:
            key, character = self._keys.pop(0)
            await self._console.on_event(events.Key(key, character))
