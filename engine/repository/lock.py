"""Locks: restic's protocol, so that restic and holdfast respect each other on one repository.

A lock is a file that says who works there. Shared ones go together; an exclusive one goes with none. To take one: look at those that are
there, write one's own, wait, look again, and take one's own away where another came at the same moment. A lock is refreshed every five
minutes by writing a new one and deleting the old. Who could not refresh for 22.5 minutes must assume that others, who call a lock stale
at 30, have removed it. Source: restic internal/repository/lock.go.

The age of a lock is the longer of what the monotonic clock and the calendar say: the first stands still while a machine sleeps, the
second may be set back.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from engine import events
from engine.clock import Clock
from engine.errors import (
    DamagedError,
    HoldfastError,
    LockLostError,
    ObjectMissingError,
    RepositoryLockedError,
    StorageError,
    StorageReadOnlyError,
)
from engine.format import lock_file
from engine.format.lock_file import Lock
from engine.process import ProcessIdentity
from engine.repository import keys
from engine.repository.lock_verdicts import LockInfo, Verdict, judge
from engine.repository.probes import surviving_probes
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.storages.base import Key, Kind

CONFIRM_S: Final = 0.2
"""Between writing a lock and looking again: as long as restic waits, so that each sees the other's."""
REFRESH_S: Final = 300.0
LOST_S: Final = 22.5 * 60
"""Age at which a lock that was not refreshed counts as lost: restic's 30 minutes less the time to notice and a clock that is off."""
TICK_S: Final = 15.0
"""How often the keeper looks at the lock's age: a machine that slept is noticed this soon."""
FIRST_BACKOFF_S: Final = 5.0
LONGEST_BACKOFF_S: Final = 60.0
UNREADABLE_RETRIES_S: Final = (5.0, 10.0, 20.0)
"""A lock that cannot be read may be half uploaded, on storages where that shows."""
RELEASE_TIMEOUT_S: Final = 30.0


