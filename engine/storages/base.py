"""The contract of a storage: named objects of bytes, written whole, read in ranges, listed and deleted."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from engine import errors
from engine.clock import Clock
from engine.model.definitions import Host, OptionValue
from engine.model.secret import Secret

Buffer = bytes | bytearray | memoryview
"""Bytes in one piece: a memoryview is contiguous."""

_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LEFTOVER = re.compile(r"(?:config|[0-9a-f]{64})-(?:restic-temp|tmp)-[0-9A-Za-z]+", re.ASCII)
PACK_FOLDER = re.compile("[0-9a-f]{2}", re.ASCII)
"""The 256 folders below `data`."""


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
        """Where the object lies below the repository's root: `config`, `data/ab/ab…`, `index/ab…`.

        Raises: ValueError for any other name, so that no name from a hostile index ever becomes a path.
        """
        if self.kind is Kind.CONFIG:
            if self.name:
                raise ValueError(f"the config has no name, but was given {self.name!r}")
            return "config"
        if not is_name(self.name):
            raise ValueError(f"{self.name!r} names no object: 64 lower-case hex digits do")
        if self.kind is Kind.PACK:
            return f"data/{self.name[:2]}/{self.name}"
        return f"{self.kind.value}/{self.name}"


def is_name(text: str) -> bool:
    """Whether `text` is the name of an object: 64 lower-case hex digits. All else in a listing is passed over."""
    return _NAME.fullmatch(text) is not None


def is_leftover(text: str) -> bool:
    """Whether a file of that name was left by a writer that was killed: ours and restic's local one (`-tmp-`), restic's SFTP one (`-restic-temp-`)."""
    return _LEFTOVER.fullmatch(text) is not None


def count_bytes(parts: Sequence[Buffer]) -> int:
    """How long the concatenation of `parts` is, in bytes."""
    return sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)


def check_range(key: Key, available_bytes: int, offset: int, length: int | None) -> int:
    """How many bytes `get` must return from an object of `available_bytes`; the one reading of the rule for every member.

    Raises: ShortReadError where the object ends before the range does; ValueError for a negative offset or length.
    """
    if offset < 0 or (length is not None and length < 0):
        raise ValueError(f"offset {offset} and length {length} must not be negative")
    wanted = max(available_bytes - offset, 0) if length is None else length
    if offset + wanted > available_bytes:
        raise errors.ShortReadError(
            f"{key.path()} ends after {available_bytes} bytes, but {wanted} bytes from offset {offset} were asked for",
            hint="the object was cut short; run verify to see which backups it belongs to",
        )
    return wanted


class Listed(NamedTuple):
    """One object of a listing."""

    key: Key
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StockRestic:
    """What stock restic needs to open the same repository, beside the location behind its `-r`; the recovery kit prints it."""

    can_open: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variable -> the option whose value it takes: `AWS_SECRET_ACCESS_KEY: secret_key`."""
    flags: Sequence[str] = ()
    """Words that stand before restic's verb: `-o`, `s3.bucket-lookup=path`."""
    first: Sequence[str] = ()
    """Lines of shell that must be typed before."""
    note: str = ""
    """A sentence on what must be done first, or instead where restic cannot open it."""


class Sharing(Protocol):
    """What a storage can do that hands out links to archives: they lie beside the repository, not in it. Closed with its storage."""

    longest_s: float
    """The longest life of a link."""

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Writes an archive of any length; its size in bytes. It is visible when it is whole. Raises: StorageError."""
        ...

    async def link(self, name: str, expires_s: int) -> str:
        """An address from which anybody may read the archive for so many seconds; a secret. Raises: StorageError."""
        ...

    def list(self) -> AsyncGenerator[tuple[str, int], None]:
        """Name and size of each archive. Raises: StorageError."""
        ...

    async def delete(self, name: str) -> None:
        """Removes an archive. Idempotent. Raises: StorageError."""
        ...


PutNew = Callable[[Key, Sequence[Buffer]], Awaitable[None]]
"""`put` where nothing of that name is there. Raises: ObjectExistsError, and nothing is changed; all that `put` raises."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a storage can do; asked instead of its class."""

    connections: int = 5
    """How many calls at once serve it best; more wait for their turn."""
    atomic_replace: bool = True
    """Whether `put` over an object that is there is safe; else the object is removed first."""
    append_only: bool = False
    """Whether deleting is refused by the storage itself."""
    local_path: str | None = None
    """The directory, where the objects are plain files on this machine; else None."""
    login: str = ""
    """Which of several ways to log in was taken, for people."""
    restic: StockRestic = field(default_factory=StockRestic)
    """How stock restic gets at it."""
    sharing: Sharing | None = field(default=None, compare=False)
    """Where it can hand out links."""
    put_new: PutNew | None = field(default=None, compare=False)
    """Where the service itself sees to it that of several writers of one name the first alone is heard: what a repository's config is written
    with, so that two that are made at once at one place do not mix. It may come back as `ObjectExistsError` when a try before it had done
    the work and its answer was lost: compare what is there. A service that turns out not to know the condition replaces, as `put` does."""
    recover_first: Sequence[str] = ()
    """What a home that knows nothing must be told before `recover`: words behind `holdfast`."""


