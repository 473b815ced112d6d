"""Storages that misbehave on purpose: fail, hang, lie or lose power at a chosen call. They wrap any other storage.

A crash test counts the calls of a run without faults, then runs it once for each call and each mode::

    storage = FaultyStorage(MemoryStorage())
    await run(storage)
    for number in range(1, len(storage.calls) + 1):
        await run(FaultyStorage(MemoryStorage(), Fault(at=number, mode=Mode.AFTER)))
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

from engine import errors
from engine.storages.base import Buffer, Key, Kind, Listed, OpenStorage, Space, Wrapper, count_bytes

Result = TypeVar("Result")

METHODS = frozenset({"create", "put", "get", "size", "list", "delete", "space", "clean"})
WRITES = frozenset({"create", "put", "delete"})
TURNS = 50
"""Turns of the event loop; a cancellation takes about two for each group of tasks on its way."""


class Mode(StrEnum):
    """What goes wrong."""

    BEFORE = "error before the effect"
    AFTER = "error after the effect"
    """The object was written or removed, but the answer was lost."""
    TRUNCATED = "half the object becomes visible, and the call fails"
    """What no storage with atomic writes does: for those who must read what others left."""
    CANCELLED = "cancelled before the effect"
    """The victim is cancelled while it waits in this call; a call that the victim shields goes on."""
    CANCELLED_AFTER = "cancelled after the effect"
    CORRUPT = "reads give a flipped bit"
    POWER_LOSS = "this call and all after it fail"
    """Nothing comes back until `restore_power`: the process that was writing is gone, the objects that were complete are there."""


class Call(NamedTuple):
    """One call as it came: the method, and the key; of a listing the kind with no name."""

    method: str
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong at the call number `at`, counted from 1 among those that match, and at the `times` - 1 after it."""

    at: int
    mode: Mode = Mode.BEFORE
    times: int = 1
    methods: Collection[str] = METHODS
    kinds: Collection[Kind] = tuple(Kind)
    error: Callable[[str], errors.StorageError] = errors.StorageUnreachableError

    def matches(self, call: Call) -> bool:
        """Whether the call is one of those that are counted."""
        return call.method in self.methods and (call.key is None or call.key.kind in self.kinds)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0

    def strikes(self, call: Call) -> bool:
        if not self.fault.matches(call):
            return False
        self.seen += 1
        return self.fault.at <= self.seen < self.fault.at + self.fault.times


