"""The roles of a database backup, made on a server where they are missing; those that are there stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.errors import DamagedError, HoldfastError, UsageError
from engine.events import Noted, StepBegan, Warned
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup
from engine.model.requests import RestoreRequest
from engine.sources.base import Database, RoleKeeper

PATH = "globals.sql"
_LIMIT_BYTES = 64 << 20
_CLEANUP_S = 60.0


@asynccontextmanager
async def made(
    context: JobContext, request: RestoreRequest, opened: DatabaseBackup, database: Database
) -> AsyncIterator[None]:
    """Makes the missing roles before the body, where that was asked for; where the body fails they go again.

    Raises: UsageError for a kind whose roles cannot be made; PathMissingError, DamagedError, SourceError, HostError.
    """
    if not request.is_with_roles:
        yield
        return
    if not isinstance(database, RoleKeeper):
        raise UsageError(
            f"roles of kind {opened.source.kind} cannot be made from a backup",
            hint=f"restore into a directory with --to DIR, and look at its {PATH}",
        )
    script = await _script(opened)
    if request.is_dry_run:
        for name in await database.missing_roles(script):
            context.emit(Noted(f"create role {name}"))
        yield
        return
    context.emit(StepBegan("make missing roles"))
    created = await database.create_roles(script)
    for name in created.names:
        context.emit(Noted(f"role {name} was made"))
    for warning in created.warnings:
        context.emit(Warned(warning))
    try:
        yield
    except BaseException:
        try:
            async with asyncio.timeout(_CLEANUP_S):
                await asyncio.shield(database.drop_roles(created.names))
        except (HoldfastError, TimeoutError) as error:
            context.emit(Warned(f"roles that were made could not be removed: {error}"))
        raise


async def _script(opened: DatabaseBackup) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0

    async def write(data: bytes) -> None:
        nonlocal size_bytes
        size_bytes += len(data)
        if size_bytes > _LIMIT_BYTES:
            raise DamagedError(f"{PATH} of the backup is longer than any that is read")
        pieces.append(bytes(data))

    await opened.read(PATH, write)
    return b"".join(pieces)
