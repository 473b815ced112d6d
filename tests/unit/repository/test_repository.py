"""Creating and opening repositories, and what is wrong with those that cannot be opened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.errors import (
    DamagedError,
    NoRepositoryError,
    ObjectExistsError,
    ObjectMissingError,
    RepositoryExistsError,
    StorageError,
    StorageUnreachableError,
    UnknownSnapshotError,
    UnsupportedRepositoryError,
    WrongPasswordError,
)
from engine.format import config_file, index, snapshot
from engine.format.blob import BlobCoder
from engine.format.config_file import Config
from engine.format.crypto import MasterKey
from engine.format.pack import BlobEntry, Pack, PackBuilder
from engine.format.snapshot import Snapshot
from engine.model.secret import Secret
from engine.repository import fetching, keys, repository
from engine.repository.blobs import Wanted
from engine.repository.keys import Unlocked
from engine.repository.repository import Repository
from engine.storages.base import Buffer, Key, Kind, OpenStorage, Traits, Wrapper
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import BEGIN, LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.conftest import PASSWORD, POLYNOMIAL, QUICK

CONFIG = Key(Kind.CONFIG)


async def _open(storage: MemoryStorage, clock: LoopClock, password: Secret = PASSWORD) -> Repository:
    return await repository.open_repository(storage, password, cache_directory=None, clock=clock)


async def _store_pack(opened: Repository, blobs: list[bytes]) -> Pack:
    """Stores a pack of these blobs and adds it to the index in memory."""
    sealer, coder = opened.sealer(), BlobCoder("auto")
    builder = PackBuilder(sealer)
    for data in blobs:
        encoded = coder.encode(data, "data")
        sealed = coder.seal_verified(sealer, encoded, data)
        builder.add("data", encoded.id, sealed, encoded.uncompressed_length)
    pack = builder.finish()
    await opened.storage.put(Key(Kind.PACK, pack.id.hex()), pack.parts)
    opened.index.add_pack(pack.id, pack.entries)
    return pack


def _flip(storage: MemoryStorage, key: Key, position: int) -> None:
    stored = bytearray(storage.objects[key])
    stored[position] ^= 1
    storage.objects[key] = bytes(stored)


async def test_what_was_created_is_opened(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """The first backup's repository must be there for the second."""
    again = await _open(storage, clock)
    assert again.config == opened.config
    assert again.master == opened.master


