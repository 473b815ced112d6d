"""Writing out what a snapshot holds at a path: one file's content, or a directory as a tar archive.

Blobs are read ahead of the writing, in order, and opened, decompressed and checked by a thread for each core. What is held is bounded in
bytes, whatever the size of what is dumped. Nothing is written that was not found right.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.errors import DamagedError, HoldfastError, ObjectMissingError, RestoreError, ShortReadError
from engine.format.allocator import tune_allocator
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository import dump_tar
from engine.repository.blobs import Read, Wanted
from engine.repository.patterns import split
from engine.repository.reader import Trees, Visited, find_node, walk
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.storages.base import Key, Kind

Write = Callable[[bytes], Awaitable[None]]
"""Takes the next bytes; its waiting holds the reading back. It may keep them."""

AHEAD_BYTES: Final = 24 << 20
"""Plaintext that is read before it can be written; three blobs at least."""
FAR_AHEAD_BYTES: Final = 48 << 20
"""The same from a storage that is far away: so much that each request is worth its while."""
_GROUP_BYTES: Final = 2 << 20
"""Neighbours in a pack that are read and decoded as one, sealed."""
_GAP_BYTES: Final = 64 << 10
_REQUEST_BYTES: Final = 4 << 20
"""Of a storage that is far away: a stream's blobs alternate between packs, and each request costs as much as half a MiB."""
_LITERAL_BYTES: Final = 256 << 10
"""Headers and padding that are gathered before they are written."""

Part = bytes | Wanted
"""A piece of what is written: bytes as they are, or a blob's content."""


@dataclass(slots=True)
class _Group:
    """Parts that are written together: their blobs lie one behind the other in one pack."""

    parts: list[Part] = field(default_factory=list)
    blobs: list[Wanted] = field(default_factory=list)
    plain_bytes: int = 0

    def takes(self, part: Part) -> bool:
        """Whether the part can join."""
        if isinstance(part, bytes):
            return self.plain_bytes + len(part) <= _GROUP_BYTES or not self.parts
        if not self.blobs:
            return True
        first, last, place = self.blobs[0].location, self.blobs[-1].location, part.location
        end = last.offset + last.length
        return (
            place.pack == first.pack
            and end <= place.offset <= end + _GAP_BYTES
            and place.offset + place.length - first.offset <= _GROUP_BYTES
        )

    def add(self, part: Part) -> None:
        self.parts.append(part)
        if isinstance(part, bytes):
            self.plain_bytes += len(part)
        else:
            self.blobs.append(part)
            self.plain_bytes += plain_bytes(part)

    def read(self) -> Read:
        first, last = self.blobs[0].location, self.blobs[-1].location
        return Read(first.pack, first.offset, last.offset + last.length - first.offset, tuple(self.blobs))


@dataclass(slots=True)
class _Range:
    """A stretch of a pack that several groups share: it is asked for once, when the first of them wants it."""

    pack: bytes
    begin: int
    end: int
    task: asyncio.Task[bytes | HoldfastError] | None = None

    def takes(self, read: Read) -> bool:
        """Whether that read can join; reads come in the order in which they lie."""
        is_near = read.pack == self.pack and read.offset <= self.end + _GAP_BYTES
        return is_near and read.offset + read.length - self.begin <= _REQUEST_BYTES


def _shared(reads: Sequence[Read]) -> dict[Read, _Range]:
    """The stretches that cover the reads."""
    found: dict[Read, _Range] = {}
    current: _Range | None = None
    for read in sorted(reads, key=lambda each: (each.pack, each.offset)):
        if current is None or not current.takes(read):
            current = _Range(read.pack, read.offset, read.offset)
        current.end = max(current.end, read.offset + read.length)
        found[read] = current
    return found


def plain_bytes(blob: Wanted) -> int:
    """Length of a blob's content, by the index; decoding proves it."""
    return blob.location.plain_length


async def dump(
    repository: Repository, snapshot: Snapshot, path: bytes, write: Write, *, ahead_bytes: int | None = None
) -> int:
    """Writes out the file, or the directory as tar, at that path; gives how many bytes were written. The index must be loaded.

    Several may go on at once, each with its own `ahead_bytes` of plaintext, which are read before they can be written.

    Raises:
        PathMissingError: the snapshot has nothing there.
        RestoreError: what is there has no content.
        DamagedError: some of it is damaged; what came before was written.
    """
    trees = Trees(repository)
    node = await find_node(trees, snapshot, path)
    whole = b"/".join(split(path))
    if node.type == "dir" and node.subtree is not None:
        return await pump(repository, _tar_parts(trees, whole, node), write, ahead_bytes)
    if node.type != "file":
        shown = whole.decode(errors="backslashreplace")
        raise RestoreError(f"{shown} is a {node.type}, which has no content to dump")
    return await dump_node(repository, node, write, ahead_bytes)


