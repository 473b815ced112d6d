"""Retention: which snapshots a keep policy keeps, and why. Pure: values in, values out.

The semantics of the rules are restic's own (internal/data/snapshot_policy.go), so that a policy moves over unchanged. From the newest to the
oldest, each rule keeps the newest snapshot of each of its periods until it has kept as many as it asks for. Periods are those of the clock on
the wall where the snapshot was taken: the offset written in its time counts. A rule that has some left at the end keeps the oldest snapshot too.

What a person said of one backup comes before the rules, bounds after them, and last the minimum, which nothing goes below.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import UsageError
from engine.model.names import nearest
from engine.model.requests import KeepPolicy

ALL: Final = -1
"""A count that never ends: one of each period is kept, however many there are."""

PRESETS: Final[Mapping[str, KeepPolicy]] = {
    "short": KeepPolicy(hourly=24, daily=7),
    "gfs": KeepPolicy(daily=7, weekly=5, monthly=12, yearly=3),
    "long": KeepPolicy(daily=31, weekly=13, monthly=36, yearly=10),
}
"""Policies by name; gfs: grandfather, father, son."""
_PERIODS_S: Final[Mapping[str, float]] = {
    "hourly": 3600.0,
    "daily": 86_400.0,
    "weekly": 7 * 86_400.0,
    "monthly": 31 * 86_400.0,
    "yearly": 366 * 86_400.0,
}
"""The longest that each can be."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot, as far as retention looks at it."""

    id: str
    time: datetime.datetime
    """Aware; its own offset says which day it belongs to."""
    tags: Sequence[str] = ()
    size_bytes: int = 0
    """As restored."""
    is_whole: bool = True
    """Whether nothing is missing in it: those count first for the minimum."""
    is_safety: bool = False
    """Of what a restore replaced: it takes no place of a rule, which would drive out a good one, and stays until it expires."""
    wishes: Sequence[str] = ()
    """Why people want it kept, whatever the rules say."""
    expired: str = ""
    """Since when it may go by what people said; it takes no place of a rule then. Empty where it may not, or nobody said."""

    @property
    def is_expired(self) -> bool:
        """Whether it goes by its own date."""
        return bool(self.expired) and not self.wishes


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one snapshot."""

    id: str
    is_kept: bool
    reasons: Sequence[str]
    """All that keeps it, or why it goes."""
    kept_by: str = ""
    """person, rule or minimum; empty where it goes."""


@dataclass(slots=True)
class _Rule:
    """One rule of a policy while it is used up: a count of periods, or all periods within a span."""

    name: str
    period: Callable[[datetime.datetime, int], tuple[int, ...]]
    """The period of an instant; the second argument is the snapshot's place from the newest."""
    count: int = ALL
    within_s: float | None = None
    kept: int = 0
    last: tuple[int, ...] | None = None

    def reason(
        self, each: Candidate, place: int, latest: datetime.datetime | None, *, is_oldest: bool
    ) -> str | None:
        """Why the rule keeps the snapshot, or None; to be asked from the newest to the oldest."""
        if self.count != ALL and self.kept >= self.count:
            return None
        if self.within_s is not None and not _is_within(each.time, latest, self.within_s):
            return None
        period = self.period(each.time, place)
        is_new = period != self.last
        if not is_new and not is_oldest:
            return None
        self.last = period
        self.kept += 1
        name = self.name if is_new else f"oldest {self.name}"
        if self.within_s is not None:
            return f"{name} within {_span(self.within_s)} of the newest"
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


def preset(name: str, policy: KeepPolicy) -> KeepPolicy:
    """The preset of that name, with what `policy` says besides, or in place of it. Raises: UsageError."""
    if name not in PRESETS:
        near = nearest(name, PRESETS)
        raise UsageError(
            f"there is no keep preset {name}",
            hint=f"did you mean {near}?" if near else f"there are: {', '.join(PRESETS)}",
        )
    default = KeepPolicy()
    fields = [each.name for each in dataclasses.fields(KeepPolicy)]
    said = {each: getattr(policy, each) for each in fields if getattr(policy, each) != getattr(default, each)}
    return dataclasses.replace(PRESETS[name], **said)


