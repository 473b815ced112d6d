"""Streams through a session: what is stored, what is stored once, and what becomes of a session whose storages fail."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence

import pytest

from engine.errors import BackupTooLargeError, DamagedError, HoldfastError, StorageError, StorageFullError
from engine.format import blob, chunker
from engine.format.compression import Compressor
from engine.format.crypto import Sealer
from engine.format.ids import digest
from engine.format.tree import Node, encode_node, encode_tree, go_mode
from engine.repository import chunk_workers, lock
from engine.repository.finishing import Committed
from engine.repository.packing import Compression, PackingOptions
from engine.repository.repository import Repository
from engine.repository.tree_parts import StreamResult
from engine.repository.writer import WriteOptions, WriteSession, open_session
from engine.storages.base import Buffer, Kind
from tests.fakes.faulty_storage import Fault, FaultyStorage, FullStorage
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import (
    contents,
    lock_count,
    make,
    reopen,
    session,
    snapshot,
)  # fmt: skip
from tests.fakes.tree_feed import files_feed, pieces

SMALL_PACKS = PackingOptions(pack_bytes=64 << 10)


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)


def _random(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


async def _commit_stream(
    writing: WriteSession, content: bytes, piece_bytes: int = 300_000
) -> list[Committed]:
    """Stores it as the only file `dump`, with its snapshot."""
    stored = await writing.save_stream(pieces(content, piece_bytes))
    assert stored.size_bytes == len(content)
    node = Node(b"dump", "file", mode=go_mode("f", 0o600), size=stored.size_bytes, content=stored.content)
    tree_id = await writing.save_tree_blob(encode_tree([encode_node(node)]))
    return await writing.commit(snapshot(tree_id))


async def _dump(storage: MemoryStorage, committed: Committed) -> bytes:
    assert committed.snapshot_id is not None
    return (await contents(storage, committed.snapshot_id))[b"dump"][1]


async def _stored(opened: Repository, content: bytes, options: PackingOptions | None = None) -> Committed:
    async with session(opened, packing=options) as writing:
        return (await _commit_stream(writing, content))[0]


def _first_cuts(opened: Repository, content: bytes) -> list[int]:
    return chunker.Chunker(opened.chunker_seed).cuts(content)


@pytest.mark.parametrize("size_bytes", [0, 1, 511 << 10, 512 << 10, (512 << 10) + 1, 3_000_000])
async def test_a_stream_of_any_length_comes_back_as_it_was(size_bytes: int) -> None:
    """The dump that is restored is the dump that was taken."""
    storage = MemoryStorage()
    content = _random(size_bytes)
    committed = await _stored(await make(storage), content)
    assert await _dump(storage, committed) == content


@pytest.mark.parametrize("beyond", [-1, 0, 1])
async def test_a_stream_that_ends_at_a_cut_has_no_empty_chunk(beyond: int) -> None:
    """An empty blob would be an error to restic's check."""
    storage = MemoryStorage()
    opened = await make(storage)
    content = _random(9_000_000)
    cut = _first_cuts(opened, content)[0]
    committed = await _stored(opened, content[: cut + beyond])
    assert await _dump(storage, committed) == content[: cut + beyond]
    assert committed.statistics.data_blobs == len(_first_cuts(opened, content[: cut + beyond]))


async def test_the_size_of_the_pieces_makes_no_other_chunks() -> None:
    """The same dump over a slow connection must deduplicate against the one over a fast one."""
    opened = await make(MemoryStorage())
    content = _random(2_500_000)
    async with session(opened) as writing:
        first = await writing.save_stream(pieces(content, 1 << 20))
        second = await writing.save_stream(pieces(content, 70_001))
        await writing.flush()
    assert first.content == second.content


