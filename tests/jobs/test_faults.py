"""Whatever goes wrong in a job ends in one clear sentence, the right exit code, and nothing lost."""

from __future__ import annotations

import asyncio
import datetime
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import orjson
import pytest

from engine import errors
from engine.clock import SystemClock
from engine.jobs import values
from engine.model.backup import BackupStatus
from engine.model.definitions import Host, Source, Storage
from engine.model.job import JobStatus
from engine.model.requests import (
    BackupRequest,
    ForgetRequest,
    KeepPolicy,
    Limits,
    PruneRequest,
    RestoreRequest,
)
from engine.storages import registry
from tests.jobs import cramped
from tests.jobs.world import World, open_world
from tests.servers.restic import ResticProgram
from tests.servers.sshd import GUEST, Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World) -> Path:
    """A small tree, source `tree` of this machine, and a storage for it."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"one")
    (root / "large").write_bytes(random.Random(1).randbytes(1 << 20))
    await world.add_storages("first", "second")
    await world.add_files("tree", root)
    return root


def _is_one_sentence(error: errors.HoldfastError) -> bool:
    return bool(error.message) and "\n" not in error.message and not error.message.endswith(".")


async def _fails(
    world: World, source: str, kind: type[errors.HoldfastError], exit_code: int
) -> errors.HoldfastError:
    """Backs that source up, which must fail so; the catalog must say so too, and nothing may be in the storage."""
    with pytest.raises(kind) as caught:
        await world.backup(source)
    assert caught.value.exit_code == exit_code
    assert _is_one_sentence(caught.value), caught.value.message
    job, *_ = await world.engine.jobs()
    assert (job.status, job.error) == (JobStatus.FAILED, caught.value.message)
    assert not any((world.place("first") / "snapshots").glob("*"))
    return caught.value


async def test_a_host_that_cannot_be_reached_is_named(world: World, tree: Path, sshd: Sshd) -> None:
    """The person who reads the message must know which machine to look at."""
    await world.add_host(sshd)
    await world.engine.edit_host("server", f"{sshd.user}@127.0.0.1:1", {})
    await world.add_files("remote", tree, host="server")
    error = await _fails(world, "remote", errors.HostUnreachableError, 1)
    assert "server" in error.message


async def test_a_host_that_shows_another_key_gets_nothing(world: World, tree: Path, sshd: Sshd) -> None:
    """Somebody in the middle would get every file and password."""
    await world.add_host(sshd, known_hosts=(str(sshd.known_hosts_wrong),))
    await world.add_files("remote", tree, host="server")
    error = await _fails(world, "remote", errors.HostKeyChangedError, 1)
    assert sshd.fingerprint() in error.message


async def test_a_key_that_a_person_accepted_is_trusted_from_then_on(
    world: World, tree: Path, sshd: Sshd
) -> None:
    """An unknown key is refused with its fingerprint, and taken once a person has compared that."""
    nobody = world.directory / "known_hosts"
    nobody.touch()
    await world.add_host(sshd, name="strange", known_hosts=(str(nobody),))
    await world.add_files("remote", tree, host="strange")
    error = await _fails(world, "remote", errors.HostKeyUnknownError, 1)
    assert sshd.fingerprint() in error.message
    host = await world.engine.show_host("strange")
    fingerprint, line = await world.engine.host_key(host)
    assert fingerprint == sshd.fingerprint()
    await world.engine.add_host(Host("known", "ssh", host.address, host.options), accepted_key=line)
    await world.add_files("trusted", tree, host="known")
    await world.one_backup("trusted")


async def test_the_wrong_password_opens_nothing(world: World, tree: Path) -> None:
    """Scripts tell a wrong password from a broken repository by the exit code."""
    (world.directory / "password").write_text("another", encoding="ascii")
    error = await _fails(world, "tree", errors.WrongPasswordError, 12)
    assert str(world.place("first")) in error.message


async def test_where_no_repository_is_none_is_made_in_silence(world: World, tree: Path) -> None:
    """A disk that is not mounted must not become an empty repository below its mount point."""
    world.place("first").rename(world.place("elsewhere"))
    world.place("first").mkdir()
    with pytest.raises(errors.NoRepositoryError) as caught:
        await world.backup("tree")
    assert caught.value.exit_code == 10
    assert list(world.place("first").iterdir()) == []


async def test_a_path_that_is_not_there_is_named(world: World, tree: Path) -> None:
    """A mistyped path must not become an empty backup."""
    await world.add_files("nothing", tree / "missing")
    error = await _fails(world, "nothing", errors.PathMissingError, 1)
    assert str(tree / "missing") in error.message


async def test_one_source_that_fails_leaves_the_others_kept(world: World, tree: Path) -> None:
    """A database that is down tonight is no reason to lose the files of tonight."""
    await world.add_files("nothing", tree / "missing")
    done = await world.backup("nothing", "tree")
    assert done.status == "incomplete"
    assert [(each.source, each.status) for each in done.backups] == [
        ("nothing", "failed"),
        ("tree", "completed"),
    ]
    assert "missing" in done.backups[0].error
    await world.restore("latest:tree", world.directory / "back")


async def test_a_failed_backup_is_not_the_one_to_restore(world: World, tree: Path) -> None:
    """After a night that failed, `latest` must still bring back what there is."""
    good = await world.one_backup("tree")
    tree.rename(world.directory / "moved")
    with pytest.raises(errors.PathMissingError):
        await world.backup("tree")
    assert (await world.engine.show_backup("latest:tree")).backup_id == good.backup_id
    await world.restore("latest:tree", world.directory / "back")


async def test_files_that_this_user_may_not_read_are_named(
    world: World, tree: Path, sshd_with_guests: Sshd
) -> None:
    """The rest is kept; what is not in it is known before it is needed."""
    open_tree = sshd_with_guests.directory / "homes" / GUEST / "tree"
    (open_tree / "closed").mkdir(parents=True)
    (open_tree / "readable").write_bytes(b"yes")
    (open_tree / "secret").write_bytes(b"no")
    (open_tree / "secret").chmod(0o600)
    (open_tree / "closed").chmod(0o700)
    await world.add_host(sshd_with_guests, user=GUEST)
    await world.add_files("guest", open_tree, host="server")
    done = await world.backup("guest")
    assert done.status == "incomplete"
    said = " ".join(done.backups[0].warnings)
    assert f"{open_tree}/secret" in said
    assert f"{open_tree}/closed" in said
    backup = await world.engine.show_backup("latest:guest")
    assert backup.status is BackupStatus.INCOMPLETE
    target = world.directory / "back"
    await world.engine.restore(RestoreRequest(backup.backup_id, str(target)))
    assert (target / str(open_tree).lstrip("/") / "readable").read_bytes() == b"yes"


async def test_a_storage_that_is_gone_leaves_the_other_complete(world: World, tree: Path) -> None:
    """Two storages are there so that one may fail."""
    world.place("second").rename(world.directory / "unplugged")
    done = await world.backup("tree", to=("first", "second"))
    assert done.status == "incomplete"
    copies = {copy.storage: copy for copy in done.backups[0].storages}
    assert copies["first"].status is BackupStatus.COMPLETED
    assert (copies["second"].status, copies["second"].snapshot_id) == (BackupStatus.FAILED, "")
    assert copies["second"].error
    await world.restore("latest:tree", world.directory / "back")


async def test_a_storage_that_is_full_leaves_the_other_complete(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch, restic_newest: ResticProgram
) -> None:
    """The full one stays as it was, and usable once there is room."""
    members = cast("MutableMapping[str, str]", registry.MEMBERS)
    monkeypatch.setitem(members, cramped.KIND, "tests.jobs.cramped:open_cramped")
    options = {"path": str(world.place("small"))}
    await world.engine.add_storage(
        Storage("small", cramped.KIND, options, f"file:{world.directory}/password")
    )
    done = await world.backup("tree", to=("small", "first"))
    assert done.status == "incomplete"
    copies = {copy.storage: copy for copy in done.backups[0].storages}
    assert "full" in copies["small"].error
    await world.restore("latest:tree", world.directory / "back")
    world.restic(restic_newest, "small").check()
    with pytest.raises(errors.StorageFullError):
        await world.backup("tree", to=("small",))


async def test_the_first_backup_to_a_new_storage_holds_everything(world: World, tree: Path) -> None:
    """A parent in one storage must not make us think that the other has its files too."""
    await world.one_backup("tree", ("first",))
    second = await world.one_backup("tree", ("first", "second"))
    back = await world.restore(second.backup_id, world.directory / "back", "second")
    assert (back / str(tree).lstrip("/") / "large").read_bytes() == (tree / "large").read_bytes()


class _ShiftedClock(SystemClock):
    """The machine's clock, so much fast."""

    def __init__(self) -> None:
        self.shift = datetime.timedelta()

    def now(self) -> datetime.datetime:
        return super().now() + self.shift


