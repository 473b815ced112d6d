"""How much of a log is kept: what no base needs goes at its old end, never in its middle; and which instants go with what goes. Pure."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.model import logs
from engine.model.logs import Base, LogFork, LogGap, LogHoldings, LogRun, LogState, Reach


@dataclass(frozen=True, slots=True)
class LogCut:
    """The old end of a source's log, as it goes from a storage once no base there needs it."""

    source: str
    storage: str
    segments: int
    size_bytes: int
    """Before packing."""
    begins_at: datetime.datetime | None = None
    """When the first transaction in what goes ended, by the host's clock; None where none did."""
    ends_at: datetime.datetime | None = None
    snapshots: int = 0
    """Log snapshots that a newer one stands for, which go as well."""
    why: str = ""
    """Of a storage that has no base: what goes, and why."""


@dataclass(frozen=True, slots=True)
class CopiedLog:
    """What came of a source's log from one storage into another."""

    source: str
    storage: str
    """Where it came from."""
    segments: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Window:
    """Instants from one to another, both of them too."""

    begins_at: datetime.datetime
    ends_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class LostInstants:
    """What a source can no longer be brought back to, once something is deleted."""

    source: str
    windows: Sequence[Window]
    """In order."""
    instead_of: datetime.datetime
    """The earliest instant before."""
    recoverable_from: datetime.datetime | None = None
    """The earliest one then; None where there is none."""


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """What a verification found of a source's log in a storage."""

    source: str
    segments: int
    """That were looked at."""
    read: int
    """That were read to their end, and judged."""
    size_bytes: int
    gaps: Sequence[LogGap] = ()
    lost: LostInstants | None = None
    """What damaged segments take along."""


def counting(bases: Sequence[Base], within_s: float | None) -> list[Base]:
    """The bases whose log is kept: all, or those from which every instant of so long a span before the newest base can be reached."""
    if within_s is None or not bases:
        return list(bases)
    since = max(each.consistent_at for each in bases) - datetime.timedelta(seconds=within_s)
    older = [each for each in bases if each.consistent_at <= since]
    # The span begins between two bases: its first instants are reached from the one before.
    newest = max(older, key=lambda each: (each.consistent_at, each.backup_id), default=None)
    return [
        *(each for each in bases if each.consistent_at > since),
        *([newest] if newest is not None else []),
    ]


def first_needed(bases: Iterable[Base], forks: Iterable[tuple[str, LogFork]]) -> dict[tuple[str, str], int]:
    """By server and series, of those that any of the bases may be replayed along: the first segment that is kept. That is the one
    that the base brings itself, which tells the log's server though nothing came behind it yet. `forks` with the server's identity."""
    onward: dict[tuple[str, str], list[LogFork]] = {}
    for identity, fork in forks:
        onward.setdefault((identity, fork.parent), []).append(fork)
    needed: dict[tuple[str, str], int] = {}
    waiting = [(each.position.identity, each.position.series, each.position.number) for each in bases]
    while waiting:
        identity, series, number = waiting.pop()
        key = (identity, series)
        if key in needed and needed[key] <= number:
            continue
        needed[key] = number
        waiting += [
            (identity, fork.series, fork.number) for fork in onward.get(key, ()) if fork.number >= number
        ]
    return needed


def lacks(held: LogHoldings, run: LogRun, needed: Mapping[tuple[str, str], int]) -> bool:
    """Whether a storage lacks any of another's run that is needed, by `first_needed`."""
    number = needed.get((run.identity, run.series))
    if number is None or run.last < number:
        return False
    first = max(run.first, number)
    kept = (*held.runs, *(tail for tail in held.tails if run.is_tail and tail.size_bytes >= run.size_bytes))
    return not any(
        (each.identity, each.series) == (run.identity, run.series)
        and each.first <= first
        and run.last <= each.last
        for each in kept
    )


def without(bases: Iterable[Base], gone: Mapping[str, Iterable[str]]) -> list[Base]:
    """The bases that are left once these backups, by id, are gone from these storages."""
    lacking = {backup_id: set(storages) for backup_id, storages in gone.items()}
    left = [
        replace(
            each,
            storages=tuple(name for name in each.storages if name not in lacking.get(each.backup_id, ())),
        )
        for each in bases
    ]
    return [each for each in left if each.storages]


def windows(found: Iterable[Reach]) -> list[Window]:
    """All that can be reached, in order, none of them touching the next."""
    joined: list[Window] = []
    for each in sorted(found, key=lambda one: (one.begins_at, one.ends_at)):
        last = joined[-1] if joined else None
        if last is not None and each.begins_at <= last.ends_at:
            joined[-1] = Window(last.begins_at, max(last.ends_at, each.ends_at))
        else:
            joined.append(Window(each.begins_at, each.ends_at))
    return joined


def lost(source: str, before: Iterable[Reach], after: Iterable[Reach]) -> LostInstants | None:
    """What cannot be reached any more; None where nothing is lost."""
    was, left = windows(before), windows(after)
    gone: list[Window] = []
    for each in was:
        within = [one for one in left if one.begins_at <= each.ends_at and one.ends_at >= each.begins_at]
        edges = [
            each.begins_at,
            *itertools.chain(*((one.begins_at, one.ends_at) for one in within)),
            each.ends_at,
        ]
        gone += [
            Window(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end
        ]
        if not within and each.begins_at == each.ends_at:
            gone.append(each)
    if not gone:
        return None
    return LostInstants(source, tuple(gone), was[0].begins_at, left[0].begins_at if left else None)


def lost_by(
    source: str,
    known: tuple[Sequence[Base], Sequence[LogHoldings], LogState | None],
    gone: Mapping[str, Iterable[str]],
    holdings: Sequence[LogHoldings] | None = None,
) -> LostInstants | None:
    """What cannot be reached any more once these backups are gone from these storages, and the storages hold so much of the log."""
    bases, held, state = known
    before = logs.reaches(bases, held, state)
    after = logs.reaches(without(bases, gone), held if holdings is None else holdings, state)
    return lost(source, before, after)
