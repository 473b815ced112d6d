"""Every damage that a repository can have: our check finds it and names what it touches; stock restic's verdict beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.errors import DamagedError, StorageError, StorageUnreachableError
from engine.format.ids import digest
from engine.format.tree import go_mode
from engine.model.results import Damage
from engine.repository import check
from engine.repository.check import CheckOptions, CheckResult
from engine.storages.base import Key, Kind, Wrapper
from tests.damaged import building
from tests.damaged.building import Small, file, folder, text
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.memory_storage import MemoryStorage
from tests.servers.restic import Restic, ResticProgram

EVERYTHING = CheckOptions(is_reading_data=True)
SIZE = len(text("a"))
CLOCK = FakeClock()


async def checked(storage: MemoryStorage, options: CheckOptions = EVERYTHING) -> CheckResult:
    """Our check, by a process that comes anew."""
    return await check.check(await building.reopen(storage, CLOCK), options)


def touched(damages: tuple[Damage, ...] | list[Damage]) -> set[str]:
    """All paths that damage touches."""
    return {path for damage in damages for path in damage.paths}


@dataclass(frozen=True, slots=True)
class Case:
    """A damage, what our check must say of it, and whether restic's finds it."""

    damage: Callable[[Small], Awaitable[None]]
    said: str
    paths: frozenset[str]
    backups: tuple[str, ...]
    restic_finds: bool = True
    needs_data: bool = False
    hints: str = ""


async def lose_index(made: Small) -> None:
    """The only index file is gone."""
    made.remove(Kind.INDEX, made.index_name)


async def damage_index(made: Small) -> None:
    """A bit of the index file flipped."""
    made.change(Kind.INDEX, made.index_name, 40)


async def lose_pack(made: Small) -> None:
    """A pack is gone."""
    made.remove(Kind.PACK, made.own_pack)


async def cut_pack(made: Small) -> None:
    """The end of a pack is gone: its header, not its blobs."""
    made.cut(made.shared_pack, 10)


async def cut_blob(made: Small) -> None:
    """A pack is cut within its blob."""
    made.storage.objects[Key(Kind.PACK, made.own_pack.hex())] = b"\0" * 20


async def flip_blob(made: Small) -> None:
    """A bit of a blob flipped."""
    made.change(Kind.PACK, made.shared_pack, 20)


async def flip_header(made: Small) -> None:
    """A bit of a header flipped."""
    made.change(Kind.PACK, made.own_pack, -12)


async def flip_tree(made: Small) -> None:
    """A bit of the second snapshot's deepest tree flipped."""
    location = None
    for pack_id, entries in made.builder.indexed:
        for entry in entries:
            if entry.id == made.more_tree:
                location = (pack_id, entry.offset + 18)
    assert location is not None
    made.change(Kind.PACK, location[0], location[1])


async def lose_trees(made: Small) -> None:
    """The pack of all trees is gone."""
    made.remove(Kind.PACK, made.tree_pack)


async def damage_snapshot(made: Small) -> None:
    """A bit of a snapshot flipped."""
    made.change(Kind.SNAPSHOT, made.second, 30)


async def split_pack(made: Small) -> None:
    """Blobs of one pack stand in two index files."""
    made.remove(Kind.INDEX, made.index_name)
    (shared, entries), *rest = made.builder.indexed
    await made.builder.index([(shared, entries[:1]), *rest])
    await made.builder.index([(shared, entries[1:])])


async def unindex_blob(made: Small) -> None:
    """The index lacks one pack, which is there."""
    made.remove(Kind.INDEX, made.index_name)
    await made.builder.index([each for each in made.builder.indexed if each[0] != made.own_pack])


