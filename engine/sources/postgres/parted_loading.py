"""A dump of several parts on its way into a database: what makes the tables, then all rows at once, then what stands on them.

The main archive is read once. What needs none of its rows is made of its table of contents alone, which pg_restore is fed again for it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from engine.errors import IncompleteDumpError
from engine.scope import task_scope
from engine.sources.base import LoadStream, PartedLoad
from engine.sources.postgres import loading, selection
from engine.sources.postgres.archive import ArchiveReader
from engine.sources.postgres.loading import Choice, Loading, Restoring

_BATCHES_EACH = 4
"""So many lists of indexes a connection: each costs the table of contents once more, and evens out that nobody knows how long each takes."""


def parted_loading(what: Loading, most_parts: int) -> PartedLoad:
    """See `base.PartedDatabase.load_parts`; so many of the parts may be on their way at once."""
    return _PartedLoad(what, most_parts)


class _PartedLoad:
    """See `base.PartedLoad`."""

    def __init__(self, what: Loading, most_parts: int) -> None:
        self.what = what
        self.most_parts = most_parts
        self.contents: Sequence[bytes] = ()
        """The main archive's beginning, with its table of contents."""
        self._entries = ArchiveReader().entries
        self._choice: Choice | None = None
        self._flags: Sequence[str] = ()
        self._large: dict[tuple[str, str], None] = {}
        """Schema and name of the tables whose rows come in parts; an ordered set."""
        self._are_tables_made = asyncio.Event()

    def main(self) -> AbstractAsyncContextManager[LoadStream]:
        """See `base.PartedLoad.main`."""
        return _opened(self, _Main)

    def part(self) -> AbstractAsyncContextManager[LoadStream]:
        """See `base.PartedLoad.part`."""
        return _opened(self, _Part)

    async def finish(self) -> Sequence[str]:
        """See `base.PartedLoad.finish`: the server's statistics are made fresh, too."""
        if self._choice is None:
            raise IncompleteDumpError("the dump ends in its table of contents")
        said = [*self._choice.warnings]
        if self.what.selection.is_owned:
            grants = selection.early_grants(self._entries, self._choice.picked)
            for begin in range(0, len(grants), loading.MOST_LISTED):
                said += await self._describe(grants[begin : begin + loading.MOST_LISTED])
        said += await self._stand_on_rows(self._choice.picked)
        await self.what.analyse()
        return said

    async def _stand_on_rows(self, picked: Sequence[int] | None) -> list[str]:
        """What comes after the rows; indexes and keys of the tables that had a part at once, as far as the names of all fit where they must."""
        batches = self._batches(selection.standing_alone(self._entries, picked))
        among = {entry.id for entry in self._entries} if picked is None else set(picked)
        among -= {number for batch in batches for number in batch}
        rest = [entry.id for entry in self._entries if entry.id in among]
        if len(batches) < 2 or max(map(len, (rest, *batches))) > loading.MOST_LISTED:
            return await self._describe(picked, "--section=post-data")
        turn = asyncio.Semaphore(self.most_parts + 1)

        async def make(batch: Sequence[int]) -> list[str]:
            async with turn:
                return await self._describe(batch)

        async with task_scope() as tasks:
            making = [tasks.create_task(make(batch)) for batch in batches]
        said = [warning for each in making for warning in each.result()]
        return [*said, *await self._describe(rest, "--section=post-data")]

    def _batches(self, alone: Mapping[tuple[str, str], Sequence[int]]) -> list[list[int]]:
        """Each large table's by themselves, as far as that are not too many; those of all small ones together."""
        large = [table for table in self._large if table in alone]
        count = min(len(large), _BATCHES_EACH * (self.most_parts + 1))
        batches = [
            [number for table in large[begin::count] for number in alone[table]] for begin in range(count)
        ]
        small = [number for table, numbers in alone.items() if table not in self._large for number in numbers]
        return [*batches, small] if small else batches

    async def make_tables(self, archive: ArchiveReader, contents: Sequence[bytes]) -> Choice:
        """What comes before the rows. Raises: SourceError, HostError."""
        self.contents, self._entries = contents, archive.entries
        choice = await loading.prepare(self.what, archive)
        self._flags = choice.flags
        await self._describe(choice.picked, "--section=pre-data", "--no-privileges")
        self._choice = choice
        self._are_tables_made.set()
        return choice

    async def rows_of(self, archive: ArchiveReader) -> Sequence[int] | None:
        """The entries of a part that are loaded, once there are tables to take them: rows, and no value of a sequence, which the main archive has."""
        await self._are_tables_made.wait()
        if not archive.is_known:
            return None
        chosen = self.what.selection.tables
        wanted = selection.with_rows(self._entries, chosen) if chosen else None
        picked = [
            entry
            for entry in archive.entries
            if entry.kind == "TABLE DATA" and (wanted is None or (entry.namespace, entry.name) in wanted)
        ]
        self._large |= dict.fromkeys((entry.namespace, entry.name) for entry in picked)
        return [entry.id for entry in picked]

    async def _describe(self, picked: Sequence[int] | None, *more: str) -> list[str]:
        """Entries that have no rows."""
        async with self.what.host.start(self.what.command(picked, *more, *self._flags)) as process:
            restoring = Restoring(self.what, process, may_end_early=True)
            for piece in self.contents:
                await restoring.send(piece)
            return await restoring.finish()


class _Stream(ABC):
    """See `base.LoadStream`: one of the archives."""

    def __init__(self, whole: _PartedLoad, stack: AsyncExitStack) -> None:
        self._whole = whole
        self._stack = stack
        self._archive = ArchiveReader()
        self._held: list[bytes] = []
        self._restoring: Restoring | None = None
        self._is_begun = False

    async def write(self, data: bytes) -> None:
        """See `base.LoadStream.write`."""
        if self._is_begun:
            if self._restoring is not None:
                await self._restoring.send(data)
            return
        self._held.append(data)
        self._archive.feed(data)
        if self._archive.is_contents_read:
            held, self._held = self._held, []
            self._is_begun = True
            await self._begin(held)

    async def finish(self) -> Sequence[str]:
        """See `base.LoadStream.finish`. Its channel is free then, for the parts that wait for one."""
        if not self._is_begun:
            raise IncompleteDumpError("the dump ends in its table of contents")
        said = [] if self._restoring is None else await self._restoring.finish()
        await self._stack.aclose()
        return said

    @abstractmethod
    async def _begin(self, held: Sequence[bytes]) -> None:
        """The table of contents is there."""

    async def _start(self, held: Sequence[bytes], picked: Sequence[int] | None) -> None:
        """The rows begin to flow. Whatever a table needs besides is made by the main archive's other sections."""
        what = self._whole.what
        process = await self._stack.enter_async_context(
            what.host.start(what.command(picked, "--section=data"))
        )
        self._restoring = Restoring(what, process, may_end_early=True)
        for piece in held:
            await self._restoring.send(piece)


class _Main(_Stream):
    """The one that says what there is."""

    async def _begin(self, held: Sequence[bytes]) -> None:
        choice = await self._whole.make_tables(self._archive, held)
        await self._start(held, choice.picked)


class _Part(_Stream):
    """One that has rows alone."""

    async def _begin(self, held: Sequence[bytes]) -> None:
        picked = await self._whole.rows_of(self._archive)
        if picked is None or picked:
            await self._start(held, picked)


@asynccontextmanager
async def _opened(whole: _PartedLoad, kind: type[_Stream]) -> AsyncIterator[LoadStream]:
    async with AsyncExitStack() as stack:
        yield kind(whole, stack)
