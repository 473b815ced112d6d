"""A copy of the whole server by mariadb-backup, file by file: for servers that are too large to be dumped, and as a base for recovery.

Files that did not change are found again in the repository whole. They are kept as they were copied: a server starts from them only after
`mariadb-backup --prepare` has brought them all to the same instant, that of the copy's end. An increment (`increments`) is a copy of those pages
alone that changed since, and lies in a folder of its own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from engine.errors import (
    ConnectionLostError,
    HoldfastError,
    IncompleteDumpError,
    SourceError,
    ToolMissingError,
)
from engine.hosts.base import Command, Exit, OpenHost, Process, require_started, require_success
from engine.model.manifest import without_content
from engine.model.secret import Secret
from engine.sources.base import ItemStream, Member, Renamed
from engine.sources.mariadb import facts as reading
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.items import Gathered
from engine.sources.mariadb.server import Server, ask_server, server_now
from engine.sources.mariadb.xbstream import Event, XbstreamReader

FOLDER, INCREMENTS = "data", "increments"
MISSING, NOT_ALLOWED = 69, 77
"""EX_UNAVAILABLE and EX_NOPERM of sysexits.h."""
_WARNINGS = 5
_LOOKS = 5
FIND = "PATH=$PATH:/usr/sbin:/usr/local/sbin; p=; for t in mariadb-backup mariabackup; do ! command -v $t >/dev/null 2>&1 || { p=$t; break; }; done"
# `$1` is the data folder. The server made the folder of its own database, and lets nobody else into it.
_LOOK = f'{FIND}; [ -n "$p" ] || exit {MISSING}; d=$1/mysql; [ -r "$d" ] && [ -x "$d" ] || exit {NOT_ALLOWED}; "$p" --version 2>&1; exec stat -c "%u %g %U %G %i %W" -- "$d"'
# The program writes nothing where it streams, but wants a folder, and an older one its log in there. Where an increment begins comes on standard
# input, so that a rule of sudo can hold the command word for word.
_COPY = (
    f'{FIND}; [ -n "$p" ] || exit {MISSING}; umask 077; s=; ! command -v setsid >/dev/null 2>&1 || s=setsid; pid=; d=; '
    'end() { trap "" HUP INT PIPE TERM; [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null; wait 2>/dev/null; cd /; [ -z "$d" ] || $s rm -rf "$d"; }; '
    'trap end EXIT; trap "exit 143" HUP INT PIPE TERM; d=$(mktemp -d "${TMPDIR:-/var/tmp}/hf.XXXXXXXX") || exit 73; '
    '"$p" "$@" ${since:+"--incremental-lsn=$since"} --target-dir="$d/to" --tmpdir="$d" </dev/null & pid=$!; wait $pid; s_=$?; pid=; exit $s_'
)
_PREFIX = re.compile(r"\A(?:\[\d+\] )?(?:FATAL ERROR: )?\d{4}-\d\d-\d\d +[\d:]+(?: \d+)? *")
_WRONG = re.compile(r"\[ERROR\]|\b(?:FATAL ERROR|Error|Failed|failed|unknown (?:variable|option))\b")
_NO_ACCESS = re.compile(r"error number 13\b|Errcode: 13\b|Permission denied")
_HINTS: Mapping[str, str] = {
    "Access denied for user": "see the user and the secret of this source",
    "privilege": "`holdfast host grants` prints what the account needs",
}
_READ_AS = "the account that logs in must be able to read the data folder: say --as mysql, or --as root"


def look_command(connection: Connection, datadir: str) -> Command:
    """Asks for the program's version, and whom the server's files belong to."""
    return Command(("sh", "-c", _LOOK, "sh", datadir), as_user=connection.as_user)


def copy_command(connection: Connection, since_lsn: int | None = None) -> Command:
    """mariadb-backup to standard output, in a folder of its own that goes with it. One file after the other: so they deduplicate best.

    With `since_lsn` of pages those alone that were written since.
    """
    words = [*connection.no_defaults, "--backup", "--stream=xbstream", "--parallel=1"]
    return Command(
        ("sh", "-c", _COPY, "mariadb-backup", *words, *connection.reach(is_mysql=False)),
        secrets={**connection.secrets, "since": Secret(str(since_lsn or ""))},
        as_user=connection.as_user,
        compress=True,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What the host has."""

    version: str
    """Of the program."""
    owner: Member
    """The data folder, without a time."""
    files_id: str
    """What tells that folder from any other that takes its place."""


