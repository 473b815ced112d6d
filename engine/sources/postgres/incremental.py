"""A copy of the whole cluster of which the server sends only what changed since the copy before: for PostgreSQL 17 and later.

The server summarises its log as it writes it (`summarize_wal`), and is given the manifest of the copy before: of each relation's file it
sends the blocks that the log names, and of all else everything. What comes is put together with the copy before as it goes by, so that what
is stored is a copy like any other, with a manifest of its own. Source: PostgreSQL, "Making an Incremental Backup"; pg_combinebackup.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from engine.errors import IncompleteDumpError
from engine.hosts.base import Command, Exit, Process
from engine.sources.base import ItemStream, Member
from engine.sources.incremental import FilesBefore, KeptPieces, NoIncrementError, Piece
from engine.sources.postgres import backup_manifest, facts, increments, physical, session, words
from engine.sources.postgres.backup_manifest import BackupManifest, ListedFile
from engine.sources.postgres.dumping import Wanted
from engine.sources.postgres.increments import Origin, Span, Step
from engine.sources.postgres.physical import BaseItem, BaseStream

_FIRST_VERSION: Final = 17
_LABEL: Final = "backup_label"
_MOST_LABEL_BYTES: Final = 64 << 10
_FROM_LSN, _FROM_TIMELINE = b"INCREMENTAL FROM LSN: ", b"INCREMENTAL FROM TLI: "
_START, _TIMELINE = b"START WAL LOCATION: ", b"START TIMELINE: "
_READ_BYTES: Final = 1 << 20
_SERVER: Final = """
select current_setting('server_version_num')::int / 10000 as version, current_setting('summarize_wal', true) as summaries,
current_setting('block_size')::int as block"""
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


async def before(asked: session.Session, files: FilesBefore) -> tuple[Before, int]:
    """The copy before, and how long the server's blocks are. Raises: NoIncrementError, saying why all must be read; SourceError, HostError."""
    server = await asked.row(_SERVER)
    if server["version"] < _FIRST_VERSION:
        raise NoIncrementError(
            f"a server of version {server['version']} does not know what changed, as from {_FIRST_VERSION} on one does"
        )
    if server["summaries"] != "on":
        raise NoIncrementError(
            "the server does not write down what changes: `alter system set summarize_wal = on`, and reload it"
        )
    if server["block"] not in increments.BLOCK_SIZES:
        raise NoIncrementError(f"the server's blocks have {server['block']} bytes")
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
        """See `base.Item.open`. Raises on entering: as `physical.BaseItem.open`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ItemStream]:
        base = self.base
        server, names = await physical.ask(base.wanted, base.database, base.gathered)
        started = command(base.wanted)
        async with base.wanted.host.start(started) as process:
            with contextlib.suppress(BrokenPipeError):  # it says itself why it reads no more
                await process.write(self.before.content)
            await process.close_input()
            yield IncrementStream(self, started, process, server, names)


class IncrementStream(BaseStream):
    """See `incremental.IncrementStream`."""

    def __init__(
        self,
        item: IncrementItem,
        started: Command,
        process: Process,
        server: facts.ServerFacts,
        names: Sequence[str],
    ) -> None:
        super().__init__(item.base, started, process, server, names)
        self._before = item.before
        self._block_bytes = item.block_bytes
        self._making: _Making | None = None
        self._made: dict[str, ListedFile] = {}
        """What the files are that the server sent otherwise than they are stored."""

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
                return await self._replaced(event, self._label(await self._taken(event.size_bytes)))
            if event.path == backup_manifest.NAME:
                return await self._replaced(event, self._manifest(await self._taken(event.size_bytes)))
            if plain := increments.plain_name(event.path):
                return await self._begin(event, plain)
            return event
        return None

    async def read(self) -> bytes:
        """See `base.ItemStream.read`."""
        making = self._making
        if making is None:
            return await super().read()
        origin, limit = making.next_part()
        if not limit:
            return b""
        if origin == "zero":
            data = bytes(limit)
        elif origin == "before":
            data = await making.read_before(self._before.files, limit)
        else:
            data = await self._some(limit)
        making.add(data)
        return data

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
        size_before = sum(each.size_bytes for each in pieces)
        if listed.size_bytes != size_before:
            raise NoIncrementError(f"{path!a} of the backup before is not as its manifest says")
        spans = increments.spans(found, size_before)
        steps = increments.steps(spans, pieces)
        size = found.size_bytes
        member = replace(sent, path=path, size_bytes=size)
        known = replace(listed, size_bytes=size, algorithm="", checksum="")
        if size == size_before and all(each.pieces for each in steps):
            known = listed
        self._making = _Making(member, deque(steps), spans, _ends(pieces), known)
        return self._making.begin_step() if steps else member

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
            if name in files or (name != path and made is None):
                raise IncompleteDumpError(f"the base backup came without {path!a}, which its manifest has")
            files[name] = each if made is None else replace(made, modified=each.modified)
        return backup_manifest.encode(replace(sent, files=files))

    async def _replaced(self, member: Member, content: bytes) -> Member:
        """The file with other content than was sent."""
        if content:
            self._events.appendleft(memoryview(content))
        return replace(member, size_bytes=len(content))

    async def _taken(self, length: int) -> bytes:
        """The next bytes of the file that was begun last. Raises: IncompleteDumpError where it has fewer."""
        taken = bytearray()
        while len(taken) < length:
            taken += await self._some(length - len(taken))
        return bytes(taken)

    async def _some(self, most: int) -> bytes:
        """As `_taken`, at least one byte and at most so many."""
        if not await self._has_event() or isinstance(piece := self._events[0], Member):
            await self._require_success()
            raise IncompleteDumpError("the base backup ends before its end")
        if len(piece) > most:
            self._events[0] = piece[most:]
        else:
            self._events.popleft()
        return bytes(piece[:most])

    async def _require_success(self) -> Exit:
        ended = await self._process.wait()
        if not ended.is_success and (ended.status is not None or ended.signal is not None):
            raise NoIncrementError(f"the server did not send what changed: {words.sentence(ended.stderr)}")
        return await super()._require_success()


class _Making:
    """A file that is put together of what was sent of it and what the copy before has."""

    def __init__(
        self,
        member: Member,
        steps: deque[Step],
        spans: Sequence[Span],
        ends: Sequence[int],
        known: ListedFile,
    ) -> None:
        """`ends`: of the pieces of the one before, in bytes. `known`: what can be said of the file before it is made."""
        self.member = member
        self.steps = steps
        self._spans = deque(spans)
        self._ends = ends
        self._known = known
        is_made = len(steps) == 1 and not steps[0].pieces
        self._hasher = hashlib.sha256() if is_made or not steps else None
        self._at = self._end = 0
        self._loaded: tuple[int, bytes] = (-1, b"")

    def begin_step(self) -> Member | KeptPieces:
        """The next part of the file as it is stored."""
        step = self.steps.popleft()
        self._at, self._end = step.begin, step.begin if step.pieces else step.end
        member = replace(self.member, offset=step.begin)
        return KeptPieces(member, step.first, step.pieces) if step.pieces else member

    def next_part(self) -> tuple[Origin, int]:
        """Where the next bytes of this part come from, and how many at most; none at its end."""
        while self._spans and self._spans[0].end <= self._at:
            self._spans.popleft()
        if self._at >= self._end:
            return "zero", 0
        span = self._spans[0]
        return span.origin, min(span.end, self._end, self._at + _READ_BYTES) - self._at

    async def read_before(self, files: FilesBefore, most: int) -> bytes:
        """The next bytes of the copy before, at most so many."""
        number = bisect.bisect_right(self._ends, self._at)
        if self._loaded[0] != number:
            self._loaded = (number, await files.read(self.member.path, number))
        end, content = self._ends[number], self._loaded[1]
        begin = self._at - (end - len(content))
        return content[begin : begin + most]

    def add(self, data: bytes) -> None:
        """Takes what was read."""
        self._at += len(data)
        if self._hasher is not None:
            self._hasher.update(data)

    def listed(self) -> ListedFile:
        """What a manifest says of the file. Of one that is made in part nothing is known but its length: its pieces have checksums of their own."""
        if self._hasher is None:
            return self._known
        return replace(self._known, algorithm="SHA256", checksum=self._hasher.hexdigest())


def _ends(pieces: Sequence[Piece]) -> Sequence[int]:
    return list(itertools.accumulate(each.size_bytes for each in pieces))


def _of_label(label: bytes, key: bytes) -> bytes:
    """The first word behind that in a backup_label; empty where there is none."""
    for line in label.splitlines():
        if line.startswith(key):
            return line.removeprefix(key).split(b" ")[0]
    return b""
