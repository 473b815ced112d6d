"""download: a backup, or a part of it, as one archive in a file of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO

from engine.errors import HoldfastError, RestoreError, UnknownSnapshotError, UsageError
from engine.events import Progress, StepBegan, Warned
from engine.export import archive
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.backup import Backup
from engine.model.requests import DownloadRequest
from engine.model.results import DownloadResult
from engine.repository import dump

_PIECE_BYTES = 1 << 20

Give = Callable[["_Written"], Awaitable[None]]
"""Gives the whole tar stream."""


async def run(context: JobContext, request: DownloadRequest) -> DownloadResult:
    """Packs what lies at the path. The file appears under its name when it is whole; what stopped half-way leaves nothing.

    Raises: UsageError where the file is there already; PathMissingError; DamagedError; StorageError of the last storage that was asked.
    """
    backup = await context.catalog.backups.find(request.backup)
    name = request.format or archive.format_of(request.file)
    if name not in archive.FORMATS:
        raise UsageError(
            f"the ending of {request.file} tells no format", hint=f"say --format {'|'.join(archive.FORMATS)}"
        )
    target = Path(request.file)
    if await asyncio.to_thread(os.path.lexists, target):
        raise UsageError(f"{target} is there already", hint="name another file, or remove it")
    began = context.clock.monotonic()
    context.emit(StepBegan(f"pack backup {backup.backup_id}"))
    written = await _from_any(context, request, backup, name, target)
    return DownloadResult(
        job_id=context.job_id,
        status="completed",
        backup_id=backup.backup_id,
        file=str(target),
        format=name,
        size_bytes=written.size_bytes,
        sha256=written.hashed.hexdigest(),
        duration_s=context.clock.monotonic() - began,
    )


async def _from_any(
    context: JobContext, request: DownloadRequest, backup: Backup, name: str, target: Path
) -> _Written:
    """From the first storage that serves all of it."""
    copies = [copy for copy in backup.copies if copy.snapshot_id]
    if not copies:
        raise UnknownSnapshotError(
            f"no storage holds backup {backup.backup_id}", hint=f"holdfast show {backup.backup_id}"
        )
    for number, copy in enumerate(copies):
        storage = await context.catalog.storages.get(copy.storage)
        try:
            async with AsyncExitStack() as stack:
                found = await stack.enter_async_context(
                    open_repositories(
                        context, [storage], is_exclusive=False, limits=request.limits, is_reading=True
                    )
                )
                repository = found.opened[0].repository
                snapshot = await repository.load_snapshot(copy.snapshot_id)
                path = request.path.strip("/").encode("utf-8", "surrogateescape")

                async def give(written: _Written) -> None:
                    await dump.dump_tar_of(repository, snapshot, path, written.take)  # noqa: B023

                return await _write(context, name, target, give)
        except HoldfastError as error:
            if number == len(copies) - 1 or isinstance(error, UsageError):
                raise
            context.emit(Warned(f"{copy.storage} did not serve it: {error.message}"))
    raise AssertionError


class _Written:
    """An archive on its way into a file."""

    def __init__(self, context: JobContext, name: str, file: BinaryIO) -> None:
        self.size_bytes = 0
        self.hashed = hashlib.sha256()
        self._context = context
        self._file = file
        self._packer = archive.packer(name, self._sink)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._read_bytes = 0

    def _sink(self, data: bytes) -> None:
        self._file.write(data)
        self.hashed.update(data)
        self.size_bytes += len(data)

    async def take(self, data: bytes) -> None:
        """More of the tar stream."""
        self._pieces.append(bytes(data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _PIECE_BYTES:
            await self._feed()

    async def _feed(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        self._read_bytes += len(data)
        await asyncio.to_thread(self._packer.feed, data)
        self._context.emit(Progress("pack", self._read_bytes))

    async def finish(self) -> None:
        """All of the stream was given."""
        if self._pieces:
            await self._feed()
        await asyncio.to_thread(self._packer.finish)

    async def abandon(self) -> None:
        """Ends what still runs."""
        await asyncio.shield(asyncio.to_thread(self._packer.abandon))


async def _write(context: JobContext, name: str, target: Path, give: Give) -> _Written:
    aside = target.with_name(f".{target.name}.{context.job_id}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RestoreError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            written = _Written(context, name, file)
            try:
                await give(written)
                await written.finish()
            finally:
                await written.abandon()
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        os.link(aside, target)  # never over a file that came meanwhile
    except OSError as error:
        raise RestoreError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
    return written
