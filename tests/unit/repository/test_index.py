"""The index: what a blob's place is looked up in, and the packed files that it is cached in."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from engine.errors import DamagedError
from engine.format import index as index_format
from engine.format.pack import BlobEntry, UniformEntries, encode_header, size_bytes
from engine.repository import cache, index_builder
from engine.repository.index import Index
from engine.repository.index_builder import IndexBuilder
from engine.repository.packed_index import Location, PackedIndex
from tests.fakes.loop_clock import LoopClock


def _id(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()


def _pack(number: int, blobs: int = 3, type_: str = "data") -> tuple[bytes, list[BlobEntry]]:
    entries = [
        BlobEntry(type_, _id(1000 * number + n), 100 * n, 100, 300 if n % 2 else None) for n in range(blobs)
    ]
    return _id(-number & 0xFFFF_FFFF), entries


class _IndexFiles:
    """Index files of a repository that exists only here; counts what is fetched of it."""

    def __init__(self) -> None:
        self.files: dict[bytes, bytes] = {}
        self.fetched: list[bytes] = []

    def add(self, *packs: tuple[bytes, list[BlobEntry]]) -> bytes:
        """One more index file of these packs."""
        json = index_format.encode(packs)
        index_id = hashlib.sha256(json).digest()
        self.files[index_id] = json
        return index_id

    async def fetch(self, index_id: bytes) -> bytes:
        """The file of that id."""
        self.fetched.append(index_id)
        return self.files[index_id]

    async def load(self, directory: Path) -> Index:
        """The index over all files."""
        return await cache.load_index(self.files, self.fetch, directory, LoopClock())


async def test_every_blob_is_found_where_the_index_file_has_it(tmp_path: Path) -> None:
    """A wrong place is a restore that fails."""
    files = _IndexFiles()
    packs = [_pack(number) for number in range(50)] + [_pack(99, type_="tree")]
    files.add(*packs)
    index = await files.load(tmp_path)
    for pack_id, entries in packs:
        for entry in entries:
            type_ = "tree" if entry.type == "tree" else "data"
            place = Location(pack_id, entry.offset, entry.length, entry.uncompressed_length)
            assert index.lookup(type_, entry.id) == place  # type: ignore[arg-type]
    assert index.lookup("data", _id(777_777)) is None
    assert index.blob_count == 153
    assert index.pack_count == 51


async def test_a_data_blob_is_not_mistaken_for_a_tree_of_the_same_id(tmp_path: Path) -> None:
    """Somebody backs up a file that holds a tree's JSON: its content and the tree have one id, and both must be stored."""
    files = _IndexFiles()
    files.add(_pack(1, type_="tree"))
    index = await files.load(tmp_path)
    assert index.has("tree", _id(1000))
    assert not index.has("data", _id(1000))


async def test_what_this_run_stored_is_known_at_once(tmp_path: Path) -> None:
    """The second file of the same content must not be stored again."""
    files = _IndexFiles()
    files.add(_pack(1))
    index = await files.load(tmp_path)
    pack_id, entries = _pack(2)
    index.add_pack(pack_id, entries)
    assert index.has("data", entries[1].id)
    assert index.lookup("data", entries[1].id) == Location(pack_id, 100, 100, 300)
    assert sorted(pack.id for pack in index.packs()) == sorted([_pack(1)[0], pack_id])


async def test_an_index_that_is_asked_often_answers_the_same(tmp_path: Path) -> None:
    """It then keeps its ids in a set; what this run adds must still be known."""
    files = _IndexFiles()
    files.add(*(_pack(number) for number in range(50)), _pack(60, type_="tree"))
    index = await files.load(tmp_path)
    for _ in range(60):
        assert all(index.has("data", _id(1000 * number)) for number in range(50))
        assert not index.has("data", _id(60_000))
    assert index.has("tree", _id(60_000))
    index.add_pack(*_pack(70))
    assert index.has("data", _id(70_000))


async def test_a_blob_in_two_packs_is_found_at_both(tmp_path: Path) -> None:
    """When one pack is damaged, the other copy heals it."""
    files = _IndexFiles()
    entry = BlobEntry("data", _id(1), 0, 100, None)
    files.add((_id(10), [entry]), (_id(11), [entry]))
    files.add((_id(12), [entry]))
    index = await files.load(tmp_path)
    index.add_pack(_id(13), [entry])
    assert {place.pack for place in index.lookup_all("data", _id(1))} == {_id(10), _id(11), _id(12), _id(13)}


