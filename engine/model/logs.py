"""The logs of a database between its backups: which of them a storage holds, where some are missing, and to which instants they reach.

A log is shipped in segments. Segments of one *series* are numbered and follow each other: PostgreSQL's timelines and MariaDB's names of
binary logs are series; a timeline that left another goes on from it. Pure.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

SEGMENTS_PER_FOLDER = 256


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in the logs of a server."""

    identity: str
    """What tells this server from any other: PostgreSQL's system identifier, MariaDB's server uid."""
    series: str
    number: int
    """Of the segment."""


@dataclass(frozen=True, slots=True)
class LogSegment:
    """One segment as it is kept."""

    name: str
    """A bare file name."""
    series: str
    number: int
    size_bytes: int
    begins_at: datetime.datetime | None = None
    """When the first transaction in it ended, by the host's clock; None where none did."""
    ends_at: datetime.datetime | None = None
    is_tail: bool = False
    """Whether it is no more than the beginning of a segment that the server was writing: see `LogHoldings.tails`."""


@dataclass(frozen=True, slots=True)
class LogFork:
    """Where a series goes on from another: after a fail-over."""

    series: str
    parent: str
    number: int
    """The first segment that is read of the new series: what the parent has from there on does not count."""
    identity: str = ""
    """Of the server; empty: of whichever."""

    def is_of(self, identity: str) -> bool:
        """Whether it is that server's."""
        return self.identity in ("", identity)


@dataclass(frozen=True, slots=True)
class LogRun:
    """Segments that follow each other without a gap, as one storage holds them."""

    identity: str
    series: str
    first: int
    last: int
    begins_at: datetime.datetime | None = None
    """When the first transaction in them ended, by the host's clock."""
    ends_at: datetime.datetime | None = None
    size_bytes: int = 0
    is_tail: bool = False
    """Whether it is the beginning of one segment: see `LogHoldings.tails`."""
    is_cut: bool = False
    """Whether it is the first part of a longer one, of which `ends_at` is."""


@dataclass(frozen=True, slots=True)
class LogGap:
    """Segments that are not there, between such as are: what came after cannot be reached by what was before."""

    identity: str
    series: str
    first: int
    last: int
    after: datetime.datetime | None
    """The last transaction before the gap: nothing later can be reached, until…"""
    before: datetime.datetime | None
    """…a backup of after this, the first transaction behind the gap."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """The newest log snapshot of a source in one storage."""

    source: str
    storage: str
    snapshot_id: str
    shipped_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class LogState:
    """What was seen of a source's log on its host, when it was looked at last."""

    source: str
    polled_at: datetime.datetime
    """By this machine's clock."""
    identity: str = ""
    way: str = ""
    """spool, slot, binlog: how the log comes here."""
    series: str = ""
    number: int = 0
    """The segment that the server is writing."""
    covered: LogPosition | None = None
    """Up to this segment all is in a storage, and so is…"""
    covered_bytes: int = 0
    """Of that segment so much, where it was being written; 0: all of it."""
    covered_until: datetime.datetime | None = None
    """…all that had been committed by then, by the host's clock; None where nothing is known."""
    clock_ahead_s: float = 0.0
    """How far the host's clock is before this machine's."""
    waiting_segments: int = 0
    """On the host, whole, and not yet in every storage."""
    waiting_bytes: int = 0
    free_bytes: int | None = None
    """Where they wait."""
    bytes_per_s: float = 0.0
    """How fast the log grew between the last two looks."""
    looked_until: float = 0.0
    """What came to wait by then was read, by the host's clock in seconds since 1970: where it is kept it need not be compared again."""
    error: str = ""
    """Why the last look or shipment failed; empty where it did not."""
    warnings: Sequence[str] = ()
    unshipped: Sequence[str] = ()
    """Why some of what was looked at is not in every storage: those that took no part, and segments that are not whole. It stays on the host."""
    seen_at: datetime.datetime | None = None
    """When the host was last seen, by this machine's clock: a look that failed says nothing new of it."""
    gaps: int = 0
    """In all storages together, after the last look."""

    @property
    def lasts_s(self) -> float | None:
        """How long the room on the host will last at this rate; None where it cannot be told."""
        if self.free_bytes is None or self.bytes_per_s <= 0:
            return None
        return self.free_bytes / self.bytes_per_s


@dataclass(frozen=True, slots=True)
class Base:
    """A backup that logs can be replayed onto."""

    backup_id: str
    position: LogPosition
    """Of the last segment that it brings itself: the next one is the first that it needs."""
    consistent_at: datetime.datetime
    """By the host's clock: no earlier instant can be reached from it."""
    storages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """The instants that a source can be brought back to from one base, as one storage holds it and its logs."""

    base: Base
    storage: str
    begins_at: datetime.datetime
    ends_at: datetime.datetime
    """The latest instant; by the host's clock."""
    path: tuple[LogRun, ...] = ()
    """What is replayed, in order; the last one to its end, or to the instant that is meant."""
    snapshot_id: str = ""
    """The log snapshot that has the path; empty where none is known."""