async def look(connection: Connection, server: Server) -> Found:
    """Raises: ToolMissingError; SourceError where the server is no MariaDB, or its files cannot be read; HostError."""
    host = connection.host
    if "MariaDB" not in server.version:
        raise SourceError(
            f"{connection.place} is MySQL {server.version}, whose files mariadb-backup cannot copy",
            hint="back its databases up as dumps, by --all instead of --physical",
        )
    command = look_command(connection, server.datadir)
    done = await host.run(command)
    require_there(host, command, done.exit)
    if done.exit.status == NOT_ALLOWED:
        raise SourceError(f"the data folder {server.datadir} on {host.name} cannot be read", hint=_READ_AS)
    require_success(host.name, command, done.exit)
    *said, owner = done.stdout.decode(errors="replace").split("\n")[:-1] or [""]
    numbers = re.fullmatch(r"(\d+) (\d+) (\S+) (\S+) (\d+ \S+)", owner)
    if numbers is None:
        raise SourceError(f"{host.name} does not say whom {server.datadir} belongs to")
    uid, gid, user, group, files_id = numbers.groups()
    member = Member("", "d", 0o700, int(uid), int(gid), user, group, 0)
    return Found(said[0] if said else "", member, files_id)


def require_there(host: OpenHost, command: Command, ended: Exit) -> None:
    """Raises: ToolMissingError where the program is missing, HostError where nothing could be started."""
    if ended.status == MISSING:
        raise ToolMissingError(
            f"mariadb-backup is missing on {host.name}",
            hint="install it there (Debian: `apt install mariadb-backup`), of the server's own version",
        )
    require_started(host.name, command, ended)


