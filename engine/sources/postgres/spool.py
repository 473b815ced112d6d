"""A server's write-ahead log from a spool: a folder of the host that `archive_command` fills, and that we empty over SSH.

Nothing is installed. A segment leaves the spool once every storage that was asked for has it; until then the server may hand it over again,
which its command takes for done where the same is there. The server is asked to close the segment that it writes at each look, so that what
was committed before it is on its way; it does so only where something new is in it. Source: PostgreSQL, "Continuous Archiving".
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from engine.errors import IncompleteDumpError, PathMissingError, SourceError
from engine.hosts.base import Command, OpenHost, require_success
from engine.hosts.script import quote
from engine.model.logs import LogPosition, LogSegment
from engine.sources import log_files
from engine.sources.logs import TAIL_SUFFIX, LogLook, ReadSegment, WaitingSegment
from engine.sources.postgres import kept_log, quoting, session, wal
from engine.sources.postgres.connection import Connection

MAINTENANCE: Final = "postgres"
MOST_SEGMENT_BYTES: Final = 64 << 20
"""A segment is looked at as a whole, in memory."""
_LIST_BYTES: Final = 64 << 20
_NO_FOLDER: Final = 66
"""EX_NOINPUT of sysexits.h."""
_NO_ACCESS: Final = 77
"""EX_NOPERM: what is read there must be removed there, too."""
_PARTIAL: Final = re.compile(r"[0-9A-F]{24}\.partial", re.ASCII)
_LABEL: Final = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup", re.ASCII)

_SERVER = """
select (select system_identifier::text from pg_control_system()) as system,
extract(epoch from clock_timestamp())::float8 as at, pg_is_in_recovery() as standby,
(select setting::bigint from pg_settings where name = 'wal_segment_size') as size,
current_setting('archive_mode') as mode, current_setting('wal_level') as level,
(select setting from pg_settings where name = 'archive_command') as command,
has_function_privilege('pg_switch_wal()', 'execute') as switch,
case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as position,
(select timeline_id from pg_control_checkpoint()) as timeline,
(select failed_count > 0 and (last_archived_time is null or last_failed_time > last_archived_time) from pg_stat_archiver) as failing,
(select coalesce(last_failed_wal, '') from pg_stat_archiver) as failed,
(select coalesce(last_archived_wal, '') from pg_stat_archiver) as archived"""
_CLOSE = "select pg_walfile_name(pg_current_wal_lsn()) as before, pg_switch_wal()::text as at"
_NOW = "select pg_current_wal_insert_lsn()::text as position, pg_walfile_name(pg_current_wal_insert_lsn()) as name"
# Names come on standard input, and no line ends within a script: so a rule of sudo can hold each of them word for word.
_LOOK = (
    '[ -d "$1" ] || exit 66; cd "$1" && [ -r . ] && [ -w . ] || exit 77; IFS= read -r name; n=0; '
    'while [ -n "$name" ] && [ ! -e "$name" ] && [ "$n" -lt 40 ]; do sleep 0.1; n=$((n + 1)); done; '
    r"df -P -k . | tail -n 1; find . -maxdepth 1 -type f ! -name '.*' -printf '%C@ %s %f\n'"
)
_READ = 'cd "$1" || exit 66; exec xargs -0 cat --'
_REMOVE = 'cd "$1" || exit 66; exec xargs -0 rm -f --'


@dataclass(frozen=True, slots=True)
class Spool:
    """The folder, and the server that fills it. See `logs.LogSource`."""

    host: OpenHost
    connection: Connection
    folder: str
    """Absolute, on the host."""

    async def look(self) -> LogLook:
        """See `logs.LogSource.look`."""
        async with session.opened(self.host, self.connection, MAINTENANCE) as asked:
            server = await asked.row(_SERVER)
            size = require_server(server, self.host.name)
            if server["mode"] == "off":
                raise SourceError(
                    f"archive_mode of {self.host.name} is off: nothing of its log comes into {self.folder}",
                    hint="add the lines that `holdfast logs setup SOURCE` prints to its configuration, and start it again",
                )
            closed, is_new = "", False
            if server["switch"] and not server["standby"]:
                closed, is_new = await _close(asked, size)
            timeline = int(server["timeline"])
            number = wal.parse_position(server["position"]) // size
            if not server["standby"]:
                current = wal.parse_name((await asked.row(_NOW))["name"])
                if current is not None:
                    timeline, number = current.timeline, current.number(size)
        waiting, others, free_bytes = await self._list(closed if is_new else "", size)
        found, archived = wal.parse_name(closed), wal.parse_name(server["archived"])
        return LogLook(
            identity=server["system"],
            way="spool",
            series=f"{timeline:08X}",
            number=number,
            at=datetime.datetime.fromtimestamp(server["at"], datetime.UTC),
            waiting=waiting,
            sealed=LogPosition(server["system"], found.series, found.number(size)) if found else None,
            archived=LogPosition(server["system"], archived.series, archived.number(size))
            if archived
            else None,
            segment_bytes=size,
            free_bytes=free_bytes,
            warnings=[*_warnings(server, self.host.name), *_strange(others, self.folder, self.host.name)],
        )

    def segments(
        self, wanted: Sequence[WaitingSegment], look: LogLook
    ) -> AbstractAsyncContextManager[log_files.FileSegments]:
        """See `logs.LogSource.segments`."""
        command = self._command(_READ)
        return log_files.reading(self.host, wanted, lambda _: command, lambda each: _Judge(each, look))

    async def release(self, names: Sequence[str]) -> None:
        """See `logs.LogSource.release`."""
        for begin in range(0, len(names), log_files.AT_ONCE):
            command = self._command(_REMOVE)
            some = names[begin : begin + log_files.AT_ONCE]
            done = await self.host.run(command, input_bytes=log_files.listed(some))
            require_success(self.host.name, command, done.exit)

    async def setup(self) -> Sequence[str]:
        """See `logs.LogSource.setup`."""
        async with session.opened(self.host, self.connection, MAINTENANCE) as asked:
            server = await asked.row(_SERVER)
        lines = []
        if server["level"] == "minimal":
            lines.append("wal_level = replica")
        if needed := missing_mode(server):
            lines.append(f"archive_mode = {needed}")
        if server["command"] is None or self.folder not in server["command"]:
            lines.append(f"archive_command = {quoting.literal(archive_command(self.folder))}")
        try:
            await self._list("", server["size"])
        except SourceError as error:
            lines.append(f"# {error.message}: {error.hint}")
        return lines

    def commands(self) -> Sequence[Command]:
        """All that runs for it on the host, word for word, besides the questions to the server."""
        return [self._command(each) for each in (_LOOK, _READ, _REMOVE)]

    def _command(self, script: str) -> Command:
        words = ("sh", "-c", script, "sh", self.folder)
        return Command(words, as_user=self.connection.as_user, input="stream")

    async def _list(self, awaited: str, size: int) -> tuple[list[WaitingSegment], list[str], int | None]:
        """What lies in the spool, in the log's order, the names of what is no log's, and the room that is left there."""
        command = self._command(_LOOK)
        done = await self.host.run(command, input_bytes=f"{awaited}\n".encode(), limit_bytes=_LIST_BYTES)
        if done.exit.status == _NO_FOLDER:
            raise PathMissingError(
                f"{self.host.name} has no folder {self.folder} for its log",
                hint=f"make it there for the server's own account: {_making(self.folder)}",
            )
        if done.exit.status == _NO_ACCESS:
            raise SourceError(
                f"{self.host.name} lets us not read and empty {self.folder}, where its log waits",
                hint="say --as-user with the server's own account, which holdfast host grants tells how to allow",
            )
        require_success(self.host.name, command, done.exit)
        head, _, rest = done.stdout.decode("utf-8", "surrogateescape").partition("\n")
        found, others = [], []
        for line in rest.splitlines():
            changed, _, sized = line.partition(" ")
            length, _, name = sized.partition(" ")
            segment = wal.parse_name(name)
            if segment is not None:
                found.append(
                    WaitingSegment(name, int(length), segment.series, segment.number(size), float(changed))
                )
            elif wal.history_timeline(name) is not None or _PARTIAL.fullmatch(name) or _LABEL.fullmatch(name):
                found.append(WaitingSegment(name, int(length), changed_s=float(changed), is_extra=True))
            else:
                others.append(name)
        # A history first: it says what its timeline's segments go on from.
        found.sort(key=lambda each: (each.name[:8], not each.name.endswith(".history"), each.name))
        parts = head.split()
        return found, others, int(parts[3]) << 10 if len(parts) > 3 and parts[3].isdecimal() else None


class _Judge:
    """Looks at a segment as a whole."""

    def __init__(self, waiting: WaitingSegment, look: LogLook) -> None:
        self._waiting = waiting
        self._look = look
        self._content = bytearray()

    def feed(self, piece: bytes) -> None:
        """See `log_files.Judge.feed`."""
        self._content += piece

    def judge(self) -> ReadSegment:
        """See `log_files.Judge.judge`."""
        return judged(self._waiting, self._content, self._look)


def require_server(server: session.Row, host: str) -> int:
    """The size of the server's segments in bytes. Raises: SourceError where it does not tell which it is, or they are too large."""
    if server["system"] is None:
        raise SourceError(
            f"{host} does not tell which server it is",
            hint="grant execute on function pg_control_system() to the account",
        )
    size = int(server["size"])
    if not 0 < size <= MOST_SEGMENT_BYTES:
        raise SourceError(
            f"the segments of {host}'s log have {size >> 20} MiB: none over {MOST_SEGMENT_BYTES >> 20} MiB are shipped"
        )
    return size


