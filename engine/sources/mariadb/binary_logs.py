"""A server's binary logs, shipped as they lie on the host: closed by FLUSH BINARY LOGS, listed, and read whole.

Nothing is set up and nothing removed: the server keeps its logs for as long as its own setting says, and forgets them then, whether they were
shipped or not. What it forgot before is a gap. Source: MariaDB's manual, "Using and Maintaining the Binary Log".
"""

from __future__ import annotations

import datetime
import hashlib
import math
import posixpath
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from engine.errors import IncompleteDumpError, SourceError
from engine.hosts.base import Command, require_success
from engine.model.logs import LogPosition, LogSegment
from engine.sources import log_files
from engine.sources.logs import BasePosition, LogLook, ReadSegment, WaitingSegment
from engine.sources.mariadb.accounts import DENIED
from engine.sources.mariadb.answers import ResultSet, texts
from engine.sources.mariadb.binlog import BinlogReader, parse_name
from engine.sources.mariadb.connection import Connection, error_number

_DURABLE: Final = ("innodb_flush_log_at_trx_commit", "sync_binlog")
"""At 1, data and log have the same transactions after a crash."""
_VARIABLES: Final = (
    "server_uid", "server_uuid", "server_id", "hostname", "datadir", "log_bin", "log_bin_basename", "binlog_checksum", "encrypt_binlog",
    "binlog_expire_logs_seconds", "expire_logs_days", *_DURABLE,
)  # fmt: skip
_HOUSEKEEPING: Final = frozenset(
    {"Format_desc", "Gtid_list", "Binlog_checkpoint", "Previous_gtids", "Rotate", "Stop"}
)
"""What a log holds in which nothing happened. Source: MariaDB's manual, SHOW BINLOG EVENTS."""
_FIRST_EVENTS: Final = 12
_LIST_BYTES: Final = 64 << 20
_NO_FOLDER: Final = 66
"""EX_NOINPUT of sysexits.h."""
_SHORT_S: Final = 86400.0
# `$1` is the folder, `$2` the logs' base name as a pattern. Names come on standard input, and no line ends within a script: so a rule of sudo can
# hold each of them word for word.
_LOOK = (
    'cd "$1" && [ -r . ] || exit 66; df -P -k . | tail -n 1; '
    r"""exec find . -maxdepth 1 -type f -name "$2.[0-9]*" -printf '%C@ %s %f\n'"""
)
_READ = 'cd "$1" || exit 66; exec xargs -0 cat --'
_READ_AS = "the account of the host must be able to read them: give the source --as mysql, or --as root"