async def test_what_is_read_into_the_sessions_memory_makes_the_same_chunks() -> None:
    """A dump from a pipe must deduplicate against the same dump from a host."""
    content = _random(30_000_000)
    left = memoryview(content)

    async def read_into(room: memoryview) -> int:
        nonlocal left
        count = min(len(room), len(left), 700_001)
        room[:count] = left[:count]
        left = left[count:]
        return count

    async with session(await make(MemoryStorage())) as writing:
        direct = await writing.save_read(read_into)
        fed = await writing.save_stream(pieces(content, 1 << 20))
        await writing.flush()
    assert direct == fed
    assert direct.size_bytes == len(content)


@pytest.mark.parametrize("size_bytes", [0, 1, 9_999, 10_000, 10_001, 45_000, 50_000])
@pytest.mark.parametrize("piece_bytes", [1_001, 10_000, 1 << 20])
async def test_blocks_are_cut_every_so_many_bytes_however_they_come(
    size_bytes: int, piece_bytes: int
) -> None:
    """The beginning of a segment must be the same blocks as the whole, but for the last; and an empty one would be an error to restic's check."""
    content = _random(size_bytes)
    async with session(await make(MemoryStorage())) as writing:
        saved = await writing.save_blocks(pieces(content, piece_bytes), 10_000)
        await writing.flush()
    assert saved.size_bytes == size_bytes
    assert list(saved.content) == [
        digest(content[begin : begin + 10_000]) for begin in range(0, size_bytes, 10_000)
    ]


async def test_what_comes_twice_in_one_run_is_stored_once() -> None:
    """Two databases with the same big table cost the room of one."""
    storage = MemoryStorage()
    content = _random(1_500_000)
    async with session(await make(storage)) as writing:
        for _ in range(3):
            await writing.save_stream(pieces(content))
        await writing.flush()
        assert writing.statistics[0].added_bytes == len(content)


async def test_what_the_repository_has_is_not_stored_again() -> None:
    """The backup of a dump that did not change adds a tree and nothing else."""
    storage = MemoryStorage()
    content = _random(1_500_000)
    await _stored(await make(storage), content)
    again = await _stored(await reopen(storage), content)
    assert (again.statistics.data_blobs, again.statistics.tree_blobs) == (0, 0)
    assert await _dump(storage, again) == content


async def test_two_repositories_with_other_keys_are_fed_from_one_reading() -> None:
    """A copy elsewhere costs no second dump."""
    storages = MemoryStorage(), MemoryStorage()
    content = _random(1_200_000)
    async with session(*[await make(each) for each in storages], packing=SMALL_PACKS) as writing:
        committed = await _commit_stream(writing, content)
    assert [await _dump(each, done) for each, done in zip(storages, committed, strict=True)] == [content] * 2
    assert committed[0].repository_id != committed[1].repository_id
    packs = [{key for key in each.objects if key.kind is Kind.PACK} for each in storages]
    assert not packs[0] & packs[1]


async def test_each_repository_gets_what_it_lacks() -> None:
    """A repository that was added later is completed, and the older one is not filled twice."""
    old, new = MemoryStorage(), MemoryStorage()
    content = _random(1_200_000)
    await _stored(await make(old), content)
    async with session(await reopen(old), await make(new)) as writing:
        committed = await _commit_stream(writing, content)
    assert committed[0].statistics.added_bytes == 0
    assert committed[1].statistics.added_bytes > len(content)
    assert await _dump(new, committed[1]) == content


async def test_a_full_storage_leaves_the_other_copy_complete() -> None:
    """One full disk must not cost the night's backup on the other."""
    storage, inner = MemoryStorage(), MemoryStorage("the full one")
    await make(inner)
    full = FullStorage(inner, 300_000)
    content = _random(1_000_000)
    async with session(await make(storage), await reopen(full), packing=SMALL_PACKS) as writing:
        committed = await _commit_stream(writing, content)
    assert await _dump(storage, committed[0]) == content
    assert committed[0].error is None
    assert committed[1].snapshot_id is None
    assert isinstance(committed[1].error, StorageFullError)
    assert not any(key.kind is Kind.SNAPSHOT for key in inner.objects)