async def test_a_repository_is_never_created_over_another(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A new config over an old one makes every backup unreadable."""
    before = dict(storage.objects)
    with pytest.raises(RepositoryExistsError):
        await repository.create(storage, PASSWORD, clock=clock, kdf=QUICK)
    assert storage.objects == before


async def test_a_repository_whose_config_was_lost_is_not_overwritten(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """The recovery kit holds the config: nothing is lost yet."""
    await opened.save_unpacked(Kind.INDEX, index.encode([]))
    del storage.objects[CONFIG]
    before = dict(storage.objects)
    with pytest.raises(RepositoryExistsError, match="no config"):
        await repository.create(storage, PASSWORD, clock=clock, kdf=QUICK)
    with pytest.raises(DamagedError, match="config is missing"):
        await _open(storage, clock)
    assert storage.objects == before


class Overtaken(Wrapper):
    """A storage at which somebody else makes a repository just before the own key is written."""

    def __init__(self, inner: OpenStorage, clock: LoopClock) -> None:
        super().__init__(inner)
        self._clock = clock
        self._is_over = False

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Passes the call on, after the other's."""
        if key.kind is Kind.KEY and not self._is_over:
            self._is_over = True
            await repository.create(self._inner, PASSWORD, clock=self._clock, kdf=QUICK)
        await self._inner.put(key, parts)


async def test_of_two_that_are_made_at_once_the_first_is_heard(clock: LoopClock) -> None:
    """The second would leave a config that no key opens, or a key that opens no config."""
    storage = MemoryStorage()

    async def put_new(key: Key, parts: Sequence[Buffer]) -> None:
        if key in storage.objects:
            raise ObjectExistsError("it is there already")
        await storage.put(key, parts)

    storage._traits = Traits(put_new=put_new)
    await keys.add(storage, MasterKey.generate(), PASSWORD, clock=clock, kdf=QUICK)
    with pytest.raises(RepositoryExistsError, match="at the same time"):
        await repository.create(Overtaken(storage, clock), PASSWORD, clock=clock, kdf=QUICK)
    await _open(storage, clock)
    assert sorted(key.kind for key in storage.objects) == [Kind.CONFIG, Kind.KEY]


async def test_an_interrupted_creation_is_repeated(storage: MemoryStorage, clock: LoopClock) -> None:
    """The key of the first attempt would open with the same password, and find a config that it does not fit."""
    interrupted = FaultyStorage(storage, Fault(at=2, methods=frozenset({"put"})))
    with pytest.raises(StorageUnreachableError):
        await repository.create(interrupted, PASSWORD, clock=clock, kdf=QUICK)
    assert [key.kind for key in storage.objects] == [Kind.KEY]
    await repository.create(storage, PASSWORD, clock=clock, kdf=QUICK)
    await _open(storage, clock)
    assert len(storage.objects) == 2


async def test_an_empty_place_is_no_repository(storage: MemoryStorage, clock: LoopClock) -> None:
    """The disk is not mounted, or the path has a typing error."""
    with pytest.raises(NoRepositoryError) as caught:
        await _open(storage, clock)
    assert caught.value.exit_code == 10


async def test_a_wrong_password_is_told_from_all_else(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Scripts look at exit code 12."""
    with pytest.raises(WrongPasswordError) as caught:
        await _open(storage, clock, Secret("battery staple"))
    assert caught.value.exit_code == 12


@pytest.mark.parametrize("version", [1, 3])
async def test_another_version_is_refused_by_name(
    opened: Repository, storage: MemoryStorage, clock: LoopClock, version: int
) -> None:
    """Writing version 2 into it would damage it."""
    config = Config(version, opened.id, POLYNOMIAL)
    storage.objects[CONFIG] = config_file.encode(opened.sealer(), config)
    with pytest.raises(UnsupportedRepositoryError, match=f"version {version}"):
        await _open(storage, clock)


@pytest.mark.parametrize("position", [0, 20, -1])
async def test_a_damaged_config_is_named(
    opened: Repository, storage: MemoryStorage, clock: LoopClock, position: int
) -> None:
    """The person must put it back from the recovery kit, not doubt the password."""
    _flip(storage, CONFIG, position)
    with pytest.raises(DamagedError, match="config"):
        await _open(storage, clock)


async def test_a_damaged_key_is_named(opened: Repository, storage: MemoryStorage, clock: LoopClock) -> None:
    """A flipped bit must not look like a wrong password."""
    key = next(key for key in storage.objects if key.kind is Kind.KEY)
    _flip(storage, key, storage.objects[key].index(b'"data"') + 20)
    with pytest.raises(DamagedError, match=key.name):
        await _open(storage, clock)


async def test_a_damaged_snapshot_is_named_and_the_others_are_listed(
    opened: Repository, storage: MemoryStorage
) -> None:
    """One bad file must not hide all backups."""
    names = [
        await opened.save_unpacked(
            Kind.SNAPSHOT, snapshot.encode(Snapshot(BEGIN, bytes([number]) * 32, ["/"], "host"))
        )
        for number in range(1, 4)
    ]
    _flip(storage, Key(Kind.SNAPSHOT, names[1]), 30)
    with pytest.raises(DamagedError, match=names[1]):
        await opened.snapshots()
    heard: list[str] = []
    found = await opened.snapshots(lambda name, _: heard.append(name))
    assert heard == [names[1]]
    assert sorted(name for name, _ in found) == sorted([names[0], names[2]])


async def test_a_snapshot_is_found_by_the_beginning_of_its_id(opened: Repository) -> None:
    """People type eight digits."""
    with pytest.raises(UnknownSnapshotError):
        await opened.find_snapshot("latest")
    made = Snapshot(BEGIN, bytes(32), ["/"], "host")
    name = await opened.save_unpacked(Kind.SNAPSHOT, snapshot.encode(made))
    assert (await opened.find_snapshot(name[:8]))[0] == name
    assert (await opened.find_snapshot("latest"))[0] == name
    with pytest.raises(UnknownSnapshotError, match="zz"):
        await opened.find_snapshot("zz")


async def test_a_read_that_went_wrong_once_is_repeated(opened: Repository, storage: MemoryStorage) -> None:
    """A bit that flipped on the wire is no damage."""
    name = await opened.save_unpacked(Kind.INDEX, index.encode([]))
    flaky = _with(opened, FaultyStorage(storage, Fault(at=1, mode=Mode.CORRUPT, methods=frozenset({"get"}))))
    assert await flaky.load_unpacked(Kind.INDEX, name) == index.encode([])


async def test_a_blob_that_went_wrong_once_is_read_again(opened: Repository, storage: MemoryStorage) -> None:
    """Nor in a pack."""
    pack = await _store_pack(opened, [b"content" * 100])
    flaky = _with(opened, FaultyStorage(storage, Fault(at=1, mode=Mode.CORRUPT, methods=frozenset({"get"}))))
    flaky.index.add_pack(pack.id, pack.entries)
    assert await flaky.load_blob("data", pack.entries[0].id) == b"content" * 100


async def test_a_damaged_blob_is_read_from_its_other_pack(opened: Repository, storage: MemoryStorage) -> None:
    """Two workers stored it twice: that now saves it."""
    first = await _store_pack(opened, [b"one", b"two"])
    await _store_pack(opened, [b"two", b"three"])
    _flip(storage, Key(Kind.PACK, first.id.hex()), first.entries[1].offset + 20)
    assert await opened.load_blob("data", first.entries[1].id) == b"two"


async def test_a_blob_that_is_damaged_everywhere_is_named(opened: Repository, storage: MemoryStorage) -> None:
    """Verify tells which files it touches."""
    pack = await _store_pack(opened, [b"one"])
    _flip(storage, Key(Kind.PACK, pack.id.hex()), 20)
    with pytest.raises(DamagedError, match=pack.entries[0].id.hex()):
        await opened.load_blob("data", pack.entries[0].id)
    del storage.objects[Key(Kind.PACK, pack.id.hex())]
    with pytest.raises(DamagedError, match=pack.id.hex()):
        await opened.load_blob("data", pack.entries[0].id)
    with pytest.raises(DamagedError, match="missing from the index"):
        await opened.load_blob("data", bytes(32))


async def test_many_blobs_come_each_once_with_what_is_wrong(
    opened: Repository, storage: MemoryStorage
) -> None:
    """A restore writes what is sound and names the rest."""
    contents = [bytes([number]) * 3000 for number in range(40)]
    packs = [await _store_pack(opened, contents[begin : begin + 10]) for begin in range(0, 40, 10)]
    _flip(storage, Key(Kind.PACK, packs[0].id.hex()), packs[0].entries[3].offset + 20)
    del storage.objects[Key(Kind.PACK, packs[2].id.hex())]
    found: list[bytes] = []
    damaged: list[bytes] = []

    async def deliver(blob: Wanted, plain: bytes | DamagedError) -> None:
        (damaged if isinstance(plain, DamagedError) else found).append(
            blob.id if isinstance(plain, DamagedError) else plain
        )

    wanted = [opened.wanted("data", hashlib.sha256(data).digest()) for data in contents]
    await fetching.load_blobs(opened, wanted + wanted, deliver, budget_bytes=50_000)
    bad = {3, *range(20, 30)}
    assert sorted(found) == [data for number, data in enumerate(contents) if number not in bad]
    assert sorted(damaged) == sorted(hashlib.sha256(contents[number]).digest() for number in bad)


async def test_a_stream_comes_in_its_order(opened: Repository) -> None:
    """The blobs of a dump lie in many packs, and some are in it several times."""
    contents = [bytes([number]) * 100_000 for number in range(40)]
    for begin in range(4):
        await _store_pack(opened, contents[begin::4])
    order = [*range(40), 7, 7, 7, *range(39, -1, -3)]
    blob_ids = [hashlib.sha256(contents[number]).digest() for number in order]
    async with fetching.stream_blobs(opened, "data", blob_ids, budget_bytes=300_000) as pieces:
        assert [piece async for piece in pieces] == [contents[number] for number in order]


async def test_a_stream_ends_with_the_damage_it_meets(opened: Repository, storage: MemoryStorage) -> None:
    """Half a dump that looks whole is worse than none."""
    pack = await _store_pack(opened, [b"one", b"two", b"three"])
    _flip(storage, Key(Kind.PACK, pack.id.hex()), pack.entries[1].offset + 20)

    async def read_all() -> None:
        blob_ids = [entry.id for entry in pack.entries]
        async with fetching.stream_blobs(opened, "data", blob_ids) as pieces:
            async for _ in pieces:
                pass

    with pytest.raises(DamagedError, match=pack.entries[1].id.hex()):
        await read_all()


async def test_a_stream_that_is_left_early_stops_reading(opened: Repository, storage: MemoryStorage) -> None:
    """`dump | head` must not read 50 GiB."""
    contents = [bytes([number]) * 10_000 for number in range(100)]
    for data in contents:
        await _store_pack(opened, [data])
    watched = FaultyStorage(storage)
    reader = _with(opened, watched)
    reader.index = opened.index
    blob_ids = [hashlib.sha256(data).digest() for data in contents]
    async with fetching.stream_blobs(reader, "data", blob_ids, budget_bytes=50_000) as pieces:
        assert await anext(pieces) == contents[0]
    await asyncio.sleep(0)
    assert len(watched.calls) < 20


async def test_the_index_is_loaded_from_the_cache(
    opened: Repository, storage: MemoryStorage, clock: LoopClock, tmp_path: Path
) -> None:
    """The second run of the night fetches nothing."""
    entry = BlobEntry("data", bytes([1]) * 32, 0, 100, None)
    await opened.save_unpacked(Kind.INDEX, index.encode([(bytes([2]) * 32, [entry])]))
    for expected in (1, 0):
        watched = FaultyStorage(storage)
        again = await repository.open_repository(watched, PASSWORD, cache_directory=tmp_path, clock=clock)
        watched.calls.clear()
        assert (await again.load_index()).has("data", entry.id)
        assert [call.method for call in watched.calls].count("get") == expected


async def test_an_index_file_that_goes_away_is_looked_for_once_more(
    opened: Repository, storage: MemoryStorage
) -> None:
    """Who lists backups holds no lock, and a prune may replace the index meanwhile."""
    entry = BlobEntry("data", bytes([1]) * 32, 0, 100, None)
    await opened.save_unpacked(Kind.INDEX, index.encode([(bytes([2]) * 32, [entry])]))
    gone = Fault(at=1, methods=frozenset({"get"}), kinds=(Kind.INDEX,), error=ObjectMissingError)
    reader = _with(opened, FaultyStorage(storage, gone))
    assert (await reader.load_index()).has("data", entry.id)


async def test_without_a_cache_directory_nothing_stays_behind(opened: Repository) -> None:
    """A repository opened from a rescue system leaves no index in /tmp."""
    await opened.save_unpacked(
        Kind.INDEX, index.encode([(bytes(32), [BlobEntry("data", bytes(32), 0, 99, None)])])
    )
    reader = Repository(
        opened.storage, opened.config, Unlocked(opened.key_name, opened.master), opened.clock, None
    )
    (path,) = (await reader.load_index()).file_paths
    assert path.exists()
    del reader
    gc.collect()
    assert not path.parent.exists()


def _with(opened: Repository, storage: FaultyStorage) -> Repository:
    unlocked = Unlocked(opened.key_name, opened.master)
    return Repository(storage, opened.config, unlocked, opened.clock, None)


@pytest.mark.parametrize(
    "mode", [Mode.BEFORE, Mode.AFTER, Mode.CANCELLED, Mode.CANCELLED_AFTER, Mode.POWER_LOSS]
)
async def test_a_creation_that_fails_anywhere_leaves_a_repository_or_a_place_for_one(
    clock: LoopClock, mode: Mode
) -> None:
    """The person types the command again, with the same password, and it must work."""

    async def run(storage: OpenStorage) -> None:
        with contextlib.suppress(StorageError):
            await repository.create(storage, PASSWORD, clock=clock, polynomial_=POLYNOMIAL, kdf=QUICK)

    sound = FaultyStorage(MemoryStorage())
    await run(sound)
    for at in range(1, len(sound.calls) + 1):
        storage = MemoryStorage()
        async with asyncio.TaskGroup() as group:
            group.create_task(run(FaultyStorage(storage, Fault(at=at, mode=mode))))
        with contextlib.suppress(RepositoryExistsError):
            await repository.create(storage, PASSWORD, clock=clock, polynomial_=POLYNOMIAL, kdf=QUICK)
        await _open(storage, clock)
