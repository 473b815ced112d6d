"""The parent's trees: compared by the beginnings of their nodes, and never trusted where they cannot be read."""

from __future__ import annotations

import random

import pytest

from engine.format.ids import digest
from engine.format.tree import encode_tree, node_prefix, node_suffix
from engine.model.entry import Entry
from engine.repository import lock
from engine.repository.parents import ParentTree, ParentTrees, content_ids
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import make, reopen, session
from tests.fakes.tree_feed import Made, pieces

FILE = Made("srv/file", b"x" * 10, mtime_s=1_700_000_000).entry()
FOLDER = Made("srv/folder", type="d").entry()
ODD = Made('srv/","mode":1,"content":["x"]', b"y").entry()
SUBTREE = digest(b"subtree")
CONTENT = (digest(b"one"), digest(b"two"))


def _blob(*nodes: tuple[Entry, bytes]) -> bytes:
    return encode_tree([node_prefix(entry) + rest for entry, rest in nodes])


TREE = _blob(
    (ODD, node_suffix(((b"user.a", b'","content":["'),), 0, (CONTENT[0],), None)),
    (FILE, node_suffix((), 0, CONTENT, None)),
    (FOLDER, node_suffix((), 0, None, SUBTREE)),
)


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)


def _parent(lacking: set[bytes] | None = None) -> ParentTree:
    return ParentTree(digest(TREE), TREE, lacking or set())


@pytest.mark.parametrize("entry", [FILE, FOLDER, ODD], ids=["file", "folder", "odd name"])
def test_an_entry_that_is_the_same_is_found(entry: Entry) -> None:
    """Also one whose name looks like the rest of a node."""
    prefix = node_prefix(entry)
    assert prefix + _parent().rest_by_prefix[prefix] in TREE


@pytest.mark.parametrize(
    "changed",
    [
        FILE._replace(size=11),
        FILE._replace(mtime=b"1700000000.0000000080"),
        FILE._replace(ctime=b"1700000001.0"),
        FILE._replace(inode=FILE.inode + 1),
        FILE._replace(mode=0o600),
        FILE._replace(uid=1),
        FILE._replace(user=b"other"),
        FILE._replace(links=2),
        FILE._replace(path=b"srv/fil"),
        FILE._replace(path=b"srv/file2"),
    ],
    ids=["size", "mtime", "ctime", "inode", "mode", "owner", "name of owner", "links", "shorter", "longer"],
)
def test_an_entry_that_changed_in_anything_is_not_found(changed: Entry) -> None:
    """What is taken for unchanged is not read."""
    assert node_prefix(changed) not in _parent().rest_by_prefix


def test_a_known_name_is_told_from_a_new_one() -> None:
    """The summary counts changed and new files apart."""
    assert _parent().has_name(node_prefix(FILE._replace(size=99)))
    assert not _parent().has_name(node_prefix(FILE._replace(path=b"srv/new")))
    assert not _parent().has_name(node_prefix(FILE._replace(type="l", target=b"x")))


def test_a_folder_whose_times_changed_keeps_its_subtree() -> None:
    """A new file in a folder changes the folder's time; what is below is compared all the same."""
    assert _parent().subtree(node_prefix(FOLDER._replace(mtime=b"1800000000.0"))) == SUBTREE
    assert _parent().subtree(node_prefix(FOLDER._replace(path=b"srv/other"))) is None


def test_a_file_whose_content_is_lacking_counts_as_changed() -> None:
    """Then it is read again, and the repository is healed."""
    parent = _parent({CONTENT[1]})
    assert node_prefix(FILE) not in parent.rest_by_prefix
    assert node_prefix(ODD) in parent.rest_by_prefix


def test_content_is_read_from_a_node() -> None:
    """In order."""
    assert content_ids(node_suffix((), 0, CONTENT, None)) == list(CONTENT)
    assert content_ids(node_suffix((), 0, (), None)) == []
    assert content_ids(node_suffix((), 0, None, SUBTREE)) == []


async def _stored(opened: Repository) -> bytes:
    async with session(opened) as writing:
        tree_id = await writing.save_tree_blob(TREE)
        await writing.flush()
    return tree_id


async def test_a_tree_is_loaded_as_it_was_stored() -> None:
    """And what it refers to is looked up in each repository that is asked."""
    opened = await make(MemoryStorage())
    tree_id = await _stored(opened)
    found = await ParentTrees(opened, []).load(tree_id)
    assert found is not None
    assert found.blob == TREE
    lacking = await ParentTrees(opened, [opened.index]).load(tree_id)
    assert lacking is not None
    assert list(lacking.rest_by_prefix) == [node_prefix(FOLDER)]


async def test_a_tree_whose_content_is_there_lacks_nothing() -> None:
    """Then nothing is read again."""
    opened = await make(MemoryStorage())
    content = random.Random(1).randbytes(100)
    async with session(opened) as writing:
        stored = await writing.save_stream(pieces(content))
        tree_id = await writing.save_tree_blob(_blob((FILE, node_suffix((), 0, stored.content, None))))
        await writing.flush()
    found = await ParentTrees(opened, [opened.index]).load(tree_id)
    assert found is not None
    assert list(found.rest_by_prefix) == [node_prefix(FILE)]


async def test_a_tree_that_nobody_knows_is_none() -> None:
    """Its files are read."""
    parents = ParentTrees(await make(MemoryStorage()), [])
    assert await parents.load(b"\1" * 32) is None
    assert parents.damaged == set()


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
async def test_a_tree_that_cannot_be_read_is_none_and_noted(damage: str) -> None:
    """Its files are read again, and it is stored again."""
    storage = MemoryStorage()
    tree_id = await _stored(await make(storage))
    key = next(key for key in storage.objects if key.kind is Kind.PACK)
    stored = storage.objects.pop(key)
    if damage != "missing":
        storage.objects[key] = stored[:40] if damage == "cut" else bytes([stored[0] ^ 1]) + stored[1:]
    parents = ParentTrees(await reopen(storage), [])
    assert await parents.load(tree_id) is None
    assert parents.damaged == {tree_id}
    assert Key(Kind.CONFIG) in storage.objects