def judged(waiting: WaitingSegment, content: bytes | bytearray, look: LogLook) -> ReadSegment:
    """What came under that name. Raises: IncompleteDumpError where it is something else."""
    name = waiting.name
    if wal.history_timeline(name) is not None:
        return ReadSegment(None, kept_log.forks(name, bytes(content), look.segment_bytes))
    found = wal.parse_name(name)
    if found is None:
        _require_extra(name, content, look.identity)
        return ReadSegment(None)
    size = wal.require_whole(content, name, look.identity)
    span = wal.span(content, found.timeline)
    return ReadSegment(LogSegment(name, found.series, found.number(size), size, span.first, span.last))


def _require_extra(name: str, content: bytes | bytearray, identity: str) -> None:
    """Raises: IncompleteDumpError where the beginning of a segment, or a backup's label, is none, or another server's."""
    if _PARTIAL.fullmatch(name):
        wal.require_begin(content, name.removesuffix(TAIL_SUFFIX), identity)
    elif not content.startswith(b"START WAL LOCATION"):
        raise IncompleteDumpError(f"{name} is no label of a backup")


def archive_command(folder: str) -> str:
    """What the server runs for each segment: whole or not at all, and done where the very same is there already.

    The server repeats itself after a crash; a bare `test ! -f` would then fail for ever.
    """
    kept, part = f"{folder}/%f", f"{folder}/.%f.part"
    words = [quote(each).decode("utf-8", "surrogateescape") for each in (kept, part, folder)]
    kept, part, place = words
    return (
        f"if [ -e {kept} ]; then cmp -s %p {kept}; "
        f"else cp %p {part} && sync {part} && mv {part} {kept} && sync {place}; fi"
    )


