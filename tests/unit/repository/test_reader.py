"""Walking and listing what snapshots hold."""

from __future__ import annotations

import datetime

import pytest

from engine.errors import DamagedError, PathMissingError, UnknownSnapshotError
from engine.repository import find, patterns, reader
from engine.repository.reader import Named, SnapshotFilter, Trees
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind, Traits
from tests.fakes.crafted import WHEN, Crafted
from tests.fakes.memory_storage import MemoryStorage


class CountingStorage(MemoryStorage):
    """Counts how often packs are read."""

    def __init__(self) -> None:
        super().__init__(traits=Traits(local_path=None))
        self.pack_reads = 0

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Counts, then reads."""
        self.pack_reads += key.kind is Kind.PACK
        return await super().get(key, offset, length)


@pytest.fixture
def storage() -> CountingStorage:
    """In the place of the plain one."""
    return CountingStorage()


async def _simple(opened: Repository) -> Named:
    crafted = Crafted(opened)
    inner = await crafted.folder(b"inner", [await crafted.file(b"deep", b"deep")])
    folder = await crafted.folder(b"folder", [await crafted.file(b"a", b"a"), inner])
    return await crafted.commit([folder, await crafted.file(b"last", b"last")])


async def test_a_walk_goes_depth_first_in_the_trees_order(opened: Repository) -> None:
    """Listings and restores show files as people expect them."""
    named = await _simple(opened)
    paths = [each.path async for each in reader.walk(Trees(opened), named.snapshot.tree)]
    assert paths == [b"folder", b"folder/a", b"folder/inner", b"folder/inner/deep", b"last"]


async def test_a_listing_reads_no_tree_that_it_does_not_show(
    opened: Repository, storage: CountingStorage
) -> None:
    """A folder of ten thousand folders is listed for what is in it, not for what is in those."""
    crafted = Crafted(opened)
    folders = [await crafted.folder(name, [await crafted.file(name, name)]) for name in (b"1", b"2", b"3")]
    named = await crafted.commit(folders)
    storage.pack_reads = 0
    assert [each.path async for each in reader.ls(opened, named.snapshot)] == [b"1", b"2", b"3"]
    assert storage.pack_reads == 1


@pytest.mark.parametrize(
    ("path", "is_recursive", "expected"),
    [
        (b"", False, [b"folder", b"last"]),
        (b"/folder/", False, [b"folder/a", b"folder/inner"]),
        (b"folder", True, [b"folder/a", b"folder/inner", b"folder/inner/deep"]),
        (b"folder/a", False, [b"folder/a"]),
    ],
)
async def test_ls_shows_what_lies_at_a_path(
    opened: Repository, path: bytes, is_recursive: bool, expected: list[bytes]
) -> None:
    """The way to find out what to restore."""
    named = await _simple(opened)
    found = [each.path async for each in reader.ls(opened, named.snapshot, path, is_recursive=is_recursive)]
    assert found == expected


async def test_a_path_that_is_not_there_is_named(opened: Repository) -> None:
    """A typing mistake must not look like an empty folder."""
    named = await _simple(opened)
    with pytest.raises(PathMissingError, match="holds no folder/b"):
        await reader.find_node(Trees(opened), named.snapshot, b"folder/b")


async def test_a_damaged_tree_hides_only_what_is_in_it(opened: Repository, storage: CountingStorage) -> None:
    """The rest of a backup stays within reach."""
    crafted = Crafted(opened)
    broken = await crafted.folder(b"broken", [await crafted.file(b"lost", b"lost")])
    named = await crafted.commit([broken, await crafted.file(b"safe", b"safe")])
    assert broken.subtree is not None
    location = opened.index.lookup("tree", broken.subtree)
    assert location is not None
    key = Key(Kind.PACK, location.pack.hex())
    storage.objects[key] = storage.objects[key][:20] + b"damage" + storage.objects[key][26:]
    damaged: list[bytes] = []
    walked = reader.walk(
        Trees(opened), named.snapshot.tree, on_damaged=lambda path, _error: damaged.append(path)
    )
    assert [each.path async for each in walked] == [b"broken", b"safe"]
    assert damaged == [b"broken"]
    with pytest.raises(DamagedError, match=broken.subtree.hex()):
        [each async for each in reader.walk(Trees(opened), named.snapshot.tree)]


async def test_the_newest_of_those_that_match_is_latest(opened: Repository) -> None:
    """`latest` means the latest of that host and tag."""
    crafted = Crafted(opened)
    ids = [
        (await crafted.commit([], hostname=host, time=WHEN + datetime.timedelta(days=day), tags=tags)).id
        for day, (host, tags) in enumerate([("one", ("x",)), ("one", ()), ("two", ("x", "y"))])
    ]

    async def latest(**wanted: tuple[str, ...]) -> str:
        return (await reader.find_snapshot(opened, "latest", SnapshotFilter(**wanted))).id  # type: ignore[arg-type]

    assert await latest() == ids[2]
    assert await latest(hostnames=("one",)) == ids[1]
    assert await latest(hostnames=("one",), tags=("x",)) == ids[0]
    with pytest.raises(UnknownSnapshotError):
        await latest(tags=("z",))


async def test_find_reads_a_tree_once_however_many_snapshots_share_it(
    opened: Repository, storage: CountingStorage
) -> None:
    """A search through a year of daily backups must not read a year of trees."""
    crafted = Crafted(opened)
    folder = await crafted.folder(b"folder", [await crafted.file(b"wanted.txt", b"same")])
    snapshots = [
        await crafted.commit([folder, await crafted.file(b"other", b"%d" % day)]) for day in range(5)
    ]
    storage.pack_reads = 0
    pattern = patterns.Pattern.parse(b"wanted.*")
    found = [(each.snapshot.id, each.path) async for each in find.find(opened, snapshots, pattern)]
    assert found == [(each.id, b"folder/wanted.txt") for each in snapshots]
    assert storage.pack_reads == 6


async def test_find_by_an_exact_path_does_not_look_elsewhere(
    opened: Repository, storage: CountingStorage
) -> None:
    """The history of one file is asked for often."""
    crafted = Crafted(opened)
    folders = [await crafted.folder(name, [await crafted.file(b"file", name)]) for name in (b"a", b"b", b"c")]
    named = await crafted.commit(folders)
    storage.pack_reads = 0
    pattern = patterns.Pattern.parse(patterns.escape(b"b/file"))
    assert [each.path async for each in find.find(opened, [named], pattern)] == [b"b/file"]
    assert storage.pack_reads == 2
