"""Jobs that run one after the other: handed over, and at their end one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.model.batches import batch_of
from engine.model.job import Job
from tui import keys

if TYPE_CHECKING:
    from tui.app import ConsoleApp


class Batches:
    """Those that are not over, as far as this console has seen them."""

    def __init__(self, console: ConsoleApp) -> None:
        self._console = console
        self._open: set[str] = set()

    async def submit(self, verb: str, requests: Sequence[object], said: str) -> None:
        """Hands jobs to a worker of which one runs at a time, and says so. Raises: what the engine raises."""
        batch = await self._console.engine.submit_in_turn(verb, requests)
        self._open.add(batch.batch_id)
        told = f"{said}, one after the other; {keys.of('drawer.jobs')} shows how far they are, {keys.of('job.cancel_all')} there ends all of them"
        self._console.tell(told, is_brief=True)

    async def look(self, running: Sequence[Job]) -> None:
        """Of those that were seen running, says what came of them once they are over."""
        names = {name for job in running if (name := batch_of(job))}
        self._open |= names
        for name in self._open - names:
            batch = await self._console.engine.batch(name)
            if batch.is_over:
                self._open.discard(name)
                self._console.tell(batch.words(), "good" if batch.is_passed else "risk")
