"""Restoring: what is written, what is left alone, and that nothing leaves the target."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import PathMissingError, RefusedError
from engine.format import tree
from engine.format.tree import Node
from engine.repository import repository, restore, restore_plan
from engine.repository.patterns import Selection
from engine.repository.restore import RestoreOptions
from engine.storages.base import Key, Kind
from tests.fakes.crafted import MTIME, Crafted, link
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.servers.tree_compare import describe
from tests.unit.repository.conftest import PASSWORD, POLYNOMIAL, QUICK
from tests.unit.repository.restore import restoring

pytestmark = pytest.mark.slow
"""Each restore starts worker processes."""

MTIME_NS = 1_714_979_289_123_456_789
_DEFAULT_ACL = bytes.fromhex(
    "02000000 01000700ffffffff 0200070001000000 04000700ffffffff 10000700ffffffff 20000000ffffffff"
)
"""user::rwx,user:1:rwx,group::rwx,mask::rwx,other::---"""


async def _tree(crafted: Crafted) -> list[Node]:
    inner = await crafted.folder(b"inner", [await crafted.file(b"deep", b"de", b"ep")], mode=0o700)
    folder = await crafted.folder(b"folder", [await crafted.file(b"a", b"a"), inner], mode=0o1777)
    return [folder, await crafted.file(b"last", b"last"), link(b"link", b"nowhere")]


async def test_a_tree_comes_back(crafted: Crafted, target: Path) -> None:
    """What it is all for."""
    tally = await restoring.run(crafted, await _tree(crafted), target, is_verifying=True)
    assert tally.failures == []
    assert restoring.content(target) == {
        "folder/a": "a",
        "folder/inner/deep": "deep",
        "last": "last",
        "link": "-> nowhere",
    }
    facts = describe(target)
    assert (facts[b"folder"].mode, facts[b"folder/inner"].mode) == ("01777", "00700")
    assert {facts[path].mtime_ns for path in facts if path != b"."} == {MTIME_NS}
    assert (tally.restored_files, tally.directories, tally.done_bytes) == (4, 2, 9)


@pytest.mark.parametrize("has_old", [False, True], ids=["new", "over"])
async def test_modes_are_restored_to_the_bit(crafted: Crafted, target: Path, has_old: bool) -> None:
    """Neither this process's umask nor what was there before may add or take any."""
    modes = [0o000, 0o400, 0o666, 0o777, 0o1644, 0o2755, 0o4711]
    mine = Node(b"", "file", mtime=MTIME, uid=os.getuid(), gid=os.getgid())
    files = [
        await crafted.file(b"%04o" % mode, b"content", node=replace(mine, mode=tree.go_mode("f", mode)))
        for mode in modes
    ]
    if has_old:
        await restoring.run(crafted, [await crafted.folder(b"folder", [])], target)
    tally = await restoring.run(crafted, [await crafted.folder(b"folder", files)], target)
    assert tally.failures == []
    found = {path.name: path.stat().st_mode & 0o7777 for path in (target / "folder").iterdir()}
    assert found == {f"{mode:04o}": mode for mode in modes}


async def test_nothing_is_handed_down_by_the_target(crafted: Crafted, target: Path) -> None:
    """A directory may give some user access to all that is made in it; what is restored is as it was, and no more open than that."""
    target.mkdir()
    os.setxattr(target, "system.posix_acl_default", _DEFAULT_ACL)
    fifo = Node(b"fifo", "fifo", tree.go_mode("p", 0o660), mtime=MTIME)
    nodes = [await crafted.folder(b"a", [await crafted.file(b"in", b"in"), fifo]), fifo]
    long = await crafted.file(b"long", *[bytes(8 << 20)] * 5)
    tally = await restoring.run(crafted, [*nodes, long, await crafted.file(b"new", b"new")], target)
    assert tally.failures == []
    assert {path.name: os.listxattr(path) for path in target.rglob("*") if os.listxattr(path)} == {}


async def test_a_target_may_have_any_name(crafted: Crafted, target: Path) -> None:
    """Old file systems hold names in old encodings."""
    odd = target / os.fsdecode(b"caf\xe9 \xff")
    await restoring.run(crafted, await _tree(crafted), odd)
    assert len(restoring.content(odd)) == 4


