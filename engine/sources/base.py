"""The contract of a source.

There are two shapes. *Items*: a few named streams (a database's dump, a command's output), each judged at its end; a large one may come as
several streams at once. *Tree*: many files of
a host, listed first, of which only those are fetched that the caller wants (it knows the parent snapshot, the source does not).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from engine.hosts.base import Command
from engine.hosts.grants import Grant, Occasion
from engine.model.backup import Scope
from engine.model.contents import DumpContents, Sampled
from engine.model.entry import Entry, Failure, Fetched
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.model.masking import MaskRule
from engine.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Traits:
    """What kind of source it is."""

    kind: str
    shape: Literal["items", "tree"]
    can_load: bool = False
    """Whether it can bring a backup back into the thing it came from."""
    load_hint: str = ""
    """Where it cannot: what a person does in its place."""
    is_whole: bool = False
    """Whether a database can be brought back whole alone, and no single table of it."""
    is_database: bool = False
    """Whether it is a `DatabaseSource`."""
    is_refillable: bool = False
    """Whether it is a `refill.RefillableSource`: in place its server is emptied and filled again, since nothing can be swapped."""


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


@dataclass(frozen=True, slots=True)
class Member:
    """One file or folder of those that a stream brings."""

    path: str
    """Below the item's own, which is a folder then; empty for that folder itself. Safe: no part is empty, `.` or `..`; other bytes than UTF-8 as surrogates."""
    type: Literal["f", "d"]
    mode: int
    """Permissions, set-user, set-group, sticky."""
    uid: int
    gid: int
    user: str
    group: str
    modified_s: int
    size_bytes: int = 0
    """0 also where that is not known before."""
    offset: int = 0
    """Where in the file the content lies that comes next: a file may come in several parts, in any order."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file that came has another name now, in place of any other of that name."""

    path: str
    to: str
    """Empty: it is gone."""


@runtime_checkable
class FolderStream(ItemStream, Protocol):
    """Many files; `read` gives the content of the one that was asked for last, and is empty at the end of that, or of that part of it."""

    async def next_member(self) -> Member | Renamed | None:
        """The next one, or the next part of one, once all of the last is read; None after the last. A folder comes before what is in it.
        Raises: as `read`."""
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


class Parts(Protocol):
    """An item that is being read as several streams."""

    @property
    def items(self) -> Sequence[Item]:
        """The streams, each opened, read and judged for itself, in any order. All at once is best; none of them waits for another. The item's own
        path is the first one's."""
        ...

    async def judge(self) -> Sequence[str]:
        """Called once, after all of them were judged: returns warnings, or raises where they are not whole together. Raises: as `ItemStream.judge`."""
        ...


@runtime_checkable
class PartedItem(Item, Protocol):
    """An item that can be read as several streams as well, at the same time and of one instant: none of them counts unless all do."""

    def open_parts(self) -> AbstractAsyncContextManager[Parts]:
        """As `open`, in whose place it stands. Raises on entering: SourceError, HostError."""
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


@runtime_checkable
class GrantingSource(Protocol):
    """A source whose server must allow something too, besides what the host must allow."""

    async def grants(self) -> Sequence[Grant]:
        """The statements for the server's administrator, by what they are for. Asks nobody: nothing is allowed yet."""
        ...


@runtime_checkable
class OccasionalSource(Protocol):
    """A source that knows which commands other verbs than a backup run."""

    async def occasions(self) -> Sequence[Occasion]:
        """Those, as far as they can be known. Raises: HostError."""
        ...


@runtime_checkable
class PartialSource(Protocol):
    """A source of which a part alone can be backed up. Its class says of which parts, before it is opened."""

    scopes: AbstractSet[Scope]

    async def partial_items(self, scope: Scope) -> Sequence[Item]:
        """As `OpenSource.items`, of that part: `configuration/...` for each configuration file, by its absolute path; the rest as in a whole
        backup. The manifest says which part it is. Raises: ConfigurationError, SourceError, HostError."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a dump is to be loaded."""

    tables: tuple[str, ...] = ()
    """By the names that the manifest has (`public.orders`), each with its indexes, constraints, sequences; empty: all."""
    is_owned: bool = True
    """Whether owners, grants and settings come with it. A drill on a server that lacks the roles goes without."""


