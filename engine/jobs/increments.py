"""What a backup of a server's own files goes on from: an earlier one, whose folders are part of the new snapshot too.

Trees that a repository has cost nothing a second time, so each snapshot holds all that it needs: the full copy's folder, and one for each increment
since. Nothing else has to know of chains: whatever else is forgotten, copied, verified or lost, a snapshot that is there restores by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import DamagedError, PathMissingError, StorageError
from engine.format.snapshot import Snapshot
from engine.jobs.database_backup import read_manifest
from engine.jobs.item_tree import StoredItem
from engine.jobs.opening import Opened
from engine.model.definitions import Source
from engine.model.manifest import Manifest
from engine.repository import dump, reader
from engine.repository.repository import Repository
from engine.sources.chaining import ChainingSource
from engine.sources.incremental import NoIncrementError

MOST_INCREMENTS: Final = 30
"""Each of them takes its time at a restore."""
LARGEST_SHARE: Final = 0.5
"""Of the full copy's size: where the increments since have more, another full copy costs a restore less than they do."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What is part of a snapshot besides what is read for it."""

    items: Sequence[StoredItem] = ()
    size_bytes: int = 0
    files: int = 0


NOTHING: Final = Chain()


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An earlier backup as one repository has it. See `chaining.EarlierBackup`."""

    source: Source
    repository: Repository
    snapshot: Snapshot
    manifest: Manifest

    async def read(self, path: str, write: Callable[[bytes], Awaitable[None]]) -> int:
        """See `chaining.EarlierBackup.read`."""
        return await dump.dump(
            self.repository, self.snapshot, f"/{_root(self.source)}/{path}".encode(), write
        )


async def begin(
    definition: Source,
    source: ChainingSource,
    opened: Sequence[Opened],
    parents: Mapping[str, tuple[str, Snapshot]],
) -> Chain:
    """Has the source go on from the backup before, which `parents` has of each repository.

    Raises: NoIncrementError where a full copy must be taken, saying why in half a sentence; SourceError, HostError.
    """
    try:
        found = [await _earlier(definition, each, parents) for each in opened]
        chains = [await _chain(each) for each in found]
        if any(_trees(each) != _trees(chains[0]) for each in chains):
            raise NoIncrementError("the storages hold the backup before in different pieces")
        await source.go_on_from(found[0])
    except (DamagedError, PathMissingError, StorageError) as error:
        raise NoIncrementError(f"the backup before cannot be gone on from: {error.message}") from error
    return chains[0]


async def _earlier(
    definition: Source, opened: Opened, parents: Mapping[str, tuple[str, Snapshot]]
) -> _Earlier:
    _, snapshot = parents[opened.repository.id]
    manifest = await read_manifest(definition, opened.repository, snapshot)
    if not manifest.folder:
        raise NoIncrementError("the backup before is no copy of the server's files")
    return _Earlier(definition, opened.repository, snapshot, manifest)


async def _chain(earlier: _Earlier) -> Chain:
    """The full copy's folder and each increment's. Raises: NoIncrementError where they have grown too long; PathMissingError, DamagedError."""
    trees, sizes = reader.Trees(earlier.repository), []
    items, files = [], 0
    for folder in (earlier.manifest.folder, *earlier.manifest.increments):
        path = f"{_root(earlier.source)}/{folder}"
        item = StoredItem(path, (), 0, node=await reader.find_node(trees, earlier.snapshot, path.encode()))
        size_bytes, count = await _sized(trees, item)
        items.append(item)
        sizes.append(size_bytes)
        files += count
    require_short(sizes)
    return Chain(items, sum(sizes), files)


async def _sized(trees: reader.Trees, item: StoredItem) -> tuple[int, int]:
    """How many bytes and files a folder has. Raises: NoIncrementError where anything of it is missing; DamagedError."""
    index = trees.repository.index
    size_bytes = files = 0
    assert item.node is not None
    if item.node.subtree is None:
        raise NoIncrementError(f"{item.path} is no folder")
    async for _, node in reader.walk(trees, item.node.subtree):
        size_bytes += node.size
        files += node.type == "file"
        if any(not index.has("data", blob) for blob in node.content or ()):
            raise NoIncrementError(f"{trees.repository.location} lacks some of {item.path}: verify it")
    return size_bytes, files


def require_short(sizes: Sequence[int]) -> None:
    """Raises: NoIncrementError where a full copy is due. `sizes` are in bytes, the full copy's first."""
    full_bytes, *since = sizes
    if len(since) >= MOST_INCREMENTS:
        raise NoIncrementError(f"there are {len(since)} increments since the last one")
    if sum(since) > full_bytes * LARGEST_SHARE:
        raise NoIncrementError("the increments since the last one have more than half of its size")


def _trees(chain: Chain) -> list[bytes | None]:
    return [each.node.subtree if each.node is not None else None for each in chain.items]


def _root(source: Source) -> str:
    return f"{source.kind}/{source.name}"