@dataclass(frozen=True, slots=True)
class Space:
    """What the storage says of its room, in bytes; None where it does not tell."""

    free_bytes: int | None
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Reach:
    """A host that a storage lies on, and what logging in to it takes."""

    host: Host
    resolve_secret: Callable[[str], Awaitable[Secret]]
    """Turns a REF of the host's definition into the secret that it names."""


@dataclass(frozen=True, slots=True)
class Opening:
    """All that a member is given to open itself with."""

    options: Mapping[str, OptionValue]
    """The definition's options, by the command line's names with `_` for `-`; the registry's own are in here too."""
    clock: Clock
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """The values of those options that are REFs, by the option's name."""
    reach: Reach | None = None
    """The host that the option `host` names."""


class Member(Protocol):
    """What the registry's table points at: opens a storage of its kind; leaving the context closes it.

    Raises on entering: ConfigurationError for a wrong option, StorageUnreachableError, StorageDeniedError.
    """

    def __call__(self, opening: Opening) -> AbstractAsyncContextManager[OpenStorage]:
        """The storage, not yet connected."""
        ...


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
        not visible at all. Idempotent; what is there is replaced. The parts must not change until the return.

        A member may leave an object untouched that it finds to hold these very bytes already.

        Raises: StorageFullError, StorageReadOnlyError, StorageDeniedError, StorageUnreachableError.
        """
        ...

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Reads `length` bytes from `offset`, or all to the end. An offset at the end reads nothing; one behind it is a short read.

        Raises: ObjectMissingError; ShortReadError where fewer bytes are there than were asked for; StorageUnreachableError.
        """
        ...

    async def size(self, key: Key) -> int:
        """The object's size in bytes. Raises: ObjectMissingError."""
        ...

    def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """All objects of that kind, in no order; to be closed by whoever leaves it early (contextlib.aclosing). Names that are not 64 hex digits are passed over; a folder that is missing holds none.

        Each object that is there from the first step to the last is given once; one that comes or goes meanwhile is given or not.
        Raises: StorageError where the whole place is missing (a disk that is not mounted must not look like an empty repository).
        """
        ...

    async def delete(self, key: Key) -> None:
        """Removes the object. Idempotent: an object that is not there is no error.

        On return the removal is durable, but for packs and locks: either coming back after a power cut harms nobody, while an index
        that came back would name packs that are gone.
        """
        ...

    async def space(self) -> Space:
        """Free and total room."""
        ...

    async def clean(self, older_than_s: float) -> int:
        """Removes temporary files that interrupted writers left, older than that; returns how many."""
        ...


class Wrapper:
    """A storage around another: passes every call on. Those that add something override what they change; whoever opened `inner` closes it."""

    __slots__ = ("_inner",)

    def __init__(self, inner: OpenStorage) -> None:
        self._inner = inner

    @property
    def location(self) -> str:
        """Where the inner storage is."""
        return self._inner.location

    @property
    def traits(self) -> Traits:
        """What the inner storage can do."""
        return self._inner.traits

    async def create(self) -> None:
        """Passes the call on."""
        await self._inner.create()

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Passes the call on."""
        await self._inner.put(key, parts)

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Passes the call on."""
        return await self._inner.get(key, offset, length)

    async def size(self, key: Key) -> int:
        """Passes the call on."""
        return await self._inner.size(key)

    def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Passes the call on."""
        return self._inner.list(kind)

    async def delete(self, key: Key) -> None:
        """Passes the call on."""
        await self._inner.delete(key)

    async def space(self) -> Space:
        """Passes the call on."""
        return await self._inner.space()

    async def clean(self, older_than_s: float) -> int:
        """Passes the call on."""
        return await self._inner.clean(older_than_s)


def text_option(options: Mapping[str, OptionValue], name: str) -> str:
    """The option's text. Raises: ConfigurationError where it is missing, empty or no text."""
    value = options.get(name)
    if not isinstance(value, str) or not value:
        raise errors.ConfigurationError(
            f"the storage needs the option {name}", hint=f"give --{name.replace('_', '-')}"
        )
    return value


def count_option(options: Mapping[str, OptionValue], name: str, default: int | None = None) -> int | None:
    """The option's whole number from 1, or the default. Raises: ConfigurationError where it is none."""
    value = options.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit()
    number = int(value) if isinstance(value, int | str) and (is_number or is_digits) else 0
    if number < 1:
        raise errors.ConfigurationError(f"the option {name} is {value!r}, but must be a whole number from 1")
    return number
