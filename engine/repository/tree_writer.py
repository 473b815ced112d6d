"""A tree of files, from a host's listing into tree blobs, as one stream that never holds more than the directories it is in.

The listing comes depth first. When it leaves a directory, its entries are looked at together: where they are what they were at the last
backup (folder_memory.py), its tree is taken over. Else the parent snapshot decides for each entry (parents.py) whether its content is wanted;
what is wanted comes back in the same order while the listing goes on. A directory is written when its last content is stored.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from dataclasses import dataclass, field

from engine.errors import HostileListingError
from engine.events import Emit, Progress
from engine.format.ids import digest
from engine.format.tree import encode_tree, node_prefix, node_suffix
from engine.model.entry import Entry, Failure, Fetched
from engine.repository import folder_memory, tree_parts
from engine.repository.folder_memory import Folder, FolderMemory
from engine.repository.parents import ParentTree, ParentTrees
from engine.repository.tree_parts import BlobSink, Directory, Feed, TreeCounts, TreeResult, Wanted, Xattrs
from engine.scope import task_scope

TELL_EVERY_BYTES = 4 << 20
"""Of a large file progress is told each time so much more was read."""
HERE_BYTES = 64 << 20
"""A longer file of this machine is read by the feed, so that progress is told on the way."""
ENTRIES_AT_ONCE = 16_384
"""A directory with more entries is looked at in parts, and not remembered."""


@dataclass(slots=True)
class _Here:
    """Small files of this machine in one directory, for workers to read: those whose names the parent snapshot has, and the others."""

    known: list[Entry] = field(default_factory=list)
    new: list[Entry] = field(default_factory=list)


class TreeWriter:
    """One tree being written. Used once."""

    def __init__(
        self, feed: Feed, sink: BlobSink, parents: ParentTrees | None, memory: FolderMemory, emit: Emit
    ) -> None:
        self._feed = feed
        self._sink = sink
        self._parents = parents
        self._memory = memory
        self._emit = emit
        self._counts = TreeCounts()
        self._wanted: deque[Wanted] = deque()
        self._links: dict[tuple[int, int], Wanted | tuple[int, bytes, bytes]] = {}
        """By inode: the first name while it is on its way, then its size, the rest of its node, and its path."""
        self._complete: deque[Directory] = deque()
        self._is_complete = asyncio.Event()
        self._root_id: bytes | None = None
        self._done_bytes = 0
        self._is_listed = False
        """Whether the listing has ended, and with it how much there is."""
        self._failures: list[Failure] = []
        self._folders_read: set[int] = set()
        """Hashes of the paths of directories whose attributes were asked for."""
        self._left_out: Collection[tree_parts.FileKey] = ()
        self._doubted: Collection[tree_parts.FileKey] = ()
        self._reading = 0
        """Files that workers read on this machine and have not told of."""
        self._has_read = asyncio.Event()
        self._refused: list[Wanted] = []
        """Those that a worker did not find as they were listed: the feed is asked for them."""

    async def run(
        self,
        parent_tree: bytes | None,
        left_out: Collection[tree_parts.FileKey] = (),
        doubted: Collection[tree_parts.FileKey] = (),
    ) -> TreeResult:
        """Reads the feed to its end and stores everything but the files `left_out`, which are named as unreadable.

        What the parent has of `doubted` files is not taken over.

        Raises: HostileListingError, SourceError, HostError, RepositoryError.
        """
        self._left_out, self._doubted = left_out, doubted
        root = Directory(b"", None, None)
        root.old = await self._load(parent_tree)
        root.is_old_known = True
        async with task_scope() as group:
            group.create_task(self._list(root))
            group.create_task(self._receive())
            group.create_task(self._finish_directories())
        assert self._root_id is not None
        failures = [each for each in self._feed.failures() if not self._is_busy_folder(each)]
        spoiled = tree_parts.find_spoiled(failures, self._links)
        return TreeResult(self._root_id, self._counts, (*failures, *self._failures), spoiled)

    def _is_busy_folder(self, failure: Failure) -> bool:
        """A directory in which something came or went while its attributes were read, as /tmp is all the time: nothing of it is missing."""
        return failure.reason == "changed" and hash(failure.path) in self._folders_read

    async def _load(self, tree_id: bytes | None) -> ParentTree | None:
        return await self._parents.load(tree_id) if self._parents and tree_id is not None else None

    # --- the listing ------------------------------------------------------------------------------------------------------------------

    async def _list(self, root: Directory) -> None:
        current = root
        async for batch in self._feed.entries():
            wants: list[bytes] = []
            for entry in batch:
                path = entry.path
                cut = path.rfind(b"/")
                above = path[:cut] if cut >= 0 else b""
                while current.path != above:
                    current = await self._leave(current, entry, wants)
                directory = current
                directory.entries.append(entry)
                if entry.type == "d":
                    current = Directory(path, directory, entry)
                    directory.folders[path[cut + 1 :]] = current
                if len(directory.entries) >= ENTRIES_AT_ONCE:
                    directory.is_partial = True
                    await self._look_at_entries(directory, wants)
            await self._want(wants)
            self._progress(batch[-1].path if batch else b"")
        wants = []
        above_root: Directory | None = current
        while above_root is not None:
            await self._settle(above_root, wants)
            above_root = above_root.above
        self._is_listed = True
        await self._want(wants)
        await self._sink.nudge()
        while self._reading:
            self._has_read.clear()
            await self._has_read.wait()
        await self._want([])
        await self._feed.end_of_wants()

    async def _want(self, paths: list[bytes]) -> None:
        """Asks the feed for these, which stand among the wanted already, and for what workers could not read."""
        refused, self._refused = self._refused, []
        self._wanted.extend(refused)
        if refused or paths:
            await self._feed.want([*paths, *(wanted.entry.path for wanted in refused)])

    async def _leave(self, directory: Directory, entry: Entry, wants: list[bytes]) -> Directory:
        await self._settle(directory, wants)
        if directory.above is None:
            raise HostileListingError(
                f"the host listed {entry.path!r} outside of the order that a listing has"
            )
        return directory.above

    async def _settle(self, directory: Directory, wants: list[bytes]) -> None:
        """The listing has left the directory."""
        if not directory.is_partial and self._is_as_it_was(directory):
            return
        await self._look_at_entries(directory, wants)
        directory.is_settled = True
        if not directory.waiting:
            self._completed(directory)

    def _is_as_it_was(self, directory: Directory) -> bool:
        """Whether the directory, and all below it, is what it was; then it is done with."""
        directory.signature = folder_memory.signature(directory.entries)
        known = self._memory.get(directory.path)
        is_same = (
            known is not None
            and known.signature == directory.signature
            and all(each.is_same for each in directory.folders.values())
            and not self._left_out
            and not self._doubted
        )
        if not is_same or known is None:
            return False
        directory.is_same = True
        directory.tree_id = known.tree_id
        directory.entries.clear()
        directory.folders.clear()
        self._memory.put(directory.path, known)
        self._counts.add_unmodified(known.files, known.size_bytes)
        self._done_bytes += known.size_bytes
        if directory.above is None:
            self._root_id = known.tree_id
            self._is_complete.set()
        else:
            self._counts.dirs_unmodified += 1
        return True

    async def _look_at_entries(self, directory: Directory, wants: list[bytes]) -> None:
        old = await self._old_tree(directory)
        entries = directory.entries
        files = [entry.size for entry in entries if entry.type == "f" and entry.path not in self._left_out]
        directory.totals = (len(files), sum(files))
        here: _Here | None = None
        if self._feed.is_here and self._sink.can_read_here(len(entries)):
            here = _Here()
            if old is None and not self._left_out:
                here.new = [entry for entry in entries if _is_plain(entry)]
                entries = [entry for entry in entries if not _is_plain(entry)]
        for entry in entries:
            if entry.type == "d":
                self._folder(directory, entry, node_prefix(entry), wants)
            elif self._left_out and tree_parts.is_among(entry, self._left_out):
                directory.is_partial = True
                self._failures.append(Failure(entry.path, "unreadable", "it did not come whole"))
            else:
                self._file(directory, old, entry, wants, here)
        directory.entries.clear()
        if here is not None:
            await self._read_here(directory, here.new, is_known=False)
            await self._read_here(directory, here.known, is_known=True)

    async def _read_here(self, directory: Directory, entries: list[Entry], *, is_known: bool) -> None:
        if not entries:
            return
        self._reading += len(entries)
        directory.waiting += len(entries)
        size_bytes = sum([entry.size for entry in entries])
        self._counts.add_files(len(entries), size_bytes, is_known=is_known)
        await self._sink.read_here(entries, (directory, is_known), self._read)

    async def _old_tree(self, directory: Directory) -> ParentTree | None:
        """The parent snapshot's tree of the directory, read when it is first asked for, from the first directory above whose is known."""
        chain = []
        at: Directory = directory
        while not at.is_old_known and at.above is not None:
            chain.append(at)
            at = at.above
        for each in reversed(chain):
            above = each.above.old if each.above is not None else None
            if above is not None and each.entry is not None:
                each.old = await self._load(above.subtree(node_prefix(each.entry)))
            each.is_old_known = True
        return directory.old

    def _folder(self, above: Directory, entry: Entry, prefix: bytes, wants: list[bytes]) -> None:
        directory = above.folders.pop(_name(entry), None)
        if directory is None:
            return  # listed twice: what the second one holds is all in the first
        above.waiting += 1
        directory.prefix = prefix
        directory.is_awaited = True
        rest = above.old.rest_by_prefix.get(prefix) if above.old is not None else None
        if rest is not None:
            directory.xattrs = rest[: rest.find(b',"content":')]
            self._give_node(directory)
        else:
            self._wanted.append(Wanted(directory, entry, prefix))
            self._folders_read.add(hash(entry.path))
            wants.append(entry.path)

    def _file(
        self,
        directory: Directory,
        old: ParentTree | None,
        entry: Entry,
        wants: list[bytes],
        here: _Here | None,
    ) -> None:
        """`here` takes what a worker can read by itself; None where none shall."""
        is_file = entry.type == "f"
        prefix = node_prefix(entry)
        rest = old.rest_by_prefix.get(prefix) if old is not None else None
        if rest is not None and not (self._doubted and tree_parts.is_among(entry, self._doubted)):
            directory.nodes.append((_name(entry), prefix + rest))
            if is_file:
                self._counts.add_unmodified(1, entry.size)
                self._done_bytes += entry.size
            return
        is_known = old is not None and old.has_name(prefix)
        if here is not None and _is_plain(entry):
            (here.known if is_known else here.new).append(entry)
            return
        directory.waiting += 1
        if is_file:
            self._counts.add_file(entry.size, is_known=is_known)
        wanted = Wanted(directory, entry, prefix, is_known=is_known)
        if entry.links > 1:
            inode = (entry.device, entry.inode)
            first = self._links.get(inode)
            if isinstance(first, tuple):
                self._arrived(
                    directory, _name(entry), tree_parts.with_size(entry, prefix, first[0]) + first[1]
                )
                return
            if first is not None:
                first.followers.append((directory, entry, prefix))
                return
            self._links[inode] = wanted
        self._wanted.append(wanted)
        wants.append(entry.path)

    # --- the contents -----------------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        async for batch in self._feed.contents():
            for fetched in batch:
                wanted = self._next_wanted(fetched.path)
                if fetched.type not in ("", wanted.entry.type):
                    self._failures.append(
                        Failure(fetched.path, "vanished", "something of another type took its place")
                    )
                    self._lost(wanted)
                elif wanted.entry.type == "d":
                    self._directory_arrived(wanted.directory, node_suffix(fetched.xattrs, 0, None, None))
                elif fetched.data is None and fetched.stream is None:
                    # Another name of an inode that had one name when it was listed: tar sends nothing of it.
                    self._failures.append(
                        Failure(fetched.path, "vanished", "became a hard link while it was read")
                    )
                    self._lost(wanted)
                elif wanted.entry.type == "f" and fetched.stream is not None:
                    stored = functools.partial(self._stream_stored, wanted, fetched.xattrs)
                    await self._sink.put_stream(self._told(fetched.stream, fetched.path), stored)
                elif wanted.entry.type == "f":
                    if (room := self._small(wanted, fetched)) is not None:
                        await room
                else:
                    self._node_arrived(wanted, node_suffix(fetched.xattrs, fetched.rdev, None, None))
            self._progress(batch[-1].path if batch else b"")
        while self._wanted:
            self._lost(self._wanted.popleft())
        await self._sink.nudge()

    async def _told(self, stream: AsyncIterator[bytes], path: bytes) -> AsyncIterator[bytes]:
        """The stream of a large file, with progress on the way."""
        untold_bytes = 0
        async for piece in stream:
            self._done_bytes += len(piece)
            untold_bytes += len(piece)
            if untold_bytes >= TELL_EVERY_BYTES:
                untold_bytes = 0
                self._progress(path)
            yield piece

    def _stream_stored(self, wanted: Wanted, xattrs: Xattrs, result: tree_parts.StreamResult) -> None:
        self._content_arrived(wanted, xattrs, result.content, result.size_bytes)

    def _next_wanted(self, path: bytes) -> Wanted:
        while self._wanted:
            wanted = self._wanted.popleft()
            if wanted.entry.path == path:
                return wanted
            self._lost(wanted)
        raise HostileListingError(f"the host sent {path!r}, which was not asked for")

    def _small(self, wanted: Wanted, fetched: Fetched) -> Awaitable[None] | None:
        data = fetched.data
        if data:
            return self._sink.put_small(data, (wanted, fetched.xattrs, len(data)), self._stored)
        self._content_arrived(wanted, fetched.xattrs, (), 0)
        return None

    def _stored(self, tokens: Sequence[tuple[Wanted, Xattrs, int]], ids: bytes) -> None:
        for number, (wanted, xattrs, size_bytes) in enumerate(tokens):
            self._done_bytes += size_bytes
            self._content_arrived(wanted, xattrs, (ids[32 * number : 32 * number + 32],), size_bytes)

    def _read(self, token: tuple[Directory, bool], entries: Sequence[Entry], nodes: Sequence[bytes]) -> None:
        """Workers have read these files of a directory."""
        directory, is_known = token
        read = [(_name(entry), node) for entry, node in zip(entries, nodes, strict=True) if node]
        self._done_bytes += sum([entry.size for entry in entries])
        if len(read) < len(entries):
            refused = [entry for entry, node in zip(entries, nodes, strict=True) if not node]
            self._done_bytes -= sum([entry.size for entry in refused])
            self._refused += [
                Wanted(directory, entry, node_prefix(entry), is_known=is_known) for entry in refused
            ]
        directory.nodes += read
        self._reading -= len(entries)
        self._has_read.set()
        if read:
            self._fewer(directory, len(read))

    def _content_arrived(
        self, wanted: Wanted, xattrs: Xattrs, content: tuple[bytes, ...], size_bytes: int
    ) -> None:
        if size_bytes != wanted.entry.size:
            # It grew or shrank since it was listed: the node tells the size of what is stored, and its old times make the next backup look again.
            self._counts.total_bytes += size_bytes - wanted.entry.size
            wanted.directory.is_partial = True
            wanted.entry = wanted.entry._replace(size=size_bytes)
            wanted.prefix = node_prefix(wanted.entry)
        self._node_arrived(wanted, node_suffix(xattrs, 0, content, None))

    def _node_arrived(self, wanted: Wanted, suffix: bytes) -> None:
        entry = wanted.entry
        if entry.links > 1:
            self._links[entry.device, entry.inode] = (entry.size, suffix, entry.path)
        self._arrived(wanted.directory, _name(entry), wanted.prefix + suffix)
        for directory, follower, prefix in wanted.followers:
            self._arrived(
                directory, _name(follower), tree_parts.with_size(follower, prefix, entry.size) + suffix
            )

    def _directory_arrived(self, directory: Directory, suffix: bytes) -> None:
        directory.xattrs = suffix[: suffix.find(b',"content":')]
        self._give_node(directory)

    def _arrived(self, directory: Directory, name: bytes, node: bytes) -> None:
        directory.nodes.append((name, node))
        self._one_less(directory)

    def _lost(self, wanted: Wanted) -> None:
        """What was asked for and did not come: the feed's failures name it, but not the further names, for which nobody asked."""
        entry = wanted.entry
        wanted.directory.is_partial = True
        if entry.type == "d":
            wanted.directory.xattrs = b""
            self._give_node(wanted.directory)
            return
        self._links.pop((entry.device, entry.inode), None)
        if entry.type == "f":
            for _ in range(1 + len(wanted.followers)):
                self._counts.add_file(entry.size, is_known=wanted.is_known, sign=-1)
        self._one_less(wanted.directory)
        for directory, follower, _ in wanted.followers:
            first = entry.path.decode(errors="backslashreplace")
            self._failures.append(
                Failure(follower.path, "unreadable", f"it was to be read by its other name {first}")
            )
            directory.is_partial = True
            self._one_less(directory)

    def _one_less(self, directory: Directory) -> None:
        self._fewer(directory, 1)

    def _fewer(self, directory: Directory, nodes: int) -> None:
        directory.waiting -= nodes
        if directory.is_settled and not directory.waiting:
            self._completed(directory)

    # --- the directories --------------------------------------------------------------------------------------------------------------

    def _completed(self, directory: Directory) -> None:
        self._complete.append(directory)
        self._is_complete.set()

    async def _finish_directories(self) -> None:
        while self._root_id is None:
            await self._is_complete.wait()
            self._is_complete.clear()
            while self._complete:
                await self._write(self._complete.popleft())

    async def _write(self, directory: Directory) -> None:
        directory.nodes.sort()
        blob = encode_tree(tree_parts.without_doubles(directory.nodes))
        directory.nodes.clear()
        old, counts = directory.old, self._counts
        tree_id = old.id if old is not None and old.blob == blob else digest(blob)
        await self._sink.save_tree_blob(blob, tree_id)
        directory.tree_id = tree_id
        if directory.signature is not None and not directory.is_partial:
            self._memory.put(directory.path, Folder(directory.signature, tree_id, *directory.totals))
        if directory.above is None:
            self._root_id = tree_id
            return
        if old is None:
            counts.dirs_new += 1
        elif tree_id == old.id:
            counts.dirs_unmodified += 1
        else:
            counts.dirs_changed += 1
        self._give_node(directory)

    def _give_node(self, directory: Directory) -> None:
        """Gives the directory's node to the one above, once that waits for it and all of it is known."""
        above, tree_id, xattrs = directory.above, directory.tree_id, directory.xattrs
        if above is None or tree_id is None or xattrs is None or not directory.is_awaited:
            return
        directory.is_awaited = False
        node = b'%b%b,"content":null,"subtree":"%b"}' % (directory.prefix, xattrs, tree_id.hex().encode())
        self._arrived(above, directory.path[directory.path.rfind(b"/") + 1 :], node)

    def _progress(self, path: bytes) -> None:
        current = "/" + path.decode("utf-8", "replace")
        total_bytes = self._counts.total_bytes if self._is_listed else None
        self._emit(Progress("read", self._done_bytes, total_bytes, self._counts.files, None, 0, current))


def _is_plain(entry: Entry) -> bool:
    """Whether it is a file with one name and not very long: what the session can read by itself."""
    return entry.type == "f" and entry.links == 1 and entry.size <= HERE_BYTES


def _name(entry: Entry) -> bytes:
    return entry.path[entry.path.rfind(b"/") + 1 :]
