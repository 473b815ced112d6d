"""A replica set's oplog, shipped in slices of a minute by `mongodump --db=local --collection=oplog.rs --out=-`.

Written to the documented tool and its source (mongodb/mongo-tools), and untested against a real server: see the package. Nothing is set up
and nothing removed: the oplog keeps what its size allows. A slice is whole where, in one and the same answer, an entry came before it and
one behind it; so a member that lags, or that forgot the beginning meanwhile, is never taken for one that had no more to say.

A slice that is shipped and then rolled back by a fail-over stays as it was shipped: a connection string with `readConcernLevel=majority`
is there against that.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from engine.errors import ConnectionLostError, IncompleteDumpError, SourceError
from engine.hosts.base import Command, Exit, OpenHost, Process, require_started, require_success
from engine.model.logs import LogPosition, LogSegment
from engine.sources.logs import BasePosition, LogLook, ReadSegment, WaitingSegment
from engine.sources.mongodb import entries
from engine.sources.mongodb.entries import Entries
from engine.sources.mongodb.messages import DumpLog

SERIES: Final = "oplog"
DATE: Final = ("date", "+%s")
_OPLOG: Final = ("--db=local", "--collection=oplog.rs", "--out=-")
_SET: Final = ("--db=local", "--collection=system.replset", "--out=-")
_SHORT_S: Final = 86400.0
_ROLES: Final = (
    "its login needs the roles backup and clusterMonitor, and may then read the collections of database local"
)


@dataclass(frozen=True, slots=True)
class _Span:
    """Which slices of the oplog a member could give, when it was asked."""

    oldest_s: int
    """Of its oldest entry."""
    first: int
    """The oldest slice that is there from its beginning."""
    newest: int
    """The newest that nothing is added to any more."""


@dataclass(slots=True)
class Oplog:
    """The oplog that this connection reaches. See `logs.LogSource`."""

    host: OpenHost
    dump: Callable[[Sequence[str], str], Command]
    """mongodump with these arguments besides the connection, and that query or none."""
    date: Command
    hide: Callable[[str], str]
    """The tool's words without the login."""
    identity: str = ""
    """Of the replica set; asked once."""
    before: LogPosition | None = field(default=None)
    """The last slice that was whole before a dump began."""

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        identity = await self._identified()
        at = await self._now()
        span = await self._span(at)
        waiting = [
            WaitingSegment(entries.name_of(number), 0, SERIES, number, (number + 1) * entries.SLICE_S)
            for number in range(span.first, span.newest + 1)
        ]
        ends_at = entries.begins_at(span.newest + 1)
        return LogLook(
            identity=identity,
            way=SERIES,
            series=SERIES,
            number=span.newest + 1,
            at=entries.instant(at),
            waiting=waiting,
            sealed=LogPosition(identity, SERIES, span.newest) if waiting else None,
            sealed_at=ends_at,
            forgets_after_s=max(ends_at.timestamp() - span.oldest_s, float(entries.SLICE_S)),
        )

    @asynccontextmanager
    async def segments(self, wanted: Sequence[WaitingSegment], look: LogLook) -> AsyncIterator[OplogSegments]:
        """See `logs.LogSource.segments`."""
        del look
        async with AsyncExitStack() as stack:
            yield OplogSegments(self, wanted, stack)

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        look = await self.look()
        if look.forgets_after_s is not None and look.forgets_after_s < _SHORT_S:
            return ["storage.oplogMinRetentionHours: 24"]
        return ()

    async def begin(self) -> None:
        """Called before a dump is begun that shall be a base. Raises: SourceError, HostError."""
        self.before = (await self.look()).sealed

    async def base_position(self) -> BasePosition | None:
        """Of the dump that is over: what the oplog's newest entry is of now is later than its end. See `logs.LogSource.base_position`."""
        before = self.before
        if before is None:
            return None
        newest_s = (before.number + 1) * entries.SLICE_S
        async with self.started(_since(newest_s)) as process:
            async for entry in self.entries(process):
                newest_s = entries.timestamp_of(entry)[0]
        # The dump brings its own oplog from its beginning on: replaying from there again changes nothing.
        return BasePosition(before, entries.instant(newest_s + 1))

    def commands(self) -> Sequence[Command]:
        """What is run on the host."""
        return [self.dump(_SET, ""), self.dump(_OPLOG, ""), self.dump(_OPLOG, _since(0)), self.date]

    async def oldest_s(self) -> int:
        """Of the oldest entry. Raises: SourceError where there is none; HostError."""
        found = await self._first()
        if found is None:
            raise SourceError(f"the oplog that {self.host.name} reaches is empty")
        return found

    @asynccontextmanager
    async def started(self, query: str = "", arguments: Sequence[str] = _OPLOG) -> AsyncIterator[Process]:
        """The tool; leaving ends it. Raises: SourceError, HostError."""
        async with self.host.start(self.dump(arguments, query)) as process:
            yield process

    async def entries(self, process: Process) -> AsyncGenerator[bytes, None]:
        """All that it writes, to its end. Raises: SourceError where it failed; IncompleteDumpError, HostError."""
        found = Entries()
        while piece := await process.read():
            for entry in found.feed(piece):
                yield entry
        self._judge(await process.wait())
        found.require_whole()

    def _judge(self, ended: Exit) -> None:
        name = self.host.name
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{name} never said how mongodump ended")
        require_started(name, self.dump(_OPLOG, ""), ended)
        if not ended.is_success:
            log = DumpLog()
            for line in ended.stderr.splitlines():
                log.take(line)
            words = self.hide(log.words) or "it said nothing"
            raise SourceError(f"mongodump on {name} cannot read the oplog: {words}", hint=_ROLES)

    async def _identified(self) -> str:
        if not self.identity:
            async with self.started(arguments=_SET) as process:
                found = [entries.replica_set_id(each) async for each in self.entries(process)]
            if len(found) != 1 or not found[0]:
                raise SourceError(
                    f"what {self.host.name} reaches is no member of a replica set, and so it has no oplog",
                    hint="begin a replica set, of one member if need be: replication.replSetName, then rs.initiate()",
                )
            self.identity = found[0]
        return self.identity

    async def _now(self) -> int:
        done = await self.host.run(self.date)
        require_success(self.host.name, self.date, done.exit)
        try:
            return int(done.stdout)
        except ValueError:
            raise SourceError(f"{self.host.name} does not say what time it is") from None

    async def _span(self, now_s: int) -> _Span:
        oldest_s = await self.oldest_s()
        first = entries.slice_of(oldest_s) + 1
        return _Span(oldest_s, first, await self._newest(first, entries.slice_of(now_s)))

    async def _newest(self, first: int, now: int) -> int:
        """A slice is over where an entry of a later one is there: such is looked for from now on backwards, ever further, and then between."""
        none, found, back = now + 1, max(now, first), 0
        while not await self._goes_to(found):
            if found == first:
                return first - 1
            none, back = found, back * 2 or 1
            found = max(now - back, first)
        while none - found > 1:
            middle = (found + none) // 2
            if await self._goes_to(middle):
                found = middle
            else:
                none = middle
        return found - 1

    async def _goes_to(self, number: int) -> bool:
        """Whether there is an entry in that slice, or behind it."""
        return await self._first(_since(number * entries.SLICE_S)) is not None

    async def _first(self, query: str = "") -> int | None:
        """Of the first entry that comes, in seconds; None where none does."""
        async with self.started(query) as process, aclosing(self.entries(process)) as found:
            async for entry in found:
                return entries.timestamp_of(entry)[0]
        return None


