"""The copy of the catalog that a Unix group may read: made by the worker, beside the home, without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
from pathlib import Path

from engine.catalog import reading
from engine.catalog.catalog import Catalog
from engine.config import Home
from engine.errors import ConfigurationError, HoldfastError
from engine.events import Warned
from engine.jobs.context import JobContext

_LEAST_AGE_S = 30.0


async def refresh_now_and_then(context: JobContext) -> None:
    """As `refresh_reading_copy`, for a worker's loop: at most twice a minute, and what goes wrong is told and stops nothing."""
    with contextlib.suppress(OSError):
        age_s = context.clock.now().timestamp() - context.home.reading_copy.stat().st_mtime
        if 0 <= age_s < _LEAST_AGE_S:
            return
    try:
        await refresh_reading_copy(context.catalog, context.home, context.settings.readers.group)
    except HoldfastError as error:
        context.emit(Warned(error.message))


async def refresh_reading_copy(catalog: Catalog, home: Home, group: str) -> bool:
    """Renews the copy where the catalog changed since it was made; whether it did. Without a group the copy is taken away.

    The group reads it, and whoever is neither in it nor the owner does not even see the folder. It is replaced in one step: who has the
    old one open goes on with that. Cheap where nothing changed. Raises: ConfigurationError for a group that there is not, or where the
    copy cannot be written; CatalogError.
    """
    if not group:
        await asyncio.to_thread(_take_away, home)
        return False
    state = await catalog.reading_state()
    if await asyncio.to_thread(reading.state_of, home.reading_copy) == state:
        with contextlib.suppress(OSError):
            os.utime(home.reading_copy)  # it is as good as a new one, and readers are told its age
            return False
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError(
            f"{home.settings}: there is no group {group}, which readers.group names", hint=f"groupadd {group}"
        ) from None
    try:
        made = await asyncio.to_thread(_begin, home, gid)
        try:
            await catalog.copy_to(made)
            await asyncio.to_thread(_finish, home, made, gid, state)
        finally:
            made.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the copy for readers {home.reading_copy} cannot be written: {error.strerror}",
            hint=f"the owner of the home must be in the group {group}, and may write {home.reading_copy.parent.parent}",
        ) from error
    return True


def _begin(home: Home, gid: int) -> Path:
    """An empty file that only its owner reads, in a folder that the group enters."""
    folder = home.reading_copy.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, -1, gid)
    folder.chmod(0o750)
    made = folder / f".{home.reading_copy.name}.{os.getpid()}"
    made.unlink(missing_ok=True)
    os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    return made


def _finish(home: Home, made: Path, gid: int, state: str) -> None:
    reading.leave_secrets_out(made, state)
    os.chown(made, -1, gid)
    made.chmod(0o640)
    made.replace(home.reading_copy)


def _take_away(home: Home) -> None:
    with contextlib.suppress(OSError):
        home.reading_copy.unlink(missing_ok=True)
        home.reading_copy.parent.rmdir()
