"""The contract of a storage: named objects of bytes, written whole, read in ranges, listed and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview


class Kind(StrEnum):
    """The kinds of object that a repository is made of; the value is the folder's name (restic doc/design.rst, Repository Layout)."""

    CONFIG = "config"
    KEY = "keys"
    LOCK = "locks"
    SNAPSHOT = "snapshots"
    INDEX = "index"
    PACK = "data"


class Key(NamedTuple):
    """Names one object: its kind and its 64 lower-case hex digits (empty for the config, of which there is one)."""

    kind: Kind
    name: str = ""

    def path(self) -> str:
        """Where the object lies below the repository's root: `config`, `data/ab/ab…`, `index/ab…`."""
        if self.kind is Kind.CONFIG:
            return "config"
        if self.kind is Kind.PACK:
            return f"data/{self.name[:2]}/{self.name}"
        return f"{self.kind.value}/{self.name}"


class Listed(NamedTuple):
    """One object of a listing."""

    key: Key
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Traits:
    """What a storage can do; asked instead of its class."""

    connections: int = 5
    """How many calls at once serve it best."""
    atomic_replace: bool = True
    """Whether `put` over an object that is there is safe; else the object is removed first."""
    append_only: bool = False
    """Whether deleting is refused by the storage itself."""
    local_path: str | None = None
    """The directory, where the objects are plain files on this machine; else None."""


@dataclass(frozen=True, slots=True)
class Space:
    """What the storage says of its room, in bytes; None where it does not tell."""

    free_bytes: int | None
    total_bytes: int | None


class OpenStorage(Protocol):
    """A storage that is connected and ready. Opened and closed by `registry.open_storage`; every method may be called concurrently.

    Errors are those of `engine.errors` under StorageError, translated at the member's edge. A call that is cancelled leaves either
    the whole object or none, and the storage usable.
    """

    @property
    def location(self) -> str:
        """Where it is, for people and for stock restic's `-r`. Holds no secret."""
        ...

    @property
    def traits(self) -> Traits:
        """What it can do."""
        ...

    async def create(self) -> None:
        """Makes the place for a repository. Idempotent; leaves what is there."""
        ...

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Writes the object whole, from the concatenation of `parts`. On return it is durable and complete under its name; before, it is
        not visible at all. Idempotent. The parts must not change until the return.

        Raises: StorageFullError, StorageReadOnlyError, StorageDeniedError, StorageUnreachableError.
        """
        ...

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads `length` bytes from `offset`, or all to the end.

        Raises: ObjectMissingError; ShortReadError where fewer bytes are there than were asked for; StorageUnreachableError.
        """
        ...

    async def size(self, key: Key) -> int:
        """The object's size in bytes. Raises: ObjectMissingError."""
        ...

    def list(self, kind: Kind) -> AsyncIterator[Listed]:
        """All objects of that kind, in no order. Names that are not 64 hex digits are passed over; a folder that is missing holds none."""
        ...

    async def delete(self, key: Key) -> None:
        """Removes the object. Idempotent: an object that is not there is no error."""
        ...

    async def space(self) -> Space:
        """Free and total room."""
        ...

    async def clean(self, older_than_s: float) -> int:
        """Removes temporary files that interrupted writers left, older than that; returns how many."""
        ...