class HeldLock:
    """A lock that this process holds, kept alive by `hold`. For the event loop's thread."""

    def __init__(self, repository: Repository, clock: Clock, *, exclusive: bool) -> None:
        self._repository = repository
        self._clock = clock
        self._exclusive = exclusive
        self._names: list[str] = []
        """Lock files that may be there: the newest last, which is the one that counts."""
        self._written_at = clock.now()
        self._written_monotonic = clock.monotonic()
        self._changing = asyncio.Lock()
        self._is_confirmed = asyncio.Event()
        self._loss: HoldfastError | None = None

    @property
    def name(self) -> str:
        """The lock file's present name; it changes with each refresh."""
        return self._names[-1]

    @property
    def exclusive(self) -> bool:
        """Whether nobody else may hold a lock beside it."""
        return self._exclusive

    async def confirmed(self) -> None:
        """Waits until the second look found no other lock in the way. To be awaited before the first write to the repository.

        A lock in the way ends the `hold` around it with RepositoryLockedError, or is raised here where a loss is not to end the body.
        """
        await self._is_confirmed.wait()
        if self._loss is not None:
            raise self._loss

    async def assert_held(self) -> None:
        """Looks whether the own lock file is still there. To be awaited before each index, snapshot or removal.

        Raises: LockLostError where somebody removed it, or where it was not refreshed in time and another lock came.
        """
        await self.confirmed()
        async with self._changing:
            if self._age_s() >= LOST_S:
                await self._take_again()
            elif not await self._is_there(self.name):
                self._lose("somebody removed the lock file")
        if self._loss is not None:
            raise self._loss

    async def keep(self) -> None:
        """Confirms the lock where that is still to be done, then refreshes it for ever. Run by `hold`.

        Raises: RepositoryLockedError where the second look finds another lock in the way; LockLostError.
        """
        if not self._is_confirmed.is_set() and (found := await self.look_again()) is not None:
            raise locked_error(self._repository, found)
        while True:
            await asyncio.sleep(TICK_S)
            async with self._changing:
                await self._tick()
            if self._loss is not None:
                raise self._loss

    async def keep_quietly(self) -> None:
        """As `keep`, but whatever it would raise is raised to whoever asks for the lock next."""
        try:
            await self.keep()
        except HoldfastError as error:
            self._loss = error
            self._is_confirmed.set()

    async def write(self) -> None:
        """Writes a lock file, which then is the one that counts."""
        now = self._clock.now()
        monotonic = self._clock.monotonic()
        sealed_name, parts = self._repository.sealed_unpacked(lock_file.encode(self._lock(now)))
        self._names.append(sealed_name)
        try:
            await self._repository.storage.put(Key(Kind.LOCK, sealed_name), parts)
        except StorageReadOnlyError:
            self._names.pop()  # the one failure after which no file can be there
            raise
        self._written_at, self._written_monotonic = now, monotonic

    async def look_again(self) -> LockInfo | None:
        """Waits as restic does and looks again; returns the lock in the way. Where there is none, the lock is confirmed."""
        await asyncio.sleep(CONFIRM_S)
        found = await find_in_the_way(
            self._repository, exclusive=self._exclusive, clock=self._clock, own=self._names
        )
        if found is None:
            self._is_confirmed.set()
        return found

    async def release(self) -> None:
        """Deletes what lock files there are. Raises: StorageError, TimeoutError."""
        async with asyncio.timeout(RELEASE_TIMEOUT_S):
            while self._names:
                await self._repository.delete(Kind.LOCK, self._names[-1])
                self._names.pop()

    async def _tick(self) -> None:
        age_s = self._age_s()
        if age_s >= LOST_S:
            await self._take_again()
        elif age_s >= REFRESH_S:
            with suppress(StorageError):
                await self._refresh()

    async def _refresh(self) -> None:
        old = self.name
        if not await self._is_there(old):
            self._lose("somebody removed the lock file")
            return
        try:
            await self.write()
        except BaseException:
            # The old one goes on counting. The new one may be there all the same, so it stays among those to delete.
            self._names.insert(0, self._names.pop())
            raise
        await self._drop_older()

    async def _drop_older(self) -> None:
        for name in self._names[:-1]:
            await self._repository.delete(Kind.LOCK, name)
            self._names.remove(name)

    async def _take_again(self) -> None:
        """After a time in which others may have called the lock stale: it still stands where it is there, and nobody came."""
        old = self.name
        try:
            if not await self._is_there(old):
                self._lose("it could not be refreshed in time, and its file is gone")
                return
            await self.write()
            if await self.look_again() is not None or not await self._is_there(old):
                self._lose("it could not be refreshed in time, and another lock came")
                return
            await self._drop_older()
        except (StorageError, DamagedError) as error:
            self._lose(f"it could not be refreshed for {LOST_S / 60:g} minutes: {error}")

    def _lose(self, reason: str) -> None:
        self._loss = LockLostError(
            f"the lock on the repository at {self._repository.location} was lost: {reason}",
            hint="what is stored is safe, and the next run goes on from there; find out who removes locks",
        )

    def _age_s(self) -> float:
        calendar_s = (self._clock.now() - self._written_at).total_seconds()
        return max(calendar_s, self._clock.monotonic() - self._written_monotonic)

    async def _is_there(self, name: str) -> bool:
        try:
            await self._repository.storage.size(Key(Kind.LOCK, name))
        except ObjectMissingError:
            return False
        return True

    def _lock(self, now: datetime.datetime) -> Lock:
        process = ProcessIdentity.current()
        return Lock(
            time=now.astimezone(self._clock.local_offset(now)),
            exclusive=self._exclusive,
            hostname=process.host,
            username=keys.user_name(),
            pid=process.pid,
            uid=os.getuid(),
            gid=os.getgid(),
            boot_id=process.boot,
            started=process.started,
        )