async def test_a_clock_that_jumps_loses_no_backup(tmp_path: Path, restic_newest: ResticProgram) -> None:
    """Machines wake up in 1970 or 2100 when a battery dies: no rule by age may then delete what is good."""
    clock = _ShiftedClock()
    async with open_world(tmp_path / "world", clock) as world:
        root = world.directory / "tree"
        root.mkdir()
        (root / "file").write_bytes(b"content")
        await world.add_storages("first")
        await world.add_files("tree", root)
        clock.shift = datetime.timedelta(days=400)
        ahead = await world.one_backup("tree")
        clock.shift = datetime.timedelta()
        present = await world.one_backup("tree")
        assert present.files_unmodified == 1
        with pytest.raises(errors.RefusedError, match="future"):
            await world.engine.forget(ForgetRequest(KeepPolicy(last=1)))
        assert {each.backup_id for each in await world.engine.backups()} == {
            ahead.backup_id,
            present.backup_id,
        }
        world.restic(restic_newest, "first").check()


Outcome = Callable[[], Awaitable[None]]
"""Waits for the backup; raises what it raised."""


@asynccontextmanager
async def _held_backup(world: World, *to: str) -> AsyncIterator[tuple[Outcome, Path]]:
    """A backup that has its lock and waits for its source: opening the path that is given for writing lets it go on."""
    gate = world.directory / "gate"
    began = world.directory / "began"
    os.mkfifo(gate)
    os.mkfifo(began)
    run = f"echo >{began}; cat {gate}"
    await world.engine.add_source(Source("slow", "command", "localhost", {"run": run, "filename": "out"}))
    error: list[errors.HoldfastError] = []

    async def back_up() -> None:
        try:
            await world.backup("slow", to=to)
        except errors.HoldfastError as raised:
            error.append(raised)

    async def outcome() -> None:
        await task
        if error:
            raise error[0]

    async with asyncio.TaskGroup() as group:
        task = group.create_task(back_up())
        await asyncio.to_thread(began.read_bytes)
        yield outcome, gate


