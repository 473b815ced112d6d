"""Repositories on storages of a test, fed by real sessions under real locks, and read back through the engine or by stock restic."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine.clock import Clock
from engine.format import tree
from engine.format.snapshot import Snapshot
from engine.model.secret import Secret
from engine.repository import dump, lock, pool, reader, repository, wholeness, writer
from engine.repository.keys import Kdf
from engine.repository.packing import PackingOptions
from engine.repository.repository import Repository
from engine.repository.spill import SpillOptions
from engine.repository.writer import Parent, WriteOptions, WriteSession
from engine.storages.base import Kind, OpenStorage
from tests.fakes.clock import FakeClock
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.tree_feed import Made, MadeFeed
from tests.servers.passwords import PASSWORD

QUICK = Kdf(n=16, r=1, p=1)
"""A key that is derived at once."""
POLYNOMIAL = 0x3DA3358B4DC173
SECRET = Secret(PASSWORD)
Contents = dict[bytes, tuple[str, bytes]]
"""By path: the node's type, and its content (of a file), target (of a link) or device number."""


async def make(storage: OpenStorage, clock: Clock | None = None) -> Repository:
    """A new repository."""
    return await repository.create(
        storage, SECRET, clock=clock or FakeClock(), polynomial_=POLYNOMIAL, kdf=QUICK
    )


async def reopen(storage: OpenStorage, cache_directory: Path | None = None) -> Repository:
    """The repository as another process finds it, with its index."""
    opened = await repository.open_repository(
        storage, SECRET, cache_directory=cache_directory, clock=FakeClock()
    )
    await opened.load_index()
    return opened


@asynccontextmanager
async def session(
    *repositories: Repository,
    packing: PackingOptions | None = None,
    processes: pool.Processes | None = None,
    spill: SpillOptions | None = None,
) -> AsyncIterator[WriteSession]:
    """A session under a lock on each."""
    async with AsyncExitStack() as stack:
        held = [
            (each, await stack.enter_async_context(lock.hold(each, exclusive=False, clock=each.clock)))
            for each in repositories
        ]
        yield await stack.enter_async_context(
            writer.open_session(
                held,
                clock=repositories[0].clock,
                processes=processes,
                options=WriteOptions(packing or PackingOptions(), spill),
            )
        )


def snapshot(
    tree_id: bytes, clock: Clock | None = None, *, paths: Sequence[str] = ("/srv",), hostname: str = "web"
) -> Snapshot:
    """A snapshot of that tree."""
    return Snapshot(time=(clock or FakeClock()).now(), tree=tree_id, paths=paths, hostname=hostname)


class TickingClock(FakeClock):
    """A clock that goes on a little each time it is looked at."""

    def __init__(self, tick_s: float) -> None:
        super().__init__()
        self._tick_s = tick_s

    def monotonic(self) -> float:
        """A little later than the last time."""
        self.advance(self._tick_s)
        return super().monotonic()


@dataclass(frozen=True, slots=True)
class Small:
    """A small backup: a tree of files through a session, against the newest snapshot as parent."""

    made: Sequence[Made]
    packing: PackingOptions = field(default_factory=lambda: PackingOptions(pack_bytes=16 << 10))
    tick_s: float = 0.0
    """What passes at each look at the clock: with some, index files are written now and then."""
    clock: Clock | None = None
    """Instead of one that ticks."""
    cache: Path | None = None

    async def run(self, storage: OpenStorage, processes: pool.Processes | None = None) -> int:
        """Opens the repository, backs up and commits; gives the plain bytes that were added."""
        clock = self.clock or TickingClock(self.tick_s)
        opened = await repository.open_repository(storage, SECRET, cache_directory=self.cache, clock=clock)
        async with lock.hold(opened, exclusive=False, clock=opened.clock) as held:
            await opened.load_index()
            older = await opened.snapshots()
            parent = _parent(opened, *older[-1]) if older else None
            options = WriteOptions(self.packing)
            async with writer.open_session(
                [(opened, held)], clock=opened.clock, options=options, processes=processes
            ) as writing:
                result = await writing.save_tree(MadeFeed(self.made), parent)
                committed = await writing.commit(snapshot(result.tree_id))
                return committed[0].statistics.added_bytes


def _parent(opened: Repository, snapshot_id: str, found: Snapshot) -> Parent:
    return Parent(opened, found.tree, wholeness.is_whole(opened, snapshot_id), snapshot_id)


def files(count: int = 12, *, seed: int = 1, size_bytes: int = 6000) -> list[Made]:
    """Files in two directories, of random content that no compression shrinks."""
    drawn = random.Random(seed)
    return [
        Made(f"srv/{'ab'[number % 2]}/file{number:02}", drawn.randbytes(size_bytes + number))
        for number in range(count)
    ]


async def contents(storage: OpenStorage, snapshot_id: str) -> Contents:
    """Everything that a snapshot holds, verified."""
    opened = await reopen(storage)
    return await tree_contents(opened, (await opened.load_snapshot(snapshot_id)).tree)


async def tree_contents(opened: Repository, tree_id: bytes) -> Contents:
    """Everything below a tree."""
    found: Contents = {}
    async for path, node in reader.walk(reader.Trees(opened), tree_id):
        held = bytearray()

        async def write(data: bytes, held: bytearray = held) -> None:
            held.extend(data)

        if node.type == "file":
            await dump.dump_node(opened, node, write)
        elif node.type == "symlink":
            held.extend(node.linktarget)
        else:
            held.extend(b"%d" % node.device)
        found[path] = (node.type, bytes(held))
    return found


async def all_contents(storage: OpenStorage) -> dict[str, Contents]:
    """Of every snapshot, by its id."""
    opened = await reopen(storage)
    return {name: await tree_contents(opened, found.tree) for name, found in await opened.snapshots()}


async def nodes(opened: Repository, tree_id: bytes) -> dict[bytes, tree.Node]:
    """Every node below a tree, by path."""
    return {path: node async for path, node in reader.walk(reader.Trees(opened), tree_id)}


def expected(made: Sequence[Made]) -> Contents:
    """What a snapshot of these files holds."""
    kinds = {"f": "file", "d": "dir", "l": "symlink", "c": "chardev", "b": "dev", "p": "fifo"}
    found: Contents = {}
    for each in made:
        held = {"f": each.content, "l": each.target.encode()}.get(each.type, b"%d" % each.rdev)
        found[each.path.encode()] = (kinds[each.type], held)
    return found


def write_out(storage: MemoryStorage, place: Path) -> None:
    """Lays a repository in memory out as files, for stock restic."""
    for kind in Kind:
        if kind is not Kind.CONFIG:
            (place / kind.value).mkdir(parents=True, exist_ok=True)
    for key, stored in storage.objects.items():
        path = place / key.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored)


def lock_count(storage: MemoryStorage) -> int:
    """How many locks there are."""
    return sum(key.kind is Kind.LOCK for key in storage.objects)


def copy_of(storage: MemoryStorage) -> MemoryStorage:
    """The same objects in another storage."""
    made = MemoryStorage()
    made.objects.update(storage.objects)
    return made
