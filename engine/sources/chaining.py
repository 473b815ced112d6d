"""The contract of a source whose backups go on from each other: an increment is kept as it came, and laid onto the full copy when both are restored.

Where a source can put them together when they are taken, which `incremental` is about, that is the better way: this one is for servers whose files
nobody but their own tool can change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from engine.model.manifest import Manifest
from engine.sources.base import OpenSource


class EarlierBackup(Protocol):
    """An earlier backup of a server's own files, as a storage has it."""

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        ...

    async def read(self, path: str, write: Callable[[bytes], Awaitable[None]]) -> int:
        """Writes out one of its files, by its path beside the manifest; returns its length. Raises: PathMissingError, DamagedError, StorageError."""
        ...


@runtime_checkable
class ChainingSource(OpenSource, Protocol):
    """A source that can tell what changed in a server's own files since an earlier backup."""

    @property
    def folder(self) -> str:
        """The path of the full copy; empty where its definition asks for none."""
        ...

    async def go_on_from(self, earlier: EarlierBackup) -> None:
        """From now on `items` give what changed since that backup, in a folder of its own, and the manifest has that folder behind the earlier one's
        (`Manifest.increments`).

        Raises: NoIncrementError where all must be read, saying why in half a sentence: `items` give all then. SourceError, HostError; what
        `earlier` raises.
        """
        ...

    @property
    def received_bytes(self) -> int:
        """So much came from the server for the folder, once it is read."""
        ...
