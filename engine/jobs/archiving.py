"""A backup, or a part of it, packed as one archive, from the first of its storages that serves it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from engine.errors import HoldfastError, UnknownSnapshotError, UsageError
from engine.events import Progress, Warned
from engine.export import archive
from engine.export.age import Sealing
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.backup import Backup
from engine.model.requests import Limits
from engine.model.secret import Secret
from engine.repository import dump

_PIECE_BYTES = 1 << 20

Use = Callable[["Give"], Awaitable["Packed"]]


class Packed:
    """An archive on its way to a sink, which is called in a thread."""

    def __init__(
        self, context: JobContext, name: str, sink: archive.Sink, password: Secret | None = None
    ) -> None:
        self.size_bytes = 0
        self.hashed = hashlib.sha256()
        self._context = context
        self._sink = sink
        self._sealing = None if password is None else Sealing(self._out, password)
        self._packer = archive.packer(name, self._out if self._sealing is None else self._sealing.take)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._read_bytes = 0

    def _out(self, data: bytes) -> None:
        self._sink(data)
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
        if self._sealing is not None:
            await asyncio.to_thread(self._sealing.finish)

    async def abandon(self) -> None:
        """Ends what still runs."""
        await asyncio.shield(asyncio.to_thread(self._packer.abandon))


Give = Callable[[Packed], Awaitable[None]]
"""Gives the whole tar stream, and finishes the archive."""


async def from_any(context: JobContext, backup: Backup, path: str, limits: Limits, use: Use) -> Packed:
    """Lets `use` have what lies at the path, from the first storage that serves all of it; once more from the next where one fails.

    Raises: UnknownSnapshotError, PathMissingError, DamagedError, StorageError of the last storage that was asked.
    """
    copies = [copy for copy in backup.copies if copy.snapshot_id]
    if not copies:
        raise UnknownSnapshotError(
            f"no storage holds backup {backup.backup_id}", hint=f"holdfast show {backup.backup_id}"
        )
    for number, copy in enumerate(copies):
        try:
            async with _giving(context, copy.storage, copy.snapshot_id, path, limits) as give:
                return await use(give)
        except HoldfastError as error:
            if number == len(copies) - 1 or isinstance(error, UsageError):
                raise
            context.emit(Warned(f"{copy.storage} did not serve it: {error.message}"))
    raise AssertionError


@asynccontextmanager
async def _giving(
    context: JobContext, storage: str, snapshot_id: str, path: str, limits: Limits
) -> AsyncIterator[Give]:
    definition = await context.catalog.storages.get(storage)
    async with AsyncExitStack() as stack:
        opening = open_repositories(context, [definition], is_exclusive=False, limits=limits, is_reading=True)
        repository = (await stack.enter_async_context(opening)).opened[0].repository
        snapshot = await repository.load_snapshot(snapshot_id)
        raw = path.strip("/").encode("utf-8", "surrogateescape")

        async def give(packed: Packed) -> None:
            try:
                await dump.dump_tar_of(repository, snapshot, raw, packed.take)
                await packed.finish()
            finally:
                await packed.abandon()

        yield give