@dataclass(frozen=True, slots=True)
class _Settings:
    """What the server says of its log."""

    identity: str
    folder: str
    base_name: str
    forgets_after_s: float
    at: datetime.datetime
    """The server's clock."""
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BinaryLogs:
    """The logs of the server that this account reaches. See `logs.LogSource`."""

    connection: Connection

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        connection = self.connection
        settings = await self._settings()
        warnings = _warnings(settings, connection.place)
        try:
            names, is_sealed = await self._close(await self._names()), True
        except SourceError as error:
            if error_number(error.message) not in DENIED:
                raise
            names, is_sealed = await self._names(), False
            warnings.append(
                "the account may not close binary logs, so that the newest changes come late: GRANT RELOAD ON *.* TO it"
            )
        waiting, free_bytes = await self._found(settings, names[:-1])
        series, number = parse_name(names[-1]) or ("", 0)
        return LogLook(
            identity=settings.identity,
            way="binlog",
            series=series,
            number=number,
            at=settings.at,
            waiting=waiting,
            sealed=LogPosition(settings.identity, series, number - 1) if is_sealed else None,
            free_bytes=free_bytes,
            forgets_after_s=settings.forgets_after_s,
            warnings=warnings,
        )

    @asynccontextmanager
    async def segments(
        self, wanted: Sequence[WaitingSegment], look: LogLook
    ) -> AsyncIterator[log_files.FileSegments]:
        """See `logs.LogSource.segments`."""
        del look
        command = self._reading((await self._settings()).folder)
        async with log_files.reading(self.connection.host, wanted, lambda _: command, _Judge) as stream:
            yield stream

    async def commands(self) -> Sequence[Command]:
        """All that runs for it on the host, word for word, besides the client. Raises: SourceError, HostError."""
        settings = await self._settings()
        return [self._looking(settings), self._reading(settings.folder)]

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        settings = await self._settings(is_needed=False)
        values, lines = settings.values, []
        if values.get("log_bin") != "ON":
            lines += ["log_bin = binlog", "server_id = 1"]
        if values.get("binlog_checksum") != "CRC32":
            lines.append("binlog_checksum = CRC32")
        if values.get("encrypt_binlog") == "ON":
            lines.append("encrypt_binlog = OFF")
        if settings.forgets_after_s < _SHORT_S:
            lines.append(f"binlog_expire_logs_seconds = {7 * int(_SHORT_S)}")
        return [*lines, *(f"{name} = 1" for name in _DURABLE if values.get(name, "1") != "1")]

    async def position_of(self, note: str, taken_at: datetime.datetime) -> BasePosition | None:
        """Where the log goes on from a copy of the server's files that says of itself `FILE POSITION GTIDS`; None where it says nothing.

        Raises: SourceError, HostError.
        """
        found = parse_name(note.split()[0]) if note.split() else None
        if found is None:
            return None
        settings = await self._settings()
        series, number = found
        # The copy's own log is the first that is needed, from that position on.
        return BasePosition(LogPosition(settings.identity, series, number - 1), taken_at)

    async def _settings(self, *, is_needed: bool = True) -> _Settings:
        """Raises: SourceError where the server keeps no log, and one is needed; HostError."""
        names = ", ".join(f"'{name}'" for name in _VARIABLES)
        rows, now = await self.connection.results(
            f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names});\nSELECT UTC_TIMESTAMP(6)"
        )
        values = {name.lower(): value for name, value in map(texts, rows)}
        folder, base_name = posixpath.split(values.get("log_bin_basename", ""))
        if is_needed and (values.get("log_bin") != "ON" or not folder):
            raise SourceError(
                f"{self.connection.place} keeps no binary log",
                hint="`holdfast logs setup` prints the lines that its configuration needs",
            )
        at = datetime.datetime.fromisoformat(texts(now[0])[0]).replace(tzinfo=datetime.UTC)
        return _Settings(_identity(values), folder, base_name, _forgets_after_s(values), at, values)

    async def _names(self) -> list[str]:
        """The logs as the server lists them; the one that it writes is the last. Raises: SourceError, HostError."""
        return _names(await self.connection.results("SHOW BINARY LOGS"), self.connection.place)

    async def _close(self, names: list[str]) -> list[str]:
        """Has the server begin another log where anything is in the one that it writes; the logs that there are then.

        Raises: SourceError, HostError.
        """
        (events,) = await self.connection.results(
            f"SHOW BINLOG EVENTS IN {_literal(names[-1])} LIMIT {_FIRST_EVENTS}"
        )
        kinds = [texts(row)[2] for row in events]
        if len(kinds) < _FIRST_EVENTS and _HOUSEKEEPING.issuperset(kinds):
            return names
        return _names(
            await self.connection.results("FLUSH BINARY LOGS;\nSHOW BINARY LOGS"), self.connection.place
        )

    async def _found(
        self, settings: _Settings, names: Sequence[str]
    ) -> tuple[list[WaitingSegment], int | None]:
        """Those logs as they lie on the host, and the room that is left there. One that somebody removed by hand is not among them."""
        command = self._looking(settings)
        done = await self.connection.host.run(command, limit_bytes=_LIST_BYTES)
        if done.exit.status == _NO_FOLDER:
            raise SourceError(
                f"the binary logs in {settings.folder} on {self.connection.host.name} cannot be read",
                hint=_READ_AS,
            )
        require_success(self.connection.host.name, command, done.exit)
        head, _, rest = done.stdout.decode("utf-8", "surrogateescape").partition("\n")
        there: dict[str, tuple[float, int]] = {}
        for line in rest.splitlines():
            changed, _, sized = line.partition(" ")
            size, _, name = sized.partition(" ")
            there[name] = (float(changed), int(size))
        found = []
        for name in names:
            parsed = parse_name(name)
            if parsed is not None and name in there:
                changed_s, size_bytes = there[name]
                found.append(WaitingSegment(name, size_bytes, *parsed, changed_s))
        parts = head.split()
        free_bytes = int(parts[3]) << 10 if len(parts) > 3 and parts[3].isdecimal() else None
        return found, free_bytes

    def _looking(self, settings: _Settings) -> Command:
        words = ("sh", "-c", _LOOK, "sh", settings.folder, _pattern(settings.base_name))
        return Command(words, as_user=self.connection.as_user)

    def _reading(self, folder: str) -> Command:
        return Command(("sh", "-c", _READ, "sh", folder), as_user=self.connection.as_user, input="stream")


