"""Repositories, keys and locks that holdfast and both stock restics share."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import DamagedError, RepositoryLockedError, WrongPasswordError
from engine.format import lock_file
from engine.format.lock_file import Lock
from engine.model.secret import Secret
from engine.repository import keys, lock, repository
from engine.repository.keys import Kdf, Unlocked
from engine.repository.lock_verdicts import Verdict
from engine.repository.repository import Repository
from engine.storages.base import Kind
from engine.storages.local import LocalStorage
from tests.servers.restic import PASSWORD, Restic, ResticProgram

CLOCK = SystemClock()
QUICK = Kdf(n=1024, r=8, p=1)
OTHER = "battery staple"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    """A directory for one repository."""
    made = LocalStorage(tmp_path / "repository", CLOCK)
    yield made
    made.close()


@pytest.fixture
def restic(restic_program: ResticProgram, tmp_path: Path) -> Restic:
    """Stock restic on that directory, once packaged, once the newest."""
    return Restic(restic_program, tmp_path / "repository", tmp_path / "restic")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Something to back up."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.txt").write_bytes(os.urandom(2000 * number))
    return folder


async def _create(storage: LocalStorage) -> Repository:
    return await repository.create(storage, Secret(PASSWORD), clock=CLOCK, kdf=QUICK)


async def _open(storage: LocalStorage, password: str = PASSWORD) -> Repository:
    return await repository.open_repository(storage, Secret(password), cache_directory=None, clock=CLOCK)


async def test_restic_uses_a_repository_that_we_made(
    storage: LocalStorage, restic: Restic, files: Path
) -> None:
    """Whoever loses holdfast still has restic."""
    made = await _create(storage)
    assert json.loads(restic.cat("config"))["id"] == made.id
    restic.backup(files)
    restic.check()
    assert len(restic.list_names("keys")) == 1


async def test_we_read_a_repository_that_restic_made(
    storage: LocalStorage, restic: Restic, files: Path
) -> None:
    """People come with years of restic backups."""
    restic.init()
    summary = restic.backup(files)
    opened = await _open(storage)
    await opened.load_index()
    name, snapshot = await opened.find_snapshot(summary["snapshot_id"][:8])
    assert name.startswith(summary["snapshot_id"])
    assert b'"nodes"' in await opened.load_blob("tree", snapshot.tree)
    for blob in opened.index.blobs():
        await opened.load_blob(blob.type, blob.id)
    assert len(restic.list_names("blobs")) == opened.index.blob_count


async def test_each_password_of_restics_keys_opens(
    storage: LocalStorage, restic: Restic, tmp_path: Path
) -> None:
    """Teams give each member a password."""
    restic.init()
    password_file = tmp_path / "password"
    password_file.write_text(OTHER)
    restic.run("key", "add", "--new-password-file", password_file)
    first, second = await _open(storage), await _open(storage, OTHER)
    assert first.master == second.master
    assert first.key_name != second.key_name
    with pytest.raises(WrongPasswordError):
        await _open(storage, "neither")


async def test_restic_opens_with_a_key_that_we_added(storage: LocalStorage, restic: Restic) -> None:
    """The recovery kit's password must open with restic alone."""
    opened = await _create(storage)
    await keys.add(storage, opened.master, Secret(OTHER), clock=CLOCK, kdf=Kdf())
    other = Restic(restic.program, restic.repository, restic.temporary, OTHER)
    assert json.loads(other.cat("config"))["id"] == opened.id
    assert len(other.list_names("keys")) == 2


async def test_restic_opens_after_we_changed_the_password(storage: LocalStorage, restic: Restic) -> None:
    """And no longer with the old one."""
    opened = await _create(storage)
    current = Unlocked(opened.key_name, opened.master)
    await keys.change_password(storage, current, Secret(OTHER), clock=CLOCK, kdf=QUICK)
    Restic(restic.program, restic.repository, restic.temporary, OTHER).cat("config")
    assert restic.run("cat", "config", is_checked=False).returncode != 0


@pytest.mark.parametrize("kind", ["config", "keys", "index", "snapshots"])
async def test_a_damaged_file_of_restic_is_named(
    storage: LocalStorage, restic: Restic, files: Path, kind: str
) -> None:
    """What restic would say of it in its own words, we say with the file's name."""
    restic.init() if kind == "keys" else restic.begin()
    restic.backup(files)
    folder = Path(restic.repository)
    path = folder / "config" if kind == "config" else next((folder / kind).iterdir())
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(stored)

    async def read_everything() -> None:
        opened = await _open(storage)
        await opened.load_index()
        await opened.snapshots()

    with pytest.raises(DamagedError, match=path.name):
        await read_everything()


