"""An instant that a source is brought back to, by a base and the log behind it: which one is meant, and what getting there takes. Pure."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import Final

from engine.model import text
from engine.model.spans import span

LEAST_ROWS = 100
"""So many rows that one transaction changes of a table are worth being named."""
ALL_TABLES = "*"
"""In place of the names of tables that went with their database."""
STARTING: Final = ("point-in-time", "server", "database")
"""Levels of drills that brought a server back; the nearest to a replay first."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a source is to be brought back to. At most one is set; none: as far as its log goes."""

    at: datetime.datetime | None = None
    transaction: str = ""
    """With `@SERIES` behind it the one on that series of the log: after a fail-over several may have its number."""
    point: str = ""
    is_before: bool = False
    """Just before it."""

    @property
    def series(self) -> str:
        """The series that the transaction is said to lie on; empty where none is."""
        return self.transaction.partition("@")[2]

    @property
    def number(self) -> str:
        """Of the transaction, as the server writes it."""
        return self.transaction.partition("@")[0]

    @property
    def is_named(self) -> bool:
        """Whether it is anything but the log's end."""
        return bool(self.at or self.transaction or self.point)

    @property
    def words(self) -> str:
        """For people."""
        before = "just before " if self.is_before else ""
        if self.at is not None:
            return (
                f"{before}{self.at:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + f" {self.at:%Z}".rstrip()
            )
        if self.transaction:
            return f"{before}transaction {self.transaction}"
        return f"{before}restore point {self.point}" if self.point else "the end of the log"


def by_seconds(target: Target) -> tuple[Target, str]:
    """What is taken where a log knows whole seconds, and that in a sentence; never more than was asked for, unless it is a second as a whole."""
    at = target.at
    if at is None:
        return target, ""
    second = at.replace(microsecond=0)
    shown = f"{second.astimezone():%Y-%m-%d %H:%M:%S}"
    if target.is_before or at != second:
        said = f"the log knows whole seconds: what was committed before {shown} is taken, and nothing of that second"
        return replace(target, at=second, is_before=True), said
    return target, f"the log knows whole seconds: all that was committed within {shown} is taken, to its end"


@dataclass(frozen=True, slots=True)
class LogMark:
    """The end of a transaction, or a restore point that somebody named, in a log."""

    position: str
    """As the server writes it."""
    at: datetime.datetime
    """By the host's clock."""
    transaction: str = ""
    point: str = ""
    left: str = ""
    """The series that it lies on, where that was left for another at a fork before it."""


@dataclass(frozen=True, slots=True)
class LogChange:
    """Something that a transaction did that somebody may want undone."""

    at: datetime.datetime
    """When it was committed, by the host's clock."""
    transaction: str
    position: str
    kind: str
    """dropped; replaced: emptied, or rewritten as by TRUNCATE; deleted, updated, inserted: rows; said: a statement of which nothing else is known."""
    database: str
    """Its name, or its number as long as that is not known."""
    relations: tuple[str, ...]
    """Numbers of the files that were the table's, its indexes' too."""
    rows: int = 0
    """That were changed one by one; 0 also where that is not known."""
    tables: tuple[str, ...] = ()
    """Names, with their schemas, as far as they are known; ALL_TABLES for all of a database."""
    statement: str = ""
    """The beginning of what was said to the server, where its log holds that."""
    left: str = ""
    """The series that it lies on, where that was left for another at a fork before it: what it did is in no server that went on."""

    @property
    def named(self) -> str:
        """Its transaction, as a restore is told it."""
        return f"{self.transaction}@{self.left}" if self.left else self.transaction


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """What is looked for in a source's log."""

    source: str
    table: str = ""
    """With its schema or database, or without: dropped, emptied, or many of its rows changed. Empty: any."""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    statement: str = ""
    """A part of what was said to the server, where its log holds that."""
    storage: str = ""
    """Whose copy of the log is read; empty: the one that reaches furthest."""
    least_rows: int = LEAST_ROWS
    """That one transaction changed of a table; 1: also where the log does not say how many."""
    is_largest_first: bool = False
    """Whether those come first that changed most rows; else the oldest."""


@dataclass(frozen=True, slots=True)
class FoundChanges:
    """What a log says was done, in the order that was asked for."""

    source: str
    storage: str
    changes: tuple[LogChange, ...]
    segments: int
    """That were read."""
    begins_at: datetime.datetime | None
    """Of what was read: the first transaction…"""
    ends_at: datetime.datetime | None
    """…and the last."""
    unnamed: int = 0
    """Changes to tables that were made and gone between two bases, whose names nobody looked for."""


@dataclass(frozen=True, slots=True)
class InstantPlan:
    """What bringing a source back to an instant takes; nothing of it has begun."""

    source: str
    target: Target
    backup_id: str
    """Of the base."""
    base_at: datetime.datetime
    """No earlier instant can be reached from it."""
    base_bytes: int
    storage: str
    """That base and log are read from."""
    segments: int
    """Of the log, that are fetched at most."""
    log_bytes: int
    """At most."""
    ends_at: datetime.datetime
    """The latest instant that can be reached from that base."""
    host: str
    """Where the server that replays is started, in a folder of its own that it is removed with."""
    estimated_s: float | None = None
    """Until a server is there, by drills of this source; None where none was measured."""
    drills: int = 0
    """That the estimate is made of."""
    found_at: datetime.datetime | None = None
    """When the transaction ended, or the point was named, by the host's clock; None where an instant was asked for, or the log's end."""
    left: str = ""
    """The series that it lies on, where that was left for another before."""

    note: str = ""
    """What is taken where that is not to the instant."""

    @property
    def scratch_bytes(self) -> int:
        """Of disk, that the throwaway server takes at most, on its host."""
        return self.base_bytes + self.log_bytes


def place(plan: InstantPlan) -> str:
    """The target, and where a transaction or a point was found."""
    found = f", which ended at {_text(plan.found_at)}" if plan.found_at is not None else ""
    left = f", in series {plan.left} of the log, which was left for another before that" if plan.left else ""
    return f"{plan.target.words}{found}{left}"


def lines(plan: InstantPlan) -> list[str]:
    """For people: what it takes, in the order in which it happens."""
    taken = (
        f"about {span(plan.estimated_s)}, by {text.counted(plan.drills, 'drill')}"
        if plan.estimated_s is not None
        else f"not known: `holdfast drill {plan.source} --level point-in-time` measures it"
    )
    return [
        f"{plan.source} to {place(plan)}",
        f"base {plan.backup_id} of {_text(plan.base_at)} from {plan.storage}, {text.size(plan.base_bytes)}",
        f"log: at most {text.counted(plan.segments, 'segment')}, {text.size(plan.log_bytes)}; it reaches to {_text(plan.ends_at)}",
        f"a throwaway server on {plan.host}, which needs at most {text.size(plan.scratch_bytes)} there and is removed at the end",
        f"time: {taken}",
        *([plan.note] if plan.note else []),
    ]


def _text(at: datetime.datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="milliseconds")
