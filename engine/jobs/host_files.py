"""A restore below a directory of a host that has no GNU tar: file by file, over SFTP.

Nothing is written through a link: each directory on the way is looked at before anything is made in it, and what is none is replaced. A file is
written under a name of its own first, and gets its times and mode before its name. SFTP has no `openat`: somebody on the host who swaps a
directory for a link at that very moment is not kept from it, as tar there would.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from engine.errors import DamagedError, HoldfastError, HostError, PathMissingError
from engine.events import Emit, Noted, Warned
from engine.format.tree import Node, unix_mode
from engine.hosts.base import FileSink, FileStatus, WritableFiles
from engine.repository import dump
from engine.repository.added import Held
from engine.repository.patterns import Selection, split
from engine.repository.reader import Trees, Visited, walk
from engine.repository.restore_files import TEMPORARY_PREFIX, nanoseconds
from engine.repository.restore_tar import SAMPLE, not_zero
from engine.repository.restore_values import Tally
from engine.scope import task_scope

_AT_ONCE: Final = 8
"""So many files are under way; of each a blob is held."""
_HOLE_FROM_BYTES: Final = 128 << 10
_PROGRESS_BYTES: Final = 4 << 20
_NO_FORM: Final = frozenset(("fifo", "chardev", "dev"))


@dataclass(slots=True)
class _Folder:
    """A directory that the walk is in."""

    visited: Visited
    is_ours: bool
    """Whether its mode and times are the backup's to set."""
    is_made: bool = False
    last: bytes = b""
    """The name in it that came last."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


@dataclass(slots=True)
class Lost:
    """What SFTP cannot say, by how many entries lack it."""

    times: int = 0
    attributes: int = 0
    links: int = 0
    """Further names of a file that became files of their own."""
    names: int = 0
    """Links whose owner or time could not be set."""

    def sentence(self) -> str:
        """For a person; empty where nothing is lost."""
        found = ["fractions of seconds in times"]
        found += (
            [f"extended attributes and access control lists of {self.attributes}"] if self.attributes else []
        )
        found += [f"times of {self.times}"] if self.times else []
        found += [f"owners and times of {self.names} links"] if self.names else []
        found += [f"{self.links} hard links, which are files of their own now"] if self.links else []
        return ", ".join(found)


async def _send(sink: FileSink, data: bytes) -> None:
    """Long runs of zeros become holes: a sparse file must not fill the disk."""
    if len(data) < _HOLE_FROM_BYTES or data.count(0) * 2 < len(data):
        await sink.write(data)
        return
    position = 0
    for begin, end in not_zero(data):
        await sink.skip(begin - position)
        await sink.write(data[begin:end])
        position = end
    await sink.skip(len(data) - position)


@dataclass(frozen=True, slots=True)
class Ground:
    """The target."""

    place: bytes
    """Its real path."""
    is_owned: bool
    """Whether owners are set."""
    above: frozenset[bytes] = frozenset()
    """Directories that are there and not ours to touch."""
    stays: Callable[[bytes], bool] | None = None
    """Says of a path that what is there is left alone."""


class FileRestore:
    """One restore on its way. For one task."""

    def __init__(
        self, files: WritableFiles, held: Held, selection: Selection, ground: Ground, tally: Tally
    ) -> None:
        self._files = files
        self._held = held
        self._selection = selection
        self._ground = ground
        self._place = ground.place.rstrip(b"/")
        self._token = secrets.token_hex(4).encode()
        self._number = 0
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._root = _Folder(Visited(b"", Node(b"", "dir")), is_ours=False, is_made=True)
        self._folders: list[_Folder] = []
        self._refused = b""
        self._linked: dict[tuple[int, int], tuple[bytes, asyncio.Task[None]]] = {}
        self._draw = random.Random(0)  # noqa: S311 -- chooses what is compared
        self._regular = 0
        self._told = 0
        self.tally = tally
        self.sample: list[Visited] = []
        self.lost = Lost()
        self.sockets = 0

    async def run(self, emit: Emit, *, is_comparing_all: bool) -> None:
        """Writes all, and reads some of it again, or all. What could not be written is in the tally. Raises: DamagedError, HostError."""
        self._emit = emit
        async with task_scope() as group:
            async for visited in walk(
                Trees(self._held.repository), self._held.snapshot.tree, enters=self._enters
            ):
                await self._visit(visited, group)
            while self._folders:
                await self._leave()
        emit(self.tally.progress("restore"))
        await self._compare(self._written() if is_comparing_all else self._sampled())
        emit(Warned(f"restored over SFTP, which lost: {self.lost.sentence()}"))

    def _enters(self, visited: Visited) -> bool:
        if visited.path == self._refused:
            return False
        parts = split(visited.path)
        if self._selection.excludes_path(parts):
            return False
        return self._selection.selects(parts) or self._selection.may_include_below(parts)

    async def _visit(self, visited: Visited, group: asyncio.TaskGroup) -> None:
        path, node = visited
        while self._folders and not path.startswith(self._folders[-1].visited.path + b"/"):
            await self._leave()
        if not self._is_in_order(visited):
            return
        is_selected = self._selection.selects(split(path))
        if node.type == "dir":
            self._folders.append(_Folder(visited, path not in self._ground.above))
            if is_selected:
                await self._make_folders()
                self.tally.directories += 1
            return
        if not is_selected or (self._ground.stays is not None and self._ground.stays(path)):
            self.tally.unchanged_files += is_selected
            return
        if node.type == "socket":
            self.sockets += 1
            return
        if node.type in _NO_FORM:
            self.tally.fail(path, f"a {node.type} cannot be made over SFTP")
            return
        await self._make_folders()
        await self._slots.acquire()
        task = group.create_task(self._freed(visited))
        if self._folders:
            self._folders[-1].tasks.append(task)
        if node.type == "file" and node.links > 1:
            self._linked.setdefault((node.device_id, node.inode), (path, task))

    def _is_in_order(self, visited: Visited) -> bool:
        """Honest trees have their names in order, each once. A second entry of one name could be a link in the place of the first."""
        folder = self._folders[-1] if self._folders else self._root
        if visited.node.name > folder.last:
            folder.last = visited.node.name
            return True
        self._refused = visited.path
        self.tally.fail(visited.path, "the backup has that name twice, or out of order")
        return False

    async def _freed(self, visited: Visited) -> None:
        """One entry; a failure of its own is no failure of all."""
        try:
            await self._make(visited)
        except (DamagedError, PathMissingError) as error:
            self.tally.fail(visited.path, error.message)
        except HostError as error:
            if type(error) is not HostError:  # the connection, not the file
                raise
            self.tally.fail(visited.path, error.message)
        finally:
            self._slots.release()

    async def _make(self, visited: Visited) -> None:
        path, node = visited
        key = (node.device_id, node.inode)
        first = self._linked.get(key) if node.links > 1 and node.type == "file" else None
        fresh = self._fresh(path)
        try:
            if node.type == "symlink":
                await self._files.make_link(fresh, node.linktarget)
                self.lost.names += not await self._files.set_status(fresh, self._status(node), is_link=True)
            elif first is None or first[0] == path or not await self._is_linked(fresh, first):
                await self._write(fresh, visited)
            await self._name(fresh, path)
        except BaseException:
            await self._removed(fresh)
            raise
        self.lost.attributes += bool(node.extended_attributes)
        self.tally.restored_files += 1

    async def _write(self, fresh: bytes, visited: Visited) -> None:
        path, node = visited
        async with self._files.create(fresh) as sink:

            async def write(data: bytes) -> None:
                await _send(sink, data)
                self.tally.done_bytes += len(data)
                if self.tally.done_bytes - self._told >= _PROGRESS_BYTES:
                    self._told = self.tally.done_bytes
                    self._emit(self.tally.progress("restore", path))

            await dump.dump_node(self._held.repository, node, write)
            self.lost.times += not await sink.set_status(self._status(node))
        self._regular += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(visited)
        elif (place := self._draw.randrange(self._regular)) < SAMPLE:
            self.sample[place] = visited

    async def _is_linked(self, fresh: bytes, first: tuple[bytes, asyncio.Task[None]]) -> bool:
        """Whether it became a further name of the first one."""
        existing, task = first
        await asyncio.wait([task])
        try:
            await self._files.add_name(fresh, self._whole(existing))
        except (PathMissingError, HostError) as error:
            if type(error) not in (PathMissingError, HostError):
                raise
            self.lost.links += 1
            return False
        self.tally.linked_files += 1
        return True

    async def _name(self, fresh: bytes, path: bytes) -> None:
        """Gives what is written its name; a directory in its place goes only where it is empty."""
        whole = self._whole(path)
        try:
            await self._files.rename(fresh, whole)
        except HostError as error:
            if type(error) is not HostError or (await self._files.entry(whole)).type != "d":
                raise
            await self._files.remove(whole, is_directory=True)
            await self._files.rename(fresh, whole)

    async def _removed(self, fresh: bytes) -> None:
        try:
            await self._files.remove(fresh, is_directory=False)
        except HoldfastError:
            return

    async def _make_folders(self) -> None:
        """Those that lead to where the walk is. One that cannot be made is told once; what belongs in it fails by itself."""
        for folder in self._folders:
            if folder.is_made:
                continue
            folder.is_made = True
            path = folder.visited.path
            if not folder.is_ours:
                continue
            try:
                await self._make_folder(self._whole(path))
            except HostError as error:
                if type(error) is not HostError:
                    raise
                self.tally.fail(path, error.message)

    async def _make_folder(self, whole: bytes) -> None:
        try:
            found = await self._files.entry(whole)
        except PathMissingError:
            await self._files.make_directory(whole)
            return
        if found.type != "d":
            await self._files.remove(whole, is_directory=False)
            await self._files.make_directory(whole)

    async def _leave(self) -> None:
        """Sets what the directory is given, once all in it is written."""
        folder = self._folders.pop()
        if folder.tasks:
            await asyncio.wait(folder.tasks)
        path, node = folder.visited
        if not folder.is_made or not folder.is_ours:
            return
        try:
            self.lost.times += not await self._files.set_status(self._whole(path), self._status(node))
        except (PathMissingError, HostError) as error:
            if type(error) not in (PathMissingError, HostError):
                raise
            self.tally.fail(path, error.message)
        self.lost.attributes += bool(node.extended_attributes)

    async def _sampled(self) -> AsyncIterator[Visited]:
        for visited in self.sample:
            yield visited

    async def _written(self) -> AsyncIterator[Visited]:
        async for visited in walk(
            Trees(self._held.repository), self._held.snapshot.tree, enters=self._enters
        ):
            if visited.node.type == "file" and self._selection.selects(split(visited.path)):
                yield visited

    async def _compare(self, chosen: AsyncIterator[Visited]) -> None:
        good = 0
        async for path, node in chosen:
            if await self._read_back(path) == await dump.sha256_of(self._held.repository, node):
                good += 1
            else:
                self.tally.fail(path, "what the host holds is not what the backup has")
        self._emit(Noted(f"{good} files hold what the backup has, by SHA-256, read back over SFTP"))

    async def _read_back(self, path: bytes) -> str:
        """SHA-256 of what the host holds there; empty where it cannot be read."""
        hashed = hashlib.sha256()
        try:
            async with self._files.read(self._whole(path)) as pieces:
                async for piece in pieces:
                    hashed.update(piece)
        except (PathMissingError, HostError) as error:
            if type(error) not in (PathMissingError, HostError):
                raise
            return ""
        return hashed.hexdigest()

    def _status(self, node: Node) -> FileStatus:
        try:
            modified = nanoseconds(node.mtime)
        except ValueError:
            modified = None
        owner = (node.uid, node.gid) if self._ground.is_owned else None
        return FileStatus(
            unix_mode(node.mode) & 0o7777, None if modified is None else modified // 10**9, owner
        )

    def _whole(self, path: bytes) -> bytes:
        return self._place + b"/" + path

    def _fresh(self, path: bytes) -> bytes:
        """A name in the same directory that nothing has."""
        self._number += 1
        folder = path[: path.rfind(b"/") + 1]
        return self._whole(folder) + TEMPORARY_PREFIX + self._token + b"-0-%d" % self._number