# Hostile trees.

HOSTILE_NAMES = [b"../beside/precious", b"/etc/passwd", b"..", b".", b"", b"a/b", b"nul\0name"]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
async def test_a_name_that_leads_out_is_refused_and_the_rest_restored(
    crafted: Crafted, target: Path, name: bytes, kind: str
) -> None:
    """A repository that someone else wrote must not write where it likes."""
    subtree = await crafted.tree([await crafted.file(b"precious", b"spoiled")])
    evil = Node(
        name, kind, subtree=subtree if kind == "dir" else None, linktarget=b"x" if kind == "symlink" else b""
    )
    if kind == "file":
        evil = await crafted.file(name, b"spoiled", node=evil)
    tally = await restoring.run(crafted, [evil, await crafted.file(b"good", b"good")], target)
    assert restoring.content(target.parent / "beside") == {"precious": "precious"}
    assert restoring.content(target) == {"good": "good"}
    assert [failure.message[:28] for failure in tally.failures] == ["it holds the impossible name"]


async def test_nothing_is_written_through_a_link_of_the_same_name(crafted: Crafted, target: Path) -> None:
    """First a link that leads out, then a directory of its name: the oldest trick there is."""
    spoiled = await crafted.folder(b"x", [await crafted.file(b"precious", b"spoiled")])
    tally = await restoring.run(crafted, [link(b"x", b"../beside"), spoiled], target)
    assert restoring.content(target.parent / "beside") == {"precious": "precious"}
    assert restoring.content(target) == {"x": "-> ../beside"}
    assert [failure.path for failure in tally.failures] == [b"x"]


async def test_nothing_is_written_through_a_link_that_lies_in_the_target(
    crafted: Crafted, target: Path
) -> None:
    """It is replaced by the directory that the backup has, and what it points at stays."""
    target.mkdir()
    (target / "x").symlink_to("../beside")
    folder = await crafted.folder(b"x", [await crafted.file(b"precious", b"restored")])
    tally = await restoring.run(crafted, [folder], target)
    assert tally.failures == []
    assert restoring.content(target.parent / "beside") == {"precious": "precious"}
    assert restoring.content(target) == {"x/precious": "restored"}


async def test_a_link_in_the_way_is_left_where_nothing_may_be_overwritten(
    crafted: Crafted, target: Path
) -> None:
    """Never means never, and it is not followed either."""
    target.mkdir()
    (target / "x").symlink_to("../beside")
    folder = await crafted.folder(b"x", [await crafted.file(b"precious", b"restored")])
    tally = await restoring.run(crafted, [folder], target, overwrite="never")
    assert [failure.path for failure in tally.failures] == [b"x"]
    assert restoring.content(target.parent / "beside") == {"precious": "precious"}


async def test_one_name_twice_under_two_spellings_is_seen(crafted: Crafted, target: Path) -> None:
    """Quoting can write one name in several ways."""
    first = tree.encode_node(await crafted.file(b"a", b"first"))
    second = tree.encode_node(await crafted.file(b"a", b"second")).replace(b'"name":"a"', rb'"name":"\\x61"')
    tally = await restoring.run(crafted, await crafted.raw_tree(tree.encode_tree([first, second])), target)
    assert restoring.content(target) == {"a": "first"}
    assert len(tally.failures) == 1


async def test_a_size_that_lies_is_told(crafted: Crafted, target: Path) -> None:
    """The content is what its blobs say, but someone should look."""
    liar = await crafted.file(b"liar", b"five!", node=Node(b"", "file", 0o644, size=10**12))
    tally = await restoring.run(crafted, [liar], target)
    assert restoring.content(target) == {"liar": "five!"}
    assert [failure.message for failure in tally.failures] == [
        "it holds 5 bytes, but the backup says 1000000000000"
    ]


async def test_an_uncompressed_length_that_lies_spoils_no_other_blob(crafted: Crafted, target: Path) -> None:
    """restic's own check passes it, and its restore writes what follows to the wrong place."""
    text = b"compressible " * 100
    await crafted.blob(text, claimed_length=len(text) - 5)
    liar = await crafted.file(b"liar", text, b"tail")
    tally = await restoring.run(crafted, [await crafted.file(b"good", b"tail"), liar], target)
    assert restoring.content(target) == {"good": "tail"}
    assert [failure.path for failure in tally.failures] == [b"liar"]


