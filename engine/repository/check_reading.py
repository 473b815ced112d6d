"""Reading packs for a check: in worker processes where there is much to read, in a thread where starting them would take longer."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from engine.errors import DamagedError, ShortReadError, StorageError
from engine.events import Emit, Progress
from engine.repository import check_worker
from engine.repository.check_packs import Expected, PackVerifier, WholePack
from engine.repository.frames import Channel, start_workers
from engine.repository.repository import Repository
from engine.scope import task_scope
from engine.storages.base import Key, Kind

_PROCESSES_FROM_BYTES: Final = 48 << 20
"""Less is read sooner than processes are started."""
_AHEAD: Final = 2
"""Packs that a worker has in hand or waiting."""


@dataclass(slots=True)
class PacksRead:
    """What reading showed."""

    sound: set[bytes] = field(default_factory=set)
    suspect: dict[bytes, str] = field(default_factory=dict)
    """What was wrong at the first reading."""
    bytes_read: int = 0


@asynccontextmanager
async def worker_channels(repository: Repository) -> AsyncIterator[list[Channel]]:
    """Processes for `read_packs`, where reading all packs is work for several; to be started early, because they take a while."""
    total_bytes = 0
    async for listed in repository.storage.list(Kind.PACK):
        total_bytes += listed.size_bytes
    if total_bytes < _PROCESSES_FROM_BYTES:
        yield []
        return
    async with start_workers("check_worker", os.cpu_count() or 1) as channels:
        yield channels


async def read_packs(
    repository: Repository, packs: Sequence[Expected], channels: Sequence[Channel], emit: Emit
) -> PacksRead:
    """Reads and verifies whole packs. What cannot be read for a reason of the storage's own raises: StorageError."""
    found = PacksRead()
    reader = _Reader(repository, packs, found, emit)
    if not channels or sum(each.size_bytes for each in packs) < _PROCESSES_FROM_BYTES:
        await reader.verify_here()
        return found
    async with task_scope() as group:
        for channel in channels:
            group.create_task(reader.feed(channel))
    return found


class _Reader:
    """Hands packs out one after the other, to whoever is free."""

    def __init__(
        self, repository: Repository, packs: Sequence[Expected], found: PacksRead, emit: Emit
    ) -> None:
        self._repository = repository
        self._waiting: Iterator[Expected] = iter(packs)
        self._found = found
        self._emit = emit
        self._count = len(packs)
        self._total_bytes = sum(each.size_bytes for each in packs)
        self._directory = repository.storage.traits.local_path

    async def verify_here(self) -> None:
        """Verifies in a thread, one pack at a time."""
        verifier = PackVerifier(self._repository.master, self._repository.index)
        for expected in self._waiting:
            whole = await self._load(expected)
            if whole is not None:
                self._note(expected, await asyncio.to_thread(_damage, verifier, whole, expected))

    async def feed(self, channel: Channel) -> None:
        """Keeps one worker busy until nothing waits any more. Raises: RepositoryError where the worker is gone."""
        await channel.send(
            check_worker.SETUP,
            {
                "key": self._repository.master.to_json(),
                "index": [str(path) for path in self._repository.index.file_paths],
                "directory": self._directory or "",
            },
        )
        sent: deque[Expected] = deque()
        for expected in self._waiting:
            if self._directory is not None:
                await channel.send(check_worker.LOCAL_PACK, tuple(expected))
            else:
                whole = await self._load(expected)
                if whole is None:
                    continue
                await channel.send(check_worker.SENT_PACK, tuple(expected), [whole])
            sent.append(expected)
            if len(sent) >= _AHEAD:
                self._note(sent.popleft(), (await channel.receive()).header)
        for expected in sent:
            self._note(expected, (await channel.receive()).header)

    async def _load(self, expected: Expected) -> bytes | None:
        try:
            return await self._repository.storage.get(
                Key(Kind.PACK, expected.id.hex()), 0, expected.size_bytes
            )
        except StorageError as error:
            if error.retryable and not isinstance(error, ShortReadError):
                raise
            self._note(expected, error.message)
            return None

    def _note(self, expected: Expected, damage: str | None) -> None:
        if damage is None:
            self._found.sound.add(expected.id)
        else:
            self._found.suspect[expected.id] = damage
        self._found.bytes_read += expected.size_bytes
        done = len(self._found.sound) + len(self._found.suspect)
        self._emit(Progress("read packs", self._found.bytes_read, self._total_bytes, done, self._count))


def _damage(verifier: PackVerifier, whole: bytes, expected: Expected) -> str | None:
    try:
        verifier.verify(WholePack(whole), expected)
    except DamagedError as error:
        return error.message
    return None