def log_span_s(policy: KeepPolicy) -> float | None:
    """How far back, in seconds, a log is kept that no base goes with: what the policy says of logs, else the longest time that its rules look
    back, a day at least. None where they name no end, or no time at all."""
    if policy.logs_within_s is not None:
        return policy.logs_within_s
    counts = {each: getattr(policy, each) for each in _PERIODS_S}
    if ALL in counts.values() or policy.last == ALL:
        return None
    spans = [policy.within_s or 0.0]
    spans += [getattr(policy, f"within_{each}_s") or 0.0 for each in _PERIODS_S]
    spans += [count * _PERIODS_S[each] for each, count in counts.items()]
    longest_s = max(spans)
    return max(longest_s, _PERIODS_S["daily"]) if longest_s else None


def in_words(policy: KeepPolicy) -> str:
    """The policy in one line, for people: `7 daily, 5 weekly, at least 3`."""
    periods = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    counts = {each: getattr(policy, each) for each in periods}
    words = [f"all {name}" if count == ALL else f"{count} {name}" for name, count in counts.items() if count]
    spans = {"": policy.within_s} | {f"{each} ": getattr(policy, f"within_{each}_s") for each in periods[1:]}
    words += [f"{name}within {_span(within_s)}" for name, within_s in spans.items() if within_s]
    if policy.within_bytes is not None:
        words.append(f"the newest within {_size(policy.within_bytes)}")
    words += [f"tag {each}" for each in policy.tags]
    if policy.most is not None:
        words.append(f"at most {policy.most}")
    if policy.most_bytes is not None:
        words.append(f"at most {_size(policy.most_bytes)}")
    if policy.minimum > 1:
        words.append(f"at least {policy.minimum}")
    if policy.logs_within_s is not None:
        words.append(f"logs within {_span(policy.logs_within_s)}")
    return ", ".join(words) or "all"


@dataclass(slots=True)
class _Verdict:
    """What was found of one snapshot so far."""

    snapshot: Candidate
    wishes: list[str] = field(default_factory=list)
    """Of people: nothing takes it away."""
    tags: list[str] = field(default_factory=list)
    """The rules that no bound cuts."""
    rules: list[str] = field(default_factory=list)
    minimum: str = ""
    against: str = ""
    """Why it goes where nothing above keeps it."""

    def decision(self) -> Decision:
        reasons = [*self.wishes, *self.tags, *self.rules] or ([self.minimum] if self.minimum else [])
        if not reasons:
            return Decision(self.snapshot.id, False, (self.against or "no rule keeps it",))
        kept_by = "person" if self.wishes else "rule" if self.tags or self.rules else "minimum"
        if kept_by == "minimum" and self.against:
            reasons.append(self.against)
        return Decision(self.snapshot.id, True, tuple(reasons), kept_by)


def decide(snapshots: Sequence[Candidate], policy: KeepPolicy, now: datetime.datetime) -> list[Decision]:
    """What the policy makes of the snapshots of one group, newest first. An empty policy keeps all that did not expire.

    With a minimum of 0 the newest stays all the same where else all would go. `now` says only what is of the future.
    """
    ordered = sorted(snapshots, key=lambda each: (each.time, each.id), reverse=True)
    verdicts = [_first_verdict(each) for each in ordered]
    choosing = [each for each in verdicts if not each.snapshot.is_expired and not each.snapshot.is_safety]
    _apply_rules(choosing, policy, now)
    _apply_bounds(choosing, policy)
    _apply_minimum([each for each in verdicts if not each.snapshot.is_safety], policy.minimum)
    return [each.decision() for each in verdicts]


def _first_verdict(snapshot: Candidate) -> _Verdict:
    """What people said, before any rule."""
    if snapshot.is_expired:
        return _Verdict(snapshot, against=snapshot.expired)
    if snapshot.is_safety:
        return _Verdict(snapshot, wishes=[*snapshot.wishes] or ["a safety backup"])
    return _Verdict(snapshot, wishes=[*snapshot.wishes])


