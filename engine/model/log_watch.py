"""What is known of each source's log at a glance: how far it reaches, what is missing behind its newest base, and what waits. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.model import logs
from engine.model.definitions import Source
from engine.model.logs import Base, LogGap, LogHoldings, LogRun, LogState, Reach

CLOCK_S: Final = 5.0
"""So far a host's clock may be from ours: what is asked for by the second must mean the same there."""


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """What the catalog holds of one source's log, as far as a glance needs it."""

    source: str
    bases: Sequence[Base]
    """Of each storage the oldest and the newest that it holds, and that storage alone in each."""
    holdings: Sequence[LogHoldings]
    state: LogState | None


@dataclass(frozen=True, slots=True)
class OpenGap:
    """A gap behind the newest base: until there is another one, nothing that came after it can be reached."""

    storage: str
    gap: LogGap


@dataclass(frozen=True, slots=True)
class LogFacts:
    """One source's log at a glance."""

    state: LogState | None = None
    recoverable_from: datetime.datetime | None = None
    """By the host's clock, as the following; None where there is no base."""
    recoverable_to: datetime.datetime | None = None
    gaps: int = 0
    """Of all that is kept, also before the newest base: places that cannot be reached."""
    open_gaps: Sequence[OpenGap] = ()
    shipped_identity: str = ""
    """Of the server whose log is kept, where the one that was seen last is another, of which there is no base."""
    replay_segments: int = 0
    """That a restore to the latest instant replays."""
    replay_bytes: int = 0
    has_base: bool = False
    is_shipped: bool = False
    """Whether a storage holds any of it."""

    def lost_s(self, now: datetime.datetime) -> float | None:
        """What would be lost now, in seconds of changes: the recovery point that is achieved. `now` by this machine's clock; None where nothing is known."""
        if self.recoverable_to is None:
            return None
        ahead_s = self.state.clock_ahead_s if self.state is not None else 0.0
        return max(0.0, (now - self.recoverable_to).total_seconds() + ahead_s)


@dataclass(frozen=True, slots=True)
class LogGlance:
    """A source's log in few figures."""

    recoverable_from: datetime.datetime | None
    """The earliest instant that can be reached; by the host's clock, as the next one."""
    recoverable_to: datetime.datetime | None
    lag_s: float | None
    """What would be lost now."""
    gaps: int
    """Places that cannot be reached."""
    open_gaps: int
    """Of these such as a new base would close: nothing that came after them can be reached."""
    waiting_segments: int = 0
    """On the host, and not yet in every storage."""
    waiting_bytes: int = 0
    free_bytes: int | None = None
    """Where they wait."""
    lasts_s: float | None = None
    """How long that room lasted at the rate of the last look."""
    looked_at: datetime.datetime | None = None
    is_failing: bool = False
    """Whether the last look, or what it was to ship, failed in any part."""


def is_logged(source: Source) -> bool:
    """Whether its definition says that its log is to be shipped."""
    return any(name.startswith(("log_", "binlog")) and bool(value) for name, value in source.options.items())


def facts_of(found: WatchedLog) -> LogFacts:
    """Puts together what is known."""
    reached = logs.reaches(found.bases, found.holdings, found.state)
    newest = max(reached, key=lambda each: (each.ends_at, each.begins_at), default=None)
    missing = [gap for each in found.holdings for gap in logs.gaps(each.runs, each.forks)]
    return LogFacts(
        state=found.state,
        recoverable_from=min((each.begins_at for each in reached), default=None),
        recoverable_to=newest.ends_at if newest is not None else None,
        gaps=len(dict.fromkeys(missing)),
        open_gaps=tuple(_open_gaps(found)),
        shipped_identity=_other_identity(found),
        replay_segments=logs.segments_in(newest.path) if newest is not None else 0,
        replay_bytes=_replay_bytes(newest, found.holdings) if newest is not None else 0,
        has_base=bool(found.bases),
        is_shipped=any(each.runs or each.tails for each in found.holdings),
    )


def gaps_behind(base: Base, held: LogHoldings) -> list[LogGap]:
    """What is missing between a base and the end of its server's log, as a storage holds it."""
    position = base.position
    brought = LogRun(
        position.identity, position.series, position.number, position.number, None, base.consistent_at
    )
    later: list[LogRun] = []
    for run in held.runs:
        if run.identity != position.identity or run.series < position.series:
            continue
        if run.series == position.series:
            if run.last <= position.number:
                continue
            if run.first <= position.number + 1:
                brought = replace(run, first=position.number)
                continue
        later.append(run)
    return logs.gaps([brought, *later], held.forks)


def _open_gaps(found: WatchedLog) -> Iterable[OpenGap]:
    for held in found.holdings:
        there = [each for each in found.bases if held.storage in each.storages]
        newest = max(there, key=lambda each: each.consistent_at, default=None)
        if newest is not None:
            yield from (OpenGap(held.storage, gap) for gap in gaps_behind(newest, held))


def _other_identity(found: WatchedLog) -> str:
    seen = found.state.identity if found.state is not None else ""
    kept = sorted({run.identity for each in found.holdings for run in (*each.runs, *each.tails)})
    known = {*kept, *(each.position.identity for each in found.bases)}
    return kept[-1] if seen and kept and seen not in known else ""


def _replay_bytes(reach: Reach, holdings: Sequence[LogHoldings]) -> int:
    """Of each run that part of its bytes that its segments are."""
    runs = [run for each in holdings if each.storage == reach.storage for run in each.runs]
    total = 0
    for part in reach.path:
        whole = next(
            (
                run
                for run in runs
                if (run.identity, run.series) == (part.identity, part.series)
                and run.first <= part.first <= run.last
            ),
            part,
        )
        total += whole.size_bytes * (part.last - part.first + 1) // (whole.last - whole.first + 1)
    return total