@pytest.mark.parametrize(
    ("second", "is_linked"),
    [
        ({"inode": 5, "device_id": 6}, True),
        ({"inode": 5, "device_id": 7}, False),
        ({"inode": 0, "device_id": 6}, False),
        ({"inode": 5, "device_id": 0}, False),
    ],
)
async def test_only_what_was_one_file_becomes_one_file(
    crafted: Crafted, target: Path, second: dict[str, int], is_linked: bool
) -> None:
    """Two names of one file share every later change."""
    first = Node(b"", "file", 0o644, inode=5, device_id=6, links=2)
    nodes = [
        await crafted.file(b"a", b"same", node=first),
        await crafted.file(b"b", b"same", node=replace(first, **second)),  # type: ignore[arg-type]
    ]
    tally = await restoring.run(crafted, nodes, target)
    assert (target / "a").samefile(target / "b") is is_linked
    assert (tally.failures, tally.linked_files) == ([], int(is_linked))


async def test_files_that_share_an_inode_but_not_the_content_stay_apart(
    crafted: Crafted, target: Path
) -> None:
    """restic restores both as the first: silent damage that its check does not see."""
    linked = Node(b"", "file", 0o644, inode=5, device_id=6, links=2)
    nodes = [await crafted.file(name, b"content of " + name, node=linked) for name in (b"a", b"b")]
    await restoring.run(crafted, nodes, target)
    assert restoring.content(target) == {"a": "content of a", "b": "content of b"}


async def test_links_of_a_file_that_cannot_be_restored_are_still_tried(
    crafted: Crafted, target: Path
) -> None:
    """Each name gets its chance, and each failure its line."""
    linked = Node(b"", "file", 0o644, inode=5, device_id=6, links=3)
    nodes = [await crafted.file(name, b"same", node=linked) for name in (b"a", b"b", b"c")]
    target.mkdir()
    (target / "a").mkdir()
    (target / "a" / "in the way").touch()
    tally = await restoring.run(crafted, nodes, target)
    assert [failure.path for failure in tally.failures] == [b"a"]
    assert (target / "b").samefile(target / "c")


# What is there already.


async def test_only_what_differs_is_fetched(crafted: Crafted, target: Path) -> None:
    """A restore over an almost equal file costs the difference."""
    chunks = [bytes([number]) * 1000 for number in range(8)]
    nodes = [await crafted.file(b"f", *chunks)]
    target.mkdir()
    (target / "f").write_bytes(b"".join(chunks[:3]) + b"X" * 1000 + b"".join(chunks[4:]))
    tally = await restoring.run(crafted, nodes, target)
    assert (target / "f").read_bytes() == b"".join(chunks)
    assert (tally.fetched_bytes, tally.done_bytes, tally.restored_files) == (1000, 8000, 1)


async def test_what_is_equal_is_left_and_gets_its_metadata(crafted: Crafted, target: Path) -> None:
    """The second restore of the same does nothing but look."""
    nodes = await _tree(crafted)
    await restoring.run(crafted, nodes, target)
    inode = (target / "last").stat().st_ino
    (target / "last").chmod(0o777)
    os.utime(target / "last", ns=(0, 0))
    tally = await restoring.run(crafted, nodes, target)
    assert (tally.unchanged_files, tally.fetched_bytes, tally.failures) == (3, 0, [])
    found = (target / "last").stat()
    assert (found.st_ino, found.st_mode & 0o777, found.st_mtime_ns) == (inode, 0o644, MTIME_NS)


@pytest.mark.parametrize(
    ("overwrite", "expected"), [("always", "abcd"), ("if-changed", "same"), ("never", "same")]
)
async def test_equal_size_and_time_are_believed_when_asked(
    crafted: Crafted, target: Path, overwrite: str, expected: str
) -> None:
    """if-changed saves reading what is there; always trusts nothing."""
    target.mkdir()
    (target / "f").write_text("same")
    os.utime(target / "f", ns=(MTIME_NS, MTIME_NS))
    nodes = [await crafted.file(b"f", b"abcd", node=Node(b"", "file", 0o644, mtime=MTIME))]
    await restoring.run(crafted, nodes, target, overwrite=overwrite)
    assert restoring.content(target) == {"f": expected}