class OplogSegments:
    """Slices as they come, those that follow each other by one command. See `logs.SegmentStream`."""

    def __init__(self, oplog: Oplog, wanted: Sequence[WaitingSegment], stack: AsyncExitStack) -> None:
        self._oplog = oplog
        self._waiting = deque(wanted)
        self._stack = stack
        self._coming: AsyncIterator[bytes] | None = None
        self._ahead: bytes | None = None
        """The first entry that is of a later slice."""
        self._current: WaitingSegment | None = None
        self._last: tuple[int, int] = (0, 0)
        self._size_bytes = 0
        self._first_s: int | None = None
        self._last_s: int | None = None

    async def next(self) -> WaitingSegment | None:
        """See `logs.SegmentStream.next`."""
        if not self._waiting:
            await self._stack.aclose()
            return None
        before, self._current = self._current, self._waiting.popleft()
        if before is None or self._current.number != before.number + 1:
            await self._begin(self._current.number)
        self._size_bytes, self._first_s, self._last_s = 0, None, None
        return self._current

    async def read(self) -> bytes:
        """See `logs.SegmentStream.read`."""
        current = self._current
        assert current is not None
        pieces: list[bytes] = []
        length = 0
        while length < 1 << 20:
            entry = self._ahead if self._ahead is not None else await self._entry()
            self._ahead = entry
            if entry is None:
                raise IncompleteDumpError(
                    f"the member that {self._oplog.host.name} reached is behind: its oplog ends within slice {current.name}"
                )
            seconds = entries.timestamp_of(entry)[0]
            if entries.slice_of(seconds) > current.number:
                break
            self._first_s = seconds if self._first_s is None else self._first_s
            self._last_s, self._ahead = seconds, None
            pieces.append(entry)
            length += len(entry)
        self._size_bytes += length
        return b"".join(pieces)

    def judge(self) -> ReadSegment:
        """See `logs.SegmentStream.judge`."""
        current = self._current
        assert current is not None
        begins_at, ends_at = (
            entries.instant(each) if each is not None else None for each in (self._first_s, self._last_s)
        )
        return ReadSegment(
            LogSegment(current.name, SERIES, current.number, self._size_bytes, begins_at, ends_at)
        )

    async def _begin(self, number: int) -> None:
        """From one slice before it on: an entry of that one proves that the oplog was whole from there. Raises: as `read`."""
        await self._stack.aclose()
        begin_s = number * entries.SLICE_S
        process = await self._stack.enter_async_context(
            self._oplog.started(_since(begin_s - entries.SLICE_S))
        )
        coming = self._oplog.entries(process)
        self._stack.push_async_callback(coming.aclose)
        self._coming, self._last = coming, (0, 0)
        self._ahead = await self._entry()
        is_proved = False
        while self._ahead is not None and entries.timestamp_of(self._ahead)[0] < begin_s:
            is_proved = True
            self._ahead = await self._entry()
        if not is_proved and await self._oplog.oldest_s() >= begin_s:
            raise IncompleteDumpError(
                f"the oplog that {self._oplog.host.name} reaches rolled over: it begins within or behind slice {entries.name_of(number)}"
            )

    async def _entry(self) -> bytes | None:
        """The next one, which must be later than the last. Raises: as `read`."""
        assert self._coming is not None
        entry = await anext(self._coming, None)
        if entry is not None:
            at = entries.timestamp_of(entry)
            if at <= self._last:
                raise IncompleteDumpError(
                    f"the oplog that {self._oplog.host.name} reaches is out of order at {at[0]}.{at[1]}"
                )
            self._last = at
        return entry


def _since(seconds: int) -> str:
    query = {"ts": {"$gte": {"$timestamp": {"t": max(seconds, 0), "i": 0}}}}
    return json.dumps(query, separators=(",", ":"))
