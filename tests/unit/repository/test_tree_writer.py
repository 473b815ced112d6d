"""Trees of files through a session: what is read again, what is taken over, and what becomes of files that do not hold still."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator, Sequence

import pytest

from engine.errors import HostileListingError
from engine.model.entry import Failure, Fetched
from engine.repository import lock
from engine.repository.repository import Repository
from engine.repository.tree_parts import FileKey
from engine.repository.writer import Parent
from engine.storages.base import Kind
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import (
    expected,
    files,
    make,
    nodes,
    reopen,
    session,
    snapshot,
    tree_contents,
)  # fmt: skip
from tests.fakes.tree_feed import Made, MadeFeed, changed, directories

TREE = directories(
    *files(7),
    Made("srv/a/link", type="l", target="../b"),
    Made("srv/a/empty"),
    Made("srv/empty-folder", type="d", mode=0o700),
    Made("srv/long", random.Random(5).randbytes(1_300_000)),
    Made("srv/null", type="c", rdev=0x103),
)


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)


@dataclasses.dataclass(slots=True)
class Written:
    """A tree as it was stored."""

    tree_id: bytes
    feed: MadeFeed
    counts: tuple[int, int, int]
    """Files new, changed and unmodified."""
    failures: list[tuple[bytes, str]]
    added_bytes: int


async def _write(opened: Repository, made: Sequence[Made], parent: bytes | None = None) -> Written:
    feed = MadeFeed(made)
    async with session(opened) as writing:
        result = await writing.save_tree(feed, Parent(opened, parent) if parent else None)
        committed = await writing.commit(snapshot(result.tree_id))
    counts = result.counts
    return Written(
        result.tree_id,
        feed,
        (counts.files_new, counts.files_changed, counts.files_unmodified),
        [(failure.path, failure.reason) for failure in result.failures],
        committed[0].statistics.added_bytes,
    )


@pytest.fixture
async def opened() -> Repository:
    """A new repository in memory."""
    return await make(MemoryStorage())


async def test_a_tree_comes_back_as_it_was(opened: Repository) -> None:
    """Files, folders, links and devices, empty or long."""
    written = await _write(opened, TREE)
    assert await tree_contents(opened, written.tree_id) == expected(TREE)
    assert written.counts == (9, 0, 0)
    assert written.failures == []


async def test_an_empty_source_is_an_empty_tree(opened: Repository) -> None:
    """A folder that is still empty is no error."""
    written = await _write(opened, [])
    assert await tree_contents(opened, written.tree_id) == {}


async def test_an_unchanged_tree_is_not_read(opened: Repository) -> None:
    """A million unchanged files must cost a listing and nothing else."""
    first = await _write(opened, TREE)
    second = await _write(opened, TREE, first.tree_id)
    assert second.feed.wanted == []
    assert (second.tree_id, second.added_bytes) == (first.tree_id, 0)
    assert second.counts == (0, 0, 9)


async def test_only_what_changed_is_read(opened: Repository) -> None:
    """The nightly backup reads what the day changed."""
    first = await _write(opened, TREE)
    made = [
        *changed(TREE, "srv/a/file02", content=b"new words", mtime_s=1_700_000_001),
        Made("srv/new", b"new"),
    ]
    second = await _write(opened, directories(*made), first.tree_id)
    assert second.feed.wanted == [b"srv/a/file02", b"srv/new"]
    assert second.counts == (1, 1, 8)
    assert await tree_contents(opened, second.tree_id) == expected(directories(*made))


@pytest.mark.parametrize(
    "fields",
    [{"mtime_s": 1}, {"inode": 77}, {"mode": 0o600}, {"listed_bytes": 1}],
    ids=["time", "inode", "mode", "size"],
)
async def test_each_sign_of_change_is_enough(opened: Repository, fields: dict[str, int]) -> None:
    """A file that was replaced by one of the same size must not be taken for the old one."""
    first = await _write(opened, TREE)
    second = await _write(opened, changed(TREE, "srv/a/file02", **fields), first.tree_id)
    assert second.feed.wanted == [b"srv/a/file02"]


async def test_what_was_deleted_is_gone_and_the_rest_is_not_read(opened: Repository) -> None:
    """A file that was deleted must not live on in later backups."""
    first = await _write(opened, TREE)
    made = [each for each in TREE if each.path != "srv/a/file02"]
    second = await _write(opened, made, first.tree_id)
    assert second.feed.wanted == []
    assert await tree_contents(opened, second.tree_id) == expected(made)


async def test_the_names_of_one_inode_are_read_once_and_all_kept(opened: Repository) -> None:
    """Hard links must not make a backup larger, nor lose a name."""
    one = Made("srv/one", b"content", inode=5, links=3)
    made = directories(
        one, dataclasses.replace(one, path="srv/two"), dataclasses.replace(one, path="srv/z/three")
    )
    written = await _write(opened, made)
    assert len({b"srv/one", b"srv/two", b"srv/z/three"}.intersection(written.feed.wanted)) == 1
    assert await tree_contents(opened, written.tree_id) == expected(made)


async def test_two_names_of_a_device_keep_its_number(opened: Repository) -> None:
    """tar sends no number with the second name; without it the restored device would be another."""
    one = Made("srv/one", type="c", rdev=0x501, inode=5, links=2)
    made = directories(one, dataclasses.replace(one, path="srv/two"))
    written = await _write(opened, made)
    assert await tree_contents(opened, written.tree_id) == expected(made)


@pytest.mark.parametrize("listed_bytes", [3, 4000], ids=["grew", "shrank"])
@pytest.mark.parametrize("size_bytes", [1000, 700_000], ids=["small", "long"])
async def test_the_size_is_that_of_what_was_read(
    opened: Repository, listed_bytes: int, size_bytes: int
) -> None:
    """A node whose size lies restores to a file that is cut or padded."""
    one = Made("srv/log", b"x" * size_bytes, listed_bytes=listed_bytes, inode=5, links=2)
    made = directories(one, dataclasses.replace(one, path="srv/same"))
    written = await _write(opened, made)
    found = await nodes(opened, written.tree_id)
    assert [found[path].size for path in (b"srv/log", b"srv/same")] == [size_bytes] * 2
    again = await _write(opened, made, written.tree_id)
    assert b"srv/log" in again.feed.wanted


async def test_what_vanished_is_left_out_and_named(opened: Repository) -> None:
    """Temporary files come and go; the backup says which it did not get."""
    made = directories(*TREE, Made("srv/a/gone", b"x", is_vanished=True))
    written = await _write(opened, made)
    assert written.failures == [(b"srv/a/gone", "vanished")]
    assert written.counts == (9, 0, 0)
    assert await tree_contents(opened, written.tree_id) == expected(TREE)


@pytest.mark.parametrize(
    ("path", "found_type"),
    [("srv/a/file00", "l"), ("srv/a/file00", "d"), ("srv/a/link", "f"), ("srv/a", "l"), ("srv/null", "p")],
)
async def test_what_another_thing_took_the_place_of_is_named(
    opened: Repository, path: str, found_type: str
) -> None:
    """A file that became a link was kept as an empty one, and the backup called whole."""
    made = changed(TREE, path, found_type=found_type)
    written = await _write(opened, made)
    assert written.failures == [(path.encode(), "vanished")]
    found = await tree_contents(opened, written.tree_id)
    is_kept = path == "srv/a"  # the folder itself, for what was read in it
    assert found == {
        each: content for each, content in expected(TREE).items() if is_kept or each != path.encode()
    }
    again = await _write(opened, TREE, written.tree_id)
    assert await tree_contents(opened, again.tree_id) == expected(TREE)


def _two_names() -> list[Made]:
    one = Made("srv/one", b"content", inode=5, links=2)
    return directories(one, dataclasses.replace(one, path="srv/two"), Made("srv/other", b"other"))


class _Spoiling(MadeFeed):
    """A feed that fills files with zeros, and says so."""

    def __init__(self, made: Sequence[Made], *spoiled: bytes) -> None:
        super().__init__(made)
        self._spoiled = spoiled

    def failures(self) -> Sequence[Failure]:
        return [Failure(path, "changed", "words", is_spoiled=True) for path in self._spoiled]


async def test_a_spoiled_file_is_known_by_all_its_names(opened: Repository) -> None:
    """What was read by one name stands for the others too."""
    async with session(opened) as writing:
        result = await writing.save_tree(_Spoiling(_two_names(), b"srv/one"), None)
    assert set(result.spoiled) == {b"srv/one", (64769, 5)}


@pytest.mark.parametrize("key", [b"srv/one", (64769, 5)], ids=["by path", "by inode"])
async def test_what_is_doubted_is_read_again_and_all_else_is_not(opened: Repository, key: FileKey) -> None:
    """The parent has zeros in its place."""
    first = await _write(opened, _two_names())
    feed = MadeFeed(_two_names())
    async with session(opened) as writing:
        again = await writing.save_tree(feed, Parent(opened, first.tree_id), doubted={key})
        await writing.commit(snapshot(again.tree_id))
    assert feed.wanted == [b"srv/one"]
    assert again.tree_id == first.tree_id


async def test_what_is_left_out_is_named_by_all_its_names(opened: Repository) -> None:
    """A backup that lacks a file must not call itself complete."""
    first = await _write(opened, _two_names())
    async with session(opened) as writing:
        left_out: set[FileKey] = {b"srv/one", (64769, 5)}
        again = await writing.save_tree(MadeFeed(_two_names()), Parent(opened, first.tree_id), left_out)
        await writing.commit(snapshot(again.tree_id))
    assert [(each.path, each.reason) for each in again.failures] == [
        (b"srv/one", "unreadable"),
        (b"srv/two", "unreadable"),
    ]
    assert set(await tree_contents(opened, again.tree_id)) == {b"srv", b"srv/other"}


async def test_a_folder_that_vanished_takes_nothing_with_it(opened: Repository) -> None:
    """Its own attributes are lost, the files that were read are not."""
    made = changed(directories(*files(4)), "srv/a", is_vanished=True)
    written = await _write(opened, made)
    assert (b"srv/a", "vanished") in written.failures
    found = await tree_contents(opened, written.tree_id)
    assert found[b"srv/a/file00"] == ("file", made[2].content)


async def test_every_name_of_a_vanished_inode_is_named(opened: Repository) -> None:
    """The other names were to be read by the first one: a backup without them must not call itself complete."""
    one = Made("srv/one", b"content", inode=5, links=2, is_vanished=True)
    made = directories(one, dataclasses.replace(one, path="srv/two"))
    written = await _write(opened, made)
    assert [path for path, _ in written.failures] == [b"srv/one", b"srv/two"]
    assert written.counts == (0, 0, 0)


async def test_a_name_that_is_listed_twice_is_kept_once(opened: Repository) -> None:
    """A file that is renamed while the folder is listed may come twice; restic refuses trees with doubles."""
    made = [*directories(Made("srv/one", b"content")), Made("srv/one", b"content")]
    written = await _write(opened, made)
    assert await tree_contents(opened, written.tree_id) == expected(made)


async def test_attributes_are_kept_and_taken_over(opened: Repository) -> None:
    """ACLs of files and folders, in the host's order."""
    marks = ((b"user.z", b"1"), (b"user.a", b"\0\xff"))
    made = changed(changed(TREE, "srv/a", xattrs=marks), "srv/a/file00", xattrs=marks)
    first = await _write(opened, made)
    second = await _write(opened, made, first.tree_id)
    for tree_id in (first.tree_id, second.tree_id):
        found = await nodes(opened, tree_id)
        assert [found[path].extended_attributes for path in (b"srv/a", b"srv/a/file00")] == [marks] * 2


