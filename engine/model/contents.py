"""What a dump holds, told without loading it: of each object its definition's digest, of each table how many rows and a digest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FOLDERS = frozenset(
    (
        "tables",
        "indexes",
        "constraints",
        "sequences",
        "views",
        "routines",
        "triggers",
        "events",
        "extensions",
        "settings",
    )
)
"""Kinds of object that a manifest lists, as `DatabaseFacts` names them. An object's path is its kind, a slash, and its name."""

OTHER_COLUMNS = "its columns are others"
"""Why rows of a sample could not be looked for; and a difference by itself."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """The rows of one table."""

    rows: int
    digest: int
    """Of all rows, whatever their order. Comparable within one process alone."""
    missing: int = 0
    """So many of the sampled live rows are not among them."""


@dataclass(frozen=True, slots=True)
class DumpContents:
    """One database's dump."""

    definitions: Mapping[str, bytes] = field(default_factory=dict)
    """By the object's path."""
    tables: Mapping[str, TableContent] = field(default_factory=dict)
    """By the names that the manifest has."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Tables whose rows could not be told apart, and why."""
    databases: Mapping[str, DumpContents] = field(default_factory=dict)
    """Of a dump that holds several databases: what each holds, by its name. All else is empty then."""

    def of(self, database: str) -> DumpContents:
        """What it holds of that database."""
        return self.databases.get(database, DumpContents()) if self.databases else self


@dataclass(frozen=True, slots=True)
class RowSample:
    """Some rows of a live table, each as the hash of the line that a dump would have for it. Hashes are those of this process."""

    table: str
    rows: frozenset[int]
    columns: Sequence[str] = ()
    """In the order of the line, where a dump names them: only a line of the same columns can be the same."""
    whole: TableContent | None = None
    """Where all rows of the table are among them: what a dump of it would hold."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a live database gave for a comparison."""

    samples: Mapping[str, RowSample] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    """Tables of which nothing could be read, and why."""