def _apply_rules(choosing: Sequence[_Verdict], policy: KeepPolicy, now: datetime.datetime) -> None:
    if not policy.has_rules:
        said = "the policy is empty" if policy.is_empty else "within the bounds"
        for verdict in choosing:
            verdict.rules.append(said)
        return
    rules = _rules(policy)
    latest = max((each.snapshot.time for each in choosing if each.snapshot.time < now), default=None)
    total_bytes = 0
    for place, verdict in enumerate(choosing):
        each = verdict.snapshot
        verdict.tags = [f"has the tag {tag}" for tag in policy.tags if tag in each.tags]
        if policy.within_s and _is_within(each.time, latest, policy.within_s):
            verdict.rules.append(f"within {_span(policy.within_s)} of the newest")
        total_bytes += each.size_bytes
        if policy.within_bytes is not None and total_bytes <= policy.within_bytes:
            verdict.rules.append(f"within {_size(policy.within_bytes)} from the newest on")
        is_oldest = place == len(choosing) - 1
        found = (rule.reason(each, place, latest, is_oldest=is_oldest) for rule in rules)
        verdict.rules += [reason for reason in found if reason is not None]


def _rules(policy: KeepPolicy) -> list[_Rule]:
    periods = {
        "hourly": _hour,
        "daily": _day,
        "weekly": _week,
        "monthly": _month,
        "yearly": _year,
    }
    rules = [_Rule("last snapshot", _each, policy.last)]
    rules += [_Rule(f"{name} snapshot", period, getattr(policy, name)) for name, period in periods.items()]
    for name, period in periods.items():
        if within_s := getattr(policy, f"within_{name}_s"):
            rules.append(_Rule(f"{name} snapshot", period, within_s=within_s))
    return rules


def _apply_bounds(choosing: Sequence[_Verdict], policy: KeepPolicy) -> None:
    """Takes the oldest from the rules where too many stay. What a person keeps counts, and is not taken."""
    if policy.most is None and policy.most_bytes is None:
        return
    wished = [each.snapshot for each in choosing if each.wishes or each.tags]
    count, total_bytes = len(wished), sum(each.size_bytes for each in wished)
    beyond = ""
    for verdict in choosing:
        if verdict.wishes or verdict.tags or not verdict.rules:
            continue
        count += 1
        total_bytes += verdict.snapshot.size_bytes
        if not beyond and policy.most is not None and count > policy.most:
            beyond = f"beyond {policy.most} backups in all"
        if not beyond and policy.most_bytes is not None and total_bytes > policy.most_bytes:
            beyond = f"beyond {_size(policy.most_bytes)} in all"
        if beyond:
            verdict.rules, verdict.against = [], beyond


def _apply_minimum(verdicts: Sequence[_Verdict], minimum: int) -> None:
    """The newest complete ones stay, then, where there are too few, those that expired, then those that are not complete."""
    if minimum < 1:
        minimum = 0 if any(each.wishes or each.tags or each.rules for each in verdicts) else 1
    first = sorted(verdicts, key=lambda each: (not each.snapshot.is_whole, each.snapshot.is_expired))
    said = f"one of the last {minimum} of its source" if minimum > 1 else "the last backup of its source"
    for verdict in first[:minimum]:  # sorting is stable: the newest of each kind come first
        verdict.minimum = said


def _is_within(time: datetime.datetime, latest: datetime.datetime | None, within_s: float) -> bool:
    """The span counts back from the newest snapshot that is not in the future; where all are, each is within."""
    return latest is None or (latest - time).total_seconds() < within_s


def _span(seconds: float) -> str:
    days, rest = divmod(seconds, 86_400)
    if not rest:
        return f"{days:g} days"
    return f"{seconds / 3600:g} hours"


def _size(count: int) -> str:
    """Bytes as a person wrote them, with restic's endings."""
    for shift, unit in ((40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if count and count % (1 << shift) == 0:
            return f"{count >> shift}{unit}"
    return f"{count} bytes"