class LoadStream(Protocol):
    """A dump on its way into a database."""

    async def write(self, data: bytes) -> None:
        """The next bytes of the dump; waits while the database is not taking them. Raises: SourceError, HostError as soon as it refused."""
        ...

    async def finish(self) -> Sequence[str]:
        """Called once, after the last byte: waits for the tool's end, and returns its warnings.

        Raises: SourceError where it did not take all of it; what it said is in the message, with no row of data in it.
        """
        ...


class PartedLoad(Protocol):
    """A dump of several parts on its way into a database (`DatabaseFacts.parts`)."""

    @property
    def most_parts(self) -> int:
        """So many of the parts may be on their way at once, beside the main one; as many as the server has connections for."""
        ...

    def main(self) -> AbstractAsyncContextManager[LoadStream]:
        """Takes `DatabaseFacts.path`. Leaving before `finish` ends the tool."""
        ...

    def part(self) -> AbstractAsyncContextManager[LoadStream]:
        """Takes one of the parts. Its rows wait until the main one's beginning has made the tables: that must be under way, and may be given up
        only with the parts. Leaving before `finish` ends the tool."""
        ...

    async def finish(self) -> Sequence[str]:
        """Called once, after the main one and all parts have finished: makes what stands on the rows (indexes, keys, triggers); returns warnings.

        Raises: as `LoadStream.finish`.
        """
        ...


class Database(Protocol):
    """A server that holds databases, reached by one account. Names are any text, and never become part of a statement unquoted.

    The protocol for restores: create a fresh database, load, compare with the manifest, swap. Nothing here touches a database that is not named.
    """

    async def identity(self) -> str:
        """What tells this server from any other: PostgreSQL's system identifier and data directory, MariaDB's server uid and socket. Raises: SourceError, HostError."""
        ...

    async def names(self) -> Sequence[str]:
        """The databases that this account sees, without templates and the server's own."""
        ...

    async def facts(self, name: str) -> DatabaseFacts:
        """What the database holds now, counted as its manifest counts. Raises: UnknownNameError."""
        ...

    async def create(self, name: str, like: DatabaseFacts, *, is_owned: bool = True) -> None:
        """Makes an empty database with the encoding, collation and (`is_owned`) owner of that one. Raises: SourceError where it is there already."""
        ...

    def load(self, name: str, selection: Selection) -> AbstractAsyncContextManager[LoadStream]:
        """Loads a dump into a database that `create` made. Leaving before `finish` ends the tool; the database is then half full, and to be dropped."""
        ...

    async def inspect(self, name: str) -> Sequence[CheckResult]:
        """What the database's own checker finds (pg_amcheck, CHECK TABLE), and its invalid indexes and constraints. Reads everything."""
        ...

    async def query(self, name: str, statement: str) -> str:
        """One statement's result as `psql -At` prints it, in a transaction that is read-only and rolled back. Raises: SourceError with the server's own words."""
        ...

    async def swap(self, fresh: str, live: str, aside: str) -> Sequence[str]:
        """Puts `fresh` where `live` is, and keeps what was live under the name `aside`; sessions of `live` are ended.

        Owners, grants and settings of `live` stay with the name `live`. Done again with the names turned round, it is the rollback. Where a
        step fails what was done is undone before it raises. Returns warnings. Raises: SourceError.
        """
        ...

    async def drop(self, name: str) -> None:
        """Removes a database, its sessions ended; no error where it is gone already."""
        ...

    def connect_line(self, name: str) -> str:
        """The client's command by which a person on the host looks into that database. No secret is in it."""
        ...

    async def free_bytes(self) -> int | None:
        """Room where the server keeps its data; None where it cannot be known."""
        ...


@runtime_checkable
class PartedDatabase(Protocol):
    """A `Database` that takes dumps in parts."""

    async def load_parts(self, name: str, selection: Selection) -> PartedLoad:
        """As `Database.load`. What it starts, it ends with the streams. Raises: SourceError, HostError."""
        ...


@runtime_checkable
class SamplingDatabase(Protocol):
    """A `Database` that can give some of its rows just as a dump has them, without reading all."""

    async def sample(self, name: str, rows: Mapping[str, int], seed: int) -> Sampled:
        """Of each of these tables at most so many rows, chosen at random; all of a table that has no more. Raises: SourceError, HostError."""
        ...