AB = frozenset({"/srv/a", "/srv/b"})
C = frozenset({"/srv/more/c"})
CASES = {
    "index missing": Case(lose_index, "in no index file", frozenset({"/"}), ("first", "second")),
    "index damaged": Case(damage_index, "is damaged", frozenset({"/"}), ("first", "second")),
    "pack missing": Case(lose_pack, "is missing", C, ("second",)),
    "pack without its end": Case(cut_pack, "bytes instead of", frozenset(), ()),
    "pack cut": Case(cut_blob, "bytes instead of", C, ("second",)),
    "bit of a blob": Case(
        flip_blob, "is damaged", frozenset({"/srv/a"}), ("first", "second"), needs_data=True
    ),
    "bit of a header": Case(flip_header, "all its blobs can be read", frozenset(), (), needs_data=True),
    "bit of a tree": Case(flip_tree, "is damaged", frozenset({"/srv/more"}), ("second",)),
    "trees missing": Case(lose_trees, "is missing", frozenset({"/"}), ("first", "second")),
    "snapshot damaged": Case(damage_snapshot, "the snapshot", frozenset(), ("second",)),
    "pack split over index files": Case(split_pack, "is split over index files", frozenset(), ()),
    "pack not indexed": Case(unindex_blob, "in no index file", C, ("second",), hints="prune deletes them"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_check_finds_the_damage_and_names_what_it_touches(case: Case) -> None:
    """A person must know which backups still hold."""
    made = await building.small(CLOCK)
    await case.damage(made)
    result = await checked(made.storage)
    found = [damage for damage in result.damaged if case.said in damage.message]
    assert found, result.damaged
    names = {made.first: "first", made.second: "second"}
    assert touched(list(result.damaged)) == case.paths
    assert {names[each] for damage in result.damaged for each in damage.backups} == set(case.backups)
    assert any(case.hints in hint for hint in result.hints) or not case.hints


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_restic_finds_it_too(case: Case, restic_newest: ResticProgram, tmp_path: Path) -> None:
    """What we call damage is damage to stock restic as well."""
    made = await building.small(CLOCK)
    await case.damage(made)
    building.lay_out(made.storage, tmp_path / "repository")
    restic = Restic(restic_newest, tmp_path / "repository", tmp_path / "temporary", building.PASSWORD)
    verdict = restic.run("check", "--read-data", is_checked=False)
    assert (verdict.returncode != 0) == case.restic_finds, verdict.stderr


async def test_a_sound_repository_has_no_damage_and_all_its_packs_are_proved() -> None:
    """A check that cries wolf is not looked at again."""
    made = await building.small(CLOCK)
    result = await checked(made.storage)
    assert (list(result.damaged), list(result.hints)) == ([], [])
    assert result.proved_packs == {made.shared_pack, made.own_pack, made.tree_pack}
    assert (result.snapshots, result.trees, result.packs_read) == (2, 5, 3)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.needs_data])
async def test_only_reading_the_data_finds_what_lies_within_packs(name: str) -> None:
    """Whoever checks without --read-data is told no more than is known."""
    made = await building.small(CLOCK)
    await CASES[name].damage(made)
    result = await checked(made.storage, CheckOptions())
    assert list(result.damaged) == []


async def test_a_damaged_config_says_so_before_anything_else() -> None:
    """Without the config nothing opens, and the recovery kit has a copy."""
    made = await building.small(CLOCK)
    made.change(Kind.CONFIG, "", 30)
    with pytest.raises(DamagedError, match="the config of the repository"):
        await checked(made.storage)


async def test_a_damaged_key_file_is_named() -> None:
    """One password of several that no longer opens is found out before it is needed."""
    made = await building.small(CLOCK)
    name = "ab" * 32
    made.storage.objects[Key(Kind.KEY, name)] = b"{}"
    result = await checked(made.storage)
    assert [damage.pack for damage in result.damaged] == [name]


async def test_a_wrong_length_before_compression_is_found() -> None:
    """restic restores wrong bytes from it, and its own check passes it."""
    made = await building.small(CLOCK, wrong_by=1)
    result = await checked(made.storage)
    said = " ".join(damage.message for damage in result.damaged)
    assert "instead of" in said
    assert touched(list(result.damaged)) == C


async def test_a_wrong_length_shows_in_the_sizes_without_reading_the_data() -> None:
    """The nightly check reads no data, and finds it all the same."""
    made = await building.small(CLOCK, wrong_by=1)
    result = await checked(made.storage, CheckOptions())
    assert [damage.message for damage in result.damaged] == ["sizes are not those of the content"]


