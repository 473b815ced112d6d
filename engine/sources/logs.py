"""The contract of a source whose log is shipped, so that it can be brought back to any instant."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from engine.hosts.base import Command
from engine.model.instants import LogChange, LogMark
from engine.model.logs import LogFork, LogPosition, LogSegment
from engine.model.manifest import Manifest
from engine.sources.base import Database, ItemStream

TAIL_SUFFIX: Final = ".partial"
_OUT_OF_ORDER: Final = datetime.timedelta(seconds=1)
"""Transactions that end at once lie in a log by their places, not by their times."""


@dataclass(frozen=True, slots=True)
class BasePosition:
    """What a backup that was just taken is, seen from the log."""

    position: LogPosition
    """Of the last segment that the backup brings itself."""
    consistent_at: datetime.datetime
    """No earlier instant can be reached from it; by the host's clock."""


@dataclass(frozen=True, slots=True)
class WaitingSegment:
    """A segment that is whole, as the host has it."""

    name: str
    """A bare file name; safe."""
    size_bytes: int
    series: str = ""
    number: int = 0
    changed_s: float = 0.0
    """When it came there, by the host's clock, in seconds since 1970: what came later under the same name is another one."""
    is_extra: bool = False
    """Whether it is no segment, but what belongs to a series (a timeline's history): kept beside them, and replayed with them."""
    is_tail: bool = False
    """Whether it is the beginning of the segment that the server is writing. Its name is the segment's and TAIL_SUFFIX. It is kept until more of it
    comes, or all, and is never released."""


@dataclass(frozen=True, slots=True)
class LogLook:
    """What the host has of the log now."""

    identity: str
    way: str
    """spool, slot, binlog, oplog."""
    series: str
    number: int
    """Of the segment that the server is writing."""
    at: datetime.datetime
    """The host's clock. What was committed before is in segments below `sealed`, or was never in the log."""
    waiting: Sequence[WaitingSegment] = ()
    """In the order in which they were written."""
    sealed: LogPosition | None = None
    """Once all up to this segment is in the storages, all that was committed before `at` is; None where the server did not close its segment."""
    sealed_at: datetime.datetime | None = None
    """By the server's clock: it is all that was committed before this, where that is not `at`."""
    sealed_bytes: int = 0
    """Where the server is writing that segment: so much of it will do; 0 where it is whole."""
    archived: LogPosition | None = None
    """The last segment that the server handed over, by its own word; None where it does not say."""
    segment_bytes: int = 0
    """How long each segment is; 0 where they differ."""
    free_bytes: int | None = None
    """Where segments wait."""
    forgets_after_s: float | None = None
    """How long the host keeps a segment by itself, whether all storages have it or not; None where it keeps each until it is released."""
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReadSegment:
    """A segment that was read to its end and looked at."""

    segment: LogSegment | None
    """None for an extra."""
    forks: Sequence[LogFork] = ()
    """What an extra tells of its series."""


class SegmentStream(Protocol):
    """Segments, one after the other, as they come."""

    async def next(self) -> WaitingSegment | None:
        """The next one, once all of the last is read; None after the last. Raises: as `read`."""
        ...

    async def read(self) -> bytes:
        """More of it; empty at its end. Raises: SourceError, HostError."""
        ...

    def judge(self) -> ReadSegment:
        """After its end: what it is. Raises: IncompleteDumpError where it is not whole, or of another server."""
        ...


@runtime_checkable
class LogSource(Protocol):
    """A source whose server keeps a log that can be replayed onto its backups."""

    @property
    def is_logged(self) -> bool:
        """Whether its definition says that the log is to be shipped."""
        ...

    async def base_position(self) -> BasePosition | None:
        """Of the backup whose items were just read; None where logs cannot be replayed onto it. Raises: SourceError, HostError."""
        ...

    async def look(self) -> LogLook:
        """Asks what there is, and has the server close the segment that it writes where anything new is in it.

        Raises: SourceError, HostError.
        """
        ...

    def segments(
        self, wanted: Sequence[WaitingSegment], look: LogLook
    ) -> AbstractAsyncContextManager[SegmentStream]:
        """Reads these of that look, in this order. Leaving ends what still runs on the host. Raises on entering: SourceError, HostError."""
        ...

    async def release(self, names: Sequence[str]) -> None:
        """These are in every storage that was asked for: the host may forget them. Again is no harm. Raises: SourceError, HostError."""
        ...

    async def setup(self) -> Sequence[str]:
        """What the server must be set to before its log can be shipped, in lines to add to its configuration; none where all is well.

        Raises: SourceError, HostError.
        """
        ...


@runtime_checkable
class LiveLogSource(LogSource, Protocol):
    """A source whose log may come by itself, for as long as it is open."""

    @property
    def is_live(self) -> bool:
        """Whether it does now."""
        ...

    async def wait_segment(self) -> None:
        """Takes what comes, and returns once a look is worth it: a segment is whole that was not at the last look, or the server went on to another
        series, or ended the stream. Where nothing comes it waits for ever; cancelled it loses nothing. Raises: SourceError, HostError.
        """
        ...