async def test_never_leaves_files_and_directories_as_they_are(crafted: Crafted, target: Path) -> None:
    """To bring back only what was lost."""
    (target / "folder").mkdir(parents=True, mode=0o711)
    (target / "last").write_text("mine")
    tally = await restoring.run(crafted, await _tree(crafted), target, overwrite="never")
    assert restoring.content(target)["last"] == "mine"
    assert (target / "folder" / "a").read_text() == "a"
    assert (target / "folder").stat().st_mode & 0o7777 == 0o711
    assert (tally.kept_files, tally.failures) == (1, [])


async def test_a_restored_file_leaves_other_names_of_the_old_one_alone(
    crafted: Crafted, target: Path
) -> None:
    """A hard link to somewhere else must not carry the restore there."""
    target.mkdir()
    (target / "f").hardlink_to(target.parent / "beside" / "precious")
    await restoring.run(crafted, [await crafted.file(b"f", b"precious")], target)
    assert not (target / "f").samefile(target.parent / "beside" / "precious")
    assert (target.parent / "beside" / "precious").stat().st_mtime_ns != MTIME_NS


async def test_deleting_removes_what_the_backup_does_not_hold(crafted: Crafted, target: Path) -> None:
    """The target becomes the backup."""
    nodes = await _tree(crafted)
    (target / "folder" / "extra").mkdir(parents=True)
    (target / "folder" / "extra" / "file").touch()
    (target / "a link").symlink_to("../beside")
    tally = await restoring.run(crafted, nodes, target, is_deleting=True)
    assert tally.deleted == 3
    assert sorted(restoring.content(target)) == ["folder/a", "folder/inner/deep", "last", "link"]
    assert restoring.content(target.parent / "beside") == {"precious": "precious"}


async def test_deleting_stays_within_the_selection(crafted: Crafted, target: Path) -> None:
    """Who restores one folder does not want the others emptied."""
    for name in ("folder", "elsewhere"):
        (target / name).mkdir(parents=True)
        (target / name / "extra").touch()
        (target / name / "extra.keep").touch()
    selection = Selection.parse(["/folder"], ["*.keep"])
    tally = await restoring.run(crafted, await _tree(crafted), target, is_deleting=True, selection=selection)
    assert tally.deleted == 1
    expected = [
        "elsewhere/extra",
        "elsewhere/extra.keep",
        "folder/a",
        "folder/extra.keep",
        "folder/inner/deep",
    ]
    assert sorted(restoring.content(target)) == expected


async def test_deleting_at_the_root_of_the_file_system_is_refused(crafted: Crafted) -> None:
    """It would end the machine."""
    named = await crafted.commit([])
    for path in ("/", "//", "/usr/.."):
        with pytest.raises(RefusedError):
            await restore.restore(crafted.repository, named.snapshot, RestoreOptions(path, is_deleting=True))


async def test_a_damaged_tree_deletes_nothing_below(crafted: Crafted, target: Path) -> None:
    """What cannot be read does not say that nothing is there."""
    subtree = await crafted.raw_tree(b'{"nodes":[{"broken')
    (target / "folder").mkdir(parents=True)
    (target / "folder" / "mine").touch()
    tally = await restoring.run(crafted, [Node(b"folder", "dir", subtree=subtree)], target, is_deleting=True)
    assert (target / "folder" / "mine").exists()
    assert [failure.path for failure in tally.failures] == [b"folder"]


# Selections.


@pytest.mark.parametrize(
    ("includes", "excludes", "expected"),
    [
        (["deep"], [], ["folder/inner/deep"]),
        (["/folder/inner"], [], ["folder/inner/deep"]),
        ([], ["inner"], ["folder/a", "last", "link"]),
        (["/folder"], ["deep"], ["folder/a"]),
        (["l*"], [], ["last", "link"]),
        (["nothing"], [], []),
    ],
)
async def test_only_what_is_meant_is_restored(
    crafted: Crafted, target: Path, includes: list[str], excludes: list[str], expected: list[str]
) -> None:
    """And no empty folders on the way to nothing."""
    selection = Selection.parse(includes, excludes)
    tally = await restoring.run(crafted, await _tree(crafted), target, selection=selection)
    assert (sorted(restoring.content(target)), tally.failures) == (expected, [])
    folders = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_dir()}
    assert all(any(path.startswith(folder) for path in expected) for folder in folders - {"folder/inner"})


