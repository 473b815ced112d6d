"""What a database backup says of itself: versions, tables, rows, indexes, so that a restore has something to be compared with.

`manifest.json` lies beside the dumps in each database backup. Where the database allows, it is taken in the very snapshot of the dump.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

SCHEMA_VERSION = 1
EXACT_ROWS_LIMIT = 10_000_000
"""Tables that the server estimates to be longer are not counted, and marked so."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table."""

    name: str
    """With its schema where the database has schemas: `public.orders`."""
    rows: int
    is_estimated: bool = False
    size_bytes: int = 0
    expiring: int = 0
    """So many of the rows end by a time of their own (Redis): a restore may hold that many fewer, or lack a table that had no others."""


@dataclass(frozen=True, slots=True)
class SequenceFacts:
    """One sequence."""

    name: str
    last_value: int | None
    """None where it was never used."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database, as it was at the instant of its dump. Names are sorted, with their schema where the database has schemas."""

    name: str
    path: str = ""
    """Of its dump in the backup, relative to the manifest: `databases/NAME.dump`. Empty for a database that was only looked at."""
    parts: Sequence[str] = ()
    """Of files that hold the rows of some of its tables, of the same instant: `databases/NAME.data/0001.dump`. They are loaded when what `path`
    holds has made the tables, and before it makes their indexes."""
    owner: str = ""
    encoding: str = ""
    collation: str = ""
    size_bytes: int = 0
    tables: Sequence[TableFacts] = ()
    indexes: Sequence[str] = ()
    constraints: Sequence[str] = ()
    sequences: Sequence[SequenceFacts] = ()
    views: Sequence[str] = ()
    routines: Sequence[str] = ()
    triggers: Sequence[str] = ()
    events: Sequence[str] = ()
    extensions: Sequence[str] = ()
    settings: Sequence[str] = ()
    """What the database carries in itself and an application asks for: `user_version=42`."""


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A place beside a server's data folder where some of its files lie. Of a host or a repository: untrusted."""

    oid: str
    """By which the server's files name it."""
    name: str
    location: str
    """On the server that was backed up: an absolute folder, or one below the data folder. A restore never writes there by itself."""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """A database backup."""

    kind: str
    taken_at: datetime.datetime
    server_version: str
    tool_version: str
    identity: str
    """What tells this server from any other, copies of its data included as far as it can: see `sources.base.Database.identity`."""
    databases: Sequence[DatabaseFacts]
    roles: Sequence[str] = ()
    position: str = ""
    """Of the log at the instant of the dump, in the database's own form; empty where it keeps none."""
    folder: str = ""
    """Where the server's own files lie, relative to the manifest: the backup has no dumps then. Its databases are as the server had them at the
    end of the copy, without rows and values of sequences, which went on meanwhile."""
    tablespaces: Sequence[Tablespace] = ()
    """Of a server's own files; what they hold lies in `folder`, where the server has its links to them."""
    increments: Sequence[str] = ()
    """Folders of what changed since, relative to the manifest, oldest first: they are laid onto `folder` one after the other."""
    files_id: str = ""
    """What tells the folder of the server's own files from any other that takes its place; empty where that is not known."""
    scope: str = "all"
    """all, schema, content, roles, configuration: what was asked for."""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at after a restore."""

    check: str
    expected: str
    actual: str
    passed: bool


def without_content(facts: DatabaseFacts) -> DatabaseFacts:
    """The same, but for how many rows there are and what sequences are at."""
    return replace(
        facts,
        tables=[replace(each, rows=0, is_estimated=True) for each in facts.tables],
        sequences=[SequenceFacts(each.name, None) for each in facts.sequences],
    )


def compare(expected: DatabaseFacts, actual: DatabaseFacts, tables: Iterable[str] = ()) -> list[CheckResult]:
    """What a restored database must have, one check a kind of object and one a table. With `tables`, of those tables alone.

    Rows that were estimated are not compared; a database that should hold tables and holds none fails whatever else is right.
    """
    chosen = frozenset(tables)
    wanted = [each for each in expected.tables if not chosen or each.name in chosen]
    found = {each.name: each for each in actual.tables}
    lasting = [
        each.name for each in wanted if each.name in found or not each.rows or each.expiring < each.rows
    ]
    checks = [compare_names("tables", lasting, [name for name in found if not chosen or name in chosen])]
    checks += [_rows(each, found.get(each.name)) for each in wanted if not each.is_estimated]
    if chosen:
        return checks
    checks += [
        compare_names(kind, getattr(expected, kind), getattr(actual, kind))
        for kind in (
            "indexes",
            "constraints",
            "views",
            "routines",
            "triggers",
            "events",
            "extensions",
            "settings",
        )
    ]
    values = {each.name: each.last_value for each in actual.sequences}
    checks.append(compare_names("sequences", [each.name for each in expected.sequences], list(values)))
    checks += [
        CheckResult(
            f"last value of {each.name}",
            str(each.last_value),
            str(values[each.name]),
            values[each.name] == each.last_value,
        )
        for each in expected.sequences
        if each.name in values
    ]
    return checks


def compare_names(kind: str, expected: Sequence[str], actual: Sequence[str]) -> CheckResult:
    """Whether these are the same names, whatever their order; a few that are missing or too many are named."""
    missing, more = sorted(set(expected) - set(actual)), sorted(set(actual) - set(expected))
    said = [f"{len(actual)}"]
    said += [f"without {', '.join(missing[:5])}"] if missing else []
    said += [f"besides {', '.join(more[:5])}"] if more else []
    return CheckResult(kind, str(len(expected)), ", ".join(said), not missing and not more)


def _rows(expected: TableFacts, actual: TableFacts | None) -> CheckResult:
    least = expected.rows - expected.expiring
    return CheckResult(
        f"rows of {expected.name}",
        f"{least} to {expected.rows}" if expected.expiring else str(expected.rows),
        "no such table" if actual is None else str(actual.rows),
        least <= actual.rows <= expected.rows
        if actual is not None
        else bool(expected.expiring) and not least,
    )
