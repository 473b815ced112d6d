"""A storage that is about to be defined, looked at: whether it answers, whether a repository is there, whether it can be written to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from engine.clock import Clock
from engine.errors import ObjectMissingError, StorageDeniedError, StorageError, StorageReadOnlyError
from engine.model.definitions import Storage
from engine.model.trials import StorageTrial
from engine.storages.base import Key, Kind, OpenStorage

_PROBE_BYTES = 64


async def trial(
    definition: Storage, opened: OpenStorage, clock: Clock, *, is_writing: bool = False
) -> StorageTrial:
    """Looks, and with `is_writing` writes a pack that no index names and deletes it; of a folder of this machine only its rights are looked at.

    Raises: StorageError.
    """
    folder = None
    if definition.kind == "local":
        folder = _nearest(Path(str(definition.options.get("path"))))
        _require_writable(folder)
    began = clock.monotonic()
    try:
        await opened.size(Key(Kind.CONFIG))
        has_repository = True
    except ObjectMissingError:
        has_repository = False
    latency_s = clock.monotonic() - began
    is_writable: bool | None = True if folder is not None else None
    if folder is None and is_writing:
        is_writable = await _write(opened)
    return StorageTrial(
        definition.name, opened.location, latency_s, has_repository, is_writable, await _free(opened, folder)
    )


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there: the others are made."""
    return next(each for each in (path, *path.parents) if each.exists() or each == each.parent)


def _require_writable(folder: Path) -> None:
    """Raises: StorageError."""
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder", hint="name a folder that is there, or one to be made")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageDeniedError(
            f"{folder} cannot be written to", hint="choose another folder, or run holdfast as its owner"
        )


async def _write(opened: OpenStorage) -> bool | None:
    """None where there is no place yet to write to: it is made with the repository."""
    content = os.urandom(_PROBE_BYTES)
    key = Key(Kind.PACK, hashlib.sha256(content).hexdigest())
    try:
        await opened.put(key, [content])
        await opened.delete(key)
    except (StorageDeniedError, StorageReadOnlyError):
        raise
    except StorageError:
        return None
    return True


async def _free(opened: OpenStorage, folder: Path | None) -> int | None:
    if folder is not None:
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize
    try:
        return (await opened.space()).free_bytes
    except StorageError:
        return None