class KeptLog(Protocol):
    """What can be told of a log's files as a storage has them, without a server: the class of a kind has it as `kept_log`."""

    def forks(self, name: str, content: bytes, segment_bytes: int) -> Sequence[LogFork]:
        """What an extra of that name tells of its series; none where it tells nothing. Raises: IncompleteDumpError where it is damaged."""
        ...

    def require_whole(self, name: str, content: bytes | bytearray, identity: str) -> None:
        """Raises: IncompleteDumpError where it is not, to its end, the segment of that name of that server."""
        ...


@runtime_checkable
class HeldLogSource(LogSource, Protocol):
    """A source whose server may keep its log for us, and for nobody else."""

    async def let_go(self) -> str:
        """Has the server keep nothing for us any more; what it kept the log by, in words, or empty where it did not. Raises: SourceError, HostError."""
        ...


@dataclass(frozen=True, slots=True)
class Replay:
    """How far a log is replayed onto a base. Of the targets at most one is set; none: to the log's end."""

    base: LogPosition
    """The last segment that the base brings itself."""
    segment_bytes: int
    series: str
    """That is followed to."""
    until: datetime.datetime | None = None
    """All that was committed at this instant or before, and nothing after, by the host's clock."""
    transaction: str = ""
    """Up to this one, with it."""
    point: str = ""
    """Up to the restore point of this name."""
    is_exclusive: bool = False
    """Whether it ends just before the target: without the transaction, or what was committed at that very instant."""
    ends_at: datetime.datetime | None = None
    """Without a target: when the last transaction ended that must be replayed, by what was seen of the log; None where that is not known."""
    size_bytes: int = 0
    """Of the log, at most."""


def is_short(last: datetime.datetime | None, ends_at: datetime.datetime | None) -> bool:
    """Whether a replay that ended with the one transaction left some out, where it was to go to the other."""
    return ends_at is not None and (last is None or ends_at - last > _OUT_OF_ORDER)


@runtime_checkable
class DumpingDatabase(Database, Protocol):
    """A server whose databases can be dumped as a backup of them would be."""

    def dumping(self, name: str, tables: Sequence[str] = ()) -> AbstractAsyncContextManager[ItemStream]:
        """One database, or these of its tables, by the manifest's names. Leaving ends the tool. Raises on entering: SourceError, HostError."""
        ...

    def dumping_globals(self) -> AbstractAsyncContextManager[ItemStream]:
        """What belongs to no database, as SQL. Raises on entering: SourceError, HostError."""
        ...


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """What files that a log names are, as a server has them that was brought to just before."""

    database: str
    """The name of the database of that number; empty where there is none."""
    tables: Mapping[str, str]
    """Number of a file to the name of its table, with its schema, as a manifest has it."""
    others: AbstractSet[str] = frozenset()
    """Numbers of files that are there, and are no table's own: an index's, a sequence's."""


@runtime_checkable
class NamingDatabase(Protocol):
    """A server that knows by their names what its log has by their numbers."""

    async def named_files(self, database: str, files: Sequence[str]) -> NamedFiles:
        """Of the database of that number. Raises: SourceError, HostError."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """A server that was brought to an instant."""

    database: Database
    last_transaction_at: datetime.datetime | None
    """Of the last one that was replayed, by the server's own word; None where none was."""
    is_over: bool
    """Whether the server says that it has come out of recovery."""


class Replaying(Protocol):
    """A throwaway server on its way to an instant."""

    async def write(self, data: bytes) -> None:
        """Before `begin`: the next bytes of the base's data folder, as `server_files.Revival.write` takes them. After it: those of an archive of segments
        by their bare names, in their order, those of series first. Raises: SourceError, HostError."""
        ...

    async def begin(self) -> None:
        """Called once, after the first archive: the server starts, and replays what comes."""
        ...

    async def finish(self) -> Replayed:
        """Called once, after the second archive: waits until the server is where it was to go.

        Raises: SourceError where it did not get there, in the server's own words; HostError.
        """
        ...


@runtime_checkable
class ReplayingSource(Protocol):
    """A source whose log can be replayed onto a backup of the server's own files (`Manifest.folder`)."""

    def replaying(
        self, manifest: Manifest, depth: int, replay: Replay
    ) -> AbstractAsyncContextManager[Replaying]:
        """A throwaway server, as `server_files.PhysicalSource.revive` makes one. Raises on entering: ToolMissingError, SourceError."""
        ...


class LogPassing(Protocol):
    """What an archive of segments goes through on its way to where a server replays it on its own: nothing in it leads to a live server's files."""

    def feed(self, data: bytes) -> bytes:
        """The next bytes; gives those that may go on. Raises: SourceError for a log that may not be replayed there."""
        ...

    def end(self) -> bytes:
        """What was held back, at the archive's end. Raises: as `feed`."""
        ...

    @property
    def said(self) -> Sequence[str]:
        """What was changed, for a person."""
        ...