class _Judge:
    """Looks at a log as it comes. See `log_files.Judge`."""

    def __init__(self, waiting: WaitingSegment) -> None:
        self._waiting = waiting
        self._reader = BinlogReader(waiting.name)
        self._error: IncompleteDumpError | None = None

    def feed(self, piece: bytes) -> None:
        """See `log_files.Judge.feed`."""
        if self._error is None:
            try:
                self._reader.feed(piece)
            except IncompleteDumpError as error:
                self._error = error

    def judge(self) -> ReadSegment:
        """See `log_files.Judge.judge`."""
        if self._error is not None:
            raise self._error
        waiting, reader = self._waiting, self._reader
        reader.require_whole(waiting.size_bytes)
        return ReadSegment(
            LogSegment(
                waiting.name,
                waiting.series,
                waiting.number,
                waiting.size_bytes,
                reader.begins_at,
                reader.ends_at,
            )
        )


def _identity(values: Mapping[str, str]) -> str:
    """What tells the server from any other, in letters that a name of a folder may have."""
    unique = values.get("server_uid") or values.get("server_uuid")
    parts = [unique] if unique else [values.get(name, "") for name in ("hostname", "datadir", "server_id")]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _forgets_after_s(values: Mapping[str, str]) -> float:
    """How long the server keeps a log; for ever where it is set to nothing."""
    seconds = values.get("binlog_expire_logs_seconds", "0")
    days = values.get("expire_logs_days", "0")
    found = float(seconds) if seconds.isdecimal() else 0.0
    if not found:
        found = float(days) * _SHORT_S if days.replace(".", "", 1).isdigit() else 0.0
    return found or math.inf


def _names(results: Sequence[ResultSet], place: str) -> list[str]:
    """Raises: SourceError where there is none."""
    names = [texts(row)[0] for row in results[-1]]
    if not names or parse_name(names[-1]) is None:
        raise SourceError(f"{place} lists no binary log")
    return names


def _pattern(base_name: str) -> str:
    """The base name as `find` takes it for one."""
    return re.sub(r"[*?\[\\]", lambda found: f"\\{found[0]}", base_name)


def _warnings(settings: _Settings, place: str) -> list[str]:
    said = []
    if settings.values.get("binlog_checksum") != "CRC32":
        said.append(
            f"the binary log of {place} has no checksums, so that damage in it is found late: set binlog_checksum = CRC32"
        )
    if settings.forgets_after_s < _SHORT_S:
        said.append(
            f"{place} forgets its binary logs after {settings.forgets_after_s:g} seconds, shipped or not: set binlog_expire_logs_seconds higher"
        )
    return said


def _literal(name: str) -> str:
    """A log's name where the grammar takes nothing but a literal."""
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