@dataclass(frozen=True, slots=True)
class CopyItem:
    """The server. See `base.Item`."""

    connection: Connection
    gathered: Gathered
    since_lsn: int | None = None
    """Where an increment begins."""

    @property
    def path(self) -> str:
        """See `base.Item.path`."""
        return self.gathered.increments[-1] if self.gathered.increments else FOLDER

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`. Raises on entering: as `look`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        connection = self.connection
        found = await look(connection, await ask_server(connection))
        began = await server_now(connection)
        like = replace(found.owner, modified_s=int(began.timestamp()))
        self.gathered.files_id = found.files_id
        async with connection.host.start(copy_command(connection, self.since_lsn)) as process:
            yield _CopyStream(self, process, like)


class _CopyStream:
    """See `base.FolderStream`."""

    def __init__(self, item: CopyItem, process: Process, like: Member) -> None:
        self._item = item
        self._process = process
        self._reader = XbstreamReader(like)
        self._events: deque[Event] = deque()
        self._is_at_end = False

    async def next_member(self) -> Member | Renamed | None:
        """See `base.FolderStream.next_member`. Raises: IncompleteDumpError where it is no stream of mariadb-backup."""
        while await self._has_event():
            event = self._events.popleft()
            if not isinstance(event, memoryview):
                return event
        return None

    async def read(self) -> bytes:
        """See `base.ItemStream.read`."""
        if await self._has_event() and isinstance(piece := self._events[0], memoryview):
            self._events.popleft()
            self._item.gathered.received_bytes += len(piece)
            return bytes(piece)
        return b""

    async def judge(self) -> Sequence[str]:
        """See `base.ItemStream.judge`."""
        if not self._is_at_end:
            raise IncompleteDumpError(f"{self._item.path} was not read to its end")
        ended = await self._process.wait()
        self._require_success(ended)
        self._reader.require_whole()
        notes = {name: fields(text) for name, text in self._reader.notes.items()}
        _require_kind(notes, self._item.since_lsn)
        said = await self._gather(notes["info"].get("tool_version", ""))
        return [*_warnings(ended.stderr), *said]

    async def _has_event(self) -> bool:
        """Whether more is coming; one event lies ready then."""
        while not self._events and not self._is_at_end:
            piece = await self._process.read()
            self._is_at_end = not piece
            self._events.extend(self._reader.feed(piece))
        return bool(self._events)

    def _require_success(self, ended: Exit) -> None:
        """Status 0 and the program's last word: it has ended with 0 and without it."""
        connection = self._item.connection
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{connection.host.name} never said how mariadb-backup ended")
        require_there(connection.host, copy_command(connection), ended)
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        if ended.is_success and lines and lines[-1].endswith("completed OK!"):
            return
        how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
        words = reason(ended.stderr)
        hint = _READ_AS if _NO_ACCESS.search(ended.stderr.decode(errors="replace")) else None
        hint = next((text for word, text in _HINTS.items() if word in words), hint)
        raise IncompleteDumpError(
            f"{connection.place} could not be copied: mariadb-backup ended with {how}: {words or 'it did not say that it was done'}",
            hint=hint,
        )

    async def _gather(self, version: str) -> list[str]:
        """What the databases hold now, for the manifest; says which it could not look into. What was copied is whole without it."""
        connection, gathered = self._item.connection, self._item.gathered
        gathered.folder, gathered.tool_version = FOLDER, f"mariadb-backup {version}"
        gathered.taken_at = await server_now(connection)
        gathered.log_note = " ".join(self._reader.notes.get("binlog_info", "").split())
        gathered.positions = [gathered.log_note]
        said = []
        for name in await reading.database_names(connection):
            try:
                said += await self._look_into(name)
            except HoldfastError as error:
                said.append(
                    f"{name!a} is not in the manifest, so a drill will not look at it: {error.message}"
                )
        return said

    async def _look_into(self, name: str) -> list[str]:
        """Adds a database to the manifest. A table that is being rebuilt hides for a moment, so that it is looked for again."""
        copied = self._definitions(name)
        for _attempt in range(_LOOKS):
            facts = (await reading.look(self._item.connection, name)).facts
            listed = len(facts.tables) + len(facts.sequences) + len(facts.views)
            if copied in (None, listed):
                break
        self._item.gathered.databases.append(without_content(facts))
        if copied in (None, listed):
            return []
        return [
            f"the manifest lists {listed} tables and views of {name!a}, and {copied} were copied: some came or went, or the account may not see them"
        ]

    def _definitions(self, name: str) -> int | None:
        """How many tables, sequences and views of a database were copied; None where that cannot be known. Raises: SourceError where it was not."""
        if not name.isascii():
            return None  # its folder has a name by rules of its own
        encoded = re.sub(r"\W", lambda found: f"@{ord(found[0]):04x}", name)
        files = self._reader.names(encoded) or self._reader.names(f"{encoded}@@@")
        if not files:
            raise SourceError("it came after the copy")
        return sum(each.endswith(".frm") and not each.startswith("#sql") for each in files)


def fields(note: str) -> dict[str, str]:
    """What one of the program's own files says: a name and a value a line."""
    pairs = (line.partition("=") for line in note.splitlines())
    return {name.strip(): value.strip() for name, _equals, value in pairs}


def reason(stderr: bytes) -> str:
    """The first error that mariadb-backup told of, on one line. It tells of no row."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    wrong = [line for line in lines if _WRONG.search(line) and "Streaming" not in line]
    return _PREFIX.sub("", wrong[0])[:300] if wrong else ""


def _warnings(stderr: bytes) -> list[str]:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    told = [_PREFIX.sub("", line)[:300] for line in lines if re.search(r"\[Warning\]|\bWarning:", line)]
    return list(dict.fromkeys(told))[:_WARNINGS]


def _require_kind(notes: Mapping[str, Mapping[str, str]], since_lsn: int | None) -> None:
    """Option files of the host may say otherwise than we do. Raises: IncompleteDumpError."""
    info, checkpoints = notes["info"], notes["checkpoints"]
    wanted = "full backup" if since_lsn is None else f"increment since {since_lsn}"
    marks = ["partial", "compressed", "encrypted"] + (["incremental"] if since_lsn is None else [])
    marked = [each for each in marks if info.get(each, "N") == "Y"]
    kind = "full-backuped" if since_lsn is None else "incremental"
    begins_at = checkpoints.get("from_lsn") if since_lsn is not None else None
    if marked or checkpoints.get("backup_type") != kind or begins_at not in (None, str(since_lsn)):
        raise IncompleteDumpError(
            f"what mariadb-backup sent is {marked[0] if marked else f'no {wanted}'}",
            hint="see the option files of the host, section mariadb-backup: nothing of it may leave out, compress or encrypt",
        )