async def test_when_no_repository_is_left_the_reason_is_raised() -> None:
    """A backup that is nowhere is no success."""
    storage = FullStorage(MemoryStorage(), 100_000)
    opened = await make(storage)
    with pytest.raises(StorageFullError):
        await _stored(opened, _random(1_000_000), SMALL_PACKS)


async def test_when_no_repository_is_left_the_reading_stops() -> None:
    """A dump of hours must not be read to its end for nothing."""
    opened = await make(FullStorage(MemoryStorage(), 10_000))
    read_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read_bytes
        for number in range(1_000):
            read_bytes += 1_000_000
            yield _random(1_000_000, number)

    with pytest.raises(StorageFullError):
        async with session(opened, packing=SMALL_PACKS) as writing:
            await writing.save_stream(endless())
    assert read_bytes < 200_000_000


@pytest.mark.slow
async def test_a_slow_storage_stops_the_reading_and_not_the_memory() -> None:
    """A fast database and a slow disk must not fill this machine's memory."""
    storage = FaultyStorage(MemoryStorage())
    opened = await make(storage)
    gate = storage.hold(Fault(at=1, methods={"put"}, kinds={Kind.PACK}))
    read_bytes = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read_bytes
        for number in range(200):
            read_bytes += 1_000_000
            yield _random(1_000_000, number)

    packs = PackingOptions(pack_bytes=1 << 20)
    async with session(opened, packing=packs) as writing, asyncio.TaskGroup() as group:
        reading = group.create_task(writing.save_stream(counted()))
        await gate.arrived.wait()
        before = -1
        while before != read_bytes:
            before = read_bytes
            await asyncio.to_thread(threading.Event().wait, 0.1)
        assert read_bytes < 80_000_000
        gate.opened.set()
        assert (await reading).size_bytes == 200_000_000
        await writing.flush()


async def test_streams_are_read_while_those_before_them_wait_for_the_storage() -> None:
    """A tree of files of a megabyte each must keep every core busy."""
    storage = FaultyStorage(MemoryStorage())
    opened = await make(storage)
    gate = storage.hold(Fault(at=1, methods={"put"}, kinds={Kind.PACK}))
    told: list[StreamResult] = []
    async with session(opened, packing=SMALL_PACKS) as writing:
        for number in range(8):
            await writing.put_stream(pieces(_random(600_000 + number, number)), told.append)
        await gate.arrived.wait()
        assert len(told) < 8
        gate.opened.set()
        await writing.flush()
    assert sorted(each.size_bytes for each in told) == [600_000 + number for number in range(8)]
    assert {each.content[0] for each in told} == {digest(_random(600_000 + n, n)) for n in range(8)}


async def test_streams_that_are_saved_at_once_do_not_mix() -> None:
    """Parts of a large database come over several channels, in pieces of any size and in any order; one that breaks leaves the others."""
    whole = [_random(1_500_000 + number, number) for number in range(5)]

    async def in_turns(content: bytes, piece_bytes: int) -> AsyncIterator[bytes]:
        async for piece in pieces(content, piece_bytes):
            await asyncio.sleep(0)
            yield piece
        if content is whole[0]:
            raise HoldfastError("the server went away")

    async with session(await make(MemoryStorage()), packing=SMALL_PACKS) as writing:
        async with asyncio.TaskGroup() as group:
            sizes = (170_001, 90_000, 300_000, 1 << 20)
            broken = group.create_task(_outcome(writing.save_stream(in_turns(whole[0], 200_000))))
            saving = [
                group.create_task(writing.save_stream(in_turns(content, size)))
                for content, size in zip(whole[1:], sizes, strict=True)
            ]
        assert isinstance(broken.result(), HoldfastError)
        again = [await writing.save_stream(pieces(content)) for content in whole[1:]]
        await writing.flush()
        assert writing.statistics[0].added_bytes <= sum(map(len, whole))
    assert [each.result() for each in saving] == again


async def _outcome(saving: Coroutine[None, None, StreamResult]) -> StreamResult | HoldfastError:
    try:
        return await saving
    except HoldfastError as error:
        return error


