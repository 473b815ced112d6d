"""Asks again when a storage does not answer: the only code that retries.

An error is retried only where its class says `retryable`; waits double with jitter, so that many writers do not come back in step
(restic internal/backend/retry: from 1 s, doubled, at most 15 minutes in all).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine import errors, events
from engine.clock import Clock
from engine.storages.base import Buffer, Key, Kind, Listed, OpenStorage, Space, Traits, Wrapper

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often one call is tried again. Spans in seconds."""

    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 60.0
    limit_s: float = 900.0
    """From the first failure of a call to its last try."""
    jitter: float = 0.5
    """A wait is drawn from its length less this part to its length and this part more."""
    short_reads: int = 2
    """Retries after a short read: a cut-off answer is cured by one, an object that was cut short by none."""

    def pause_s(self, failures: int, draw: float) -> float:
        """The wait after that many failures in a row, from 1; `draw` lies in [0, 1)."""
        doubled = self.first_s * self.factor ** min(failures - 1, 60)
        return min(doubled, self.longest_s) * (1 + self.jitter * (2 * draw - 1))


class RetryingStorage(Wrapper):
    """Tries each call again while the storage cannot be reached. Cancellation ends the tries at once."""

    __slots__ = ("_clock", "_draw", "_emit", "_patience", "_sleep")

    def __init__(
        self,
        inner: OpenStorage,
        patience: Patience,
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]],
        draw: Callable[[], float],
        emit: events.Emit = events.ignore,
    ) -> None:
        super().__init__(inner)
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._emit = emit

    @property
    def traits(self) -> Traits:
        """What the inner storage can do, trying again."""
        traits = self._inner.traits
        put_new = traits.put_new
        if put_new is None:
            return traits

        async def put_patiently(key: Key, parts: Sequence[Buffer]) -> None:
            await self._persist(lambda: put_new(key, parts))

        return dataclasses.replace(traits, put_new=put_patiently)

    async def create(self) -> None:
        """Makes the place, trying again."""
        await self._persist(self._inner.create)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes the object, trying again; what a failed try may have left is removed first where the storage cannot replace it safely."""
        has_failed = False

        async def write() -> None:
            nonlocal has_failed
            if has_failed and not self.traits.atomic_replace:
                await self._inner.delete(key)
            has_failed = True
            await self._inner.put(key, parts)

        await self._persist(write)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads the range, trying again."""
        return await self._persist(lambda: self._inner.get(key, offset, length))

    async def size(self, key: Key) -> int:
        """Asks for the size, trying again."""
        return await self._persist(lambda: self._inner.size(key))

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Lists, trying again from the start without giving anything twice; keeps 32 bytes a name to know what was given."""
        given: set[bytes] = set()
        failures = _Failures(self)
        while True:
            try:
                async with contextlib.aclosing(self._inner.list(kind)) as listing:
                    async for listed in listing:
                        name = bytes.fromhex(listed.key.name)
                        if name not in given:
                            given.add(name)
                            yield listed
            except errors.StorageError as error:
                await failures.wait_after(error)
            else:
                return

    async def delete(self, key: Key) -> None:
        """Removes the object, trying again."""
        await self._persist(lambda: self._inner.delete(key))

    async def space(self) -> Space:
        """Asks for the room, trying again."""
        return await self._persist(self._inner.space)

    async def clean(self, older_than_s: float) -> int:
        """Cleans, trying again; files that a failed try removed are not counted."""
        return await self._persist(lambda: self._inner.clean(older_than_s))

    async def _persist(self, call: Callable[[], Awaitable[Result]]) -> Result:
        failures = _Failures(self)
        while True:
            try:
                return await call()
            except errors.StorageError as error:
                await failures.wait_after(error)


class _Failures:
    """The failures of one call so far."""

    __slots__ = ("_begin_s", "_count", "_storage")

    def __init__(self, storage: RetryingStorage) -> None:
        self._storage = storage
        self._begin_s: float | None = None
        self._count = 0

    async def wait_after(self, error: errors.StorageError) -> None:
        """Waits until the call may be tried again. Raises: `error` itself where it is not to be."""
        storage, patience = self._storage, self._storage._patience
        now_s = storage._clock.monotonic()
        self._begin_s = now_s if self._begin_s is None else self._begin_s
        self._count += 1
        pause_s = patience.pause_s(self._count, storage._draw())
        is_short_too_often = isinstance(error, errors.ShortReadError) and self._count > patience.short_reads
        if not error.retryable or is_short_too_often or now_s + pause_s - self._begin_s > patience.limit_s:
            raise error
        storage._emit(events.Noted(f"{storage.location}: {error.message}; trying again in {pause_s:.0f} s"))
        await storage._sleep(pause_s)
