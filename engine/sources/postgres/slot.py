"""A server's write-ahead log from a physical replication slot: the server keeps what we have not yet put into every storage, and nothing more.

The log comes by the streaming protocol, through the host. Where we are is kept by the server alone, as the slot's position, which only ever
moves to the end of a segment that is in every storage: whoever is killed, wherever, begins there again. Of the segment that the server is
writing the beginning comes as well, so that what is lost with a server is what it wrote since the last look. A base makes the slot, before
anything else: what comes behind the base is then there for certain. Source: PostgreSQL, "Replication Slots".
"""

from __future__ import annotations

import asyncio
import datetime
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from engine.errors import HoldfastError, SourceError
from engine.hosts.base import Command, OpenHost
from engine.model.logs import LogPosition, LogSegment
from engine.sources.logs import TAIL_SUFFIX, LogLook, ReadSegment, WaitingSegment
from engine.sources.postgres import quoting, replication, session, spool, wal
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.log_stream import LogStream
from engine.sources.postgres.replication import Place, Replication

NAME: Final = re.compile(r"[a-z0-9_]{1,63}", re.ASCII)
MOST_AT_ONCE: Final = 100_000
"""Segments that one look tells of: the next one tells of more."""
LARGE_BYTES: Final = 4 << 30
"""What a slot keeps on its server beyond this is worth a warning."""
_LOST, _ENDANGERED = "lost", "unreserved"
_FLUSH_TRIES: Final = 20

_SERVER = """
select (select system_identifier::text from pg_control_system()) as system,
extract(epoch from clock_timestamp())::float8 as at, pg_is_in_recovery() as standby, current_user::text as account,
(select setting::bigint from pg_settings where name = 'wal_segment_size') as size,
(select setting::int from pg_settings where name = 'wal_writer_delay') as delay_ms,
(select setting from pg_settings where name = 'unix_socket_directories') as sockets,
(select setting from pg_settings where name = 'data_directory') as folder,
(select setting from pg_settings where name = 'max_slot_wal_keep_size') as keep,
current_setting('port')::int as port,
case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) else pg_current_wal_insert_lsn() end::text as written,
case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) else pg_current_wal_flush_lsn() end::text as flushed,
case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_insert_lsn()) end as name,
(select row_to_json(slots) from pg_replication_slots slots where slot_name = {name}) as slot"""
_FLUSHED = "select pg_sleep({delay_s})::text as slept, pg_current_wal_flush_lsn()::text as flushed"
_SETTINGS = """
select current_user::text as account,
(select setting from pg_settings where name = 'wal_level') as level,
(select setting::int from pg_settings where name = 'max_replication_slots') as slots,
(select setting::int from pg_settings where name = 'max_wal_senders') as senders,
(select setting from pg_settings where name = 'max_slot_wal_keep_size') as keep,
(select setting from pg_settings where name = 'unix_socket_directories') as sockets,
current_setting('port')::int as port"""
_SLOT = "select row_to_json(slots) as slot from pg_replication_slots slots where slot_name = {name}"
_MAKE = "select pg_create_physical_replication_slot({name}, true)::text as made"
_DROP = "select pg_drop_replication_slot({name})::text as dropped"


