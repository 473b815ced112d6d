"""A copy of the whole cluster of which the server sends only what changed since the copy before: for PostgreSQL 17 and later.

The server summarises its log as it writes it (`summarize_wal`), and is given the manifest of the copy before: of each relation's file it
sends the blocks that the log names, and of all else everything. What comes is put together with the copy before as it goes by, so that what
is stored is a copy like any other, with a manifest of its own. Source: PostgreSQL, "Making an Incremental Backup"; pg_combinebackup.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from engine.errors import IncompleteDumpError, SourceError
from engine.hosts.base import Command
from engine.sources.base import ItemStream, Member
from engine.sources.incremental import FilesBefore, KeptPieces, NoIncrementError
from engine.sources.postgres import backup_manifest, increments, physical, session, spaced_copy
from engine.sources.postgres.backup_manifest import BackupManifest, ListedFile
from engine.sources.postgres.dumping import Wanted
from engine.sources.postgres.making import Making
from engine.sources.postgres.physical import Asked, BaseItem, BaseStream, Copy, ToolCopy

_FIRST_VERSION: Final = 17
_LABEL: Final = "backup_label"
_MOST_LABEL_BYTES: Final = 64 << 10
_FROM_LSN, _FROM_TIMELINE = b"INCREMENTAL FROM LSN: ", b"INCREMENTAL FROM TLI: "
_START, _TIMELINE = b"START WAL LOCATION: ", b"START TIMELINE: "
_SERVER: Final = """
select current_setting('server_version_num')::int / 10000 as version, current_setting('summarize_wal', true) as summaries,
current_setting('block_size')::int as block,
(select count(*) from pg_tablespace where spcname not in ('pg_default', 'pg_global')) as spaces"""
_WITH_MANIFEST: Final = 'cat | "$@" --incremental=/dev/stdin'
"""A pipe of the account's own, since that of sshd is another account's, which may not open it."""


def command(wanted: Wanted) -> Command:
    """pg_basebackup as for a whole copy, with the manifest of the one before on its standard input."""
    whole = physical.command(wanted)
    return replace(whole, words=("sh", "-c", _WITH_MANIFEST, "sh", *whole.words), input="stream")


@dataclass(frozen=True, slots=True)
class Before:
    """The copy before."""

    files: FilesBefore
    content: bytes
    """Of its manifest."""
    manifest: BackupManifest
    start: tuple[bytes, bytes]
    """Where in the log it began: position and timeline, as its label has them."""


async def lacking(asked: session.Session) -> str:
    """Why that server can tell nobody what changed; empty where it can. Raises: SourceError, HostError."""
    server = await asked.row(_SERVER)
    if server["version"] < _FIRST_VERSION:
        return f"a server of version {server['version']} does not know what changed, as from {_FIRST_VERSION} on one does"
    if server["summaries"] != "on":
        return "the server does not write down what changes: `alter system set summarize_wal = on`, and reload it"
    if server["block"] not in increments.BLOCK_SIZES:
        return f"the server's blocks have {server['block']} bytes"
    return ""


async def before(asked: session.Session, files: FilesBefore) -> tuple[Before, int]:
    """The copy before, and how long the server's blocks are. Raises: NoIncrementError, saying why all must be read; SourceError, HostError."""
    if why := await lacking(asked):
        raise NoIncrementError(why)
    server = await asked.row(_SERVER)
    content = await files.content(backup_manifest.NAME, backup_manifest.MOST_BYTES)
    label = await files.content(_LABEL, _MOST_LABEL_BYTES)
    if content is None or label is None:
        raise NoIncrementError("the backup before is no copy of the server's files with its manifest")
    try:
        manifest = backup_manifest.parse(content)
    except IncompleteDumpError as error:
        raise NoIncrementError(f"of the backup before {error.message}") from error
    found = Before(files, content, manifest, (_of_label(label, _START), _of_label(label, _TIMELINE)))
    return found, int(server["block"])


@dataclass(frozen=True, slots=True)
class IncrementItem:
    """The cluster. See `base.Item`."""

    base: BaseItem
    before: Before
    block_bytes: int

    @property
    def path(self) -> str:
        """See `base.Item.path`."""
        return self.base.path

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `base.Item.open`. Raises, also while it is read: NoIncrementError; HostError."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        base = self.base
        asked = await physical.ask(base.wanted, base.database, base.gathered)
        content = self.before.content
        spaced = spaced_copy.opened(base.wanted, asked.place, asked.spaces, content) if asked.spaces else None
        try:
            async with spaced or _by_tool(base.wanted, content) as copy:
                yield IncrementStream(self, copy, asked)
        except NoIncrementError:
            raise
        except SourceError as error:
            raise NoIncrementError(f"the server did not send what changed: {error.message}") from error


@asynccontextmanager
async def _by_tool(wanted: Wanted, manifest: bytes) -> AsyncIterator[Copy]:
    started = command(wanted)
    async with wanted.host.start(started) as process:
        with contextlib.suppress(BrokenPipeError):  # it says itself why it reads no more
            await process.write(manifest)
        await process.close_input()
        yield ToolCopy(wanted, started, process)