class DumpReader(Protocol):
    """Tells what one database's dump holds, while it streams by. For one thread at a time, and slow: not for the event loop's."""

    def feed(self, data: bytes) -> None:
        """The next bytes of the dump. Raises: IncompleteDumpError."""
        ...

    def finish(self) -> DumpContents:
        """Called once, after the last byte. Raises: IncompleteDumpError where it is not whole."""
        ...

    def close(self) -> None:
        """Removes what was kept meanwhile. Callable again, and at any time."""
        ...


@dataclass(frozen=True, slots=True)
class RolesMade:
    """Roles that were made."""

    names: Sequence[str]
    warnings: Sequence[str] = ()
    """Rights of theirs that could not be granted, since what they are on is not there."""


@runtime_checkable
class RoleKeeper(Protocol):
    """A `Database` that can make roles out of a backup's `globals.sql`. Roles that are there are never changed; passwords are kept as hashes."""

    async def missing_roles(self, script: bytes) -> Sequence[str]:
        """The roles of the script that are not there. Raises: SourceError, HostError."""
        ...

    async def create_roles(self, script: bytes) -> RolesMade:
        """Makes them, all or none. Nothing else of the script is run. Raises: SourceError, HostError."""
        ...

    async def drop_roles(self, names: Sequence[str]) -> None:
        """Removes roles that were made. Raises: SourceError where something belongs to one of them; HostError."""
        ...


@runtime_checkable
class MaskingDatabase(Database, Protocol):
    """A server on which columns can be masked before anybody gets to see them."""

    async def mask(self, name: str, rules: Mapping[str, Sequence[MaskRule]], key: bytes) -> None:
        """Masks columns of a database that nobody uses yet; `rules` are by the manifest's names of tables. All or nothing, and what was there
        before stays in no file of the database.

        Raises: UnknownNameError for a column that is not there, UsageError for one that cannot be masked so; SourceError, HostError.
        """
        ...

    async def give_name(self, fresh: str, name: str, like: DatabaseFacts) -> Sequence[str]:
        """Gives a database that `create` made the name that it is to have, which is free. Returns warnings. Raises: SourceError."""
        ...


class DatabaseSource(OpenSource, Protocol):
    """A source that is a database server. Its items are `globals.sql` (roles and what else belongs to no database), `databases/NAME.dump` or
    `.sql` for each database (NAME by format.layout.encode_name), and `manifest.json` (model.manifest.Manifest), which is the last one: it is
    put together while the others are read."""

    def database(self) -> AbstractAsyncContextManager[Database]:
        """The live server. Raises on entering: SourceError, HostError."""
        ...

    def scratch(self, version: str) -> AbstractAsyncContextManager[Database]:
        """A throwaway server of the same kind, started on the host from its own binaries in a folder that goes with it: on a Unix socket alone, with no
        password and no log that anybody else reads, under an account without privileges. `version` is the one that the backup was made with.

        Its end is certain: leaving stops it and removes its folder, whatever happened. Raises on entering: ToolMissingError, SourceError.
        """
        ...


class ParseStream(Protocol):
    """A dump on its way through the database's own parser."""

    async def write(self, data: bytes) -> None:
        """The next bytes of the dump. Raises: SourceError where they are none, HostError."""
        ...

    async def finish(self) -> Sequence[CheckResult]:
        """Called once, after the last byte: what the parser made of it. Raises: SourceError where the dump is not whole, HostError."""
        ...


@runtime_checkable
class ParsingSource(Protocol):
    """A database whose dumps can be read to their end without a server."""

    def parsing(self, facts: DatabaseFacts) -> AbstractAsyncContextManager[ParseStream]:
        """Reads the dump of that database with the database's own parser on the host, or with ours where it has none without a server.

        Leaving it removes whatever was laid down for that. Raises on entering: ToolMissingError, HostError.
        """
        ...


Options = Mapping[str, str | int | bool | Sequence[str] | None]
"""A source's options as the catalog keeps them, by the command line's names with `_` for `-`."""

Secrets = Mapping[str, Secret]
