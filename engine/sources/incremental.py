"""The contract of a source that can send only what changed since its backup before, and of that backup's files as a storage holds them.

What it sent is put together with what was there when it is taken: a backup of its own is stored, whole, whose files share with the one before
what did not change. Nothing hangs on a chain: each can be restored, copied, verified and forgotten by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from engine.errors import SourceError
from engine.sources.base import Item, ItemStream, Member, OpenSource, Renamed


class NoIncrementError(SourceError):
    """nothing smaller than all can be had"""


class Piece(NamedTuple):
    """A part of a stored file."""

    size_bytes: int
    may_be_kept: bool
    """Whether every storage that the backup goes to has it."""


@dataclass(frozen=True, slots=True)
class KeptPieces:
    """The next part of a file is as the backup before has it at the same path and place."""

    member: Member
    """With where the part lies in the file."""
    first: int
    pieces: int
    """So many, from the first on."""


class FilesBefore(Protocol):
    """The files of the item's folder in the backup before."""

    async def content(self, path: str, limit_bytes: int) -> bytes | None:
        """A small file's content; None where there is none, or it is longer. Raises: DamagedError, StorageError."""
        ...

    async def pieces(self, path: str) -> Sequence[Piece] | None:
        """What a file consists of, in order; None where there is none. Raises: as `content`."""
        ...

    async def read(self, path: str, number: int, ahead: Sequence[int] = ()) -> bytes:
        """One piece, verified. Those `ahead` are read next, and may be fetched meanwhile. Raises: as `content`."""
        ...


class IncrementStream(ItemStream, Protocol):
    """As `base.FolderStream`, which is one without kept parts."""

    async def next_member(self) -> Member | Renamed | KeptPieces | None:
        """As `base.FolderStream.next_member`; `read` gives nothing of what is kept. Raises: as `read`; NoIncrementError, DamagedError, StorageError."""
        ...


@runtime_checkable
class IncrementalSource(OpenSource, Protocol):
    """A source whose server knows what changed."""

    @property
    def folder(self) -> str:
        """The path of the item that is a folder of the server's own files; empty where its definition asks for none."""
        ...

    async def items_since(self, before: FilesBefore) -> Sequence[Item]:
        """As `OpenSource.items`; the folder's stream may bring `KeptPieces`, and is whole all the same.

        Raises: NoIncrementError where all must be read, saying why in half a sentence (so may the folder's stream); SourceError, HostError.
        """
        ...

    @property
    def received_bytes(self) -> int:
        """So much came from the server for the folder, once it is read."""
        ...
