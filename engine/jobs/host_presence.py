"""What of a backup lies at a directory of a host already, and what lies there besides: a listing of the host against the snapshot, in step."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator
from typing import Protocol

from engine.errors import PathMissingError
from engine.format.tree import Node
from engine.hosts.base import OpenHost
from engine.jobs.diff_tree import TreeDiff, differing
from engine.model.definitions import Source
from engine.model.entry import Entry
from engine.repository.added import Held
from engine.repository.patterns import Selection, split
from engine.repository.reader import Trees
from engine.sources import registry as sources


class PathSet:
    """Many paths in eight bytes each: one in 2**64 is taken for another. Added to first, asked then."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._is_sorted = True

    def add(self, path: bytes) -> None:
        """One more."""
        self._hashes.append(_hash(path))
        self._is_sorted = False

    def __contains__(self, path: bytes) -> bool:
        if not self._is_sorted:
            self._hashes = array("Q", sorted(self._hashes))
            self._is_sorted = True
        wanted = _hash(path)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


def _hash(path: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest())


class Watch(Protocol):
    """Is told of the paths that are selected, relative to the target; a directory before what is in it."""

    async def missing(self, path: bytes, node: Node) -> None:
        """The backup has it, the target does not."""
        ...

    async def present(self, path: bytes, node: Node, entry: Entry) -> None:
        """Both have it."""
        ...

    async def surplus(self, entry: Entry, device: int, *, is_topmost: bool) -> None:
        """The target has it, the backup does not; topmost where the backup has the directory that it lies in, which is of that device."""
        ...

    async def left(self, path: bytes) -> None:
        """As `surplus`, but not selected: it stays, and with it what leads to it."""
        ...


async def look(host: OpenHost, place: str, held: Held, selection: Selection, watch: Watch) -> None:
    """Lists `place`, a directory named by its real path, and tells. At the root of the file system only what the backup has paths of is listed.

    Raises: HostileListingError, SourceError, HostError, DamagedError.
    """
    missing: list[tuple[bytes, Node]] = []

    def enters(path: bytes) -> bool:
        parts = split(path)
        return not selection.excludes_path(parts) and (
            selection.selects(parts) or selection.may_include_below(parts)
        )

    difference = TreeDiff(
        Trees(held.repository),
        held.snapshot.tree,
        lambda path, node: missing.append((path, node)) if selection.selects(split(path)) else None,
        enters,
    )
    walking = _Extras(selection, watch)
    prefix = place.encode("utf-8", "surrogateescape").strip(b"/")
    paths = tuple(held.snapshot.paths) if not prefix else (place,)
    async for entry in _listed(host, paths, prefix + b"/" if prefix else b""):
        if not entry.path:
            walking.enter(entry)
            continue
        found = await difference.feed([entry])
        await _tell_missing(missing, watch)
        for node, present in found.both:
            if selection.selects(split(present.path)):
                await watch.present(present.path, node, present)
        await walking.step(entry, None if found.added else found.both[0][0])
    await difference.end(frozenset())
    await _tell_missing(missing, watch)


async def _tell_missing(missing: list[tuple[bytes, Node]], watch: Watch) -> None:
    for path, node in missing:
        await watch.missing(path, node)
    missing.clear()


class _Extras:
    """Tells extras from the rest: what lies in one is no topmost one."""

    def __init__(self, selection: Selection, watch: Watch) -> None:
        self._selection = selection
        self._watch = watch
        self._above = b""
        """The last topmost directory that the backup does not have, with a slash."""
        self._folders: list[tuple[bytes, int]] = []
        """The directories that the listing is in, each with a slash, and their devices."""

    def enter(self, entry: Entry) -> None:
        self._folders.append((entry.path + b"/" if entry.path else b"", entry.device))

    async def step(self, entry: Entry, node: Node | None) -> None:
        path = entry.path
        while self._folders and not path.startswith(self._folders[-1][0]):
            self._folders.pop()
        device = self._folders[-1][1] if self._folders else 0
        is_below = bool(self._above) and path.startswith(self._above)
        if not is_below:
            self._above = b""
        if entry.type == "d":
            self.enter(entry)
            if not is_below and (node is None or node.type != "dir"):
                self._above = path + b"/"
        if node is not None:
            return
        if self._selection.selects(split(path)):
            await self._watch.surplus(entry, device, is_topmost=not is_below)
        else:
            await self._watch.left(path)


async def _listed(host: OpenHost, paths: tuple[str, ...], prefix: bytes) -> AsyncIterator[Entry]:
    """Entries below the target, by their paths from it."""
    definition = Source("target", "files", options={"path": paths})
    try:
        async with sources.open_source(definition, host) as source, source.tree() as feed:
            async for batch in feed.entries():
                for entry in batch:
                    if (entry.path + b"/").startswith(prefix):
                        yield entry._replace(path=entry.path[len(prefix) :])
            await feed.end_of_wants()
            async for _nothing in feed.contents():
                pass
    except PathMissingError:
        return


def is_same(node: Node, entry: Entry, *, is_coarse: bool) -> bool:
    """Whether what lies there looks as the backup has it: a file by its size and time, a link by where it leads."""
    aspects = set(differing(node, entry, is_coarse=is_coarse))
    if "type" in aspects or node.type == "dir":
        return not aspects & {"type"}
    wanted = {"size", "time"} if node.type == "file" else {"target"}
    return not aspects & wanted


def needs_nothing(node: Node, entry: Entry, *, is_coarse: bool, is_owned: bool) -> bool:
    """Whether a restore would change nothing at it, as far as a listing tells; owners count where they are restored."""
    aspects = set(differing(node, entry, is_coarse=is_coarse))
    return not aspects - (set() if is_owned else {"owner"})