async def _let_go(gate: Path) -> None:
    await asyncio.to_thread(gate.write_bytes, b"at last")


async def test_a_prune_beside_a_backup_is_refused(world: World, tree: Path, tmp_path: Path) -> None:
    """A prune would delete what the backup relies on and nobody names yet. The other home stands for another machine."""
    async with open_world(tmp_path / "other") as other:
        password = f"file:{world.directory}/password"
        await other.engine.add_storage(
            Storage("same", "local", {"path": str(world.place("first"))}, password)
        )
        async with _held_backup(world) as (outcome, gate):
            with pytest.raises(errors.RepositoryLockedError) as caught:
                await other.engine.prune(PruneRequest("same"))
            assert caught.value.exit_code == 11
            assert str(os.getpid()) in caught.value.message
            await _let_go(gate)
            await outcome()
        assert (await other.engine.prune(PruneRequest("same"))).status == "completed"


async def test_two_writers_at_once_leave_one_sound_repository(
    world: World, tree: Path, tmp_path: Path, restic_newest: ResticProgram
) -> None:
    """Hosts that back themselves up into a shared repository do so at midnight, all of them."""
    async with open_world(tmp_path / "other") as other:
        password = f"file:{world.directory}/password"
        await other.engine.add_storage(
            Storage("same", "local", {"path": str(world.place("first"))}, password)
        )
        await other.add_files("tree", tree)
        async with _held_backup(world) as (outcome, gate):
            await other.one_backup("tree", ("same",))
            await _let_go(gate)
            await outcome()
    restic = world.restic(restic_newest, "first")
    restic.check()
    assert len(restic.snapshots()) == 2


async def test_a_source_that_is_being_backed_up_is_not_backed_up_twice(world: World, tree: Path) -> None:
    """A nightly job that is still running in the morning must not get a second one on its back."""
    async with _held_backup(world) as (outcome, gate):
        running, *_ = await world.engine.jobs(status=JobStatus.RUNNING)
        with pytest.raises(errors.AlreadyRunningError, match=running.job_id) as caught:
            await world.backup("slow")
        assert caught.value.exit_code == 6
        await _let_go(gate)
        await outcome()