async def test_positions_number_all_blobs(tmp_path: Path) -> None:
    """Prune marks ten million used blobs in a bit map, not in a set."""
    files = _IndexFiles()
    files.add(*(_pack(number) for number in range(20)), _pack(90, type_="tree"))
    index = await files.load(tmp_path)
    index.add_pack(*_pack(50))
    blobs = list(index.blobs())
    assert sorted(blob.position for blob in blobs) == list(range(index.blob_count))
    assert all(index.position(blob.type, blob.id) == blob.position for blob in blobs)


async def test_packs_come_with_their_blobs_in_order(tmp_path: Path) -> None:
    """Check compares them with the packs' headers."""
    files = _IndexFiles()
    packs = dict([_pack(number) for number in range(20)])
    files.add(*packs.items())
    index = await files.load(tmp_path)
    added_id, added = _pack(77)
    index.add_pack(added_id, added)
    found = {pack.id: blobs for pack, blobs in index.packs_with_blobs()}
    assert found == packs | {added_id: added}
    assert all(pack.size_bytes == size_bytes(found[pack.id]) for pack in index.packs())


async def test_only_new_index_files_are_fetched(tmp_path: Path) -> None:
    """A backup over a slow line must not download the index of years each night."""
    files = _IndexFiles()
    files.add(_pack(1))
    await files.load(tmp_path)
    files.fetched.clear()
    new = files.add(_pack(2))
    index = await files.load(tmp_path)
    assert files.fetched == [new]
    assert index.has("data", _id(1000))
    assert index.has("data", _id(2000))
    files.fetched.clear()
    await files.load(tmp_path)
    assert files.fetched == []


async def test_what_a_prune_removed_is_forgotten_without_fetching(tmp_path: Path) -> None:
    """A blob that is believed to be there, and is not, is lost data."""
    files = _IndexFiles()
    files.add(_pack(1))
    removed = files.add(_pack(2))
    await files.load(tmp_path)
    files.fetched.clear()
    del files.files[removed]
    index = await files.load(tmp_path)
    assert index.has("data", _id(1000))
    assert not index.has("data", _id(2000))
    assert files.fetched == []
    assert [pack.id for pack in index.packs()] == [_pack(1)[0]]