async def test_links_that_are_none_are_found() -> None:
    """restic makes them one file, and the content of one of them is gone."""
    contents = [text("a"), text("b")]
    one, two = (digest(each) for each in contents)
    made, snapshot = await building.of_nodes(
        CLOCK, contents, file("a", SIZE, one, inode=5, links=2), file("b", SIZE, two, inode=5, links=2)
    )
    result = await checked(made.storage)
    assert [(damage.backups, set(damage.paths)) for damage in result.damaged] == [((snapshot,), {"/a", "/b"})]
    assert "same inode and device" in result.damaged[0].message


async def test_an_inode_that_was_used_again_is_no_damage() -> None:
    """In another snapshot the same number may be another file's."""
    contents = [text("a"), text("b")]
    one, two = (digest(each) for each in contents)
    made, _ = await building.of_nodes(CLOCK, contents, file("a", SIZE, one, inode=5, links=2))
    later = made.tree(file("a", SIZE, two, inode=5, links=2))
    await made.index([(await made.pack(("tree", later)), made.indexed[-1][1])])
    await made.snapshot(later, 2)
    assert list((await checked(made.storage)).damaged) == []


@pytest.mark.parametrize(
    "bits", [0o4755, 0o2755, 0o1755, 0o100644], ids=["setuid", "setgid", "sticky", "regular"]
)
async def test_unix_mode_bits_are_found(bits: int) -> None:
    """They restore without setuid, setgid or sticky, and nobody is told."""
    one = digest(text("a"))
    made, snapshot = await building.of_nodes(CLOCK, [text("a")], file("a", SIZE, one, mode=bits))
    (damage,) = (await checked(made.storage)).damaged
    assert (damage.backups, list(damage.paths)) == ((snapshot,), ["/a"])
    assert "Unix bits" in damage.message


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o1777], ids=["setuid", "setgid", "sticky"])
async def test_go_mode_bits_are_right(bits: int) -> None:
    """Honest set-user files are no damage."""
    one = digest(text("a"))
    made, _ = await building.of_nodes(CLOCK, [text("a")], file("a", SIZE, one, mode=go_mode("f", bits)))
    assert list((await checked(made.storage)).damaged) == []


async def test_a_wrong_size_is_found() -> None:
    """A restore could not be compared with it."""
    one = digest(text("a"))
    made, _ = await building.of_nodes(CLOCK, [text("a")], file("a", SIZE - 1, one))
    (damage,) = (await checked(made.storage)).damaged
    assert (damage.message, list(damage.paths)) == ("sizes are not those of the content", ["/a"])


BAD_TREES = {
    "no json": b"nonsense",
    "null content": b'{"nodes":[{"name":"a","type":"file","mtime":"%s","atime":"%s","ctime":"%s","uid":0,"gid":0,"content":null}]}\n',
    "unknown type": b'{"nodes":[{"name":"a","type":"odd","mtime":"%s","atime":"%s","ctime":"%s","uid":0,"gid":0,"content":null}]}\n',
    "no subtree": b'{"nodes":[{"name":"a","type":"dir","mtime":"%s","atime":"%s","ctime":"%s","uid":0,"gid":0,"content":null}]}\n',
    "way out": b'{"nodes":[{"name":"..","type":"dir","mtime":"%s","atime":"%s","ctime":"%s","uid":0,"gid":0,"content":null}]}\n',
    "slash": b'{"nodes":[{"name":"a/b","type":"fifo","mtime":"%s","atime":"%s","ctime":"%s","uid":0,"gid":0,"content":null}]}\n',
    "no time": b'{"nodes":[{"name":"a","type":"fifo","mtime":"2026-10-31 12:00","atime":"%s","ctime":"%s","uid":0,"gid":0,"content":null}]}\n',
}


