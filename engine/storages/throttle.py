"""What a storage is spared: more calls at once than serve it, and more bytes a second than its line may carry."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from engine.clock import Clock
from engine.errors import ConfigurationError
from engine.storages.base import Buffer, Key, OpenStorage, Space, Traits, Wrapper, count_bytes

KIB = 1024
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


class LimitedStorage(Wrapper):
    """Lets so many calls through at once; the others wait in the order they came. A listing is not counted: whoever walks one makes
    calls between its steps, and with one connection would wait for itself."""

    __slots__ = ("_connections", "_slots")

    def __init__(self, inner: OpenStorage, connections: int) -> None:
        super().__init__(inner)
        self._connections = connections
        self._slots = asyncio.Semaphore(connections)

    @property
    def traits(self) -> Traits:
        """Those of the inner storage, with the number of connections that holds here."""
        return dataclasses.replace(self._inner.traits, connections=self._connections)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes in its turn."""
        async with self._slots:
            await self._inner.put(key, parts)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads in its turn."""
        async with self._slots:
            return await self._inner.get(key, offset, length)

    async def size(self, key: Key) -> int:
        """Asks in its turn."""
        async with self._slots:
            return await self._inner.size(key)

    async def delete(self, key: Key) -> None:
        """Removes in its turn."""
        async with self._slots:
            await self._inner.delete(key)

    async def space(self) -> Space:
        """Asks in its turn."""
        async with self._slots:
            return await self._inner.space()


class Bucket:
    """A bandwidth as a debt that time pays off: what is taken at once is paid for by whoever comes next."""

    __slots__ = ("_bytes_per_s", "_clock", "_debt_bytes", "_seen_s", "_sleep", "_turn")

    def __init__(self, bytes_per_s: float, clock: Clock, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._debt_bytes = 0.0
        self._seen_s = clock.monotonic()
        self._turn = asyncio.Lock()

    def owe(self, count_bytes: int) -> None:
        """Puts bytes on the bill that have been carried already."""
        now_s = self._clock.monotonic()
        self._debt_bytes = (
            max(0.0, self._debt_bytes - (now_s - self._seen_s) * self._bytes_per_s) + count_bytes
        )
        self._seen_s = now_s

    async def take(self, count_bytes: int) -> None:
        """Waits until all that was taken before is paid for, in the order of the calls, then takes that many bytes."""
        async with self._turn:
            self.owe(0)
            if self._debt_bytes > 0:
                await self._sleep(self._debt_bytes / self._bytes_per_s)
                self.owe(0)
            self.owe(count_bytes)


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of each day, by the local clock: from `begin` to `end`, in minutes since midnight; over midnight where the end comes first."""

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `08:00-18:00`. Raises: ConfigurationError."""
        found = _HOURS.fullmatch(text)
        if found is None:
            raise ConfigurationError(
                f"{text!r} are no hours of the day", hint="say 08:00-18:00, or 22:00-06:00"
            )
        hour, minute, last_hour, last_minute = map(int, found.groups())
        return cls(hour * 60 + minute, last_hour * 60 + last_minute)

    def include(self, instant: datetime.datetime) -> bool:
        """Whether the instant, in local time, is within them. The end is not."""
        minute = instant.hour * 60 + instant.minute
        if self.begin <= self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


class ThrottledStorage(Wrapper):
    """Keeps the mean of the bytes a second below a limit, each way for itself, in its hours. An object travels whole and at full speed; the
    pause comes after it, so limits hold over a minute, not over a second."""

    __slots__ = ("_clock", "_download", "_hours", "_upload")

    def __init__(
        self,
        inner: OpenStorage,
        *,
        upload_kib_s: float | None,
        download_kib_s: float | None,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]],
        hours: Hours | None = None,
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._hours = hours
        self._upload = None if upload_kib_s is None else Bucket(upload_kib_s * KIB, clock, sleep)
        self._download = None if download_kib_s is None else Bucket(download_kib_s * KIB, clock, sleep)

    @property
    def traits(self) -> Traits:
        """Those of the inner storage; where reading is held back, without the path by which it could be passed by."""
        inner = self._inner.traits
        return inner if self._download is None else dataclasses.replace(inner, local_path=None)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes when what was written before is paid for."""
        if self._upload is not None and self._holds():
            await self._upload.take(count_bytes(parts))
        await self._inner.put(key, parts)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads when what was read before is paid for."""
        if self._download is None or not self._holds():
            return await self._inner.get(key, offset, length)
        await self._download.take(length or 0)
        found = await self._inner.get(key, offset, length)
        if length is None:
            self._download.owe(len(found))
        return found

    def _holds(self) -> bool:
        if self._hours is None:
            return True
        now = self._clock.now()
        return self._hours.include(now.astimezone(self._clock.local_offset(now)))