async def dump_tar_of(repository: Repository, snapshot: Snapshot, path: bytes, write: Write) -> int:
    """Writes out what lies at that path as tar, also where it is one file; gives how many bytes were written. The index must be loaded.

    Raises: PathMissingError; DamagedError: what came before was written.
    """
    trees = Trees(repository)
    node = await find_node(trees, snapshot, path)
    whole = b"/".join(split(path))
    if node.type == "dir" and node.subtree is not None:
        return await pump(repository, _tar_parts(trees, whole, node), write)
    return await pump(repository, _tar_of_one(repository, Visited(whole, node)), write)


async def _tar_of_one(repository: Repository, visited: Visited) -> AsyncIterator[Part]:
    for part in _member(repository, visited):
        yield part
    yield dump_tar.END


async def dump_files(repository: Repository, members: AsyncIterator[Visited], write: Write) -> int:
    """Writes out these as one tar archive, in their order, under the paths that they come with; gives how many bytes were written.

    Raises: DamagedError: what came before was written.
    """

    async def parts() -> AsyncIterator[Part]:
        async for visited in members:
            for part in _member(repository, visited):
                yield part
        yield dump_tar.END

    return await pump(repository, parts(), write)


async def dump_node(repository: Repository, node: Node, write: Write, ahead_bytes: int | None = None) -> int:
    """Writes out the content of a file. Raises: DamagedError; also at the end, where it was not as long as the backup says."""
    written = await pump(repository, _each(_content(repository, node)), write, ahead_bytes)
    if written != node.size:
        raise DamagedError(
            f"{node.name.decode(errors='backslashreplace')} holds {written} bytes, but the backup says {node.size}"
        )
    return written


async def sha256_of(repository: Repository, node: Node) -> str:
    """Of the content of a file, in hexadecimal digits. Raises: as `dump_node`."""
    hashed = hashlib.sha256()

    async def write(data: bytes) -> None:
        hashed.update(data)

    await dump_node(repository, node, write)
    return hashed.hexdigest()


def _content(repository: Repository, node: Node) -> Iterator[Wanted]:
    return (repository.wanted("data", blob_id) for blob_id in node.content or ())


async def _each(parts: Iterator[Wanted]) -> AsyncIterator[Part]:
    for part in parts:
        yield part


async def _tar_parts(trees: Trees, path: bytes, node: Node) -> AsyncIterator[Part]:
    assert node.subtree is not None
    if path:
        yield dump_tar.header(path, node, 0)
    async for visited in walk(trees, node.subtree, path=path):
        for part in _member(trees.repository, visited):
            yield part
    yield dump_tar.END


def _member(repository: Repository, visited: Visited) -> Iterator[Part]:
    node = visited.node
    if not dump_tar.has_form(node):
        return
    blobs = list(_content(repository, node)) if node.type == "file" else []
    size = sum(plain_bytes(blob) for blob in blobs)
    yield dump_tar.header(visited.path, node, size)
    yield from blobs
    if padding := dump_tar.padding(size):
        yield padding


async def pump(
    repository: Repository, parts: AsyncIterator[Part], write: Write, ahead_bytes: int | None = None
) -> int:
    """Writes the parts in order, reading ahead; gives how many bytes that were."""
    tune_allocator()
    with ThreadPoolExecutor(os.cpu_count() or 1, "dump") as threads:
        async with task_scope() as tasks:
            return await _Pump(repository, threads, tasks, write, ahead_bytes).run(parts)


