"""share: a backup, or a part of it, as an archive beside a repository, for whoever gets the link.

Archives are called `EXPIRY-RANDOM/NAME`, so that what has expired can be removed by whoever looks, and none can be guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import queue
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing

from engine.errors import RefusedError, UnknownNameError, UsageError
from engine.events import StepBegan
from engine.jobs import archiving
from engine.jobs.archiving import Give, Packed
from engine.jobs.context import JobContext
from engine.jobs.opening import open_storage
from engine.model.archives import Share, ShareResult
from engine.model.definitions import Storage
from engine.model.requests import Limits, ShareRequest
from engine.model.secret import Secret
from engine.scope import task_scope
from engine.storages.base import Sharing

_QUEUED = 8
_LOOK_S = 0.2
"""How often a thread with a piece in its hands looks whether anybody still wants it."""


async def run(context: JobContext, request: ShareRequest) -> ShareResult:
    """Packs and puts up. The link is made afterwards, by `link`: it is a secret, and a job's result is kept.

    Raises: RefusedError where the storage hands out no links; UsageError for a life that is too long; PathMissingError; DamagedError; StorageError.
    """
    backup = await context.catalog.backups.find(request.backup)
    storage = await context.catalog.storages.get(request.storage)
    password = await context.secrets(request.password) if request.password else None
    began = context.clock.monotonic()
    async with AsyncExitStack() as stack:
        sharing = await _sharing(context, storage, request.limits, stack)
        _life(context, sharing, request.expires_at, storage.name)
        await _remove_expired(context, sharing)
        context.emit(StepBegan(f"share backup {backup.backup_id} on {storage.name}"))
        ending = f"{request.format}.age" if password else request.format
        file = f"{backup.source}-{backup.created_at:%Y%m%d-%H%M%S}.{ending}"
        name = f"{int(request.expires_at.timestamp())}-{secrets.token_hex(16)}/{file}"

        async def use(give: Give) -> Packed:
            return await _put(context, sharing, name, request, password, give)

        packed = await archiving.from_any(context, backup, request.path, request.limits, use)
    return ShareResult(
        job_id=context.job_id,
        status="completed",
        backup_id=backup.backup_id,
        storage=storage.name,
        name=name,
        format=request.format,
        is_sealed=password is not None,
        size_bytes=packed.size_bytes,
        sha256=packed.hashed.hexdigest(),
        expires_at=request.expires_at,
        duration_s=context.clock.monotonic() - began,
    )


async def link(context: JobContext, storage_name: str, name: str) -> str:
    """The address of an archive that was shared, until it expires; a secret. Raises: UnknownNameError where it has; StorageError."""
    storage = await context.catalog.storages.get(storage_name)
    async with AsyncExitStack() as stack:
        sharing = await _sharing(context, storage, Limits(), stack)
        expires_at = _expiry(name)
        if expires_at is None or (expires_at - context.clock.now()).total_seconds() < 1:
            raise UnknownNameError(f"{storage_name} shares nothing called {name}", hint="it may have expired")
        return await sharing.link(name, _life(context, sharing, expires_at, storage_name))


async def shares(context: JobContext, storage_name: str) -> Sequence[Share]:
    """What a storage shares, those that end first first. Raises: RefusedError, StorageError."""
    storage = await context.catalog.storages.get(storage_name)
    async with AsyncExitStack() as stack:
        sharing = await _sharing(context, storage, Limits(), stack)
        found = []
        async with aclosing(sharing.list()) as listing:
            async for name, size_bytes in listing:
                expires_at = _expiry(name)
                if expires_at is not None:
                    found.append(Share(storage_name, name, size_bytes, expires_at))
    return sorted(found, key=lambda each: each.expires_at)


async def unshare(context: JobContext, storage_name: str, name: str) -> None:
    """Removes what is shared under that name: its link leads nowhere from then on. Raises: UnknownNameError, StorageError."""
    storage = await context.catalog.storages.get(storage_name)
    async with AsyncExitStack() as stack:
        sharing = await _sharing(context, storage, Limits(), stack)
        async with aclosing(sharing.list()) as listing:
            is_there = any([each == name async for each, _ in listing])
        if not is_there or _expiry(name) is None:
            raise UnknownNameError(
                f"{storage_name} shares nothing called {name}", hint=f"holdfast shares --on {storage_name}"
            )
        await sharing.delete(name)


async def _sharing(context: JobContext, storage: Storage, limits: Limits, stack: AsyncExitStack) -> Sharing:
    opened = await open_storage(context, storage, limits, stack)
    sharing = opened.traits.sharing
    if sharing is None:
        raise RefusedError(
            f"storage {storage.name} is of kind {storage.kind}, which hands out no links",
            hint="share on one of kind s3, azure, or gcs with --credentials, or use holdfast download",
        )
    return sharing


def _life(context: JobContext, sharing: Sharing, expires_at: datetime.datetime, storage: str) -> int:
    """How long a link lasts from now, in seconds. Raises: UsageError."""
    life_s = (expires_at - context.clock.now()).total_seconds()
    if life_s < 1:
        raise UsageError(f"{expires_at:%Y-%m-%d %H:%M} is past", hint="say --expires 2d, or a time to come")
    if life_s > sharing.longest_s:
        days = sharing.longest_s / 86400
        raise UsageError(
            f"a link on {storage} lasts {days:.0f} days at most", hint=f"say --expires {days:.0f}d"
        )
    return int(life_s)


def _expiry(name: str) -> datetime.datetime | None:
    """When an archive of that name may go; None where it is no name of ours."""
    digits, _, random = name.partition("/")[0].partition("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 11 and len(random) == 32):
        return None
    return datetime.datetime.fromtimestamp(int(digits), datetime.UTC)


async def _remove_expired(context: JobContext, sharing: Sharing) -> None:
    now = context.clock.now()
    async with aclosing(sharing.list()) as listing:
        names = [name async for name, _ in listing]
    for name in names:
        expires_at = _expiry(name)
        if expires_at is not None and expires_at <= now:
            await sharing.delete(name)


async def _put(
    context: JobContext,
    sharing: Sharing,
    name: str,
    request: ShareRequest,
    password: Secret | None,
    give: Give,
) -> Packed:
    """The archive's thread fills a short queue, which the upload empties."""
    pieces: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
    is_over = False

    def sink(data: bytes | None) -> None:
        while not is_over:
            with contextlib.suppress(queue.Full):
                pieces.put(data, timeout=_LOOK_S)
                return
        raise OSError("the upload has ended")

    async def taken() -> AsyncIterator[bytes]:
        while True:
            try:
                piece = await asyncio.to_thread(pieces.get, True, _LOOK_S)
            except queue.Empty:
                continue
            if piece is None:
                return
            yield piece

    packed = Packed(context, request.format, sink, password)

    async def pack() -> None:
        await give(packed)
        await asyncio.to_thread(sink, None)

    try:
        async with task_scope() as tasks:
            tasks.create_task(pack())
            await sharing.put(name, taken())
    finally:
        is_over = True
    return packed
