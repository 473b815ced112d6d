"""Long files of this machine, read straight into the chunker: what is as it was listed, and nothing else."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from engine.model.entry import Entry
from engine.repository import lock, pool, writer
from engine.repository.read_long import LongFile, NotAsListedError
from tests.fakes.memory_storage import MemoryStorage
from tests.fakes.small_repositories import expected, make, reopen, session, snapshot, tree_contents
from tests.fakes.tree_feed import HereFeed, pieces

CONTENT = random.Random(1).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there whose lock could come in the same moment."""
    monkeypatch.setattr(lock, "CONFIRM_S", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A long file."""
    made = tmp_path / "file"
    made.write_bytes(CONTENT)
    return made


def _entry(path: Path) -> Entry:
    """As a listing has it."""
    status = path.lstat()
    ctime = b"%d.%09d0" % divmod(status.st_ctime_ns, 10**9)
    numbers = status.st_size, b"0.0", ctime, status.st_ino, status.st_dev, 1
    return Entry(os.fsencode(path)[1:], "f", 0o644, 0, 0, b"", b"", *numbers, b"")


def _read(entry: Entry, room_bytes: int = 1 << 20) -> bytes:
    with LongFile(entry) as file:
        return _rest(file, room_bytes)


def _rest(file: LongFile, room_bytes: int = 1 << 20) -> bytes:
    room = bytearray(room_bytes)
    came = []
    while not file.is_read:
        count = file.read_into(memoryview(room))
        came.append(bytes(room[:count]))
    return b"".join(came)


@pytest.mark.parametrize("room_bytes", [1_000_000, 3_000_000, 8_000_000])
def test_a_file_is_read_into_room_of_any_length(path: Path, room_bytes: int) -> None:
    """The chunker's segment ends where it ends."""
    assert _read(_entry(path), room_bytes) == CONTENT


def test_attributes_come_with_it(path: Path) -> None:
    """ACLs and capabilities are attributes too."""
    os.setxattr(path, "user.name", b"\0\xff")
    with LongFile(_entry(path)) as file:
        assert file.read_into(memoryview(bytearray(4_000_000))) == len(CONTENT)
        assert file.xattrs == ((b"user.name", b"\0\xff"),)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _become_sparse(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(len(CONTENT))


def _become_a_link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def _become_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [_grow, _become_sparse, _become_a_link, _become_a_fifo, Path.unlink])
def test_what_is_not_as_it_was_listed_is_refused(path: Path, change: Callable[[Path], None]) -> None:
    """The host's own tool says in its own words what is wrong, and it knows holes."""
    listed = _entry(path)
    change(path)
    with pytest.raises(NotAsListedError):
        _read(listed)


def test_a_file_with_holes_is_left_to_the_tool_that_knows_them(path: Path) -> None:
    """A disk image of a terabyte may hold a gigabyte."""
    _become_sparse(path)
    with pytest.raises(NotAsListedError):
        _read(_entry(path))


@pytest.mark.parametrize("change", [_grow, lambda path: os.truncate(path, 1_500_000)], ids=["grew", "shrank"])
def test_a_file_that_changes_while_it_is_read_is_refused(path: Path, change: Callable[[Path], None]) -> None:
    """Its bytes would be of two moments."""
    with LongFile(_entry(path)) as file:
        file.read_into(memoryview(bytearray(1_000_000)))
        change(path)
        with pytest.raises(NotAsListedError):
            _rest(file)


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_file_that_is_left_half_read_is_closed(path: Path) -> None:
    """A cancelled backup must not keep what it was reading."""
    before = _open_files()
    with LongFile(_entry(path)) as file:
        file.read_into(memoryview(bytearray(1_000)))
    assert _open_files() == before
    with pytest.raises(NotAsListedError):
        file.read_into(memoryview(bytearray(1_000)))
    assert _open_files() == before


def test_a_file_that_is_left_while_a_thread_reads_is_closed_by_that_thread(path: Path) -> None:
    """Its number may be another file's a moment later, and that one's bytes must not be taken."""
    before = _open_files()
    during: list[int] = []

    class Room:
        def __getitem__(self, part: slice) -> memoryview:
            file.__exit__()
            during.append(_open_files())
            return memoryview(bytearray(1_000))[part]

    file = LongFile(_entry(path))
    assert file.read_into(cast("memoryview", Room())) == 1_000
    assert during == [before + 1]
    assert _open_files() == before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of more than a blob, one that is more than a chunk, and one with holes."""
    made = tmp_path / "folder"
    made.mkdir()
    for number in range(4):
        (made / f"long-{number}").write_bytes(random.Random(number).randbytes(530_000 + number))
    (made / "longer").write_bytes(CONTENT)
    with (made / "sparse").open("wb") as file:
        file.truncate(600_000)
    return made


async def test_long_files_of_this_machine_come_back_as_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for them, but for what is not as it was listed."""
    monkeypatch.setattr(writer, "FEW", 0)
    storage = MemoryStorage()
    feed = HereFeed(folder, stale=["long-3"])
    async with (
        AsyncExitStack() as stack,
        session(await make(storage), processes=pool.Processes(stack)) as writing,
    ):
        result = await writing.save_tree(feed, None)
        await writing.commit(snapshot(result.tree_id))
    assert await tree_contents(await reopen(storage), result.tree_id) == expected(feed.made)
    folders = {each.path.encode() for each in feed.made if each.type == "d"}
    assert {path.rpartition(b"/")[2] for path in feed.wanted if path not in folders} == {b"long-3", b"sparse"}


@pytest.mark.parametrize("size_bytes", [530_000, 3_000_000])
async def test_a_long_file_is_cut_as_if_it_came_from_a_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    """Else a file that comes now from one and now from the other would be stored twice."""
    monkeypatch.setattr(writer, "FEW", 0)
    (tmp_path / "file").write_bytes(CONTENT[:size_bytes])
    opened = await make(MemoryStorage())
    async with AsyncExitStack() as stack, session(opened, processes=pool.Processes(stack)) as writing:
        here = await writing.save_tree(HereFeed(tmp_path), None)
        await writing.flush()
        added_bytes = writing.statistics[0].added_bytes
        stored = await writing.save_stream(pieces(CONTENT[:size_bytes]))
        await writing.flush()
        assert writing.statistics[0].added_bytes == added_bytes
    assert here.counts.total_bytes == stored.size_bytes == size_bytes