class _Pump:
    """One dump on its way."""

    def __init__(
        self,
        repository: Repository,
        threads: ThreadPoolExecutor,
        tasks: asyncio.TaskGroup,
        write: Write,
        most_ahead_bytes: int | None,
    ) -> None:
        self._repository = repository
        self._threads = threads
        self._tasks = tasks
        self._write = write
        local = repository.storage.traits.local_path
        self._local = Path(local) if local is not None else None
        self._most_ahead_bytes = most_ahead_bytes or (AHEAD_BYTES if self._local else FAR_AHEAD_BYTES)
        self._ahead: deque[tuple[int, asyncio.Task[list[bytes] | HoldfastError]]] = deque()
        self._ahead_bytes = 0
        self._written = 0
        self._gathered: list[_Group] = []
        self._gathered_bytes = 0
        self._batch_bytes = 0 if self._local else _GROUP_BYTES

    async def run(self, parts: AsyncIterator[Part]) -> int:
        group = _Group()
        async for part in parts:
            if not group.takes(part):
                await self._gather(group)
                group = _Group()
            group.add(part)
        await self._gather(group)
        await self._send_gathered()
        while self._ahead:
            await self._write_next()
        return self._written

    async def _gather(self, group: _Group) -> None:
        """Sends groups together, so that those of one pack are asked for together: few at first, for the first bytes are waited for."""
        self._gathered.append(group)
        self._gathered_bytes += group.plain_bytes
        if self._gathered_bytes >= self._batch_bytes:
            await self._send_gathered()
            self._batch_bytes = min(self._batch_bytes * 2, self._most_ahead_bytes // 2)

    async def _send_gathered(self) -> None:
        groups, self._gathered, self._gathered_bytes = self._gathered, [], 0
        ranges = {} if self._local else _shared([each.read() for each in groups if each.blobs])
        for group in groups:
            await self._send(group, ranges.get(group.read()) if group.blobs else None)

    async def _send(self, group: _Group, shared: _Range | None) -> None:
        while self._is_full(group):
            await self._write_next()
        self._ahead.append((group.plain_bytes, self._tasks.create_task(self._try_load(group, shared))))
        self._ahead_bytes += group.plain_bytes

    def _is_full(self, group: _Group) -> bool:
        is_much = self._ahead_bytes + group.plain_bytes > self._most_ahead_bytes
        return is_much and len(self._ahead) > 2

    async def _write_next(self) -> None:
        size, task = self._ahead.popleft()
        pieces = await task
        if isinstance(pieces, HoldfastError):
            raise pieces
        self._ahead_bytes -= size
        for piece in pieces:
            self._written += len(piece)
            await self._write(piece)

    async def _try_load(self, group: _Group, shared: _Range | None) -> list[bytes] | HoldfastError:
        """As `_load`; an error waits for its turn, so that all that comes before it is written."""
        try:
            return await self._load(group, shared)
        except HoldfastError as error:
            return error

    async def _load(self, group: _Group, shared: _Range | None) -> list[bytes]:
        """What the group stands for, small pieces joined."""
        if not group.blobs:
            return [b"".join(part for part in group.parts if isinstance(part, bytes))]
        read = group.read()
        loop = asyncio.get_running_loop()
        if shared is None:
            decoded = await loop.run_in_executor(self._threads, self._read_and_decode, read)
        else:
            stored = await self._fetch(shared)
            around = read._replace(offset=shared.begin, length=shared.end - shared.begin)
            decoded = await loop.run_in_executor(
                self._threads, self._repository.decoder.decode_read, around, stored
            )
        contents = iter(decoded)
        pieces: list[bytes] = []
        for part in group.parts:
            if isinstance(part, bytes):
                pieces.append(part)
                continue
            content = next(contents)
            if isinstance(content, DamagedError):
                content = await self._rescue(part)
            pieces.append(content)
        return pieces if len(pieces) == 1 or group.plain_bytes > _LITERAL_BYTES else [b"".join(pieces)]

    def _read_and_decode(self, read: Read) -> list[bytes | DamagedError]:
        assert self._local is not None
        try:
            opened = os.open(self._local / Key(Kind.PACK, read.pack.hex()).path(), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return self._repository.decoder.decode_read(read, b"")
        try:
            stored = os.pread(opened, read.length, read.offset)
        finally:
            os.close(opened)
        return self._repository.decoder.decode_read(read, stored)

    async def _fetch(self, shared: _Range) -> bytes:
        """The stretch's bytes; none where they are not there, so that each blob is looked for elsewhere. Raises: StorageError."""
        if shared.task is None:
            shared.task = self._tasks.create_task(self._try_fetch(shared))
        found = await shared.task
        if isinstance(found, HoldfastError):
            raise found
        return found

    async def _try_fetch(self, shared: _Range) -> bytes | HoldfastError:
        key = Key(Kind.PACK, shared.pack.hex())
        try:
            return await self._repository.storage.get(key, shared.begin, shared.end - shared.begin)
        except (ObjectMissingError, ShortReadError):
            return b""
        except HoldfastError as error:
            return error

    async def _rescue(self, blob: Wanted) -> bytes:
        """A blob that was not whole where it was looked for: once more, then at its other places. Raises: DamagedError."""
        try:
            return await self._repository.load_blob(blob.type, blob.id)
        except (ObjectMissingError, ShortReadError) as error:
            raise DamagedError(error.message, hint=error.hint) from error