@dataclass(slots=True)
class Gate:
    """Holds a call until the test lets it go: `arrived` is set when it came, `opened` lets it pass."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class FaultyStorage(Wrapper):
    """Does what the inner storage does, but for its faults. `calls` is the log of all calls, those that failed included."""

    def __init__(
        self, inner: OpenStorage, *faults: Fault, victim: asyncio.Task[object] | None = None
    ) -> None:
        """`victim` is the task that a cancelling fault cancels: the one that runs the whole job; None for whichever made the call."""
        super().__init__(inner)
        self._faults = [_Armed(fault) for fault in faults]
        self._gates: list[tuple[Fault, Gate]] = []
        self._deleted: dict[Key, bytes] = {}
        self._victim = victim
        self._has_power = True
        self.calls: list[Call] = []

    def hold(self, fault: Fault) -> Gate:
        """Makes the calls that match `fault` (its mode and number count for nothing) wait at the gate that is returned."""
        gate = Gate()
        self._gates.append((fault, gate))
        return gate

    async def restore_power(self, *, brings_back_deleted: bool = False) -> None:
        """Ends all faults: what the next process finds. A power cut may bring removed packs and locks back, as the contract allows."""
        self._has_power = True
        self._faults.clear()
        if brings_back_deleted:
            for key, stored in self._deleted.items():
                await self._inner.put(key, [stored])

    def count(self, method: str, kind: Kind | None = None) -> int:
        """How many calls of a method came, of one kind or of all."""
        return sum(
            call.method == method and (kind is None or (call.key is not None and call.key.kind is kind))
            for call in self.calls
        )

    async def create(self) -> None:
        """Makes the place, unless a fault strikes."""
        await self._run(Call("create"), self._inner.create)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes the object, unless a fault strikes."""

        async def write_half() -> None:
            whole = b"".join(parts)
            await self._inner.put(key, [whole[: len(whole) // 2]])

        await self._run(Call("put", key), lambda: self._inner.put(key, parts), halved=write_half)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads the range, unless a fault strikes: then perhaps with a bit flipped in its middle."""

        async def read_corrupt() -> bytes:
            found = bytearray(await self._inner.get(key, offset, length))
            if found:
                found[len(found) // 2] ^= 1
            return bytes(found)

        return await self._run(
            Call("get", key), lambda: self._inner.get(key, offset, length), corrupt=read_corrupt
        )

    async def size(self, key: Key) -> int:
        """Asks for the size, unless a fault strikes."""
        return await self._run(Call("size", key), lambda: self._inner.size(key))

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Lists; a fault after the effect breaks off when half was given."""

        call = Call("list", Key(kind))
        fault = await self._begin(call)
        whole = [listed async for listed in self._inner.list(kind)]
        is_cut = fault is not None and fault.mode in (Mode.AFTER, Mode.CANCELLED_AFTER)
        for listed in whole[: len(whole) // 2] if is_cut else whole:
            yield listed
        await self._end(call, fault)

    async def delete(self, key: Key) -> None:
        """Removes the object, unless a fault strikes."""

        async def remove() -> None:
            if key.kind in (Kind.PACK, Kind.LOCK):
                with contextlib.suppress(errors.ObjectMissingError):
                    self._deleted[key] = await self._inner.get(key)
            await self._inner.delete(key)

        await self._run(Call("delete", key), remove)

    async def space(self) -> Space:
        """Asks for the room, unless a fault strikes."""
        return await self._run(Call("space"), self._inner.space)

    async def clean(self, older_than_s: float) -> int:
        """Cleans, unless a fault strikes."""
        return await self._run(Call("clean"), lambda: self._inner.clean(older_than_s))

    async def _run(
        self,
        call: Call,
        effect: Callable[[], Awaitable[Result]],
        *,
        halved: Callable[[], Awaitable[None]] | None = None,
        corrupt: Callable[[], Awaitable[Result]] | None = None,
    ) -> Result:
        fault = await self._begin(call)
        mode = None if fault is None else fault.mode
        if fault is not None and mode is Mode.TRUNCATED:
            if halved is not None:
                await halved()
            raise _error(fault, call)
        if mode is Mode.CORRUPT and corrupt is not None:
            return await corrupt()
        result = await effect()
        await self._end(call, fault)
        return result

    async def _begin(self, call: Call) -> Fault | None:
        """Logs the call, waits at its gate, and says which fault strikes it; raises what strikes before the effect."""
        self.calls.append(call)
        for held, gate in self._gates:
            if held.matches(call):
                gate.arrived.set()
                await gate.opened.wait()
        struck = [armed.fault for armed in self._faults if armed.strikes(call)]
        fault = struck[0] if struck else None
        if fault is not None and fault.mode is Mode.POWER_LOSS:
            self._has_power = False
        if not self._has_power:
            raise errors.StorageError(f"no power at {_told(call)}")
        if fault is not None and fault.mode is Mode.CANCELLED:
            await self._cancel()
        if fault is not None and fault.mode is Mode.BEFORE:
            raise _error(fault, call)
        return fault

    async def _end(self, call: Call, fault: Fault | None) -> None:
        """Raises what strikes after the effect."""
        if fault is not None and fault.mode is Mode.CANCELLED_AFTER:
            await self._cancel()
        if fault is not None and fault.mode is Mode.AFTER:
            raise _error(fault, call)

    async def _cancel(self) -> None:
        """Cancels the victim, and gives the cancellation the turns that it needs to come down here through groups of tasks."""
        victim = self._victim or asyncio.current_task()
        if victim is not None:
            victim.cancel()
        for _ in range(TURNS):
            await asyncio.sleep(0)


class LaggingStorage(Wrapper):
    """Lists what was put only after `catch_up`, as object storages with eventual consistency do. Everything else is seen at once."""

    def __init__(self, inner: OpenStorage) -> None:
        super().__init__(inner)
        self._unlisted: set[Key] = set()

    def catch_up(self) -> None:
        """Lets listings show all that was put."""
        self._unlisted.clear()

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes an object that no listing shows yet."""
        await self._inner.put(key, parts)
        self._unlisted.add(key)

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Lists what is old enough."""
        async for listed in self._inner.list(kind):
            if listed.key not in self._unlisted:
                yield listed


class FullStorage(Wrapper):
    """Has room for so many bytes of what is put through it; `limit_bytes` may be changed, as when somebody makes room."""

    def __init__(self, inner: OpenStorage, limit_bytes: int) -> None:
        super().__init__(inner)
        self._sizes: dict[Key, int] = {}
        self.limit_bytes = limit_bytes

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Raises StorageFullError where the object does not fit; then it is not there."""
        used_bytes = sum(self._sizes.values()) - self._sizes.get(key, 0)
        if used_bytes + count_bytes(parts) > self.limit_bytes:
            raise errors.StorageFullError(f"{key.path()} could not be written: {self.location} is full")
        self._sizes[key] = count_bytes(parts)
        await self._inner.put(key, parts)

    async def delete(self, key: Key) -> None:
        """Removes the object; its room is free again."""
        await self._inner.delete(key)
        self._sizes.pop(key, None)

    async def space(self) -> Space:
        """What the limit leaves."""
        return Space(
            free_bytes=max(self.limit_bytes - sum(self._sizes.values()), 0), total_bytes=self.limit_bytes
        )


def _error(fault: Fault, call: Call) -> errors.StorageError:
    return fault.error(f"{fault.mode.value}: {_told(call)}")


def _told(call: Call) -> str:
    return f"{call.method} {call.key.kind.value}/{call.key.name[:8]}" if call.key else call.method