async def test_restic_goes_on_beside_our_shared_lock_and_does_not_prune(
    storage: LocalStorage, restic: Restic, files: Path
) -> None:
    """A prune beside our backup would delete the packs that no index names yet."""
    opened = await _create(storage)
    async with lock.hold(opened, exclusive=False, clock=CLOCK) as held:
        await asyncio.to_thread(restic.backup, files)
        pruned = await asyncio.to_thread(restic.run, "prune", is_checked=False)
        assert pruned.returncode != 0
        assert b"lock" in pruned.stderr
        assert platform.node().encode() in pruned.stderr
        await held.assert_held()
    await asyncio.to_thread(restic.run, "prune")
    restic.check()


async def test_restic_does_nothing_beside_our_exclusive_lock(
    storage: LocalStorage, restic: Restic, files: Path
) -> None:
    """Our prune counts on being alone."""
    opened = await _create(storage)
    async with lock.hold(opened, exclusive=True, clock=CLOCK):
        done = await asyncio.to_thread(restic.run, "backup", files, is_checked=False)
        assert done.returncode != 0
        assert b"lock" in done.stderr


async def test_restics_unlock_leaves_our_living_lock(storage: LocalStorage, restic: Restic) -> None:
    """restic must take our process for alive."""
    opened = await _create(storage)
    async with lock.hold(opened, exclusive=False, clock=CLOCK) as held:
        await asyncio.to_thread(restic.run, "unlock")
        await held.assert_held()


async def test_restics_unlock_removes_what_a_killed_process_of_ours_left(
    storage: LocalStorage, restic: Restic
) -> None:
    """Stock restic is the way out when holdfast is gone."""
    opened = await _create(storage)
    with subprocess.Popen(["true"]) as child:
        pid = child.pid
    left = Lock(CLOCK.now(), True, platform.node(), keys.user_name(), pid, boot_id="of this start", started=7)
    await opened.save_unpacked(Kind.LOCK, lock_file.encode(left))
    await asyncio.to_thread(restic.run, "unlock")
    assert await lock.inspect(opened, clock=CLOCK) == []


@contextmanager
def _restic_backing_up(restic: Restic) -> Iterator[subprocess.Popen[bytes]]:
    """A restic that holds its shared lock for as long as nobody closes its standard input."""
    command = [str(restic.program.path), "--no-cache", "backup", "--stdin"]
    with subprocess.Popen(
        command,
        env=restic.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        locks = Path(restic.repository) / "locks"
        deadline = time.monotonic() + 30
        while not any(len(path.name) == 64 for path in locks.iterdir()):
            assert time.monotonic() < deadline, "restic took no lock"
            assert process.poll() is None, "restic ended"
        try:
            yield process
        finally:
            process.kill()


async def test_we_go_on_beside_a_restic_backup_but_not_exclusively(
    storage: LocalStorage, restic: Restic
) -> None:
    """Our prune would delete what that restic is uploading."""
    opened = await _create(storage)
    restic.temporary.mkdir()
    with _restic_backing_up(restic):
        async with lock.hold(opened, exclusive=False, clock=CLOCK) as held:
            await held.assert_held()
        with pytest.raises(RepositoryLockedError, match=platform.node()):
            async with lock.hold(opened, exclusive=True, clock=CLOCK):
                pytest.fail("an exclusive lock beside a shared one")
        (info,) = await lock.inspect(opened, clock=CLOCK)
        assert info.verdict is Verdict.UNKNOWN
        assert await lock.remove_stale(opened, clock=CLOCK) == []


async def test_we_do_nothing_beside_an_exclusive_lock_of_restic(
    storage: LocalStorage, restic: Restic
) -> None:
    """A lock as restic's prune writes it: without any field of ours."""
    restic.begin()
    opened = await _open(storage)
    theirs = Lock(CLOCK.now(), True, "db7", "root", 4711)
    await opened.save_unpacked(Kind.LOCK, lock_file.encode(theirs))
    with pytest.raises(RepositoryLockedError, match=r"exclusively locked by root@db7, process 4711"):
        async with lock.hold(opened, exclusive=False, clock=CLOCK):
            pytest.fail("a shared lock beside an exclusive one")


async def test_restic_reads_the_time_of_our_lock(storage: LocalStorage, restic: Restic) -> None:
    """An unreadable lock would stop the newest restic for good."""
    opened = await _create(storage)
    async with lock.hold(opened, exclusive=False, clock=CLOCK) as held:
        seen = json.loads(restic.cat("lock", held.name))
        written = datetime.datetime.fromisoformat(seen["time"].replace("Z", "+00:00")[:19] + "+00:00")
        assert abs(written.timestamp() - CLOCK.now().timestamp()) < 60 + abs(time.timezone)
        assert (seen["pid"], seen["hostname"]) == (os.getpid(), platform.node())