@dataclass(slots=True)
class Slot:
    """The slot, and the server that has it. See `logs.LiveLogSource`. `close` must be awaited."""

    host: OpenHost
    connection: Connection
    name: str
    _stream: LogStream | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _place: Place | None = None
    _look: LogLook | None = None
    _restart: int = 0
    _histories: dict[int, bytes] = field(default_factory=dict)

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        async with session.opened(self.host, self.connection, spool.MAINTENANCE) as asked:
            server = await asked.row(_SERVER.format(name=quoting.literal(self.name)))
            size = spool.require_server(server, self.host.name)
            slot = self._require_slot(server["slot"])
            flushed = await _flushed(asked, server)
        self._place = replication.place(
            self.connection, server["account"], server["sockets"] or "", server["port"]
        )
        timeline = await self._timeline(server)
        restart = slot.get("restart_lsn")
        self._restart = min(wal.parse_position(restart) if restart else flushed, flushed)
        log = Log(timeline, await self._forks(timeline), size)
        waiting = log.waiting(self._restart, flushed)
        last = min(flushed - 1, self._restart // size * size + MOST_AT_ONCE * size - 1) // size
        sealed = LogPosition(server["system"], f"{log.timeline_of(last):08X}", last)
        extras = [
            WaitingSegment(f"{each:08X}.history", len(content), f"{each:08X}", is_extra=True)
            for each, content in self._histories.items()
            if each == timeline
        ]
        self._look = LogLook(
            identity=server["system"],
            way="slot",
            series=f"{timeline:08X}",
            number=flushed // size,
            at=datetime.datetime.fromtimestamp(server["at"], datetime.UTC),
            waiting=[*extras, *waiting],
            sealed=None if server["standby"] else sealed,
            sealed_bytes=flushed % size if last == flushed // size else 0,
            segment_bytes=size,
            free_bytes=await self._room(slot, server["folder"] or ""),
            warnings=warnings(
                {**slot, "keep": server["keep"]}, flushed - self._restart, self.name, self.host.name
            ),
        )
        return self._look

    @asynccontextmanager
    async def segments(self, wanted: Sequence[WaitingSegment], look: LogLook) -> AsyncIterator[SlotReader]:
        """See `logs.LogSource.segments`."""
        try:
            yield SlotReader(self, wanted, look)
        except BaseException:
            await self.close()
            raise

    async def release(self, names: Sequence[str]) -> None:
        """See `logs.LogSource.release`: the slot moves to the end of the last one before which all are among them."""
        look, released = self._look, set(names)
        if look is None:
            return
        whole = [each for each in look.waiting if not each.is_extra]
        kept = next((each for each in whole if each.name not in released), None)
        if not whole or kept is whole[0]:
            return
        number = kept.number if kept is not None else whole[-1].number + 1
        position = number * look.segment_bytes
        if position <= self._restart:
            return
        series = kept.series if kept is not None else whole[-1].series
        if self._stream is not None and self._stream.is_open:
            await self._stream.confirm(position)
        else:
            stream = await self.stream(int(series, 16), number, look.segment_bytes)
            await stream.confirm(position)
        self._restart = position

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        async with session.opened(self.host, self.connection, spool.MAINTENANCE) as asked:
            row = await asked.row(_SETTINGS)
        lines = []
        if row["level"] == "minimal":
            lines.append("wal_level = replica")
        lines += [
            f"{setting} = 10"
            for setting, value in (
                ("max_replication_slots", row["slots"]),
                ("max_wal_senders", row["senders"]),
            )
            if not value
        ]
        if row["keep"] == "-1":
            lines.append("max_slot_wal_keep_size = '20GB'")
        where = replication.place(self.connection, row["account"], row["sockets"] or "", row["port"])
        try:
            async with replication.opened(self.host, self.connection, where):
                pass
        except HoldfastError:
            lines.append(replication.hba_line(where.user))
        return lines

    async def make(self) -> None:
        """Makes the slot, where it is missing; anew, where the server gave it up. Raises: SourceError, HostError."""
        name = quoting.literal(self.name)
        async with session.opened(self.host, self.connection, spool.MAINTENANCE) as asked:
            found = await asked.rows(_SLOT.format(name=name))
            slot = found[0]["slot"] if found else None
            if slot is not None and slot.get("wal_status") == _LOST:
                await asked.rows(_DROP.format(name=name))
                slot = None
            if slot is None:
                await asked.rows(_MAKE.format(name=name))

    async def drop(self) -> bool:
        """Drops the slot, so that the server keeps nothing for us any more; whether it was there. Raises: SourceError, HostError."""
        await self.close()
        name = quoting.literal(self.name)
        async with session.opened(self.host, self.connection, spool.MAINTENANCE) as asked:
            if not await asked.rows(_SLOT.format(name=name)):
                return False
            await asked.rows(_DROP.format(name=name))
        return True

    async def wait_segment(self) -> None:
        """See `logs.LiveLogSource.wait_segment`."""
        if self._stream is None or not self._stream.is_open or self._look is None:
            await asyncio.Event().wait()
        assert self._stream is not None
        assert self._look is not None
        try:
            await self._stream.wait_whole(self._look.number)
        except HoldfastError:
            await self.close()
            await asyncio.Event().wait()

    async def close(self) -> None:
        """Ends the stream, where one is open. Again is no harm."""
        self._stream = None
        await self._stack.aclose()

    async def stream(self, timeline: int, number: int, size: int) -> LogStream:
        """The open stream where it is at that segment, or goes on to it; else another. Raises: SourceError, HostError."""
        if self._stream is not None and self._stream.go_on(timeline, number):
            return self._stream
        await self.close()
        made = await self._stack.enter_async_context(self._connected())
        self._stream = LogStream(made, timeline, number, size)
        self._stack.push_async_callback(self._stream.end)
        await self._stream.start(self.name)
        return self._stream

    def history(self, name: str) -> bytes:
        """The history of that name, which a look told of."""
        return self._histories[wal.history_timeline(name) or 0]

    async def _room(self, slot: session.Row, folder: str) -> int | None:
        """How much the server may write until it gives the slot up, or where nothing bounds that, until its disk is full; None where it cannot be told."""
        if slot.get("safe_wal_size") is not None:
            return int(slot["safe_wal_size"])
        if not folder or not self.connection.is_on_host:
            return None
        # The log may lie elsewhere, which only the server's own account can see.
        done = await self.host.run(Command(("df", "-P", "-k", "--", f"{folder}/pg_wal", folder)))
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        words = lines[1].split() if len(lines) > 1 else []
        return int(words[3]) << 10 if len(words) > 3 and words[3].isdecimal() else None

    def _connected(self) -> AbstractAsyncContextManager[Replication]:
        assert self._place is not None
        return replication.opened(self.host, self.connection, self._place)

    async def _timeline(self, server: session.Row) -> int:
        """The one that the server writes or replays."""
        found = wal.parse_name(server["name"] or "")
        if found is not None:
            return found.timeline
        async with self._connected() as asked:
            return (await asked.identify()).timeline

    async def _forks(self, timeline: int) -> list[wal.Fork]:
        """Where the timelines before it ended; their history is asked for once."""
        if timeline == 1:
            return []
        if timeline not in self._histories:
            async with self._connected() as asked:
                self._histories[timeline] = await asked.history(timeline)
        return wal.parse_history(self._histories[timeline])

    def _require_slot(self, slot: session.Row | None) -> session.Row:
        """Raises: SourceError where it is gone, or was given up."""
        hint = "take a base, which makes it anew: holdfast backup SOURCE. Nothing between the last shipment and that base can be reached"
        if slot is None:
            raise SourceError(
                f"{self.host.name} has no replication slot {self.name}: it was never made, or was dropped",
                hint=hint,
            )
        if slot.get("slot_type") != "physical":
            raise SourceError(
                f"the replication slot {self.name} of {self.host.name} is a logical one",
                hint="name another one by --log-slot",
            )
        if slot.get("wal_status") == _LOST:
            raise SourceError(
                f"{self.host.name} gave the replication slot {self.name} up: it kept more log than max_slot_wal_keep_size allows",
                hint=hint,
            )
        return slot


class SlotReader:
    """Segments as they come out of the stream. See `logs.SegmentStream`."""

    def __init__(self, slot: Slot, wanted: Sequence[WaitingSegment], look: LogLook) -> None:
        self._slot = slot
        self._look = look
        self._waiting = deque(wanted)
        self._current: WaitingSegment | None = None
        self._content = bytearray()

    async def next(self) -> WaitingSegment | None:
        """See `logs.SegmentStream.next`."""
        self._current = self._waiting.popleft() if self._waiting else None
        self._content = bytearray()
        return self._current

    async def read(self) -> bytes:
        """See `logs.SegmentStream.read`."""
        assert self._current is not None
        current, given_bytes = self._current, len(self._content)
        if current.is_extra:
            piece = self._slot.history(current.name)[given_bytes:]
        else:
            stream = await self._slot.stream(
                int(current.series, 16), current.number, self._look.segment_bytes
            )
            piece = await stream.piece(given_bytes, current.size_bytes)
        self._content += piece
        return piece

    def judge(self) -> ReadSegment:
        """See `logs.SegmentStream.judge`."""
        assert self._current is not None
        current = self._current
        if not current.is_tail:
            return spool.judged(current, self._content, self._look)
        name = current.name.removesuffix(TAIL_SUFFIX)
        wal.require_tail(self._content, name, self._look.identity)
        span = wal.span(self._content, int(current.series, 16))
        tail = LogSegment(
            current.name, current.series, current.number, len(self._content), span.first, span.last, True
        )
        return ReadSegment(tail)


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a server as its newest timeline has it."""

    timeline: int
    forks: Sequence[wal.Fork]
    size: int

    def timeline_of(self, number: int) -> int:
        """In whose name that segment is read: the one that wrote its end."""
        return next(
            (fork.timeline for fork in self.forks if number < fork.position // self.size), self.timeline
        )

    def waiting(self, begin: int, end: int) -> list[WaitingSegment]:
        """The segments from that place on, the last of them as far as it goes."""
        first, last = begin // self.size, end // self.size
        until = min(last, first + MOST_AT_ONCE)
        found = [self._segment(number) for number in range(first, until)]
        if until == last and end % self.size:
            whole = self._segment(last)
            found.append(
                WaitingSegment(whole.name + TAIL_SUFFIX, end % self.size, whole.series, last, is_tail=True)
            )
        return found

    def _segment(self, number: int) -> WaitingSegment:
        timeline = self.timeline_of(number)
        name = wal.segment_name(timeline, number, self.size)
        return WaitingSegment(name, self.size, f"{timeline:08X}", number)


async def _flushed(asked: session.Session, server: session.Row) -> int:
    """Where the log ends that is on the server's disk, once all is there that was committed before the look.

    A commit that waits for no disk is written by the server within three rounds of its writer; only those can be missing.
    """
    flushed, written = wal.parse_position(server["flushed"]), wal.parse_position(server["written"])
    delay_s = 3 * server["delay_ms"] / 1000 / _FLUSH_TRIES
    for _ in range(_FLUSH_TRIES):
        # The place of the next record lies behind a page's header, which is not written before it.
        if flushed >= written - 40:
            break
        row = await asked.row(_FLUSHED.format(delay_s=delay_s))
        flushed = wal.parse_position(row["flushed"])
    return flushed


def warnings(slot: session.Row, retained_bytes: int, name: str, host: str) -> list[str]:
    """What a slot that keeps so much is about to do to its server, or the server to it."""
    said = []
    if slot.get("wal_status") == _ENDANGERED:
        said.append(
            f"the replication slot {name} of {host} is about to be given up: it keeps more than max_slot_wal_keep_size allows"
        )
    if retained_bytes > LARGE_BYTES:
        said.append(
            f"the replication slot {name} keeps {retained_bytes / (1 << 30):.1f} GiB of log on {host} until all storages have it"
            + (": nothing bounds it there, set max_slot_wal_keep_size" if slot.get("keep") == "-1" else "")
        )
    return said