@dataclass(frozen=True, slots=True)
class Laying:
    """How a server's files in a folder, as a base holds them, get the log beside them, so that any server that is started on them replays it."""

    look: Command
    """First: fails where anything is there already, or there is no room. Changes nothing."""
    lay: Command
    """Once the base is there: takes an archive of segments, as `Replaying.write` does after `begin`, on its standard input."""
    passing: LogPassing
    """The archive's way there; for one archive."""
    finish: Callable[[], Command | None]
    """Behind `lay`, once all went through `passing`: what is still to be done, by what that found."""
    tell: Callable[[str], str]
    """How a server comes up there, for a person; takes the target in words."""


@dataclass(frozen=True, slots=True)
class WholeSwap:
    """How a server's data folder gives its place to another one; in this order. Each fails, saying why, and undoes itself."""

    aside: str
    """The path that the live one gets."""
    look: Command
    """Whether all of it can be done. Changes nothing."""
    base: Command
    """Takes an archive of the base's folder on its standard input, into a folder beside the live one."""
    log: Command
    """Takes an archive of segments, as `Laying.lay`."""
    passing: LogPassing
    finish: Callable[[], Command | None]
    """As in `Laying`."""
    swap: Command
    """Fails where the server still runs."""
    undo: Command
    """Swaps back, for as long as nobody started the server."""
    lines: Sequence[str]
    """What goes where besides, for a person."""
    clear: Command
    """Removes what the first ones made; fails where what was live is aside."""


@dataclass(frozen=True, slots=True)
class WholePlace:
    """Where a server's data folders lie after a restore."""

    data: str
    aside: str
    is_left: bool = False
    """Whether the restore ended without a word, so that nobody knows whether anything was put aside."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a `WholeSwap`."""

    needed_bytes: int
    stamp: str
    """Part of the name of what is put aside."""
    tablespaces: Sequence[str] = ()
    """OLD=NEW."""


@runtime_checkable
class WholeSource(Protocol):
    """A source whose server's data folder can be put aside for another one."""

    async def data_folder(self) -> str:
        """Of the server, which must run. Raises: SourceError, HostError."""
        ...

    def whole(self, data: str, replay: Replay, depth: int, base: Manifest, wanted: Wanted) -> WholeSwap:
        """For that data folder, and that base. Raises: UsageError, DamagedError for what is wanted of its tablespaces."""
        ...

    def whole_back(self, place: WholePlace, kept: str) -> Command:
        """Brings back what is aside, puts what is in its place to `kept`, and removes what else the restore left, but for a log that `kept` still
        needs. Prints `kept`, `back` where nothing was in its place, or `never` where nothing was aside. Fails where the server still runs; as
        often as one likes."""
        ...

    def whole_discard(self, place: WholePlace) -> Command:
        """Removes what is aside, and what was replayed. Fails where the server's folder is not there, or it has not replayed yet."""
        ...

    async def whole_reached(self) -> tuple[bool, datetime.datetime | None]:
        """Whether the server has come out of recovery, and its last replayed transaction. Raises: SourceError while it does not answer; HostError."""
        ...


@dataclass(frozen=True, slots=True)
class WantedChanges:
    """What of a log is worth being told, besides what was dropped or emptied."""

    least_rows: int
    """Of one table, that a transaction deleted, or updated where the log tells; 1: also where the log does not say how many."""
    statement: str = ""
    """A part of the statement, of whatever it did; empty: any. Upper and lower case are one, and all space is."""


class LogChanges(Protocol):
    """A walk along a log, from its beginning."""

    def feed(self, name: str, content: bytes | bytearray, after: bytes) -> Sequence[LogChange]:
        """The next segment, by its name; `after` as in `LogReading`. What was committed in it, in order."""
        ...


class LogReading(Protocol):
    """Reads what segments of a log say was done. Pure, and slow enough for a thread of its own.

    `after` is what the next segment continues: a record may begin in one and end in the next. Empty where there is none.
    """

    @property
    def has_fractions(self) -> bool:
        """Whether the log knows of a transaction more than the whole second in which its commit began."""
        ...

    @property
    def has_statements(self) -> bool:
        """Whether the log tells what was said to the server."""
        ...

    def continuation(self, content: bytes | bytearray) -> bytes:
        """What the segment has of a record that began in the one before it."""
        ...

    def mark(self, content: bytes | bytearray, after: bytes, transaction: str, point: str) -> LogMark | None:
        """Where in the segment that transaction ended, or that point was named, last; None where it did not. Raises: UsageError for what is none."""
        ...

    def endings(self, content: bytes | bytearray, after: bytes) -> tuple[LogMark | None, LogMark | None]:
        """The first and the last transaction that ended in the segment."""
        ...

    def points(self, content: bytes | bytearray, after: bytes) -> Sequence[LogMark]:
        """The points that were named in it."""
        ...

    def changes(self, wanted: WantedChanges) -> LogChanges:
        """What was dropped or emptied, and where rows were changed."""
        ...