@asynccontextmanager
async def hold(
    repository: Repository,
    *,
    exclusive: bool,
    clock: Clock,
    wait_s: float = 0.0,
    is_confirmed_first: bool = True,
    emit: events.Emit = events.ignore,
) -> AsyncIterator[HeldLock]:
    """Holds a lock for as long as the context is open. The body is cancelled where the lock is lost.

    A lock in the way is waited for up to `wait_s` seconds, looking every 5 s at first and every 60 s at last, or up to twice as often.
    With `is_confirmed_first` False the context is entered as soon as the lock is written: then the body may read, and must await
    `confirmed()` before it writes. What it reads of the index is complete, because no prune can begin once the lock is there, and
    one that had begun is seen by the second look.

    Raises: RepositoryLockedError, LockLostError, DamagedError for a lock that stays unreadable; StorageReadOnlyError.
    """
    held = HeldLock(repository, clock, exclusive=exclusive)
    waiting = _Waiting(repository, clock, wait_s, emit)
    async with _holding(held, waiting, held.keep, is_confirmed_first=is_confirmed_first):
        yield held


@asynccontextmanager
async def hold_beside(
    repository: Repository, *, clock: Clock, wait_s: float = 0.0, emit: events.Emit = events.ignore
) -> AsyncIterator[HeldLock]:
    """A shared lock for a body that writes to several repositories, each under its own: `hold` with `is_confirmed_first` False, but a lock
    that is lost does not end the body: `confirmed` and `assert_held` raise from then on. Raises: as `hold`, but LockLostError.
    """
    held = HeldLock(repository, clock, exclusive=False)
    waiting = _Waiting(repository, clock, wait_s, emit)
    async with _holding(held, waiting, held.keep_quietly, is_confirmed_first=False):
        yield held


@asynccontextmanager
async def _holding(
    held: HeldLock,
    waiting: _Waiting,
    keep: Callable[[], Coroutine[None, None, None]],
    *,
    is_confirmed_first: bool,
) -> AsyncIterator[None]:
    with surviving_probes():
        try:
            await _acquire(held, waiting, is_confirmed_first=is_confirmed_first)
            async with task_scope() as group:
                keeper = group.create_task(keep())
                try:
                    yield
                finally:
                    keeper.cancel()
        finally:
            await _release(held, waiting.repository, waiting.emit)


@asynccontextmanager
async def hold_for_reading(
    repository: Repository, *, clock: Clock, wait_s: float = 0.0, emit: events.Emit = events.ignore
) -> AsyncIterator[HeldLock]:
    """A shared lock for a body that writes nothing, which is entered as soon as the lock is written.

    A storage that is read-only is read without a lock, and that is told: the disk that is left after a fire must serve, and nothing can
    be pruned there from here. The lock in the body's hands is never confirmed then.

    Raises: as `hold`.
    """
    async with AsyncExitStack() as stack:
        holding = hold(
            repository, exclusive=False, clock=clock, wait_s=wait_s, is_confirmed_first=False, emit=emit
        )
        try:
            held = await stack.enter_async_context(holding)
        except StorageReadOnlyError:
            emit(events.Warned(f"{repository.location} is read-only: it is read without a lock"))
            held = HeldLock(repository, clock, exclusive=False)
        yield held


async def _release(held: HeldLock, repository: Repository, emit: events.Emit) -> None:
    """Lets go. What was done under the lock is done, so that a storage that fails now is only told of.

    A cancel that comes now is passed on when the lock is gone, since one that stays is in everybody's way; a second cancel ends it.
    """
    try:
        await _try_release(held, repository, emit)
    except asyncio.CancelledError:
        await _try_release(held, repository, emit)
        raise


async def _try_release(held: HeldLock, repository: Repository, emit: events.Emit) -> None:
    try:
        await held.release()
    except (StorageError, TimeoutError) as error:
        emit(
            events.Warned(
                f"a lock stays behind at {repository.location}, which could not be removed: {error}"
            )
        )


