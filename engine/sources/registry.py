"""The kinds of sources, and the one door through which they are opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from engine.errors import ConfigurationError, UnknownNameError, UsageError
from engine.hosts.base import OpenHost
from engine.model.backup import Scope
from engine.model.contents import RowSample
from engine.model.definitions import Source
from engine.model.log_watch import is_logged
from engine.model.manifest import Tablespace
from engine.model.objectives import OPTION
from engine.model.secret import Secret
from engine.sources.base import DumpReader, OpenSource, Traits
from engine.sources.logs import KeptLog
from engine.sources.server_files import Placing, Preparation

if TYPE_CHECKING:
    from engine.sources.logs import Laying, LogReading, Replay

MEMBERS: Mapping[str, str] = {
    "files": "engine.sources.files.source:FilesSource",
    "sqlite": "engine.sources.sqlite.source:SqliteSource",
    "postgres": "engine.sources.postgres.source:PostgresSource",
    "redis": "engine.sources.redis.source:RedisSource",
    "mongodb": "engine.sources.mongodb.source:MongodbSource",
    "mariadb": "engine.sources.mariadb.source:MariadbSource",
    "mysql": "engine.sources.mariadb.source:MariadbSource",
    "command": "engine.sources.command:CommandSource",
    "stdin": "engine.sources.stdin:StdinSource",
}
"""Kind to "module:Class" (a `Member`), imported at the first use."""

DUMP_READERS: Mapping[str, str] = {
    "mariadb": "engine.sources.mariadb.contents:MariadbContents",
    "mongodb": "engine.sources.mongodb.contents:MongodbContents",
    "mysql": "engine.sources.mariadb.contents:MariadbContents",
    "postgres": "engine.sources.postgres.contents:PostgresContents",
    "redis": "engine.sources.redis.contents:RedisContents",
    "sqlite": "engine.sources.sqlite.contents:SqliteContents",
}
"""Kind to the `base.DumpReader` of its dumps, for those that can be told apart without being loaded."""

LOG_WAYS: Mapping[str, str] = {
    "postgres": "--physical and --log-slot NAME or --log-spool FOLDER",
    "mariadb": "--physical and --log-binlog",
    "mysql": "MariaDB in place of MySQL, --physical and --log-binlog",
    "mongodb": "--oplog and --log-oplog",
}
"""Of each kind with a log: the options by which a source has it shipped."""
_REFERENCES = frozenset({"secret", "uri_from"})
"""Options that say where a secret is kept."""
ENTRY_POINTS = "holdfast.sources"
"""The entry-point group by which other packages add kinds; none replaces one of ours."""


class Member(Protocol):
    """What a kind of source gives: a class with this way in."""

    def open(
        self, definition: Source, host: OpenHost, secrets: Mapping[str, Secret]
    ) -> AbstractAsyncContextManager[OpenSource]:
        """Binds the definition to its open host; the options are checked here. Raises: ConfigurationError."""
        ...


def kinds() -> tuple[str, ...]:
    """All kinds that can be opened here, sorted."""
    return tuple(sorted({*MEMBERS, *_strangers()}))


def open_source(
    definition: Source, host: OpenHost, secrets: Mapping[str, Secret] | None = None
) -> AbstractAsyncContextManager[OpenSource]:
    """Opens a source on a host that is open and stays so; `secrets` holds the values of those options that are REFs.

    Raises: UnknownNameError for the kind; ConfigurationError for an option, on entering.
    """
    # What a restore does with it, and what people want of it, is no concern of the reading.
    options = {name: value for name, value in definition.options.items() if name not in ("mask", OPTION)}
    return _member(definition.kind).open(replace(definition, options=options), host, secrets or {})


def traits_of(kind: str) -> Traits | None:
    """What sources of that kind are like; None where it says nothing of itself. Raises: UnknownNameError."""
    traits: Traits | None = getattr(_member(kind), "traits", None)
    return traits


def is_database(kind: str) -> bool:
    """Whether sources of that kind are database servers (`base.DatabaseSource`). Raises: UnknownNameError."""
    traits = traits_of(kind)
    return traits is not None and traits.is_database


def is_refillable(kind: str) -> bool:
    """Whether in place the server of such a source is emptied and filled again (`refill.RefillableSource`). Raises: UnknownNameError."""
    traits = traits_of(kind)
    return traits is not None and traits.is_refillable


def dump_reader(kind: str, samples: Mapping[str, RowSample], folder: Path) -> DumpReader | None:
    """What reads a dump of that kind; None where nothing does. Rows of `samples` are looked for; `folder` is for files that go with it."""
    target = DUMP_READERS.get(kind)
    if target is None:
        return None
    module, _, name = target.partition(":")
    return cast("DumpReader", getattr(import_module(module), name)(samples, folder))


def scopes(kind: str) -> AbstractSet[Scope]:
    """The parts of which a backup alone can be made (`base.PartialSource`); none for most kinds. Raises: UnknownNameError."""
    found: AbstractSet[Scope] = getattr(_member(kind), "scopes", frozenset())
    return found


def preparation(kind: str, folder: str, version: str, increments: Sequence[str]) -> Preparation | None:
    """What a server's files of that kind and version need, which lie in that folder, and increments in those beside it; None where they need
    nothing. Raises: UnknownNameError."""
    make: Callable[[str, str, Sequence[str]], Preparation] | None
    make = getattr(_member(kind), "preparation", None)
    return make(folder, version, increments) if make is not None else None


def placing(kind: str, spaces: Sequence[Tablespace], data: str, mapping: Sequence[str]) -> Placing | None:
    """How the tablespaces of a data folder at that path get places; None where that kind has none. Raises: UsageError for the mapping;
    DamagedError for what no server has."""
    make: Callable[[Sequence[Tablespace], str, Sequence[str]], Placing] | None = getattr(
        _member(kind), "placing", None
    )
    return make(spaces, data, mapping) if make is not None else None


def has_log(kind: str) -> bool:
    """Whether servers of that kind have a log that is shipped. Raises: UnknownNameError."""
    return hasattr(_member(kind), "base_position")


def require_log(source: Source) -> None:
    """Raises: UsageError where servers of that kind have no log that is shipped; UnknownNameError for the kind."""
    if not has_log(source.kind):
        raise no_log(source)


def without_log(source: Source) -> str:
    """To what a source can be brought back of whose log nothing is shipped, and what to do about it, in a sentence; empty where it is.

    Raises: UnknownNameError for the kind.
    """
    if not has_log(source.kind):
        return (
            f"a source of kind {source.kind} has no log: it can be brought back to each of its backups, and to nothing between them; "
            "frequent ones, of which only what changed is stored, are the way"
        )
    if is_logged(source):
        return ""
    return (
        "its log is not shipped: it can be brought back to each of its backups, and to nothing between them; "
        f"with {LOG_WAYS[source.kind]} it is"
    )


def require_replayable(source: Source) -> None:
    """Raises: UsageError where servers of that kind have no log, or none that is replayed here; UnknownNameError for the kind."""
    require_log(source)
    member = _member(source.kind)
    if not hasattr(member, "replaying"):
        raise UsageError(
            f"{source.name} is of kind {source.kind}, whose log is kept, and not replayed here",
            hint=getattr(
                member,
                "replayed_by",
                "restore a backup, and replay what the log's snapshot holds by the server's own tools",
            ),
        )


def no_log(source: Source) -> UsageError:
    """What is said of a source without a log, and the way out."""
    return UsageError(
        f"{source.name} is of kind {source.kind}, which has no log that could be shipped: frequent backups, of which only what changed is stored, are the way",
        hint=f"holdfast schedule add {source.name}-often --cron '*/15 * * * *' --source {source.name}",
    )


def kept_log(kind: str) -> KeptLog | None:
    """What reads the files of such a source's log; None where it has none. Raises: UnknownNameError."""
    found: KeptLog | None = getattr(_member(kind), "kept_log", None)
    return found


