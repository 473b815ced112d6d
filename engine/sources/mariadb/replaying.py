"""A throwaway server on the host that a log is replayed onto: `revival`, and mariadb-binlog into it.

Up to where is found here, while the log passes: the first transaction behind the target, and so the position at which mariadb-binlog stops. A
log knows whole seconds (`binlog`): up to one means all that was committed within it (see `model.instants.by_seconds`). The server keeps a log of its own of what
it is fed, so that it can say how far it came.
"""

from __future__ import annotations

import datetime
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from engine.errors import IncompleteDumpError, SourceError
from engine.hosts.base import OpenHost
from engine.model.backup import Scope
from engine.model.manifest import Manifest
from engine.sources import tar_feed
from engine.sources.base import Database, ItemStream
from engine.sources.logs import Replay, Replayed, Replaying
from engine.sources.mariadb import accounts
from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.binlog import GTID_TEXT, BinlogReader, Transaction, parse_name
from engine.sources.mariadb.database import MariadbDatabase
from engine.sources.mariadb.dumping import dump_command
from engine.sources.mariadb.items import DatabaseItem, Gathered, MemoryItem
from engine.sources.mariadb.revival import HOLD, TAKE, taking
from engine.sources.mariadb.scratch import FAILED, NO_FOLDER, START, begin, one_line

# While the log is replayed an account of a name that it cannot have is used: what it does to any other is as it was then. At its end the one that
# revivals have is made, in the session that may; neither stays in the tables that a dump of the accounts reads, but in the server's memory alone.
# LOAD DATA comes as a file that mariadb-binlog writes and the client reads: as the server's account, which may read no more than the server.
_LOGGING = r"""
mv "$d/tmp/init" "$d/after"
x() { od -An -N"$1" -tx1 /dev/urandom </dev/null | tr -d " \n"; }
k=holdfast_$(x 8)
MYSQL_PWD="Aa1!$(x 16)"
for w in "CREATE USER $k@localhost IDENTIFIED BY '$MYSQL_PWD'" "GRANT ALL ON *.* TO $k@localhost WITH GRANT OPTION"; do echo "$w;"; done >"$d/tmp/init"
[ -z "$u" ] || chown "$u" "$d/tmp/init"
set -- "$@" --log-bin="$d/data/replayed" --local-infile=ON
"""
_REPLAY = rf"""
mkdir "$d/logs"; [ -z "$u" ] || chown "$u" "$d/logs"
echo logs=1
(as tar -x -o -f - -C "$d/logs") || exit {NO_FOLDER}
IFS= read -r from && IFS= read -r until && IFS= read -r n || exit {FAILED}
set --
while [ $# -lt "$n" ]; do IFS= read -r f || exit {FAILED}; set -- "$@" "$d/logs/$f"; done
l() {{ [ $# = 0 ] || (as mariadb-binlog --no-defaults --start-position="$from" ${{until:+"--stop-position=$until"}} --local-load="$d/tmp" "$@") 2>"$d/be"; echo $? >"$d/bs"; }}
r() {{ l "$@"; echo "DELIMITER ;"; echo "SET SESSION sql_log_bin = 0;"; cat "$d/after"; echo "DELETE FROM mysql.global_priv WHERE Host = 'localhost' AND User IN ('$k', '$me');"; }}
c() {{ export MYSQL_PWD; as mariadb --no-defaults --socket="$d/s" --user="$k" --binary-mode --local-infile=1 --max-allowed-packet=1G; }}
w() {{ [ ! -e "$d/be" ] || tail -n 2 "$d/be" >&2; sed -n "s/^\(ERROR [0-9]* ([0-9A-Z]*)\).*/the server refused what the log holds: \1/p" "$d/ce" >&2; exit {FAILED}; }}
r "$@" </dev/null | (c >/dev/null) 2>"$d/ce" & wait $! && [ "$(cat "$d/bs")" = 0 ] || w
echo replayed=1
"""
_SCRIPT = one_line(
    begin("mariadbd mariadb-backup mariadb mariadb-binlog tar"), TAKE, _LOGGING, START, _REPLAY, HOLD
)


@asynccontextmanager
async def replaying(
    host: OpenHost, as_user: str | None, manifest: Manifest, depth: int, replay: Replay
) -> AsyncIterator[Replaying]:
    """See `logs.ReplayingSource.replaying`. Raises on leaving: SourceError where its folder stayed."""
    require_target(replay)
    path = ReplayedPath(replay, *_begin(manifest))
    async with taking(host, as_user, manifest, depth, _SCRIPT, replay.size_bytes) as script:

        async def start() -> Database:
            await script.until("replayed")
            return _ReplayedDatabase(script.connection())

        async def begin() -> None:
            await script.until("logs")

        yield _Replaying(script.feed(start), begin, path)