@pytest.mark.parametrize("content", BAD_TREES.values(), ids=BAD_TREES.keys())
async def test_trees_that_cannot_be_restored_are_found(content: bytes) -> None:
    """Their hash is right, and still they are of no use."""
    made = await building.builder(CLOCK)
    inner = made.raw_tree(content.replace(b"%s", building.STAMP.encode()))
    root = made.tree(folder("srv", inner))
    await made.pack(("tree", inner), ("tree", root))
    await made.index()
    snapshot = await made.snapshot(root)
    (damage,) = (await checked(made.storage)).damaged
    assert list(damage.backups) == [snapshot]
    assert set(damage.paths) <= {"/srv", "/srv/a"}
    assert damage.paths


async def test_a_pack_in_two_index_files_is_a_hint() -> None:
    """It is odd, and harms nothing; restic says the same."""
    made = await building.small(CLOCK)
    await made.builder.index(made.builder.indexed[:1])
    result = await checked(made.storage)
    assert list(result.damaged) == []
    assert ["two index files" in hint for hint in result.hints] == [True]


async def test_mixed_packs_are_a_hint() -> None:
    """restic's prune takes them apart some day."""
    made = await building.builder(CLOCK)
    one = made.data(text("a"))
    root = made.tree(file("a", SIZE, one))
    await made.pack(("data", one), ("tree", root))
    await made.index()
    await made.snapshot(root)
    result = await checked(made.storage)
    assert list(result.damaged) == []
    assert ["trees and data together" in hint for hint in result.hints] == [True]


async def test_a_copy_elsewhere_takes_the_harm_out_of_a_lost_pack() -> None:
    """What can be read from another pack is not lost."""
    made = await building.small(CLOCK)
    one = digest(text("c"))
    again = await made.builder.pack(("data", one))
    await made.builder.index([(again, made.builder.indexed[-1][1])])
    made.remove(Kind.PACK, made.own_pack)
    (damage,) = (await checked(made.storage)).damaged
    assert "from other packs" in damage.message
    assert list(damage.backups) == []


async def test_trees_out_of_order_are_a_hint() -> None:
    """Backups on top of them read all files again."""
    one = digest(text("a"))
    made, _ = await building.of_nodes(CLOCK, [text("a")], file("b", SIZE, one), file("a", SIZE, one))
    result = await checked(made.storage)
    assert list(result.damaged) == []
    assert ["not in order" in hint for hint in result.hints] == [True]


async def test_a_pack_that_the_disk_cannot_read_is_lost_and_the_check_goes_on() -> None:
    """A failing disk has one bad place, and a person must know what lies there."""
    made = await building.small(CLOCK)
    bad = BadPlace(made.storage, made.own_pack.hex())
    (damage,) = (await check.check(await building.reopen(bad, CLOCK), EVERYTHING)).damaged
    assert (damage.pack, set(damage.paths)) == (made.own_pack.hex(), set(C))


async def test_a_storage_out_of_reach_ends_the_check() -> None:
    """A cable that was pulled is no damage."""
    made = await building.small(CLOCK)
    storage = FaultyStorage(made.storage, Fault(at=1, times=9, methods=("get",), kinds=(Kind.PACK,)))
    with pytest.raises(StorageUnreachableError):
        await check.check(await building.reopen(storage, CLOCK), EVERYTHING)


async def test_a_pack_that_was_read_wrong_once_is_a_hint() -> None:
    """A cable or a memory errs now and then; what is stored is sound."""
    made = await building.small(CLOCK)
    told: list[str] = []
    for number in range(1, 12):
        fault = Fault(at=number, mode=Mode.CORRUPT, methods=("get",), kinds=(Kind.PACK,))
        opened = await building.reopen(FaultyStorage(made.storage, fault), CLOCK)
        result = await check.check(opened, EVERYTHING)
        assert list(result.damaged) == []
        told += result.hints
    assert told
    assert all("right the second time" in hint for hint in told)


class BadPlace(Wrapper):
    """A disk that cannot read one object."""

    def __init__(self, inner: MemoryStorage, name: str) -> None:
        super().__init__(inner)
        self._name = name

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads all but that one."""
        if key.name == self._name:
            raise StorageError(f"{key.path()} cannot be read: input/output error")
        return await super().get(key, offset, length)