async def test_a_job_that_is_cancelled_ends_soon_and_leaves_nothing(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """Who cancels wants the machine back, and no half backup."""
    async with _held_backup(world) as (outcome, _gate):
        running, *_ = await world.engine.jobs(status=JobStatus.RUNNING)
        assert await world.engine.cancel_job(running.job_id)
        with pytest.raises(errors.InterruptedJobError) as caught:
            await outcome()
    assert caught.value.exit_code == 130
    assert (await world.engine.show_job(running.job_id)).status is JobStatus.CANCELLED
    restic = world.restic(restic_newest, "first")
    assert restic.snapshots() == []
    assert restic.list_names("locks") == []
    restic.check()


async def test_a_host_has_no_more_jobs_at_once_than_it_should(world: World, tree: Path) -> None:
    """Ten nightly jobs at midnight must not bring the host to its knees; the third waits until a place is free."""
    gates = []
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            gate, began = world.directory / f"gate-{number}", world.directory / f"began-{number}"
            os.mkfifo(gate)
            os.mkfifo(began)
            options = {"run": f"echo >{began}; cat {gate}", "filename": "out"}
            await world.engine.add_source(Source(f"slow-{number}", "command", "localhost", options))
            group.create_task(world.backup(f"slow-{number}"))
            if number < 2:
                await asyncio.to_thread(began.read_bytes)
            gates.append((gate, began))
        await world.wait_noted("waits for another job")
        assert len(await world.engine.jobs(status=JobStatus.RUNNING)) == 2
        await _let_go(gates[0][0])
        await asyncio.to_thread(gates[2][1].read_bytes)
        await _let_go(gates[1][0])
        await _let_go(gates[2][0])


async def test_a_restore_waits_for_no_backup(world: World, tree: Path) -> None:
    """Whoever needs a file back needs it now, whatever runs tonight."""
    backup = await world.one_backup("tree", ("first",))
    async with _held_backup(world, "first") as (outcome, gate):
        await world.restore(backup.backup_id, world.directory / "back", "first")
        await _let_go(gate)
        await outcome()


async def test_a_job_that_takes_too_long_is_ended(world: World, tree: Path) -> None:
    """--timeout is what keeps a stuck host from blocking every night that follows."""
    await world.engine.add_source(
        Source("stuck", "command", "localhost", {"run": "exec sleep 1000", "filename": "out"})
    )
    with pytest.raises(errors.CommandTimeoutError, match="longer than 1 seconds") as caught:
        await world.engine.backup(BackupRequest(("stuck",), limits=Limits(timeout_s=1.0)))
    assert caught.value.exit_code == 1


async def test_the_same_idempotency_key_is_one_job(world: World, tree: Path) -> None:
    """A script that is not sure whether it got through may simply ask again."""
    first = await world.engine.backup(BackupRequest(("tree",)), idempotency_key="tonight")
    again = await world.engine.backup(BackupRequest(("tree",)), idempotency_key="tonight")
    assert orjson.dumps(values.to_object(again)) == orjson.dumps(values.to_object(first))
    assert await world.engine.count_backups() == 1


async def test_files_that_vanish_while_they_are_read_are_told(world: World, tree: Path, sshd: Sshd) -> None:
    """Mail queues and caches are never still; the backup goes on, and says what it did not get."""
    tools = world.directory / "tools"
    tools.mkdir()
    vanishing = tree / "large"
    removal = f'case "$*" in *--version*) ;; *) rm -f {vanishing} ;; esac'
    (tools / "tar").write_text(f'#!/bin/sh\n{removal}\nPATH=/usr/bin:/bin exec tar "$@"\n', encoding="utf-8")
    (tools / "tar").chmod(0o755)
    await world.add_host(sshd, environment=(f"PATH={tools}:/usr/bin:/bin",))
    await world.add_files("remote", tree, host="server")
    done = await world.backup("remote")
    assert done.status == "incomplete"
    assert f"{vanishing} vanished before it was read" in done.backups[0].warnings
    back = world.directory / "back"
    await world.engine.restore(RestoreRequest("latest:remote", str(back)))
    assert (back / str(tree).lstrip("/") / "folder" / "one").read_bytes() == b"one"
