"""Locks: what a prune may rely on, and what a writer may."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from engine import events
from engine.errors import (
    DamagedError,
    LockLostError,
    RepositoryLockedError,
    StorageError,
    StorageReadOnlyError,
    StorageUnreachableError,
)
from engine.format import lock_file
from engine.format.lock_file import Lock
from engine.process import ProcessIdentity
from engine.repository import lock
from engine.repository.keys import Unlocked
from engine.repository.lock_verdicts import Verdict
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind, OpenStorage
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import BEGIN, LoopClock
from tests.fakes.memory_storage import MemoryStorage

pytestmark = pytest.mark.looptime

MINUTE_S = 60.0


def _lock(
    clock: LoopClock,
    *,
    exclusive: bool = False,
    age_s: float = 0.0,
    hostname: str = "elsewhere",
    pid: int = 4711,
) -> Lock:
    written = clock.now() - datetime.timedelta(seconds=age_s)
    return Lock(written, exclusive, hostname, "restic", pid)


async def _put(opened: Repository, found: Lock) -> str:
    return await opened.save_unpacked(Kind.LOCK, lock_file.encode(found))


async def _while_held(
    opened: Repository,
    clock: LoopClock,
    act: Callable[[lock.HeldLock], Awaitable[None]],
    *,
    is_confirmed_first: bool = True,
) -> None:
    async with lock.hold(opened, exclusive=False, clock=clock, is_confirmed_first=is_confirmed_first) as held:
        await act(held)


def _on(storage: OpenStorage, opened: Repository) -> Repository:
    return Repository(storage, opened.config, Unlocked(opened.key_name, opened.master), opened.clock, None)


def _lock_names(storage: MemoryStorage) -> list[str]:
    return [key.name for key in storage.objects if key.kind is Kind.LOCK]


async def test_a_lock_is_there_while_it_is_held_and_gone_afterwards(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A lock that stays behind blocks the next prune."""
    async with lock.hold(opened, exclusive=False, clock=clock) as held:
        assert _lock_names(storage) == [held.name]
        await held.assert_held()
    assert _lock_names(storage) == []


@pytest.mark.parametrize(
    ("theirs", "ours", "goes"),
    [(False, False, True), (False, True, False), (True, False, False), (True, True, False)],
    ids=["shared beside shared", "exclusive beside shared", "shared beside exclusive", "two exclusive"],
)
async def test_only_shared_locks_go_together(
    opened: Repository, clock: LoopClock, theirs: bool, ours: bool, goes: bool
) -> None:
    """A prune beside a backup would delete what the backup counts on."""
    await _put(opened, _lock(clock, exclusive=theirs))
    if goes:
        async with lock.hold(opened, exclusive=ours, clock=clock) as held:
            await held.assert_held()
    else:
        with pytest.raises(RepositoryLockedError, match="restic@elsewhere, process 4711"):
            async with lock.hold(opened, exclusive=ours, clock=clock):
                pytest.fail("the context was entered")


