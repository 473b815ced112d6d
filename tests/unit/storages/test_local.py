"""The local directory: how its files lie, what is left over, and what happens when the disk is full, read-only, failing or gone."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from engine import errors
from engine.clock import SystemClock
from engine.storages import local
from engine.storages.base import Key, Kind, Listed
from engine.storages.local import LocalStorage
from tests.servers.tools import PROJECT, require_tool

NAME = "ab" * 32
PACK = Key(Kind.PACK, NAME)
CONFIG = Key(Kind.CONFIG)

PUT_ONE = """
import asyncio, sys
from pathlib import Path
from engine import errors
from engine.clock import SystemClock
from engine.storages.base import Key, Kind
from engine.storages.local import LocalStorage

async def main(directory, size_bytes):
    storage = LocalStorage(Path(directory), SystemClock())
    try:
        await storage.put(Key(Kind.PACK, "ab" * 32), [bytes(size_bytes)])
    except errors.StorageError as error:
        print(type(error).__name__, error.message, error.hint, sep="\\n")
    finally:
        storage.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
"""Puts one pack into argv[1], of argv[2] bytes, and prints the error's class, message and hint."""

Calling = Callable[[LocalStorage], Awaitable[object]]


async def list_packs(storage: LocalStorage) -> list[Listed]:
    """All packs."""
    return [listed async for listed in storage.list(Kind.PACK)]


CALLS_THAT_NEED_THE_DISK: dict[str, Calling] = {
    "put": lambda storage: storage.put(PACK, [b""]),
    "list": list_packs,
    "space": lambda storage: storage.space(),
    "clean": lambda storage: storage.clean(0),
}


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    """A repository's place on this disk, made."""
    opened = LocalStorage(tmp_path / "repository", SystemClock())
    await opened.create()
    yield opened
    opened.close()


def files_in(directory: Path) -> list[str]:
    """All files below, by their path."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir())


def put_one(directory: Path, size_bytes: int, *around: str) -> list[str]:
    """What a process of its own says that puts one pack, started through the words `around`."""
    words = [*around, sys.executable, "-c", PUT_ONE, str(directory), str(size_bytes)]
    return subprocess.run(words, check=True, capture_output=True, text=True, cwd=PROJECT).stdout.splitlines()


def put_one_on_small_disk(directory: Path, options: str, size_bytes: int) -> tuple[list[str], list[str]]:
    """What is said, and the files that are there afterwards, on a disk in memory of 1 MiB that only this call sees."""
    unshare = require_tool("unshare")
    script = (
        'mount -t tmpfs -o size=1m none "$0" && mkdir -p "$0/data/ab" && mount -o "remount,$1" none "$0"'
        ' && shift && "$@" && echo FILES && find "$0" -type f'
    )
    said = put_one(directory, size_bytes, str(unshare), "-rm", "sh", "-c", script, str(directory), options)
    return said[: said.index("FILES")], said[said.index("FILES") + 1 :]


def test_a_full_disk_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    """Half a pack on a full disk would take the room that the next prune needs."""
    said, files = put_one_on_small_disk(tmp_path, "rw", 2 << 20)
    assert said[0] == "StorageFullError"
    assert said[1] == f"{tmp_path}/data/ab/{NAME} could not be written: no space left on device"
    assert "forget and prune" in said[2]
    assert files == []


def test_what_just_fits_is_stored(tmp_path: Path) -> None:
    """The proof that the test above failed for want of room."""
    said, files = put_one_on_small_disk(tmp_path, "rw", 500 << 10)
    assert (said, files) == ([], [f"{tmp_path}/data/ab/{NAME}"])


def test_a_read_only_disk_is_told(tmp_path: Path) -> None:
    """A failing disk becomes read-only by itself; someone has to look at it."""
    said, files = put_one_on_small_disk(tmp_path, "ro", 1000)
    assert said[0] == "StorageReadOnlyError"
    assert "dmesg" in said[2]
    assert files == []


def put_one_with_fault(directory: Path, fault: str) -> list[str]:
    """What is said when the operating system fails as strace's `inject` tells it."""
    strace = str(require_tool("strace"))
    call = fault.partition(":")[0]
    return put_one(
        directory, 1000, strace, "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fsync", "writev", "rename"])