class _Hostile(MadeFeed):
    """A host that lies."""

    def __init__(self, made: Sequence[Made], sends: bytes | None = None) -> None:
        super().__init__(made)
        self._sends = sends

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        async for batch in super().contents():
            yield [each._replace(path=self._sends) if self._sends else each for each in batch]


@pytest.mark.parametrize(
    "made",
    [
        [Made("srv/a/file", b"x")],
        [Made("srv", type="d"), Made("other/file", b"x")],
        [Made("srv", type="d"), Made("srv/a", type="d"), Made("srv/b/file", b"x")],
    ],
    ids=["no folder", "elsewhere", "folder not listed"],
)
async def test_a_listing_out_of_order_is_refused(opened: Repository, made: list[Made]) -> None:
    """A host that lists what cannot be must not make a tree that nobody listed."""
    with pytest.raises(HostileListingError, match="outside of the order"):
        async with session(opened) as writing:
            await writing.save_tree(MadeFeed(made), None)


async def test_content_that_nobody_asked_for_is_refused(opened: Repository) -> None:
    """A host must not choose under which name its bytes are kept."""
    with pytest.raises(HostileListingError, match="was not asked for"):
        async with session(opened) as writing:
            await writing.save_tree(_Hostile(TREE, sends=b"etc/passwd"), None)


