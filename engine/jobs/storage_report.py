"""What a storage can do and holds: its test, and its usage."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import os
from collections.abc import Iterator, Sequence

from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.errors import (
    DamagedError,
    ObjectMissingError,
    StorageDeniedError,
    StorageError,
    StorageReadOnlyError,
)
from engine.model.storage_results import LogUsage, StorageTest, StorageUsage
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind, OpenStorage

_TEST_BYTES = 16 << 20
GROWTH_WINDOW = datetime.timedelta(days=30)
_LEAST_SPAN = datetime.timedelta(days=2)
"""Of backups of one day nobody can tell how a storage grows."""


async def test(name: str, storage: OpenStorage, clock: Clock) -> StorageTest:
    """Writes an object, reads it back, lists it, deletes it: a pack that no index names, which readers pass over and a prune would remove.

    Raises: StorageDeniedError, naming every right that is missing; StorageError; DamagedError where the object comes back changed.
    """
    content = os.urandom(_TEST_BYTES)
    key = Key(Kind.PACK, hashlib.sha256(content).hexdigest())
    rights = _Rights()
    try:
        began = clock.monotonic()
        with rights.trying("write"):
            await storage.put(key, [content])
        written = clock.monotonic()
        with rights.trying("read"):
            back = await _read_back(storage, key, is_there="write" not in rights.refused)
        read = clock.monotonic()
        with rights.trying("list"):
            listed = [each.key async for each in storage.list(Kind.PACK)]
        answered = clock.monotonic()
        with rights.trying("read"), contextlib.suppress(ObjectMissingError):
            await storage.get(key, 0, 1)
        latency_s = clock.monotonic() - answered
    finally:
        with rights.trying("delete"):
            await storage.delete(key)
    rights.judge(storage)
    if key not in listed:
        raise StorageError(f"{storage.location} does not list what was just written to it")
    if back != content:
        raise DamagedError(
            f"{storage.location} gave back other bytes than were written", hint="do not keep backups there"
        )
    upload_s, download_s = max(written - began, 1e-9), max(read - written, 1e-9)
    free = (await storage.space()).free_bytes
    speeds = (_TEST_BYTES / upload_s, _TEST_BYTES / download_s)
    return StorageTest(name, latency_s, *speeds, free, storage.traits.login)


async def _read_back(storage: OpenStorage, key: Key, *, is_there: bool) -> bytes:
    """The object. Where it could not be written, what a repository has is asked for instead: that reading is refused shows too."""
    if is_there:
        return await storage.get(key)
    with contextlib.suppress(ObjectMissingError):
        await storage.get(Key(Kind.CONFIG))
    return b""


class _Rights:
    """Which of the things that were tried are refused."""

    def __init__(self) -> None:
        self.refused: dict[str, StorageError] = {}

    @contextlib.contextmanager
    def trying(self, right: str) -> Iterator[None]:
        """Goes on after a refusal, to learn what else is refused."""
        try:
            yield
        except (StorageDeniedError, StorageReadOnlyError) as error:
            self.refused.setdefault(right, error)

    def judge(self, storage: OpenStorage) -> None:
        """Raises: StorageDeniedError for what is missing. A storage that only grows refuses to delete, as it should."""
        missing = [each for each in self.refused if each != "delete" or not storage.traits.append_only]
        if not missing:
            return
        first = self.refused[missing[0]]
        rights = " and to ".join(missing)
        raise StorageDeniedError(
            f"{storage.location} refuses the right to {rights}: {first.message}", hint=first.hint
        ) from first


def with_growth(usage: StorageUsage, added_bytes: int, span: datetime.timedelta | None) -> StorageUsage:
    """The same with what backups of that span added, and how long the room lasts at that pace."""
    pace = per_day(added_bytes, span)
    if span is None or pace is None:
        return usage
    days = None if usage.free_bytes is None else days_until_full(usage.free_bytes, added_bytes, span)
    return dataclasses.replace(usage, growth_bytes_per_day=pace, days_until_full=days)


def per_day(added_bytes: int, span: datetime.timedelta | None) -> float | None:
    """Bytes that backups of that span added a day; None where it is too short to tell."""
    if span is None or span < _LEAST_SPAN:
        return None
    return added_bytes / (span / datetime.timedelta(days=1))


def days_until_full(free_bytes: int, added_bytes: int, span: datetime.timedelta) -> float | None:
    """How long the room lasts at the pace of that span; None where nothing grows, or the span is too short to tell."""
    if span < _LEAST_SPAN or added_bytes <= 0:
        return None
    return free_bytes / (added_bytes / (span / datetime.timedelta(days=1)))


async def usage(name: str, repository: Repository, backups: int, logs: Sequence[LogUsage]) -> StorageUsage:
    """Adds up what lies there, and what the snapshots hold in plain bytes; of `logs` a log's own snapshots say nothing."""
    used = 0
    for kind in Kind:
        async for each in repository.storage.list(kind):
            used += each.size_bytes
    log_bytes = sum(each.size_bytes for each in logs)
    raw = log_bytes
    snapshots = await repository.snapshots(on_damaged=lambda _name, _error: None, is_memory_enough=True)
    for _, snapshot in snapshots:
        raw += int((snapshot.summary or {}).get("total_bytes_processed", 0))
    space = await repository.storage.space()
    ratio = raw / used if used else 0.0
    return StorageUsage(
        name, used, raw, ratio, space.free_bytes, backups, log_bytes=log_bytes, logs=tuple(logs)
    )


async def logs_in(catalog: Catalog) -> dict[str, list[LogUsage]]:
    """By storage, what it holds of each source's log, as far as this catalog knows. Raises: CatalogError."""
    found: dict[str, list[LogUsage]] = {}
    for watched in await catalog.logs.watched():
        for held in watched.holdings:
            found.setdefault(held.storage, []).append(LogUsage.of(watched.source, held))
    return found