async def test_a_failing_disk_never_shows_half_an_object(storage: LocalStorage, call: str) -> None:
    """An object under its name is believed to be on the disk."""
    said = put_one_with_fault(Path(storage.location), f"{call}:error=EIO:when=1")
    assert said[0] == "StorageError"
    assert "input/output error" in said[1]
    assert "smartctl" in said[2]
    assert files_in(Path(storage.location)) == []


@pytest.mark.slow
async def test_a_name_that_may_not_last_is_no_success(storage: LocalStorage) -> None:
    """The second fsync is the folder's: until then a power cut may take the name away, though the object is whole."""
    said = put_one_with_fault(Path(storage.location), "fsync:error=EIO:when=2")
    assert said[0] == "StorageError"
    assert await list_packs(storage) == [Listed(PACK, 1000)]


async def test_the_place_is_laid_out_as_restic_lays_it_out(storage: LocalStorage) -> None:
    """restic makes all folders at the start, and nobody else may look into them."""
    folders = {path for path in Path(storage.location).rglob("*") if path.is_dir()}
    root = Path(storage.location)
    assert folders == {root / name for name in ("data", "index", "keys", "locks", "snapshots")} | {
        root / "data" / f"{number:02x}" for number in range(256)
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


async def test_objects_are_read_only_files_of_their_owner(storage: LocalStorage, tmp_path: Path) -> None:
    """A slip of the hand must not change a pack."""
    await storage.put(PACK, [b"pack"])
    status = (tmp_path / "repository" / "data" / "ab" / NAME).stat()
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert files_in(tmp_path / "repository") == [f"data/ab/{NAME}"]


async def test_a_config_that_the_group_may_read_shares_all_with_the_group(tmp_path: Path) -> None:
    """That is how restic's users let a second account read their repository."""
    root = tmp_path / "shared"
    root.mkdir()
    (root / "config").write_bytes(b"config")
    (root / "config").chmod(0o440)
    storage = LocalStorage(root, SystemClock())
    await storage.create()
    await storage.put(PACK, [b"pack"])
    storage.close()
    assert stat.S_IMODE((root / "data" / "ab").stat().st_mode) == 0o770
    assert stat.S_IMODE((root / "data" / "ab" / NAME).stat().st_mode) == 0o440


async def test_a_folder_that_is_missing_is_made(storage: LocalStorage) -> None:
    """Copies of repositories that leave out empty folders are common."""
    (Path(storage.location) / "data" / "ab").rmdir()
    await storage.put(PACK, [b"pack"])
    assert await storage.get(PACK) == b"pack"


@pytest.mark.parametrize("call", CALLS_THAT_NEED_THE_DISK.values(), ids=CALLS_THAT_NEED_THE_DISK)
async def test_a_disk_that_is_not_mounted_is_no_empty_repository(tmp_path: Path, call: Calling) -> None:
    """Else a backup fills the disk below the mount point, and a check finds nothing wrong with nothing."""
    storage = LocalStorage(tmp_path / "mnt", SystemClock())
    with pytest.raises(errors.StorageError, match="no such file or directory") as caught:
        await call(storage)
    storage.close()
    assert not isinstance(caught.value, errors.ObjectMissingError)
    assert "mounted" in str(caught.value.hint)
    assert files_in(tmp_path) == []


async def test_strange_names_are_passed_over(storage: LocalStorage) -> None:
    """Leftovers, notes and folders lie about in repositories; none is an object."""
    root = Path(storage.location)
    await storage.put(PACK, [b"pack"])
    for name in (
        f"data/ab/{NAME}-tmp-123",
        "data/ab/README",
        f"data/cd/{NAME}",
        "data/stray",
        f"data/ab/{'AB' * 32}",
        "lost",
    ):
        (root / name).write_bytes(b"strange")
    (root / "data" / "xyz").mkdir()
    (root / "snapshots" / NAME).mkdir()
    assert await list_packs(storage) == [Listed(PACK, 4)]
    assert [listed async for listed in storage.list(Kind.SNAPSHOT)] == []


async def test_folders_and_objects_may_be_links(storage: LocalStorage, tmp_path: Path) -> None:
    """Big repositories are spread over disks by links."""
    root = Path(storage.location)
    (tmp_path / "elsewhere").mkdir()
    (root / "data" / "ab").rmdir()
    (root / "data" / "ab").symlink_to(tmp_path / "elsewhere")
    await storage.put(PACK, [b"pack"])
    assert await list_packs(storage) == [Listed(PACK, 4)]
    assert await storage.get(PACK) == b"pack"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
async def test_what_is_no_file_is_an_error_and_no_endless_wait(storage: LocalStorage, make: object) -> None:
    """A pipe in an object's place would hang the job that reads it."""
    assert callable(make)
    make(Path(storage.location) / PACK.path())
    with pytest.raises(errors.StorageError, match="could not be read"):
        await storage.get(PACK)


async def test_only_old_leftovers_are_cleaned_away(storage: LocalStorage) -> None:
    """A young one belongs to a writer that is still at it."""
    root = Path(storage.location)
    old = [
        "config-tmp-0a1b",
        f"data/ab/{NAME}-tmp-99",
        f"index/{NAME}-tmp-77",
        f"keys/{NAME}-restic-temp-{'0' * 32}",
    ]
    kept = [f"data/ab/{NAME}-tmp-1", "config", f"data/ab/{NAME}", f"locks/{NAME}-notes", "data/ab/x-tmp-1"]
    for name in old + kept:
        (root / name).write_bytes(b"")
    hour_ago = (SystemClock().now() - timedelta(hours=1)).timestamp()
    for name in [*old, *kept[1:]]:
        os.utime(root / name, (hour_ago, hour_ago))
    assert await storage.clean(older_than_s=1800) == len(old)
    assert files_in(root) == sorted(kept)


async def test_a_cancelled_put_leaves_no_leftover(storage: LocalStorage) -> None:
    """Whoever stops backups often would else fill the disk."""
    root = Path(storage.location)
    stored = [bytes(1 << 20)] * 4
    for turns in range(0, 400, 40):
        key = Key(Kind.PACK, hashlib.sha256(turns.to_bytes(2, "big")).hexdigest())
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(storage.put(key, stored))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
            writing.cancel()
        assert [name for name in files_in(root) if "-tmp-" in name] == []


async def test_the_room_is_the_disk_s(storage: LocalStorage) -> None:
    """Usage shows it, and a backup that cannot fit is not begun."""
    found = os.statvfs(storage.location)
    space = await storage.space()
    assert space.total_bytes == found.f_blocks * found.f_frsize
    assert space.free_bytes is not None
    assert 0 < space.free_bytes <= space.total_bytes


async def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    """The path of a repository that is a file is a slip of the hand."""
    (tmp_path / "file").write_bytes(b"")
    storage = LocalStorage(tmp_path / "file", SystemClock())
    with pytest.raises(errors.StorageError, match="not a directory"):
        await storage.create()
    storage.close()


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=lambda number: errno.errorcode[number])
def test_every_error_of_the_system_becomes_one_for_people(number: int) -> None:
    """Nobody should meet a traceback for a full disk."""
    translated = local._translated(OSError(number, os.strerror(number)), "the head")
    assert translated.message == f"the head: {os.strerror(number).lower()}"
    assert not isinstance(translated, errors.ObjectMissingError | errors.ShortReadError)
