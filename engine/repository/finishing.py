"""The end of a session: each repository gets its rest, its index and its snapshot as soon as it can, and waits for no other.

When the first has its snapshot, the others are given some time more to take what they are behind with; whoever would need longer is
dropped, and gets no snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from engine.errors import HoldfastError
from engine.events import Emit, Progress
from engine.format.snapshot import Snapshot
from engine.model.spans import span
from engine.repository.folder_memory import FolderMemory
from engine.repository.lanes import Lane, LaneStatistics, behind_error
from engine.repository.packing import Loose
from engine.repository.spill import Allowance
from engine.scope import task_scope

_LOOK_S = 1.0
"""How often it is looked, and told, how far those are that are behind."""
_SURE_S = 15.0
"""From so long on the speed of a storage says how long the rest of it will take."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one repository in a session."""

    repository_id: str
    snapshot_id: str | None
    """None where the repository was dropped, or has none yet."""
    error: HoldfastError | None
    statistics: LaneStatistics


SnapshotFor = Callable[[Lane], Snapshot]
Tell = Callable[[Sequence[Committed]], Awaitable[None]]
"""Takes what became of each repository so far, in order."""


class Finish:
    """The end of one session. Used once."""

    def __init__(
        self, lanes: Sequence[Lane], snapshot_for: SnapshotFor, memory: FolderMemory | None, emit: Emit
    ) -> None:
        self._lanes = lanes
        self._snapshot_for = snapshot_for
        self._memory = memory
        self._emit = emit
        self._ids: dict[Lane, str] = {}
        self._finishing: dict[Lane, asyncio.Task[None]] = {}
        self._committing: set[Lane] = set()
        self._changed = asyncio.Event()

    async def run(self, loose: Sequence[Sequence[Loose]], allowance: Allowance, tell: Tell | None) -> list[Committed]:  # fmt: skip
        """Finishes all lanes, each with what is loose of it. `tell` hears each time that one is done and others are not."""
        async with task_scope() as group:
            for lane, left in zip(self._lanes, loose, strict=True):
                self._finishing[lane] = group.create_task(self._finish(lane, left, tell))
            if len(self._lanes) > 1:
                group.create_task(self._hurry(allowance))
        return self._committed()

    async def _finish(self, lane: Lane, loose: Sequence[Loose], tell: Tell | None) -> None:
        try:
            await lane.finish(loose)
            self._committing.add(lane)
            snapshot_id = await lane.commit(self._snapshot_for(lane), self._memory)
            if snapshot_id is not None:
                self._ids[lane] = snapshot_id
                if tell is not None and len(self._ids) < sum(each.is_alive for each in self._lanes):
                    await tell(self._committed())
        finally:
            del self._finishing[lane]
            self._changed.set()

    async def _hurry(self, allowance: Allowance) -> None:
        """Waits for those that are behind as long as they may take, and drops those that would take longer."""
        while self._finishing and not self._ids:
            self._changed.clear()
            await self._changed.wait()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout(allowance.left_s):
                await self._watch(began_s + allowance.left_s)
        except TimeoutError:
            for lane in list(self._finishing):
                self._give_up(lane, allowance.left_s)
        finally:
            allowance.left_s = max(0.0, allowance.left_s - (loop.time() - began_s))

    async def _watch(self, ends_s: float) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        at_first = {lane: lane.waiting_bytes for lane in self._finishing}
        total_bytes = sum(at_first.values())
        while self._finishing:
            waiting = {lane: lane.waiting_bytes for lane in self._finishing}
            done_bytes = total_bytes - sum(waiting.values())
            names = ", ".join(lane.repository.location for lane in self._finishing)
            self._emit(Progress("store what is behind", done_bytes, total_bytes, current=names))
            passed_s = loop.time() - began_s
            for lane, waiting_bytes in waiting.items():
                per_s = (at_first[lane] - waiting_bytes) / passed_s if passed_s >= _SURE_S else None
                if per_s is not None and waiting_bytes > per_s * (ends_s - loop.time()):
                    self._give_up(lane, ends_s - began_s)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()

    def _give_up(self, lane: Lane, allowed_s: float) -> None:
        """Unless its snapshot is being written: nobody could tell whether that is there then."""
        if lane in self._committing or not lane.is_alive:
            return
        when = f"when the others were done, and would have taken longer than {span(allowed_s)}"
        lane.abandon(behind_error(lane, when))
        self._finishing[lane].cancel()

    def _committed(self) -> list[Committed]:
        return [
            Committed(lane.repository.id, self._ids.get(lane), lane.error, lane.statistics)
            for lane in self._lanes
        ]
