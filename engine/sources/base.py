"""The contract of a source.

There are two shapes. *Items*: a few named streams (a database's dump, a command's output), each judged at its end. *Tree*: many files of
a host, listed first, of which only those are fetched that the caller wants (it knows the parent snapshot, the source does not).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from engine.hosts.base import Command
from engine.model.entry import Entry, Failure, Fetched
from engine.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Traits:
    """What kind of source it is."""

    kind: str
    shape: Literal["items", "tree"]
    can_load: bool = False
    """Whether it can bring a backup back into the thing it came from."""


class ItemStream(Protocol):
    """The bytes of one item while they are read."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises: SourceError, HostError."""
        ...

    async def judge(self) -> Sequence[str]:
        """Called once, after the end: returns warnings, or raises where the dump is not whole (exit status, end marker, standard error).

        Raises: IncompleteDumpError, CommandFailedError, ConnectionLostError.
        """
        ...


@runtime_checkable
class DirectStream(ItemStream, Protocol):
    """A stream that can be read into the caller's own memory, which spares a copy of everything."""

    async def read_into(self, room: memoryview) -> int:
        """As `read`, to the beginning of `room`; returns how many bytes came, 0 at the end. Raises: as `read`."""
        ...


class Item(Protocol):
    """One named stream of a source."""

    @property
    def path(self) -> str:
        """Where it lies in the snapshot, relative to the source's own folder: `databases/NAME.dump`, or a bare file name. Safe: no part is empty, `.` or `..`."""
        ...

    def open(self) -> AbstractAsyncContextManager[ItemStream]:
        """Starts it. Leaving the context ends whatever still runs on the host and removes what it left there."""
        ...


class TreeFeed(Protocol):
    """A tree of files being read. The caller runs `entries` and `contents` at the same time: what it wants is fetched while the listing goes on.

    Order is the contract: `contents` yields wanted entries in the order in which they were wanted; one that is missing there failed.
    """

    @property
    def is_here(self) -> bool:
        """Whether the listed paths are this machine's and open to this very process: the caller may read plain files itself, and want only the rest."""
        ...

    def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """The listing in batches. A directory comes before what is in it, and all that is below it comes before its next sibling;
        siblings come in no order. Ancestors of the roots come too, as directories. Raises: PathMissingError, HostileListingError, HostError.
        """
        ...

    async def want(self, paths: Sequence[bytes]) -> None:
        """Asks for content (of files) and extended attributes and device numbers (of all). Waits while too many are under way."""
        ...

    async def end_of_wants(self) -> None:
        """Says that nothing more will be asked for; `contents` ends after the last."""
        ...

    def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        """What was wanted, in that order, in batches of at most a few MiB; a large file comes alone in its batch, with a stream."""
        ...

    def failures(self) -> Sequence[Failure]:
        """What went wrong with single entries; whole after `contents` has ended."""
        ...

    def warnings(self) -> Sequence[str]:
        """Sentences for people: a tool was missing and the fall-back was used, a root was on another file system."""
        ...


class OpenSource(Protocol):
    """A source bound to its open host and options."""

    @property
    def traits(self) -> Traits:
        """What kind it is."""
        ...

    async def check(self) -> Mapping[str, str]:
        """Proves that the source can be read now; returns what was found (tool, version, size). Raises: SourceError, HostError."""
        ...

    async def commands(self) -> Sequence[Command]:
        """Every command that a backup runs on the host, word for word as it runs it: what the least privilege must allow. Raises: HostError."""
        ...

    async def items(self) -> Sequence[Item]:
        """The streams to read, for shape `items`. Raises: SourceError, HostError."""
        ...

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """The feed, for shape `tree`."""
        ...


Options = Mapping[str, str | int | bool | Sequence[str] | None]
"""A source's options as the catalog keeps them, by the command line's names with `_` for `-`."""

Secrets = Mapping[str, Secret]