@dataclass(slots=True)
class ReplayedPath:
    """What of an archive of logs is replayed, found while it passes. Pure."""

    replay: Replay
    first: str
    """The log that the base was taken in."""
    begin: int
    """From there on what is in it came after the base."""
    files: list[str] = field(default_factory=list)
    """In order."""
    end: int | None = None
    """Where the last one of them is left; None: at its end."""
    last: Transaction | None = None
    """The last one that is replayed."""
    is_over: bool = False
    """Whether the target was found, and what comes is not wanted."""
    _is_found: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _left: int = 0
    _padding: int = 0
    _reader: BinlogReader | None = None

    def feed(self, data: bytes) -> None:
        """More of the archive. Raises: IncompleteDumpError where a log in it is damaged."""
        view = memoryview(data)
        while view:
            if self._left:
                piece = view[: self._left]
                if self._reader is not None and not self.is_over:
                    self._reader.feed(bytes(piece))
                self._left -= len(piece)
                view = view[len(piece) :]
            elif self._padding:
                taken = min(self._padding, len(view))
                self._padding -= taken
                view = view[taken:]
            else:
                taken = tarfile.BLOCKSIZE - len(self._header)
                self._header += view[:taken]
                view = view[taken:]
                if len(self._header) == tarfile.BLOCKSIZE:
                    self._member(bytes(self._header))
                    self._header.clear()

    def require_reached(self) -> None:
        """Raises: SourceError where the target is a transaction that did not come."""
        if self.replay.transaction and not self._is_found:
            raise SourceError(f"transaction {self.replay.transaction} is not in the log behind the base")

    @property
    def orders(self) -> bytes:
        """What the host is told behind the archive: from where to where, and which logs."""
        is_nothing = self.is_over and self.files == [self.first] and (self.end or 0) <= self.begin
        names = [] if is_nothing else self.files
        end = "" if self.end is None else str(self.end)
        return "".join(f"{each}\n" for each in (self.begin, end, len(names), *names)).encode()

    def _member(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            return
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        self._left = info.size
        self._padding = -info.size % tarfile.BLOCKSIZE
        self._reader = None
        if info.isreg() and not self.is_over and parse_name(info.name) is not None:
            self.files.append(info.name)
            self._reader = BinlogReader(info.name, partial(self._transaction, info.name))

    def _transaction(self, name: str, found: Transaction) -> None:
        if self.is_over or (name == self.first and found.offset < self.begin):
            return
        is_target = found.gtid == self.replay.transaction != ""
        is_behind = self._is_found or self._is_late(found.at) or (is_target and self.replay.is_exclusive)
        self._is_found = self._is_found or is_target
        if is_behind:
            self.end, self.is_over = found.offset, True
        else:
            self.last = found

    def _is_late(self, at: datetime.datetime) -> bool:
        until = self.replay.until
        if until is None:
            return False
        second = until.replace(microsecond=0)
        return at >= second if self.replay.is_exclusive else at > second


class _Replaying:
    """See `logs.Replaying`."""

    def __init__(
        self, feed: tar_feed.TarFeed, begin: Callable[[], Awaitable[None]], path: ReplayedPath
    ) -> None:
        self._feed = feed
        self._begin = begin
        self._path = path
        self._has_begun = False

    async def write(self, data: bytes) -> None:
        """See `logs.Replaying.write`."""
        if self._has_begun:
            try:
                self._path.feed(data)
            except IncompleteDumpError as error:
                raise SourceError(error.message) from error
        await self._feed.write(data)

    async def begin(self) -> None:
        """See `logs.Replaying.begin`."""
        await self._feed.end_archive()
        await self._begin()
        self._has_begun = True

    async def finish(self) -> Replayed:
        """See `logs.Replaying.finish`."""
        path = self._path
        path.require_reached()
        await self._feed.end_archive()
        await self._feed.write(path.orders)
        database = await self._feed.start_now()
        assert isinstance(database, _ReplayedDatabase)
        positions = await database.positions()
        if path.last is not None and path.last.gtid and path.last.gtid not in positions:
            raise SourceError(
                f"the log was replayed to {', '.join(positions) or 'nothing'} by the server's own word, and goes to {path.last.gtid}"
            )
        return Replayed(database, path.last.at if path.last is not None else None, is_over=True)


class _ReplayedDatabase(MariadbDatabase):
    """See `logs.DumpingDatabase`."""

    async def positions(self) -> Sequence[str]:
        """The last transaction of each domain, as the server logged them. Raises: SourceError, HostError."""
        (rows,) = await self._connection.results("SELECT @@GLOBAL.gtid_binlog_pos")
        return [each for each in texts(rows[0])[0].split(",") if each]

    def dumping(self, name: str, tables: Sequence[str] = ()) -> AbstractAsyncContextManager[ItemStream]:
        """See `logs.DumpingDatabase.dumping`."""
        return self._dumping(name, tuple(tables))

    @asynccontextmanager
    async def _dumping(self, name: str, tables: tuple[str, ...]) -> AsyncIterator[ItemStream]:
        connection = self._connection
        command = dump_command(connection, await connection.tools(), name, Scope.ALL, tables, has_log=False)
        gathered = Gathered("mariadb", "", "", Scope.ALL.value)
        async with DatabaseItem(name, name, connection, command, gathered, tables).open() as stream:
            yield stream

    def dumping_globals(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `logs.DumpingDatabase.dumping_globals`."""
        connection = self._connection

        async def users() -> tuple[bytes, Sequence[str]]:
            return await accounts.read_globals(connection, await connection.tools())

        return MemoryItem(accounts.GLOBALS_PATH, users).open()


def _begin(manifest: Manifest) -> tuple[str, int]:
    """The log that the base was taken in, and where in it. Raises: SourceError where it does not say so."""
    words = manifest.position.split()
    if len(words) < 2 or parse_name(words[0]) is None or not words[1].isdecimal():
        raise SourceError("the base does not say where the log goes on from it: take another one")
    return words[0], int(words[1])


def require_target(replay: Replay) -> None:
    """Raises: SourceError for a target that no log of MariaDB has."""
    if replay.point:
        raise SourceError(
            "MariaDB knows no restore points", hint="name an instant, or a transaction by its GTID"
        )
    if replay.transaction and not GTID_TEXT.fullmatch(replay.transaction):
        raise SourceError(
            f"{replay.transaction!a} is no transaction of MariaDB", hint="name it by its GTID, as 0-1-4711"
        )