@dataclass(frozen=True, slots=True)
class LogHoldings:
    """All that is known of one source's logs in one storage."""

    storage: str
    runs: Sequence[LogRun] = ()
    forks: Sequence[LogFork] = ()
    tails: Sequence[LogRun] = ()
    """What had come of segments that the server was writing: at most one of each server and series, until all of it comes."""
    snapshot_id: str = ""
    """The log snapshot that has all of it; empty where none is known."""


def add(runs: Sequence[LogRun], identity: str, segments: Iterable[LogSegment]) -> list[LogRun]:
    """The runs with these segments, which are in none of them yet; ordered by series and number."""
    found = [
        *runs,
        *(
            LogRun(
                identity,
                each.series,
                each.number,
                each.number,
                each.begins_at,
                each.ends_at,
                each.size_bytes,
            )
            for each in segments
        ),
    ]
    found.sort(key=lambda run: (run.identity, run.series, run.first))
    joined: list[LogRun] = []
    for run in found:
        last = joined[-1] if joined else None
        if last is not None and _follows(last, run):
            joined[-1] = replace(
                last,
                last=max(last.last, run.last),
                begins_at=last.begins_at or run.begins_at,
                ends_at=run.ends_at or last.ends_at,
                size_bytes=last.size_bytes + run.size_bytes,
            )
        else:
            joined.append(run)
    return joined


def add_tails(
    tails: Iterable[LogRun], identity: str, segments: Sequence[LogSegment], newer: Sequence[LogSegment]
) -> list[LogRun]:
    """The tails once these segments are kept whole, and these newer tails: each stands for the one before it in its series."""
    reached: dict[str, int] = {}
    for each in segments:
        reached[each.series] = max(each.number, reached.get(each.series, each.number))
    replaced = {each.series for each in newer}
    kept = [
        tail
        for tail in tails
        if tail.identity != identity
        or (tail.series not in replaced and reached.get(tail.series, tail.first - 1) < tail.first)
    ]
    return [*kept, *(_tail(identity, each) for each in newer)]


def holds_tail(tails: Iterable[LogRun], position: LogPosition, size_bytes: int) -> bool:
    """Whether so much of that segment is kept as its beginning."""
    return any(
        (tail.identity, tail.series, tail.first) == (position.identity, position.series, position.number)
        and tail.size_bytes >= size_bytes
        for tail in tails
    )


def is_beyond(held: LogHoldings, position: LogPosition, size_bytes: int) -> bool:
    """Whether more of that series is held than that segment, of which so much is written."""
    here = (position.identity, position.series)
    return any(
        (run.identity, run.series) == here
        and (run.last, run.size_bytes if run.is_tail else size_bytes + 1) > (position.number, size_bytes)
        for run in (*held.runs, *held.tails)
    )


def holds(runs: Iterable[LogRun], identity: str, series: str, number: int) -> bool:
    """Whether the segment is in one of them."""
    return any(
        run.identity == identity and run.series == series and run.first <= number <= run.last for run in runs
    )


def gaps(runs: Sequence[LogRun], forks: Sequence[LogFork] = ()) -> list[LogGap]:
    """What is missing between segments of each server's log, in order. Of a series that was left for another only what is read of it counts."""
    found: list[LogGap] = []
    ordered = sorted(runs, key=lambda run: (run.identity, run.series, run.first))
    for before, after in itertools.pairwise(ordered):
        if (before.identity, before.series) == (after.identity, after.series):
            found.append(_gap(before, after, before.last + 1, after.first - 1))
    for fork in forks:
        for identity in sorted({run.identity for run in ordered if fork.is_of(run.identity)}):
            left = [run for run in ordered if run.identity == identity and run.series == fork.parent]
            gone_on = [run for run in ordered if run.identity == identity and run.series == fork.series]
            if not left or not gone_on or left[0].first >= fork.number:
                continue
            before = max((run for run in left if run.first < fork.number), key=lambda run: run.first)
            if before.last < fork.number - 1:
                found.append(_gap(before, gone_on[0], before.last + 1, fork.number - 1, fork.parent))
            if gone_on[0].first > fork.number:
                found.append(_gap(before, gone_on[0], fork.number, gone_on[0].first - 1))
    return found


def path_from(holdings: LogHoldings, position: LogPosition, series: str = "") -> list[LogRun]:
    """The runs that follow each other from behind that position on, each cut to what is read of it, up to the first gap; then the tail.

    Where series leave one another it follows to `series`, or where that is empty to the newest one that goes on from there.
    """
    found: list[LogRun] = []
    lineage = _lineage(holdings, position, series)
    number = position.number + 1
    for name, until in lineage:
        run = next(
            (
                run
                for run in holdings.runs
                if run.identity == position.identity
                and run.series == name
                and run.first <= number <= run.last
            ),
            None,
        )
        if run is None:
            if until is not None and until <= number:
                continue  # nothing of it is needed
            series = name
            break
        last = run.last if until is None else min(run.last, until - 1)
        if last >= number:
            found.append(_cut(run, number, last))
        series, number = name, run.last + 1
        if until is not None and run.last < until - 1:
            break
        if until is not None:
            number = until
    place = (position.identity, series, number)
    tail = [each for each in holdings.tails if (each.identity, each.series, each.first) == place]
    return [*found, *tail]