async def _close(asked: session.Session, size: int) -> tuple[str, bool]:
    """Has the server close the segment that it writes; the name of the newest one that is closed, and whether it was closed just now."""
    row = await asked.row(_CLOSE)
    before = wal.parse_name(row["before"])
    # Behind the last byte of what was closed; where nothing was new, the beginning of the segment that is being written.
    at = wal.parse_position(row["at"])
    if before is None or at < size:
        return "", False
    return wal.segment_name(before.timeline, (at - 1) // size, size), at % size != 0


def _making(folder: str) -> str:
    return f"install -d -o postgres -m 700 {quote(folder).decode('utf-8', 'surrogateescape')}"


def _strange(names: Sequence[str], folder: str, host: str) -> list[str]:
    """An archive_command of a person's own may compress what it hands over, or give it another name."""
    if not names:
        return []
    return [
        f"{folder} on {host} holds what is no log's, as {min(names)!a}: it is left there. archive_command must hand segments over as "
        "they are, under their own names: `holdfast logs setup` prints one that does"
    ]


def missing_mode(server: session.Row) -> str:
    """What archive_mode must be where it is not: a standby hands nothing over with `on`."""
    if server["standby"]:
        return "" if server["mode"] == "always" else "always"
    return "on" if server["mode"] == "off" else ""


def _warnings(server: session.Row, host: str) -> list[str]:
    said = []
    if needed := missing_mode(server):
        said.append(
            f"{host} is a standby, which hands nothing over until it is promoted: set archive_mode = {needed}"
        )
    if server["failing"]:
        said.append(f"the archive_command of {host} fails, at last for {server['failed']}")
    if not server["switch"] and not server["standby"]:
        said.append(
            "the account may not close segments, so that the newest changes come late: grant execute on function pg_switch_wal() to it"
        )
    return said
