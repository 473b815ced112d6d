"""Retention: which snapshots a keep policy keeps, and why. Pure: values in, values out.

The semantics are restic's own (internal/data/snapshot_policy.go), so that a policy moves over unchanged. From the newest to the oldest, each
rule keeps the newest snapshot of each of its periods until it has kept as many as it asks for. Periods are those of the clock on the wall
where the snapshot was taken: the offset written in its time counts. A rule that has some left at the end keeps the oldest snapshot too.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.requests import KeepPolicy

ALL: Final = -1
"""A count that never ends: one of each period is kept, however many there are."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot, as far as retention looks at it."""

    id: str
    time: datetime.datetime
    """Aware; its own offset says which day it belongs to."""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one snapshot."""

    id: str
    is_kept: bool
    reasons: Sequence[str]
    """Every rule that keeps it, or that none does."""


@dataclass(slots=True)
class _Rule:
    """One count of a policy while it is used up."""

    name: str
    count: int
    period: Callable[[datetime.datetime, int], tuple[int, ...]]
    """The period of an instant; the second argument is the snapshot's place from the newest."""
    kept: int = 0
    last: tuple[int, ...] | None = None

    def reason(self, time: datetime.datetime, place: int, *, is_oldest: bool) -> str | None:
        """Why the rule keeps the snapshot, or None; to be asked from the newest to the oldest."""
        if self.count != ALL and self.kept >= self.count:
            return None
        period = self.period(time, place)
        is_new = period != self.last
        if not is_new and not is_oldest:
            return None
        self.last = period
        self.kept += 1
        name = self.name if is_new else f"oldest {self.name}"
        return name if self.count == ALL else f"{name} {self.kept} of {self.count}"


def _each(_time: datetime.datetime, place: int) -> tuple[int, ...]:
    return (place,)


def _hour(time: datetime.datetime, _place: int) -> tuple[int, ...]:
    return (time.year, time.month, time.day, time.hour)


def _day(time: datetime.datetime, _place: int) -> tuple[int, ...]:
    return (time.year, time.month, time.day)


def _week(time: datetime.datetime, _place: int) -> tuple[int, ...]:
    return time.isocalendar()[:2]


def _month(time: datetime.datetime, _place: int) -> tuple[int, ...]:
    return (time.year, time.month)


def _year(time: datetime.datetime, _place: int) -> tuple[int, ...]:
    return (time.year,)


def decide(snapshots: Sequence[Candidate], policy: KeepPolicy, now: datetime.datetime) -> list[Decision]:
    """What the policy makes of the snapshots of one group, newest first. An empty policy keeps all.

    A policy that would keep nothing (its tags are nobody's) keeps the newest: restic refuses to forget then.
    """
    ordered = sorted(snapshots, key=lambda each: (each.time, each.id), reverse=True)
    if policy.is_empty:
        return [Decision(each.id, True, ("the policy is empty",)) for each in ordered]
    rules = [
        _Rule("last snapshot", policy.last, _each),
        _Rule("hourly snapshot", policy.hourly, _hour),
        _Rule("daily snapshot", policy.daily, _day),
        _Rule("weekly snapshot", policy.weekly, _week),
        _Rule("monthly snapshot", policy.monthly, _month),
        _Rule("yearly snapshot", policy.yearly, _year),
    ]
    latest = max((each.time for each in ordered if each.time < now), default=None)
    decisions = []
    for place, each in enumerate(ordered):
        reasons = [f"has the tag {tag}" for tag in policy.tags if tag in each.tags]
        if policy.within_s and _is_within(each.time, latest, policy.within_s):
            reasons.append(f"within {_span(policy.within_s)} of the newest")
        is_oldest = place == len(ordered) - 1
        found = (rule.reason(each.time, place, is_oldest=is_oldest) for rule in rules)
        reasons += [reason for reason in found if reason is not None]
        decisions.append(Decision(each.id, bool(reasons), tuple(reasons or ("no rule keeps it",))))
    if decisions and not any(each.is_kept for each in decisions):
        decisions[0] = Decision(decisions[0].id, True, ("the newest, and no rule keeps any",))
    return decisions


def _is_within(time: datetime.datetime, latest: datetime.datetime | None, within_s: float) -> bool:
    """The span counts back from the newest snapshot that is not in the future; where all are, each is within."""
    return latest is None or (latest - time).total_seconds() < within_s


def _span(seconds: float) -> str:
    days, rest = divmod(seconds, 86_400)
    if not rest:
        return f"{days:g} days"
    return f"{seconds / 3600:g} hours"
