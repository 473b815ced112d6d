"""The timeline of a source with a log: which instants can be reached, where one stands, how one steps along it. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import RestoreError
from engine.model import logs
from engine.model.instants import InstantPlan, Target
from engine.model.log_report import LogReport
from engine.model.logs import Reach
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.text import counted
from tui.text import age, clock, printable, short_size

BASES: Final = 30
"""Bases that are seen at once, about."""
LEVEL: Final = "point-in-time"
_BEFORE: Final = re.compile(r"(?:just )?before\s+", re.IGNORECASE)
_TRANSACTION: Final = re.compile(r"(?:transaction|tx|xid|gtid)\s+(\S+)", re.IGNORECASE)
_POINT: Final = re.compile(r"(?:restore )?point\s+(.+)", re.IGNORECASE)
_END: Final = ("", "end", "newest", "the end")


def is_end(instant: Target) -> bool:
    """Whether it is the end of the log, wherever that is."""
    return instant.at is None and not instant.transaction and not instant.point


def read(text: str, instant_of: Callable[[str], datetime.datetime]) -> Target:
    """What a person typed: a WHEN, `transaction 742`, `point NAME`, `end`; each with `just before` in front where that is meant.

    Raises: what `instant_of` raises.
    """
    words = text.strip()
    found = _BEFORE.match(words)
    is_before = found is not None
    words = words[found.end() :] if found is not None else words
    if words.lower() in _END:
        return Target()
    if (transaction := _TRANSACTION.fullmatch(words)) is not None:
        return Target(transaction=transaction[1], is_before=is_before)
    if (point := _POINT.fullmatch(words)) is not None:
        return Target(point=point[1], is_before=is_before)
    return Target(instant_of(words), is_before=is_before)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What can be reached; at least one reach."""

    reaches: Sequence[Reach]

    @property
    def begins_at(self) -> datetime.datetime:
        """The earliest instant."""
        return min(each.begins_at for each in self.reaches)

    @property
    def ends_at(self) -> datetime.datetime:
        """The latest one."""
        return max(each.ends_at for each in self.reaches)

    @property
    def spans(self) -> list[tuple[datetime.datetime, datetime.datetime]]:
        """Each stretch of instants that can be reached, in order; nothing between them can."""
        found: list[tuple[datetime.datetime, datetime.datetime]] = []
        for begins_at, ends_at in sorted((each.begins_at, each.ends_at) for each in self.reaches):
            if found and begins_at <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], ends_at))
            else:
                found.append((begins_at, ends_at))
        return found

    @property
    def bases(self) -> list[datetime.datetime]:
        """When each base is consistent, oldest first."""
        return sorted({each.begins_at for each in self.reaches})

    def reach(self, instant: Target) -> Reach:
        """The one that it is restored from. Raises: RestoreError, which names the nearest instant that can be reached."""
        if instant.at is None:
            return max(self.reaches, key=lambda each: (each.ends_at, each.begins_at))
        found = logs.best(self.reaches, instant.at)
        if found is None:
            raise RestoreError(f"{to_second(instant.at)} {self._why(instant.at)}")
        return found

    def _why(self, at: datetime.datetime) -> str:
        if at < self.begins_at:
            return f"is before the oldest base, of {_short(self.begins_at)}"
        if at > self.ends_at:
            return f"is behind the end of the log, {_short(self.ends_at)}"
        before = max(end for _, end in self.spans if end < at)
        after = min(begin for begin, _ in self.spans if begin > at)
        return f"is in a gap: {_short(before)} to {_short(after)}"

    def nearest(self, at: datetime.datetime) -> datetime.datetime:
        """The instant closest to that one that can be reached."""
        if any(begin <= at <= end for begin, end in self.spans):
            return at
        return logs.nearest_instant(self.reaches, at) or self.ends_at

    def stop(self, at: datetime.datetime, step: int) -> datetime.datetime | None:
        """The next base, or end of a stretch, in that direction; None where there is none."""
        stops = sorted({*self.bases, *(end for _, end in self.spans)})
        if step < 0:
            return max((each for each in stops if each < at), default=None)
        return min((each for each in stops if each > at), default=None)

    def moved(self, at: datetime.datetime, by: datetime.timedelta) -> datetime.datetime | None:
        """So much earlier or later, over what cannot be reached; None where there is nothing."""
        wanted = min(max(at + by, self.begins_at), self.ends_at)
        if wanted == at:
            return None
        if self.nearest(wanted) == wanted:
            return wanted
        if by > datetime.timedelta():
            return min(begin for begin, _ in self.spans if begin > wanted)
        return max(end for _, end in self.spans if end < wanted)

    def window(self, at: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
        """From when to when it is shown: some bases around that instant, and the end where that is near."""
        bases = self.bases
        place = sum(each <= at for each in bases) - 1
        first = max(0, min(place - BASES // 2, len(bases) - BASES))
        last = first + BASES
        return bases[first], bases[last] if last < len(bases) else self.ends_at


def strips(timeline: Timeline, at: datetime.datetime, width: int) -> tuple[str, str]:
    """Bases, and below them the log, along the time: `|` a base, `=` reached, `x` not, `#` the chosen instant, `>` the end of the log."""
    first, last = timeline.window(at)
    length = (last - first).total_seconds()

    def column(when: datetime.datetime) -> int:
        share = (when - first).total_seconds() / length if length > 0 else 1.0
        return round(max(0.0, min(1.0, share)) * (width - 1))

    log, bases = ["="] * width, ["."] * width
    spans = timeline.spans
    for (_, end), (begin, _) in itertools.pairwise(spans):
        if end < last and begin > first:
            for place in range(column(end), column(begin) + 1):
                log[place] = "x"
    for each in timeline.bases:
        if first <= each <= last:
            bases[column(each)] = "|"
    if last == timeline.ends_at:
        log[-1] = ">"
    log[column(at)] = "#"
    return "".join(bases), "".join(log)


def to_second(at: datetime.datetime) -> str:
    """By this machine's clock; what is within a second is shown where it is there."""
    local = at.astimezone()
    digits = f"{local:%f}".rstrip("0")
    return f"{local:%Y-%m-%d %H:%M:%S}" + (f".{digits[:3]}" if digits else "")


def _short(at: datetime.datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def where(timeline: Timeline, instant: Target, now: datetime.datetime) -> str:
    """The chosen instant in a line."""
    before = "just before " if instant.is_before else ""
    end = f"{to_second(timeline.ends_at)}, {age(timeline.ends_at, now)} ago"
    if instant.at is not None:
        return f"{before}{to_second(instant.at)}, {age(instant.at, now)} ago"
    if is_end(instant):
        return f"{end}: the end of the log"
    what = f"transaction {instant.transaction}" if instant.transaction else f"point {instant.point}"
    return printable(f"{before}{what}, looked for up to {to_second(timeline.ends_at)}")


def replayed(plan: InstantPlan, budget_s: float | None = None, *, is_laid_out: bool = False) -> list[str]:
    """What is fetched for it, where it is replayed, how long that takes; or that it is laid out for a server that replays when it starts."""
    log = (
        f"at most {counted(plan.segments, 'segment')} of log, {short_size(plan.log_bytes)}"
        if plan.segments
        else ""
    )
    took = "how long: no drill has passed yet, one will tell"
    if plan.estimated_s is not None:
        budget = f" of {clock(budget_s)}" if budget_s is not None else ""
        took = f"about {clock(max(1.0, plan.estimated_s))}{budget}, by {counted(plan.drills, 'drill')}"
    base = f"from {plan.storage}: base {plan.backup_id[:8]} of {_short(plan.base_at)}, {short_size(plan.base_bytes)}"
    if is_laid_out:
        return [base, f"{log or 'no log'}: a server that is started there replays it"]
    where_to = f"replayed on {plan.host} (space {short_size(plan.scratch_bytes)})"
    return [base, f"{log or 'no log'}, {where_to}", took]


def drill_at(request: DrillRequest, timeline: Timeline, instant: Target) -> DrillRequest:
    """The drill to that instant; to the end of the log as it is known now, so that the evidence says which that was."""
    at = timeline.ends_at if is_end(instant) else instant.at
    return dataclasses.replace(
        request, backup="", at=at, at_transaction=instant.transaction, at_point=instant.point, is_before=instant.is_before
    )  # fmt: skip


def restore_at(request: RestoreRequest, source: str, instant: Target) -> RestoreRequest:
    """The restore to that instant."""
    return dataclasses.replace(
        request, backup="", source=source, at=instant.at, at_transaction=instant.transaction, at_point=instant.point, is_before=instant.is_before
    )  # fmt: skip


def of_backup(request: RestoreRequest, backup: str) -> RestoreRequest:
    """The restore of a backup alone."""
    return dataclasses.replace(
        request, backup=backup, source="", at=None, at_transaction="", at_point="", is_before=False
    )


def timeline_of(report: LogReport) -> Timeline | None:
    """None where no instant can be reached."""
    return Timeline(report.reaches) if report.reaches else None