class IncrementStream(BaseStream):
    """See `incremental.IncrementStream`."""

    def __init__(self, item: IncrementItem, copy: Copy, asked: Asked) -> None:
        super().__init__(item.base, copy, asked)
        self._before = item.before
        self._block_bytes = item.block_bytes
        self._making: Making | None = None
        self._made: dict[str, ListedFile] = {}
        """What the files are that the server sent otherwise than they are stored."""
        self._stored: set[str] = set()

    async def next_member(self) -> Member | KeptPieces | None:  # type: ignore[override] # it brings more than its base does
        """See `incremental.IncrementStream.next_member`. Raises: IncompleteDumpError where it is no base backup."""
        if self._making is not None:
            if self._making.steps:
                return self._making.begin_step()
            self._made[self._making.member.path] = self._making.listed()
            self._making = None
        while await self._has_event():
            event = self._events.popleft()
            if not isinstance(event, Member):
                continue
            self._item.gathered.received_bytes += event.size_bytes
            if event.path == _LABEL:
                return self._replaced(event, self._label(await self._rest()))
            if event.path == backup_manifest.NAME:
                return self._replaced(event, self._manifest(await self._rest()))
            plain = increments.plain_name(event.path)
            path = plain or event.path
            if path in self._stored:
                raise IncompleteDumpError(f"the base backup brought {path!a} twice")
            self._stored.add(path)
            return await self._begin(event, plain) if plain else event
        return None

    async def read(self) -> bytes:
        """See `base.ItemStream.read`."""
        making = self._making
        if making is None:
            return await super().read()
        return await making.read(self._before.files, self._some)

    async def _begin(self, sent: Member, path: str) -> Member | KeptPieces:
        """Reads the header of a file's increment, and plans how the file is put together."""
        head = await self._taken(increments.HEAD_BYTES)
        left = increments.header_bytes(increments.count(head), self._block_bytes) - len(head)
        if left > sent.size_bytes:
            raise IncompleteDumpError(f"the increment of {path!a} is shorter than its own header")
        found = increments.parse(head + await self._taken(left), self._block_bytes, sent.size_bytes)
        pieces, listed = await self._before.files.pieces(path), self._before.manifest.files.get(path)
        if pieces is None or listed is None:
            raise NoIncrementError(f"the backup before holds no {path!a}")
        if listed.size_bytes != sum(each.size_bytes for each in pieces):
            raise NoIncrementError(f"{path!a} of the backup before is not as its manifest says")
        member = replace(sent, path=path, size_bytes=found.size_bytes)
        self._making = Making(member, found, pieces, listed)
        return self._making.begin_step() if self._making.steps else member

    def _label(self, label: bytes) -> bytes:
        """Without what says that this is no whole backup. Raises: NoIncrementError where it is based on another one than was meant."""
        based = (_of_label(label, _FROM_LSN), _of_label(label, _FROM_TIMELINE))
        if based != self._before.start:
            raise NoIncrementError("the server sent what changed since another backup")
        lines = label.splitlines(keepends=True)
        whole = b"".join(line for line in lines if not line.startswith((_FROM_LSN, _FROM_TIMELINE)))
        self._made[_LABEL] = ListedFile(len(whole), "", "SHA256", hashlib.sha256(whole).hexdigest())
        return whole

    def _manifest(self, content: bytes) -> bytes:
        """Of the files as they are stored."""
        sent = backup_manifest.parse(content)
        if sent.system != self._before.manifest.system:
            raise NoIncrementError("the backup before is of another server")
        files: dict[str, ListedFile] = {}
        for path, each in sent.files.items():
            name = increments.plain_name(path) or path
            made = self._made.get(name)
            if name != path and made is None:
                raise IncompleteDumpError(f"the base backup came without {path!a}, which its manifest has")
            files[name] = each if made is None else replace(made, modified=each.modified)
        return backup_manifest.encode(replace(sent, files=files))

    def _replaced(self, member: Member, content: bytes) -> Member:
        """The file with other content than was sent."""
        if content:
            self._events.appendleft(memoryview(content))
        return replace(member, size_bytes=len(content))

    async def _rest(self) -> bytes:
        """All of the file that was begun last."""
        taken = bytearray()
        while await self._has_event() and not isinstance(piece := self._events[0], Member):
            self._events.popleft()
            taken += piece
        return bytes(taken)

    async def _taken(self, length: int) -> bytes:
        """The next bytes of the file that was begun last. Raises: IncompleteDumpError where it has fewer."""
        taken = bytearray()
        while len(taken) < length:
            taken += await self._some(length - len(taken))
        return bytes(taken)

    async def _some(self, most: int) -> bytes:
        """As `_taken`, at least one byte and at most so many."""
        if not await self._has_event() or isinstance(piece := self._events[0], Member):
            await self._copy.end()
            raise IncompleteDumpError("the base backup ends before its end")
        if len(piece) > most:
            self._events[0] = piece[most:]
        else:
            self._events.popleft()
        return bytes(piece[:most])


def _of_label(label: bytes, key: bytes) -> bytes:
    """The first word behind that in a backup_label; empty where there is none."""
    for line in label.splitlines():
        if line.startswith(key):
            return line.removeprefix(key).split(b" ")[0]
    return b""
