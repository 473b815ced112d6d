"""Which way a log went at an instant. Pure.

A server that was brought back to an instant in its own place goes on in a new series from there, and what it had written after is kept. So one
instant lies on several ways: what is meant is the one that the server was on then, and not the one that it is on now, on which nothing was done at that time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace

from engine.model import logs
from engine.model.logs import Base, LogHoldings, LogRun, LogState, Reach


def at_that_time(
    found: Sequence[Reach],
    bases: Iterable[Base],
    holdings: Sequence[LogHoldings],
    state: LogState | None,
    at: datetime.datetime,
) -> tuple[Reach | None, str]:
    """The reach to restore that instant from, of those that were found or another, and the series of that other; empty where it is one of them."""
    newest = logs.best(found, at)
    left = [
        branch
        for base in bases
        for held in holdings
        if held.storage in base.storages
        and base.consistent_at <= at
        and (branch := _left(base, held, logs.series_of(base, state), at)) is not None
    ]
    chosen = max(left, key=lambda each: each.begins_at, default=None)
    if chosen is None or (newest is not None and newest.begins_at > chosen.begins_at):
        return newest, ""
    return chosen, chosen.path[-1].series


def left(found: Iterable[Reach], holdings: Sequence[LogHoldings]) -> list[Reach]:
    """The ways from the same bases to the end of each series that was left for another, where something lies on it that those found do not pass."""
    held = {each.storage: each for each in holdings}
    return [
        Reach(
            each.base, each.storage, each.begins_at, _ends_at(each.base, path), tuple(path), each.snapshot_id
        )
        for each in found
        for _, path in sorted(_ways(each.base, held[each.storage]).items())
        if beyond(path, each.path)
    ]


def beyond(path: Iterable[LogRun], passed: Iterable[LogRun]) -> list[LogRun]:
    """What of a way another one does not pass."""
    last = {run.series: run.last for run in passed}
    return [
        replace(run, first=max(run.first, last.get(run.series, -1) + 1))
        for run in path
        if run.last > last.get(run.series, -1)
    ]


def is_named(series: str, name: str) -> bool:
    """Whether a person may mean that series by this name: `1` is `00000001`."""
    return series.lstrip("0").upper() == name.lstrip("0").upper()


def _ends_at(base: Base, path: Sequence[LogRun]) -> datetime.datetime:
    return max([base.consistent_at, *(run.ends_at for run in path if run.ends_at is not None)])


def _left(base: Base, held: LogHoldings, current: str, at: datetime.datetime) -> Reach | None:
    """The way from that base that the server was on then; None where the one to its current series passes all of it, or that is not known."""
    ways = _ways(base, held)
    own = base.position.series
    begins = {series: _begins_at(path, series) for series, path in ways.items()}
    ends = {series: path[-1].ends_at or base.consistent_at for series, path in ways.items()}
    begun = {
        series
        for series, begins_at in begins.items()
        if series == own or (begins_at is not None and begins_at <= at)
    }
    # It went on in an older one where what had followed that was rolled back.
    series = max({each for each in begun if ends[each] >= at} or begun, default="")
    if not series:
        return None
    is_later_known = any(begins_at is not None and begins_at > at for begins_at in begins.values())
    passed = {run.series: run.last for run in logs.path_from(held, base.position, current)}
    path = ways[series]
    if (at > ends[series] and not is_later_known) or passed.get(series, -1) >= path[-1].last:
        return None
    ends_at = max(base.consistent_at, ends[series])
    return Reach(base, held.storage, base.consistent_at, ends_at, tuple(path), held.snapshot_id)


def _ways(base: Base, held: LogHoldings) -> dict[str, list[LogRun]]:
    """By series that the base leads to: what is replayed on the way to its end."""
    forks = [each for each in held.forks if each.is_of(base.position.identity)]
    names = {name for each in forks for name in (each.series, each.parent)}
    ways = {name: logs.path_from(held, base.position, name) for name in names}
    return {name: path for name, path in ways.items() if path and path[-1].series == name}


def _begins_at(path: Sequence[LogRun], series: str) -> datetime.datetime | None:
    return next((run.begins_at for run in path if run.series == series), None)
