"""A part of a snapshot as one tar stream, for a tar on another machine that lays it out.

What the archive can carry is what a restore here brings: owners by number, modes, nanoseconds, extended attributes and ACLs, hard links, and
the holes of sparse files. Sockets have no form in it. A directory that leads to what is meant comes along, so that a link that lies in
its place on the other side is replaced, and not followed.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from engine.errors import DamagedError
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository import dump, dump_tar
from engine.repository.added import Beside, is_same
from engine.repository.blobs import Wanted
from engine.repository.dump import Part, Write
from engine.repository.patterns import Selection, split
from engine.repository.reader import Trees, Visited, walk
from engine.repository.restore_values import Tally

SAMPLE: Final = 200
"""So many files at the least are compared behind a restore; all, where there are fewer."""
_WRITE_BYTES: Final = 256 << 10
_PAGE_BYTES: Final = 64 << 10
"""A hole is so long at the least."""
_HOLE_RATIO: Final = 200
"""Only what became so many times smaller in the repository is looked at for holes."""


@dataclass(slots=True)
class TarRestore:
    """One stream on its way. For one task."""

    trees: Trees
    snapshot: Snapshot
    selection: Selection
    above: frozenset[bytes] = frozenset()
    """Directories that are there and not ours to touch: what leads to the roots of a restore in place."""
    present: Beside | None = None
    """What is known to lie at the target: files that are the same there are not sent."""
    passes_over: Callable[[bytes], bool] | None = None
    """Says of a path whether what lies there stays as it is: it is not sent then."""
    seed: int = 0
    tally: Tally = field(default_factory=Tally)
    sample: list[Visited] = field(default_factory=list)
    """Files chosen at random of those that were sent."""
    sockets: int = 0
    _regular: int = 0
    _leading: list[tuple[bytes, Node]] = field(default_factory=list)
    _linked: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _ends: deque[tuple[int, bytes]] = field(default_factory=deque)
    """Where in the stream each file ends that is read ahead and not yet written."""
    _length: int = 0
    _draw: random.Random = field(default_factory=random.Random)

    async def send(self, write: Write) -> None:
        """Writes the whole archive. The index must be loaded. Raises: DamagedError; what `write` raises."""
        self._draw.seed(self.seed)
        waiting = bytearray()

        async def flush() -> None:
            # Small files come in small pieces, and each would be a packet of its own.
            piece = bytes(waiting)
            waiting.clear()
            await write(piece)
            self._count(len(piece))

        async def gather(piece: bytes) -> None:
            waiting.extend(piece)
            if len(waiting) >= _WRITE_BYTES:
                await flush()

        await dump.pump(self.trees.repository, self._parts(), gather)
        await flush()

    def _count(self, sent_bytes: int) -> None:
        self.tally.done_bytes += sent_bytes
        while self._ends and self._ends[0][0] <= self.tally.done_bytes:
            self._ends.popleft()
            self.tally.restored_files += 1

    async def selected_files(self) -> AsyncIterator[Visited]:
        """Every regular file that is meant, walked anew. Raises: DamagedError."""
        async for visited in walk(self.trees, self.snapshot.tree, enters=self._enters):
            if visited.node.type == "file" and self.selection.selects(split(visited.path)):
                yield visited

    @property
    def next_path(self) -> bytes:
        """The file that is being written."""
        return self._ends[0][1] if self._ends else b""

    async def _parts(self) -> AsyncIterator[Part]:
        async for visited in walk(self.trees, self.snapshot.tree, enters=self._enters):
            parts = await self._of(visited)
            self._length += sum(
                len(part) if isinstance(part, bytes) else dump.plain_bytes(part) for part in parts
            )
            if parts and visited.node.type != "dir":
                self._ends.append((self._length, visited.path))
            for part in parts:
                yield part
        yield dump_tar.END

    def _enters(self, visited: Visited) -> bool:
        parts = split(visited.path)
        if self.selection.excludes_path(parts):
            return False
        return self.selection.selects(parts) or self.selection.may_include_below(parts)

    async def _of(self, visited: Visited) -> Sequence[Part]:
        path, node = visited
        while self._leading and not path.startswith(self._leading[-1][0] + b"/"):
            self._leading.pop()
        if not self.selection.selects(split(path)):
            if node.type == "dir" and path not in self.above:
                self._leading.append((path, node))
            return ()
        if node.type == "socket":
            self.sockets += 1
        if not dump_tar.has_form(node) or await self._is_there(visited):
            return ()
        try:
            return [*self._ancestors(), *await self._member(visited)]
        except DamagedError as error:
            self.tally.fail(path, error.message)
            return ()

    async def _is_there(self, visited: Visited) -> bool:
        path, node = visited
        if node.type == "dir":
            return False
        found = await self.present.find(path) if self.present is not None else None
        is_known = found is not None and is_same(node, found)
        if not is_known and not (self.passes_over is not None and self.passes_over(path)):
            return False
        if node.links > 1:
            self._linked.setdefault((node.device_id, node.inode), path)
        self.tally.unchanged_files += 1
        return True

    def _ancestors(self) -> list[Part]:
        leading, self._leading = self._leading, []
        return [dump_tar.header(path, node, 0) for path, node in leading]

    async def _member(self, visited: Visited) -> list[Part]:
        """Raises: DamagedError where the index lacks some of it, or it is not as long as the backup says."""
        path, node = visited
        if node.type != "file":
            self.tally.directories += node.type == "dir"
            return [dump_tar.header(path, node, 0)]
        key = (node.device_id, node.inode)
        if node.links > 1 and key in self._linked:
            self.tally.linked_files += 1
            return [dump_tar.link_header(path, node, self._linked[key])]
        blobs = [self.trees.repository.wanted("data", blob_id) for blob_id in node.content or ()]
        size = sum(dump.plain_bytes(blob) for blob in blobs)
        if size != node.size:
            raise DamagedError(f"it holds {size} bytes, but the backup says {node.size}")
        if node.links > 1:
            self._linked[key] = path
        self._choose(visited)
        return await self._content(path, node, blobs)

    def _choose(self, visited: Visited) -> None:
        self._regular += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(visited)
        elif (place := self._draw.randrange(self._regular)) < SAMPLE:
            self.sample[place] = visited

    async def _content(self, path: bytes, node: Node, blobs: Sequence[Wanted]) -> list[Part]:
        """Header, content and padding; where there are holes in it, as a sparse file. Raises: DamagedError."""
        kept: list[Part] = []
        extents: list[tuple[int, int]] = []
        offset = 0
        for blob in blobs:
            size = dump.plain_bytes(blob)
            if size < 2 * _PAGE_BYTES or blob.location.length * _HOLE_RATIO > size:
                kept.append(blob)
                extents.append((offset, size))
            elif _zeros(size) != blob.id:
                content = await self.trees.repository.load_blob("data", blob.id)
                for begin, end in not_zero(content):
                    kept.append(content[begin:end])
                    extents.append((offset + begin, end - begin))
            offset += size
        if sum(length for _, length in extents) == offset:
            padding = dump_tar.padding(offset)
            return [dump_tar.header(path, node, offset), *kept, *([padding] if padding else ())]
        head, tail = dump_tar.sparse_header(path, node, offset, extents)
        return [head, *kept, *([tail] if tail else ())]


def not_zero(content: bytes) -> list[tuple[int, int]]:
    """Where something is, page by page, neighbours as one."""
    found: list[tuple[int, int]] = []
    for begin in range(0, len(content), _PAGE_BYTES):
        page = content[begin : begin + _PAGE_BYTES]
        if page.count(0) < len(page):
            first = found.pop()[0] if found and found[-1][1] == begin else begin
            found.append((first, begin + len(page)))
    return found


@lru_cache(maxsize=256)
def _zeros(size: int) -> bytes:
    return hashlib.sha256(bytes(size)).digest()