async def test_two_who_come_at_the_same_moment_both_step_back(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Two exclusive holders at once would each delete the other's packs."""
    entered = 0

    async def try_it() -> None:
        nonlocal entered
        try:
            async with lock.hold(opened, exclusive=True, clock=clock):
                entered += 1
                await asyncio.sleep(60)
        except RepositoryLockedError:
            pass

    async with asyncio.TaskGroup() as group:
        group.create_task(try_it())
        group.create_task(try_it())
    assert entered <= 1
    assert _lock_names(storage) == []


async def test_two_who_step_back_together_do_not_meet_again_each_time(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Two sources of one schedule are cleaned up after the same minute's backups, each in a job of its own."""
    ended: list[float] = []

    async def clean() -> None:
        async with lock.hold(opened, exclusive=True, clock=clock, wait_s=900):
            await asyncio.sleep(1)
        ended.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(clean())
    assert len(ended) == 3
    assert _lock_names(storage) == []


async def test_a_lock_in_the_way_is_waited_for(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A nightly backup waits for the prune instead of failing."""
    theirs = await _put(opened, _lock(clock, exclusive=True))
    heard: list[events.Event] = []

    async def end_soon() -> None:
        await asyncio.sleep(90)
        await opened.delete(Kind.LOCK, theirs)

    async with asyncio.TaskGroup() as group:
        group.create_task(end_soon())
        async with lock.hold(opened, exclusive=False, clock=clock, wait_s=600, emit=heard.append):
            assert 90 <= clock.monotonic() <= 160
    assert len(heard) == 1
    assert _lock_names(storage) == []


async def test_waiting_ends_when_the_time_is_up(opened: Repository, clock: LoopClock) -> None:
    """A person who waits ten seconds does not want to wait a minute."""
    await _put(opened, _lock(clock, exclusive=True))
    begun = clock.monotonic()
    with pytest.raises(RepositoryLockedError):
        async with lock.hold(opened, exclusive=False, clock=clock, wait_s=10):
            pytest.fail("the context was entered")
    assert clock.monotonic() - begun == pytest.approx(10)


async def test_reading_may_begin_before_the_second_look(opened: Repository, clock: LoopClock) -> None:
    """A backup of an unchanged tree takes a second; the wait of 200 ms is used to read the index."""
    begun = clock.monotonic()
    async with lock.hold(opened, exclusive=False, clock=clock, is_confirmed_first=False) as held:
        assert clock.monotonic() == pytest.approx(begun, abs=0.01)
        await held.confirmed()
        assert clock.monotonic() - begun == pytest.approx(lock.CONFIRM_S)


async def test_an_early_entry_ends_when_the_second_look_finds_another_lock(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Nothing is ever written beside an exclusive lock."""

    async def act(held: lock.HeldLock) -> None:
        await _put(opened, _lock(clock, exclusive=True))
        await held.confirmed()
        pytest.fail("the lock was confirmed")

    with pytest.raises(RepositoryLockedError):
        await _while_held(opened, clock, act, is_confirmed_first=False)
    assert len(_lock_names(storage)) == 1


async def test_a_lock_is_refreshed_every_five_minutes(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A backup of ten hours would look dead after half an hour."""
    async with lock.hold(opened, exclusive=False, clock=clock) as held:
        first = held.name
        for _ in range(20):
            await asyncio.sleep(5.5 * MINUTE_S)
            (info,) = await lock.inspect(opened, clock=clock)
            assert info.lock is not None
            assert clock.now() - info.lock.time < datetime.timedelta(minutes=6)
        await held.assert_held()
        assert held.name != first
    assert _lock_names(storage) == []


async def test_a_removed_lock_stops_its_holder(opened: Repository, clock: LoopClock) -> None:
    """Somebody ran `unlock --remove-all`, and a prune may have begun: the snapshot must not be written."""

    async def act(held: lock.HeldLock) -> None:
        await opened.delete(Kind.LOCK, held.name)
        await held.assert_held()

    with pytest.raises(LockLostError, match="somebody removed"):
        await _while_held(opened, clock, act)


async def test_a_removed_lock_stops_a_holder_that_does_not_ask(opened: Repository, clock: LoopClock) -> None:
    """A holder in the middle of a long upload notices within minutes."""

    async def act(held: lock.HeldLock) -> None:
        await opened.delete(Kind.LOCK, held.name)
        await asyncio.sleep(3600)
        pytest.fail("the body went on")

    with pytest.raises(LockLostError):
        await _while_held(opened, clock, act)
    assert clock.monotonic() < 6 * MINUTE_S


async def test_a_removed_lock_does_not_stop_who_writes_elsewhere_too(
    opened: Repository, clock: LoopClock
) -> None:
    """One of two storages lost its lock: the other gets its backup, and this one nothing that would point at what a prune removed."""
    async with lock.hold_beside(opened, clock=clock) as held:
        await held.confirmed()
        await opened.delete(Kind.LOCK, held.name)
        await asyncio.sleep(3600)
        for ask in (held.confirmed, held.assert_held):
            with pytest.raises(LockLostError):
                await ask()


async def test_a_lock_in_the_way_is_told_to_who_writes_elsewhere_too(
    opened: Repository, clock: LoopClock
) -> None:
    """A prune that began in the same moment costs one of two storages, and not the backup."""
    async with lock.hold_beside(opened, clock=clock) as held:
        other = lock.HeldLock(opened, clock, exclusive=True)
        await other.write()
        with pytest.raises(RepositoryLockedError):
            await held.confirmed()
        await other.release()


async def test_a_storage_that_fails_for_22_minutes_ends_the_holder(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Others call the lock stale at 30 minutes, so its holder stops before."""
    failing = _on(
        FaultyStorage(storage, Fault(at=2, times=10_000, mode=Mode.BEFORE, methods=frozenset({"put"}))),
        opened,
    )
    begun = clock.monotonic()
    with pytest.raises(LockLostError, match=r"22\.5 minutes"):
        async with lock.hold(failing, exclusive=False, clock=clock):
            await asyncio.sleep(7200)
    assert 22.5 * MINUTE_S <= clock.monotonic() - begun <= 23 * MINUTE_S
    assert _lock_names(storage) == []


async def test_a_short_failure_of_the_storage_does_not_end_the_holder(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A server that restarts must not cost a backup."""
    flaky = _on(
        FaultyStorage(storage, Fault(at=2, times=20, mode=Mode.BEFORE, methods=frozenset({"put"}))), opened
    )
    async with lock.hold(flaky, exclusive=False, clock=clock) as held:
        await asyncio.sleep(3600)
        await held.assert_held()
    assert _lock_names(storage) == []


async def test_a_machine_that_slept_takes_its_lock_again(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A laptop that slept for an hour while nobody came goes on with its backup."""
    async with lock.hold(opened, exclusive=True, clock=clock) as held:
        before = held.name
        clock.jump(3600)
        await held.assert_held()
        assert held.name != before
        assert _lock_names(storage) == [held.name]


async def test_a_machine_that_slept_too_long_gives_up(opened: Repository, clock: LoopClock) -> None:
    """While it slept, a prune removed its lock as stale and ran."""

    async def act(held: lock.HeldLock) -> None:
        clock.jump(3600)
        await opened.delete(Kind.LOCK, held.name)
        await held.assert_held()

    with pytest.raises(LockLostError):
        await _while_held(opened, clock, act)


async def test_a_machine_that_slept_gives_up_where_another_lock_came(
    opened: Repository, clock: LoopClock
) -> None:
    """Another operation counts on being alone."""

    async def act(held: lock.HeldLock) -> None:
        clock.jump(3600)
        await _put(opened, _lock(clock, exclusive=True))
        await held.assert_held()

    with pytest.raises(LockLostError):
        await _while_held(opened, clock, act)


async def test_a_clock_set_back_changes_nothing(opened: Repository, clock: LoopClock) -> None:
    """A wrong clock that is put right must not end a backup, nor keep its lock from being refreshed."""
    async with lock.hold(opened, exclusive=False, clock=clock) as held:
        first = held.name
        clock.jump(-7200)
        await asyncio.sleep(6 * MINUTE_S)
        await held.assert_held()
        assert held.name != first


async def test_an_empty_lock_file_is_ignored(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """restic ignores them too; they are left where a disk was full."""
    storage.objects[Key(Kind.LOCK, "00" * 32)] = b""
    async with lock.hold(opened, exclusive=True, clock=clock) as held:
        await held.assert_held()


async def test_an_unreadable_lock_is_named_after_several_tries(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """It may be half written, so it is looked at again; then a person must decide."""
    storage.objects[Key(Kind.LOCK, "ab" * 32)] = b"damage"
    begun = clock.monotonic()
    with pytest.raises(DamagedError, match="ab" * 32):
        async with lock.hold(opened, exclusive=False, clock=clock):
            pytest.fail("the context was entered")
    assert clock.monotonic() - begun == pytest.approx(35)


async def test_cancelled_while_it_is_written_a_lock_does_not_stay_behind(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Ctrl-C at the wrong moment must not block the next prune."""
    failing = _on(FaultyStorage(storage, Fault(at=1, mode=Mode.AFTER, methods=frozenset({"put"}))), opened)
    with pytest.raises(StorageUnreachableError):
        async with lock.hold(failing, exclusive=False, clock=clock):
            pytest.fail("the context was entered")
    assert _lock_names(storage) == []


def _ended_process() -> ProcessIdentity:
    script = "from engine.process import ProcessIdentity; print(ProcessIdentity.current())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    identity = ProcessIdentity.parse(done.stdout.strip())
    assert identity is not None
    return identity


async def test_a_lock_of_an_ended_process_is_proved_dead_and_removed(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A backup that was killed blocks prune until somebody looks; unlock need not wait half an hour."""
    ended = _ended_process()
    dead = Lock(BEGIN, True, ended.host, "root", ended.pid, boot_id=ended.boot, started=ended.started)
    name = await _put(opened, dead)
    with pytest.raises(RepositoryLockedError, match="has ended") as caught:
        async with lock.hold(opened, exclusive=False, clock=clock):
            pytest.fail("a dead lock was silently ignored")
    assert "unlock" in (caught.value.hint or "")
    (removed,) = await lock.remove_stale(opened, clock=clock)
    assert (removed.name, removed.verdict) == (name, Verdict.DEAD)
    assert _lock_names(storage) == []


async def test_a_living_process_keeps_its_lock_however_old_it_is(
    opened: Repository, clock: LoopClock
) -> None:
    """A stopped process goes on one day: its packs must be there."""
    async with lock.hold(opened, exclusive=False, clock=clock):
        clock.jump(7200)
        assert await lock.remove_stale(opened, clock=clock) == []


@pytest.mark.parametrize(
    ("hostname", "age_s", "verdict"),
    [
        ("elsewhere", 60, Verdict.UNKNOWN),
        ("elsewhere", 29 * 60, Verdict.UNKNOWN),
        ("elsewhere", 31 * 60, Verdict.STALE),
        (platform.node(), 60, Verdict.UNKNOWN),
        (platform.node(), 12 * 60, Verdict.DEAD),
        ("elsewhere", -3600, Verdict.UNKNOWN),
    ],
    ids=[
        "another host, fresh",
        "another host, not refreshed lately",
        "another host, stale",
        "this host, fresh: perhaps another container",
        "this host, gone and not refreshed",
        "a clock that is ahead",
    ],
)
async def test_a_lock_of_restic_is_judged_by_its_age_and_process(
    opened: Repository, clock: LoopClock, hostname: str, age_s: float, verdict: Verdict
) -> None:
    """Removing the lock of a restic that lives would lose its backup."""
    await _put(opened, _lock(clock, hostname=hostname, age_s=age_s, pid=(1 << 22) - 2))
    (info,) = await lock.inspect(opened, clock=clock)
    assert info.verdict is verdict


async def test_a_held_lock_survives_restics_probe(opened: Repository, clock: LoopClock) -> None:
    """`restic unlock` sends SIGHUP to find out whether the holder lives: it must not end the backup by that."""
    before = signal.getsignal(signal.SIGHUP)
    async with (
        lock.hold(opened, exclusive=False, clock=clock),
        lock.hold(opened, exclusive=False, clock=clock) as held,
    ):
        os.kill(os.getpid(), signal.SIGHUP)
        await held.assert_held()
    assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER, Mode.CANCELLED, Mode.CANCELLED_AFTER])
async def test_a_lock_never_stays_behind_but_where_its_removal_fails(
    opened: Repository, storage: MemoryStorage, clock: LoopClock, mode: Mode
) -> None:
    """Whatever goes wrong at whichever call, the next prune is not blocked."""

    async def run(watched: FaultyStorage) -> None:
        with contextlib.suppress(StorageError, LockLostError):
            async with lock.hold(_on(watched, opened), exclusive=False, clock=clock) as held:
                await asyncio.sleep(6 * MINUTE_S)
                await held.assert_held()

    sound = FaultyStorage(storage)
    await run(sound)
    assert len(sound.calls) > 8
    for at in range(1, len(sound.calls) + 1):
        faulty = FaultyStorage(storage, Fault(at=at, mode=mode))
        async with asyncio.TaskGroup() as group:
            group.create_task(run(faulty))
        if faulty.calls[at - 1].method == "delete":
            storage.objects = {
                key: kept for key, kept in storage.objects.items() if key.kind is not Kind.LOCK
            }
        assert _lock_names(storage) == [], f"call {at}: {faulty.calls[at - 1]}"


async def test_a_read_only_storage_is_read_without_a_lock(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """The disk that is left after a fire is mounted read-only, and the restore comes from it."""
    always = Fault(at=1, times=1000, methods=("put", "delete"), error=StorageReadOnlyError)
    repository = _on(FaultyStorage(storage, always), opened)
    heard: list[events.Event] = []
    async with lock.hold_for_reading(repository, clock=clock, emit=heard.append):
        assert await repository.snapshots() == []
    assert [type(event) for event in heard] == [events.Warned], (
        "told once, and nothing of a lock that stays behind"
    )
    with pytest.raises(StorageReadOnlyError):
        async with lock.hold(repository, exclusive=False, clock=clock):
            pytest.fail("a writer must not go on")


async def test_an_exclusive_lock_keeps_readers_out_of_a_read_only_storage(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A storage that is read-only here may be pruned by another machine at this moment."""
    await _put(opened, _lock(clock, exclusive=True))
    always = Fault(at=1, times=1000, methods=("put", "delete"), error=StorageReadOnlyError)
    with pytest.raises(RepositoryLockedError):
        async with lock.hold_for_reading(_on(FaultyStorage(storage, always), opened), clock=clock):
            pytest.fail("a prune is at work")