def reaches(
    bases: Iterable[Base], holdings: Sequence[LogHoldings], state: LogState | None = None
) -> list[Reach]:
    """From each base in each storage that holds it, oldest first. A base alone reaches the instant at which it is consistent.

    What `state` says of the newest segment counts for each storage that has that one: nothing was committed after its last transaction. It says as
    well which series the server is in: that need not be the newest, where a restore was rolled back.
    """
    found: list[Reach] = []
    for base in sorted(bases, key=lambda each: (each.consistent_at, each.backup_id)):
        for held in holdings:
            if held.storage not in base.storages:
                continue
            path = path_from(held, base.position, series_of(base, state))
            ends = [base.consistent_at, *(run.ends_at for run in path if run.ends_at is not None)]
            if state is not None and state.covered_until is not None and _covers(path, base, state):
                ends.append(state.covered_until)
            found.append(
                Reach(base, held.storage, base.consistent_at, max(ends), tuple(path), held.snapshot_id)
            )
    return found


def series_of(base: Base, state: LogState | None) -> str:
    """The series that the base's server was in at the last look; empty where that is not known."""
    return state.series if state is not None and state.identity == base.position.identity else ""


def best(found: Sequence[Reach], instant: datetime.datetime) -> Reach | None:
    """The one to restore that instant from: of the newest base before it, which has the least to replay."""
    fitting = [each for each in found if each.begins_at <= instant <= each.ends_at]
    return max(fitting, key=lambda each: each.begins_at, default=None)


def nearest_instant(found: Sequence[Reach], instant: datetime.datetime) -> datetime.datetime | None:
    """The instant closest to that one that can be reached; None where none can."""
    ends = [end for each in found for end in (each.begins_at, each.ends_at)]
    return min(ends, key=lambda end: abs(end - instant), default=None)


def last_ending(path: Sequence[LogRun]) -> datetime.datetime | None:
    """When the last transaction on the path ended; None where that is not known."""
    for run in reversed(path):
        if run.series != path[-1].series or run.is_cut:
            return None
        if run.ends_at is not None:
            return run.ends_at
    return None


def segments_in(path: Sequence[LogRun]) -> int:
    """How many segments a restore along it replays at most."""
    return sum(run.last - run.first + 1 for run in path)


def _follows(before: LogRun, after: LogRun) -> bool:
    return (
        before.identity == after.identity and before.series == after.series and after.first <= before.last + 1
    )


def _gap(before: LogRun, after: LogRun, first: int, last: int, series: str = "") -> LogGap:
    begins_at = after.begins_at or after.ends_at
    return LogGap(before.identity, series or after.series, first, last, before.ends_at, begins_at)


def _cut(run: LogRun, first: int, last: int) -> LogRun:
    """A part of it; about so many bytes."""
    share = (last - first + 1) / (run.last - run.first + 1)
    size_bytes = round(run.size_bytes * share)
    return replace(run, first=first, last=last, size_bytes=size_bytes, is_cut=last < run.last)


def _tail(identity: str, each: LogSegment) -> LogRun:
    return LogRun(
        identity, each.series, each.number, each.number, each.begins_at, each.ends_at, each.size_bytes, True
    )


def _covers(path: Sequence[LogRun], base: Base, state: LogState) -> bool:
    """Whether what is replayed goes as far as all that is known to be covered."""
    covered = state.covered
    if covered is None or covered.identity != base.position.identity:
        return False
    if path and path[-1].is_tail and (path[-1].series, path[-1].last) == (covered.series, covered.number):
        return 0 < state.covered_bytes <= path[-1].size_bytes
    passed = [(base.position.series, base.position.number), *((run.series, run.last) for run in path)]
    return any(series == covered.series and number >= covered.number for series, number in passed)


def _lineage(holdings: LogHoldings, position: LogPosition, wanted: str) -> list[tuple[str, int | None]]:
    """The series from that position on, each with the segment from which on the next one counts in its place."""
    children: dict[str, list[LogFork]] = {}
    for fork in (each for each in holdings.forks if each.is_of(position.identity)):
        children.setdefault(fork.parent, []).append(fork)
    found: list[tuple[str, int | None]] = []
    series, at = position.series, position.number
    seen = {series}
    while True:
        onward = [
            fork
            for fork in children.get(series, [])
            if fork.number >= at
            and fork.series not in seen
            and (not wanted or wanted in _descendants(children, fork.series))
        ]
        if not onward or series == wanted:
            return [*found, (series, None)]
        fork = max(onward, key=lambda each: each.series)
        found.append((series, fork.number))
        series, at = fork.series, fork.number
        seen.add(series)


def _descendants(children: Mapping[str, list[LogFork]], series: str) -> set[str]:
    found, waiting = {series}, [series]
    while waiting:
        for fork in children.get(waiting.pop(), []):
            if fork.series not in found:
                found.add(fork.series)
                waiting.append(fork.series)
    return found