async def test_a_part_of_a_snapshot_can_be_the_root(crafted: Crafted, target: Path) -> None:
    """To bring a folder back to another place than its own."""
    named = await crafted.commit(await _tree(crafted))
    await restoring.run_named(crafted, named, target, sub_path=b"/folder/inner")
    assert restoring.content(target) == {"deep": "deep"}
    with pytest.raises(PathMissingError):
        await restoring.run_named(crafted, named, target, sub_path=b"nowhere")


# Faults.


async def test_long_files_are_restored_by_all_workers(
    crafted: Crafted, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared, fetched in part, put in place whole; and left when equal."""
    monkeypatch.setattr("engine.repository.restore_walk.LONG_FROM_BYTES", 100_000)
    monkeypatch.setattr("engine.repository.restore_long.SEGMENT_BYTES", 50_000)
    chunks = [os.urandom(10_000) for _ in range(20)] + [bytes(20_000)]
    nodes = [await crafted.file(b"long", *chunks)]
    tally = await restoring.run(crafted, nodes, target, is_verifying=True)
    assert ((target / "long").read_bytes(), tally.failures) == (b"".join(chunks), [])
    assert (tally.restored_files, tally.done_bytes) == (1, 220_000)
    assert (target / "long").stat().st_mtime_ns == MTIME_NS

    again = await restoring.run(crafted, nodes, target)
    assert (again.unchanged_files, again.fetched_bytes) == (1, 0)

    with (target / "long").open("r+b") as file:
        file.seek(95_000)
        file.write(b"changed")
    mended = await restoring.run(crafted, nodes, target)
    assert (mended.restored_files, mended.fetched_bytes) == (1, 10_000)
    assert (target / "long").read_bytes() == b"".join(chunks)


async def test_each_range_of_a_long_file_is_fetched_once_from_afar(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked for ahead of the workers, who then find them and ask no second time."""
    monkeypatch.setattr("engine.repository.restore_walk.LONG_FROM_BYTES", 100_000)
    monkeypatch.setattr("engine.repository.restore_long.SEGMENT_BYTES", 50_000)
    storage = MemoryStorage()
    far = await repository.create(storage, PASSWORD, clock=LoopClock(), polynomial_=POLYNOMIAL, kdf=QUICK)
    crafted = Crafted(far)
    chunks = [os.urandom(10_000) for _ in range(40)]
    named = await crafted.commit([await crafted.dealt_file(b"long", *chunks)])
    asked: list[tuple[Key, int]] = []
    get = storage.get

    async def counted(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        if key.kind is Kind.PACK:
            asked.append((key, offset))
        return await get(key, offset, length)

    monkeypatch.setattr(storage, "get", counted)
    tally = await restoring.run_named(crafted, named, target)
    assert ((target / "long").read_bytes(), tally.failures) == (b"".join(chunks), [])
    of_data = [each for each in asked if asked.count(each) > 1]
    assert (of_data, len(asked) >= 16) == ([], True)


# Previews.


async def test_a_preview_says_what_a_restore_then_does(crafted: Crafted, target: Path) -> None:
    """People look before they leap."""
    nodes = await _tree(crafted)
    (target / "folder").mkdir(parents=True)
    (target / "folder" / "a").write_text("other")
    (target / "extra").touch()
    named = await crafted.commit(nodes)
    options = RestoreOptions(str(target), is_deleting=True)
    before = describe(target)
    totals = restore_plan.PlanTotals()
    planned = {}
    async for each in restore_plan.plan_restore(crafted.repository, named.snapshot, options):
        totals.add(each)
        planned[each.path] = each.action
    assert describe(target) == before
    assert planned == {
        b"extra": "delete",
        b"folder": "keep",
        b"folder/a": "replace",
        b"folder/inner": "create",
        b"folder/inner/deep": "create",
        b"last": "create",
        b"link": "create",
    }
    tally = await restoring.run_named(crafted, named, target, is_deleting=True)
    assert (tally.deleted, tally.fetched_bytes) == (totals.deletes, totals.write_bytes)