def log_reading(kind: str) -> LogReading | None:
    """What reads segments of that kind's log; None where nothing does. Raises: UnknownNameError."""
    reading: LogReading | None = getattr(_member(kind), "log_reading", None)
    return reading


def log_laying(kind: str, replay: Replay, folder: str, version: str, needed_bytes: int) -> Laying | None:
    """How a log is laid beside a server's files in that folder; None where that kind has no way. Raises: UnknownNameError; UsageError for the version."""
    make: Callable[[Replay, str, str, int], Laying] | None = getattr(_member(kind), "log_laying", None)
    return make(replay, folder, version, needed_bytes) if make is not None else None


def is_placeable(kind: str) -> bool:
    """Whether servers of that kind have tablespaces, which get places. Raises: UnknownNameError."""
    return hasattr(_member(kind), "placing")


def is_layable(kind: str) -> bool:
    """Whether that kind has a way for its log beside its base in a folder. Raises: UnknownNameError."""
    return hasattr(_member(kind), "log_laying")


async def secrets_of(definition: Source, resolve: Callable[[str], Awaitable[Secret]]) -> Mapping[str, Secret]:
    """The values of those options that are REFs, for `open_source`. Raises: what resolving raises."""
    return {
        name: await resolve(value)
        for name, value in definition.options.items()
        if isinstance(value, str) and name in _REFERENCES
    }


def _member(kind: str) -> Member:
    target = MEMBERS.get(kind) or _strangers().get(kind)
    if target is None:
        raise UnknownNameError(
            f"there is no kind of source named {kind}", hint=f"known kinds: {', '.join(kinds())}"
        )
    module, _, name = target.partition(":")
    try:
        return cast("Member", getattr(import_module(module), name))
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"sources of kind {kind} need the package {error.name}", hint=f"pip install {error.name}"
        ) from error


def _strangers() -> Mapping[str, str]:
    """The kinds that other packages add. Loads importlib.metadata on use: it costs more than the rest of this module."""
    from importlib import metadata

    return {point.name: point.value for point in metadata.entry_points(group=ENTRY_POINTS)}
