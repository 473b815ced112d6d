"""A directory of this machine as the target of a restore."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from engine.errors import RestoreError
from engine.events import Emit
from engine.repository import restore as restoring
from engine.repository.added import Held
from engine.repository.frames import Channel
from engine.repository.patterns import split
from engine.repository.restore_files import Descent
from engine.repository.restore_values import RestoreOptions, Tally


class LocalTree:
    """A directory, made where it is missing. `channels` are the workers of a restore that were started early."""

    def __init__(self, place: str, channels: Sequence[Channel] | None = None) -> None:
        self._place = place
        self._channels = channels

    async def restore(
        self, held: Held, options: RestoreOptions, emit: Emit, present: Held | None = None
    ) -> Tally:
        """See `restore.restore`, which looks itself at what lies there. The workers that were started early serve once."""
        del present
        channels, self._channels = self._channels, None
        return await restoring.restore(*held, options, emit=emit, channels=channels)

    async def remove(self, paths: AsyncIterator[bytes]) -> None:
        """Removes these, directories only where they are empty; what is gone is gone. Raises: RestoreError."""
        root = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            async for path in paths:
                _remove(root, path)
        except OSError as error:
            raise RestoreError(f"what the restore added could not be removed: {error.strerror}") from error
        finally:
            os.close(root)

    async def free_bytes(self) -> int | None:
        """Room where the directory is, or will be."""
        place = Path(self._place)
        while not await asyncio.to_thread(place.exists):
            place = place.parent
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
        return None


def _remove(root: int, path: bytes) -> None:
    parts = split(path)
    descent = Descent(root)
    try:
        folder = descent.enter(parts[:-1])
        try:
            os.unlink(parts[-1], dir_fd=folder)
        except IsADirectoryError:
            with contextlib.suppress(OSError):
                os.rmdir(parts[-1], dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    finally:
        descent.forget()