async def test_a_large_file_is_not_rewritten_for_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that adds ten blobs to ten million must not write half a gigabyte of cache."""
    monkeypatch.setattr(cache, "MERGED_BELOW_BLOBS", 10)
    files = _IndexFiles()
    files.add(*(_pack(number) for number in range(100)))
    (large,) = (await files.load(tmp_path)).file_paths
    written = large.stat().st_ino
    for number in range(200, 230):
        files.add(_pack(number, blobs=1))
        index = await files.load(tmp_path)
        assert all(index.has("data", _id(1000 * n)) for n in range(200, number + 1))
    assert large in index.file_paths
    assert large.stat().st_ino == written
    assert len(index.file_paths) <= 6


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "header"])
async def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    """The cache is only a cache: a full disk or a power cut must never make a backup wrong."""
    files = _IndexFiles()
    files.add(*(_pack(number) for number in range(30)))
    (path,) = (await files.load(tmp_path)).file_paths
    stored = path.read_bytes()
    damaged = {
        "cut": stored[:-7],
        "flipped": stored[:500] + bytes([stored[500] ^ 1]) + stored[501:],
        "empty": b"",
        "header": b"?" + stored[1:],
    }
    path.write_bytes(damaged[damage])
    index = await files.load(tmp_path)
    assert all(index.has("data", _id(1000 * number)) for number in range(30))
    assert path.read_bytes() == stored


async def test_what_another_job_is_writing_is_let_alone(tmp_path: Path) -> None:
    """Several jobs at one storage share the cache; what a killed one left there goes after a day."""
    files = _IndexFiles()
    files.add(_pack(1))
    now = LoopClock().now().timestamp()
    for name, age_s in (("index-ab.1-cd.tmp", 60), ("index-ab.2-cd.tmp", 2 * 86_400)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (now - age_s, now - age_s))
    await files.load(tmp_path)
    assert [each.name for each in tmp_path.glob("*.tmp")] == ["index-ab.1-cd.tmp"]


async def test_a_damaged_index_file_is_named(tmp_path: Path) -> None:
    """The person must know which file to look at."""
    files = _IndexFiles()
    damaged = hashlib.sha256(b"damaged").digest()
    files.files[damaged] = b'{"packs":[{"id":"xyz","blobs":[]}]}'
    with pytest.raises(DamagedError, match=damaged.hex()):
        await files.load(tmp_path)


async def test_check_goes_on_without_a_damaged_index_file(tmp_path: Path) -> None:
    """Check reports all that is wrong, not the first."""
    files = _IndexFiles()
    files.add(_pack(1))
    damaged = hashlib.sha256(b"damaged").digest()
    files.files[damaged] = b"no JSON"
    heard: list[bytes] = []
    index = await cache.load_index(
        files.files, files.fetch, tmp_path, LoopClock(), lambda name, _: heard.append(name)
    )
    assert heard == [damaged]
    assert index.has("data", _id(1000))


@pytest.mark.parametrize(
    "json",
    [
        b'{"packs":[{"id":"%s","blobs":[{"id":"00","type":"data","offset":0,"length":40}]}]}',
        b'{"packs":[{"id":"%s","blobs":[{"id":"%s","type":"other","offset":0,"length":40}]}]}',
        b'{"packs":[{"id":"%s","blobs":[{"id":"%s","type":"data","offset":-1,"length":40}]}]}',
        b'{"packs":[{"id":"%s","blobs":[{"id":"%s","type":"data","offset":0,"length":4294967296}]}]}',
        b'{"packs":[{"id":"%s","blobs":[{"id":"%s","type":"data","offset":0,"length":7}]}]}',
        b'{"packs":7}',
        b"[]",
        b"",
    ],
    ids=[
        "short id",
        "unknown type",
        "negative offset",
        "huge length",
        "too short",
        "no list",
        "list",
        "empty",
    ],
)
def test_an_impossible_index_file_is_damage(tmp_path: Path, json: bytes) -> None:
    """A hostile storage must not crash the program."""
    builder = IndexBuilder(tmp_path)
    with pytest.raises(DamagedError):
        builder.add_index(_id(1), json.replace(b"%s", _id(2).hex().encode()))
    assert builder.index_ids == ()
    builder.close()


@pytest.mark.parametrize(
    "json", [b'{"packs":[]}', b'{"packs":null}', b"{}", b'{"packs":[{"id":"%s"}],"x":1}']
)
async def test_an_index_file_may_be_empty(tmp_path: Path, json: bytes) -> None:
    """Other writers leave such files."""
    files = _IndexFiles()
    files.files[_id(1)] = json.replace(b"%s", _id(2).hex().encode())
    assert (await files.load(tmp_path)).blob_count == 0


async def test_a_repository_without_index_files_has_an_empty_index(tmp_path: Path) -> None:
    """So begins every repository."""
    index = await _IndexFiles().load(tmp_path)
    assert index.blob_count == 0
    assert not index.has("data", _id(1))
    assert list(index.blobs()) == []
    assert list(index.packs()) == []


async def test_another_process_opens_the_packed_files(tmp_path: Path) -> None:
    """Worker processes share one copy of the index in memory."""
    files = _IndexFiles()
    files.add(_pack(1))
    index = await files.load(tmp_path)
    assert Index.open_files(index.file_paths).lookup("data", _id(1001)) == index.lookup("data", _id(1001))


def test_heaps_that_grow_are_spilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million blobs are sorted in the memory of a few hundred thousand."""
    monkeypatch.setattr(index_builder, "SPILL_BYTES", 1000)
    builder = IndexBuilder(tmp_path)
    for number in range(40):
        builder.add_index(_id(number), index_format.encode([_pack(number)]))
    builder.finish(tmp_path / "packed")
    builder.close()
    packed = PackedIndex.open(tmp_path / "packed")
    assert len(packed) == 120
    assert all(packed.data.find(_id(1000 * number + 2)) >= 0 for number in range(40))
    packed.close()


def _uniform(number: int, type_: str = "data") -> tuple[bytes, UniformEntries, list[BlobEntry]]:
    pack_id, entries = _pack(number, 40, type_)
    header = encode_header(entries)
    plain_bytes = sum(each.uncompressed_length or each.length - 32 for each in entries)
    return pack_id, UniformEntries(type_, header, 40, plain_bytes, size_bytes(entries)), entries


@pytest.mark.parametrize("asked", [1, 500], ids=["seldom", "often"])
def test_a_uniform_packs_blobs_are_found_like_any_others(asked: int) -> None:
    """They are taken apart only when somebody asks; nobody may notice."""
    index, plain = Index(), Index()
    for number in range(20):
        pack_id, uniform, entries = _uniform(number, "tree" if number % 5 == 0 else "data")
        index.add_pack(pack_id, uniform)
        plain.add_pack(pack_id, entries)
    wanted = [blob for blob in plain.blobs() if blob.type == "data"][:asked]
    assert not index.has("data", _id(999_999))
    assert [index.lookup("data", blob.id) for blob in wanted] == [blob.location for blob in wanted]
    assert index.blob_count == plain.blob_count == len(list(index.blobs()))
    assert sorted(index.packs()) == sorted(plain.packs())
    assert index.added_ids("tree") == plain.added_ids("tree")
    by_pack = {info.id: entries for info, entries in plain.packs_with_blobs()}
    assert {info.id: entries for info, entries in index.packs_with_blobs()} == by_pack