async def test_a_damaged_tree_of_the_parent_is_written_anew() -> None:
    """A bit that flipped in last night's backup must not be inherited by all the nights to come."""
    storage = MemoryStorage()
    first = await _write(await make(storage), TREE)
    damaged = await reopen(storage)
    place = damaged.index.lookup("tree", first.tree_id)
    assert place is not None
    _flip(storage, place.pack, place.offset + 30)
    second = await _write(damaged, TREE, first.tree_id)
    assert await tree_contents(await reopen(storage), second.tree_id) == expected(TREE)


async def test_a_parent_whose_trees_are_gone_is_read_anew() -> None:
    """A pack that was lost with its index costs a full reading, and no file."""
    storage = MemoryStorage()
    first = await _write(await make(storage), TREE)
    for key in [key for key in storage.objects if key.kind in (Kind.PACK, Kind.INDEX)]:
        del storage.objects[key]
    second = await _write(await reopen(storage), TREE, first.tree_id)
    assert await tree_contents(await reopen(storage), second.tree_id) == expected(TREE)


async def test_content_that_one_of_two_repositories_lacks_is_read_again() -> None:
    """The new second storage gets everything, though the first has it all."""
    old, new = MemoryStorage(), MemoryStorage()
    first = await _write(await make(old), TREE)
    feed = MadeFeed(TREE)
    with_all, with_none = await reopen(old), await make(new)
    async with session(with_all, with_none) as writing:
        result = await writing.save_tree(feed, Parent(with_all, first.tree_id))
        committed = await writing.commit(snapshot(result.tree_id))
    assert {each.path.encode() for each in TREE if each.content} == set(feed.wanted)
    assert committed[0].statistics.added_bytes == 0
    assert await tree_contents(await reopen(new), result.tree_id) == expected(TREE)


def _flip(storage: MemoryStorage, pack_id: bytes, offset: int) -> None:
    key = next(key for key in storage.objects if key.name == pack_id.hex())
    stored = bytearray(storage.objects[key])
    stored[offset] ^= 1
    storage.objects[key] = bytes(stored)