async def test_half_a_stream_does_not_get_into_the_next_one() -> None:
    """One file that cannot be read to its end must not spoil another."""

    async def breaks() -> AsyncIterator[bytes]:
        yield _random(700_000, 2)
        raise HoldfastError("the server went away")

    storage = MemoryStorage()
    content = _random(1_000_000)
    async with session(await make(storage)) as writing:
        with pytest.raises(HoldfastError):
            await writing.save_stream(breaks())
        committed = await _commit_stream(writing, content)
    assert await _dump(storage, committed[0]) == content


@pytest.mark.parametrize("compression", ["off", "auto", "max"])
async def test_each_way_of_compressing_comes_back(compression: Compression) -> None:
    """The choice is about room and time, never about content."""
    storage = MemoryStorage()
    content = b"INSERT INTO t VALUES (1, 'text');\n" * 60_000
    committed = await _stored(await make(storage), content, PackingOptions(compression=compression))
    assert await _dump(storage, committed) == content
    stored_bytes = committed.statistics.stored_bytes
    assert stored_bytes > len(content) if compression == "off" else stored_bytes < len(content) // 20


def _break(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "compressor":
        monkeypatch.setattr(blob, "Compressor", _BrokenCompressor)
    else:
        monkeypatch.setattr(chunk_workers, "Sealer", _BrokenSealer)


class _BrokenCompressor(Compressor):
    """Memory that forgets a bit now and then."""

    def compress(self, data: Buffer, *, is_always: bool = False) -> bytes | None:
        found = super().compress(data, is_always=is_always)
        if found is None:
            return None
        broken = bytearray(found)
        broken[-6] ^= 4
        return bytes(broken)


class _BrokenSealer(Sealer):
    """A processor that miscalculates."""

    def seal_all(self, plaintexts: Sequence[Buffer], target: memoryview) -> list[int]:
        ends = super().seal_all(plaintexts, target)
        target[ends[-1] - 20 if ends[-1] > 60 else 20] ^= 1
        return ends


@pytest.mark.parametrize("broken", ["compressor", "sealer"])
async def test_a_fault_of_this_machine_ends_the_backup(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be restored must not be stored as if it could."""
    storage = MemoryStorage()
    opened = await make(storage)
    if broken == "compressor":
        monkeypatch.setattr(blob, "Compressor", _BrokenCompressor)
    else:
        monkeypatch.setattr(chunk_workers, "Sealer", _BrokenSealer)
    with pytest.raises(DamagedError, match="does not read back"):
        await _stored(opened, b"text " * 200_000)
    assert not any(key.kind in (Kind.PACK, Kind.SNAPSHOT) for key in storage.objects)


@pytest.mark.parametrize("broken", ["compressor", "sealer"])
async def test_a_fault_in_a_small_file_ends_the_backup_of_a_tree(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last file of a tree is nobody's to wait for, and its fault must end the backup all the same."""
    opened = await make(MemoryStorage())
    if broken == "compressor":
        monkeypatch.setattr(blob, "Compressor", _BrokenCompressor)
    else:
        monkeypatch.setattr(chunk_workers, "Sealer", _BrokenSealer)
    with pytest.raises(DamagedError):
        async with asyncio.timeout(20), session(opened) as writing:
            await writing.save_tree(files_feed(("srv/file", b"text " * 2000)), None)


async def test_what_the_stream_raises_is_raised_and_nothing_points_at_the_rest() -> None:
    """A half dump never becomes a snapshot."""
    storage = MemoryStorage()
    opened = await make(storage)

    async def breaks() -> AsyncIterator[bytes]:
        yield _random(2_000_000)
        raise HoldfastError("the server went away")

    with pytest.raises(HoldfastError, match="the server went away"):
        async with session(opened, packing=SMALL_PACKS) as writing:
            await writing.save_stream(breaks())
    assert not any(key.kind is Kind.SNAPSHOT for key in storage.objects)
    assert lock_count(storage) == 0


@pytest.mark.slow
async def test_the_next_backup_finds_what_a_broken_one_stored() -> None:
    """A connection that breaks at 90 % costs the last tenth and not all."""
    inner = MemoryStorage()
    storage = FaultyStorage(inner)
    opened = await make(storage)
    content = _random(30_000_000)

    async def breaks() -> AsyncIterator[bytes]:
        yield content[:28_000_000]
        while storage.count("put", Kind.PACK) < 2:  # noqa: ASYNC110 -- a storage has no event for it
            await asyncio.sleep(0)
        raise HoldfastError("the server went away")

    with pytest.raises(HoldfastError):
        async with session(opened, packing=SMALL_PACKS) as writing:
            await writing.save_stream(breaks())
    again = await _stored(await reopen(storage), content)
    assert again.statistics.added_bytes < len(content) - (1 << 20)
    assert await _dump(inner, again) == content


async def test_a_repository_that_was_dropped_keeps_what_it_took() -> None:
    """A disk that was full is not filled with the same again when there is room."""
    inner, other = MemoryStorage(), MemoryStorage()
    await make(inner)
    storage = FaultyStorage(inner, Fault(at=4, methods={"put"}, kinds={Kind.PACK}))
    content = _random(6_000_000)
    async with session(await make(other), await reopen(storage), packing=SMALL_PACKS) as writing:
        committed = await _commit_stream(writing, content)
    assert isinstance(committed[1].error, StorageError)
    again = await _stored(await reopen(inner), content)
    assert again.statistics.added_bytes < len(content)


async def test_a_session_left_without_commit_indexes_what_it_stored() -> None:
    """Nothing changed after all: what was read is still there for the next."""
    storage = MemoryStorage()
    content = _random(1_000_000)
    async with session(await make(storage)) as writing:
        await writing.save_stream(pieces(content))
    again = await _stored(await reopen(storage), content)
    assert again.statistics.data_blobs == 0


async def test_the_parent_is_written_for_each_repository() -> None:
    """Each repository's own snapshot ids: restic shows the chain."""
    storages = MemoryStorage(), MemoryStorage()
    opened = [await make(each) for each in storages]
    parents = {each.id: bytes([number + 1]) * 32 for number, each in enumerate(opened)}
    async with session(*opened) as writing:
        tree_id = await writing.save_tree_blob(encode_tree([]))
        committed = await writing.commit(snapshot(tree_id), parents)
    for storage, done in zip(storages, committed, strict=True):
        assert done.snapshot_id is not None
        found = await (await reopen(storage)).load_snapshot(done.snapshot_id)
        assert found.parent == parents[done.repository_id]


async def test_no_thread_is_left_when_a_session_ends() -> None:
    """A service that runs for months must not gather threads."""
    before = {thread.name for thread in threading.enumerate()}
    await _stored(await make(MemoryStorage()), _random(1_000_000))
    left = [each.name for each in threading.enumerate() if each.name == "holdfast-chunks"]
    assert not left or "holdfast-chunks" in before


async def test_a_session_that_would_add_too_much_stops_and_leaves_no_snapshot() -> None:
    """A log that runs wild must not fill the storage overnight."""
    storage = MemoryStorage()
    made = await make(storage)
    options = WriteOptions(PackingOptions(pack_bytes=1 << 20), most_bytes=3 << 20)
    drawn = random.Random(3)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield drawn.randbytes(1 << 20)

    async with lock.hold(made, exclusive=False, clock=made.clock) as held:
        await made.load_index()
        with pytest.raises(BackupTooLargeError, match="more than 3 MiB"):
            async with open_session([(made, held)], clock=made.clock, options=options) as writing:
                await writing.save_stream(endless())
    stored = sum(len(content) for key, content in storage.objects.items() if key.kind is Kind.PACK)
    assert stored < 60 << 20
    assert not any(key.kind is Kind.SNAPSHOT for key in storage.objects)
