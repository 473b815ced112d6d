"""download: a backup, or a part of it, as one archive in a file of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from engine.errors import RestoreError, UsageError
from engine.events import StepBegan
from engine.export import archive
from engine.jobs import archiving
from engine.jobs.archiving import Give, Packed
from engine.jobs.context import JobContext
from engine.model.archives import DownloadResult
from engine.model.requests import DownloadRequest
from engine.model.secret import Secret


async def run(context: JobContext, request: DownloadRequest) -> DownloadResult:
    """Packs what lies at the path. The file appears under its name when it is whole; what stopped half-way leaves nothing.

    Raises: UsageError where the file is there already; PathMissingError; DamagedError; StorageError of the last storage that was asked.
    """
    backup = await context.catalog.backups.find(request.backup)
    name = request.format or archive.format_of(request.file.removesuffix(".age"))
    if name not in archive.FORMATS:
        raise UsageError(
            f"the ending of {request.file} tells no format", hint=f"say --format {'|'.join(archive.FORMATS)}"
        )
    target = Path(request.file)
    if await asyncio.to_thread(os.path.lexists, target):
        raise UsageError(f"{target} is there already", hint="name another file, or remove it")
    password = await context.secrets(request.password) if request.password else None
    began = context.clock.monotonic()
    context.emit(StepBegan(f"pack backup {backup.backup_id}"))

    async def use(give: Give) -> Packed:
        return await _write(context, name, target, password, give)

    packed = await archiving.from_any(context, backup, request.path, request.limits, use)
    return DownloadResult(
        job_id=context.job_id,
        status="completed",
        backup_id=backup.backup_id,
        file=str(target),
        format=name,
        size_bytes=packed.size_bytes,
        sha256=packed.hashed.hexdigest(),
        duration_s=context.clock.monotonic() - began,
        is_sealed=password is not None,
    )


async def _write(context: JobContext, name: str, target: Path, password: Secret | None, give: Give) -> Packed:
    aside = target.with_name(f".{target.name}.{context.job_id}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                packed = Packed(context, name, lambda data: _all_of(file.write(data)), password)
                await give(packed)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            os.link(aside, target)  # never over a file that came meanwhile
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()
    except OSError as error:
        raise RestoreError(f"{target} cannot be written: {error.strerror}") from error
    return packed


def _all_of(_count: int) -> None:
    """A buffered file writes everything, or raises."""