class _Waiting:
    """The patience of somebody who wants a lock."""

    def __init__(self, repository: Repository, clock: Clock, wait_s: float, emit: events.Emit) -> None:
        self.repository = repository
        self.clock = clock
        self.emit = emit
        self._ends = clock.monotonic() + wait_s
        self._backoff_s = FIRST_BACKOFF_S
        self._is_told = False

    async def wait(self, found: LockInfo) -> None:
        """Waits before the next look. Raises: RepositoryLockedError where the time is up."""
        left_s = self._ends - self.clock.monotonic()
        if left_s <= 0:
            raise locked_error(self.repository, found)
        if not self._is_told:
            self.emit(events.Warned(f"waiting, because {_who(self.repository, found)}"))
            self._is_told = True
        chance = random.uniform(0.5, 1.0)  # noqa: S311 -- two who stepped back together must not meet again each time
        await asyncio.sleep(min(self._backoff_s * chance, left_s))
        self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)


async def _acquire(held: HeldLock, waiting: _Waiting, *, is_confirmed_first: bool) -> None:
    """Waits until no lock is in the way, then writes the own one, and takes it back where another came at the same moment."""
    while True:
        found = await find_in_the_way(waiting.repository, exclusive=held.exclusive, clock=waiting.clock)
        if found is None:
            await held.write()
            found = await held.look_again() if is_confirmed_first else None
            if found is None:
                return
            await held.release()
        await waiting.wait(found)


async def find_in_the_way(
    repository: Repository, *, exclusive: bool, clock: Clock, own: list[str] | None = None
) -> LockInfo | None:
    """A lock of somebody else with which one of this kind cannot go; an empty file is none.

    Raises: DamagedError, naming it, for a lock that stays unreadable for 35 seconds.
    """
    for delay_s in (*UNREADABLE_RETRIES_S, None):
        found = [info for info in await inspect(repository, clock=clock) if info.name not in (own or ())]
        for info in found:
            if info.lock is not None and (exclusive or info.lock.exclusive):
                return info
        unreadable = [info for info in found if info.verdict is Verdict.UNREADABLE]
        if not unreadable:
            return None
        if delay_s is not None:
            await asyncio.sleep(delay_s)
    raise DamagedError(
        f"the lock {unreadable[0].name} at {repository.location} cannot be read: {unreadable[0].reason}",
        hint="where nothing else works on the repository, delete that file",
    )


async def inspect(repository: Repository, *, clock: Clock) -> list[LockInfo]:
    """All locks of the repository, each with what can be said of its holder. One that goes away meanwhile is left out."""
    found = []
    async for listed in repository.storage.list(Kind.LOCK):
        if not listed.size_bytes:
            found.append(LockInfo(listed.key.name, None, Verdict.EMPTY, "the file is empty"))
            continue
        try:
            lock = lock_file.decode(await repository.load_unpacked(Kind.LOCK, listed.key.name))
        except ObjectMissingError:
            continue
        except DamagedError as error:
            found.append(LockInfo(listed.key.name, None, Verdict.UNREADABLE, error.message))
        else:
            verdict, reason = judge(lock, clock.now())
            found.append(LockInfo(listed.key.name, lock, verdict, reason))
    return found


async def remove_stale(repository: Repository, *, clock: Clock) -> list[LockInfo]:
    """Removes the locks whose holder is proved dead or that nobody refreshed for 30 minutes, and returns them with the reason."""
    stale = [info for info in await inspect(repository, clock=clock) if info.verdict.is_removable]
    for info in stale:
        await repository.delete(Kind.LOCK, info.name)
    return stale


def locked_error(repository: Repository, info: LockInfo) -> RepositoryLockedError:
    """What a person is told who wanted the repository while that lock is there."""
    if info.verdict.is_removable:
        return RepositoryLockedError(
            f"{_who(repository, info)}, but {info.reason}",
            hint="holdfast storage unlock removes it, or restic unlock",
        )
    return RepositoryLockedError(
        _who(repository, info), hint="let it end, or wait for it with --wait-lock SECONDS"
    )


def _who(repository: Repository, info: LockInfo) -> str:
    if info.lock is None:
        return f"the repository at {repository.location} is locked"
    how = "exclusively " if info.lock.exclusive else ""
    since = info.lock.time.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    who = f"{info.lock.username}@{info.lock.hostname}, process {info.lock.pid}"
    return f"the repository at {repository.location} is {how}locked by {who}, last refreshed at {since}"
