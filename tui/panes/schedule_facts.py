"""What is known of schedules, as rows and lines. Pure: values in, text out. Times are by the clock of this machine unless a line names a zone."""

from __future__ import annotations

import datetime
import re
import statistics
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.model.schedule_options import described
from engine.model.schedules import (
    OF_SOURCES,
    Action,
    Pause,
    RunOutcome,
    Schedule,
    ScheduledRun,
    ScheduleStatus,
)
from engine.model.text import counted
from engine.model.timetables import DayAhead, Instant, KeepAhead, Lane, worst
from tui import keys
from tui.text import clock, fit, printable, short_size
from tui.widgets.row_source import Row

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AT: Final = r"(?P<m>\d{1,2}) (?P<h>\d{1,2})"
_CRON: Final[Mapping[str, str]] = {
    r"\*/(?P<n>\d+) \* \* \* \*": "every {n} min",
    r"(?P<m>\d{1,2}) \* \* \* \*": "hourly :{m:02}",
    rf"{_AT} \* \* \*": "daily {h:02}:{m:02}",
    rf"{_AT} \* \* (?P<day>[0-7]|sun|mon|tue|wed|thu|fri|sat)": "{weekday} {h:02}:{m:02}",
    rf"{_AT} (?P<date>\d{{1,2}}) \* \*": "day {date} {h:02}:{m:02}",
}
"""What of cron is told in words."""
_SHORT: Final[Mapping[RunOutcome, str]] = {
    RunOutcome.COMPLETED: "ok",
    RunOutcome.INCOMPLETE: "part",
    RunOutcome.FAILED: "FAIL",
    RunOutcome.SKIPPED: "skip",
    RunOutcome.OPEN: "runs",
}
_TONES: Final[Mapping[RunOutcome, str]] = {
    RunOutcome.FAILED: "risk",
    RunOutcome.INCOMPLETE: "warning",
    RunOutcome.SKIPPED: "warning",
}
_MARKS: Final[Mapping[Action, str]] = {
    Action.BACKUP: "#", Action.SHIP: "L", Action.DRILL: "D", Action.VERIFY: "V", Action.PRUNE: "P", Action.FORGET: "F", Action.COPY: "C", Action.REPORT: "R",
}  # fmt: skip
_NAME_COLUMNS: Final = 16
_NAMED: Final = 4


def when_words(schedule: Schedule) -> str:
    """When it runs, in a few words: a line of cron that says something simple is told as what it says."""
    if schedule.is_template:
        return "template"
    if not schedule.rhythm:
        return f"after {schedule.after}"
    for pattern, words in _CRON.items():
        found = re.fullmatch(pattern, schedule.rhythm.casefold())
        if found is not None:
            told = {name: int(value) for name, value in found.groupdict().items() if value.isdigit()}
            day = found.groupdict().get("day", "")
            return words.format(**told, weekday=_DAYS[int(day)] if day in "01234567" and day else day)
    return schedule.rhythm


def ahead(when: datetime.datetime | None, now: datetime.datetime) -> str:
    """How long until then, in at most nine columns: `in 17h49m`, `in 4m`, `in 9d2h`, `due`."""
    if when is None:
        return "-"
    seconds = (when - now).total_seconds()
    if seconds <= 0:
        return "due"
    if seconds < 60:
        return "in <1m"
    if seconds < 3600:
        return f"in {int(seconds // 60)}m"
    if seconds < 86_400:
        return f"in {int(seconds // 3600)}h{int(seconds % 3600 // 60):02}m"
    days, hours = int(seconds // 86_400), int(seconds % 86_400 // 3600)
    return f"in {days}d{hours}h" if days < 100 else f"in {days}d"


def pause_of(status: ScheduleStatus, general: Pause | None, now: datetime.datetime) -> Pause | None:
    """What keeps it from starting now: its own pause, or that of everything."""
    return next(
        (each for each in (status.state.pause, general) if each is not None and each.covers(now)), None
    )


def pause_words(pause: Pause, now: datetime.datetime) -> str:
    """`paused until 14:05: reason`."""
    until = f" until {pause.until.astimezone():%a %H:%M}" if pause.until is not None else ""
    if pause.until is not None and pause.until - now > datetime.timedelta(days=6):
        until = f" until {pause.until.astimezone():%Y-%m-%d %H:%M}"
    return f"paused{until}: {pause.reason}"


def outcome_word(outcome: RunOutcome | None) -> str:
    """At most four letters."""
    return "-" if outcome is None else _SHORT[outcome]


def outcome_tone(outcome: RunOutcome | None) -> str:
    """Of its row."""
    return "" if outcome is None else _TONES.get(outcome, "")


def keep_words(schedule: Schedule) -> str:
    """Its rules, as short as can be: `7d 4w 12m`; `-` where nothing is ever forgotten."""
    options = schedule.options
    words = [str(options["keep_preset"])] if options.get("keep_preset") else []
    for period in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        count = options.get(f"keep_{period}")
        if count is not None and count != 0:
            number = "all" if count == -1 else f"{count:g}" if isinstance(count, float) else str(count)
            words.append(
                f"{number} {period}" if period == "last" or number == "all" else f"{number}{period[0]}"
            )
    others = [name for name in options if name.startswith("keep_") and name not in _COUNTED]
    if others:
        words.append("+" if words else "others")
    return " ".join(words) or "-"


_COUNTED: Final = (
    "keep_preset",
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
)


def going_words(keep: KeepAhead | None) -> str:
    """What the next forget of it lets go: `2  ~88M`; `…` while that is reckoned."""
    if keep is None:
        return "…"
    if not keep.policy:
        return "-"
    count = len({each.backup_id for each in keep.going})
    return f"{count} ~{short_size(keep.going_bytes)}" if count else "0"


def schedule_row(
    status: ScheduleStatus,
    last: Sequence[ScheduledRun],
    general: Pause | None,
    going: str,
    now: datetime.datetime,
) -> Row:
    """A schedule in the list."""
    schedule, state = status.schedule, status.state
    outcome = worst(last)
    pause = pause_of(status, general, now)
    begins = "PAUSED" if pause is not None else ahead(state.next_at, now)
    tone = outcome_tone(outcome)
    if not tone and (pause is not None or schedule.is_template):
        tone = "warning" if pause is not None else "dim"
    cells = (
        printable(schedule.name), schedule.action.value, printable(when_words(schedule)), begins, outcome_word(outcome),
        keep_words(schedule), going,
    )  # fmt: skip
    far = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    order = (schedule.name, schedule.action.value, cells[2], state.next_at or far, cells[4], cells[5], going)
    return Row(schedule.name, cells, tone, order)


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of one schedule."""

    status: ScheduleStatus
    general: Pause | None
    """The pause of everything."""
    past: Sequence[Instant]
    """Newest first."""
    durations: Sequence[float]
    keep: KeepAhead | None
    lane: Lane | None
    """Its day ahead, where that was reckoned."""


# The day ahead.


def strip_lines(day: DayAhead, missed: int, width: int, most: int, now: datetime.datetime) -> list[str]:
    """Head, at most so many lanes, and what meets: lanes where something meets come first, then whatever starts next."""
    columns_an_hour = 4 if width >= _NAME_COLUMNS + 98 else 2
    count = 24 * columns_an_hour
    step = datetime.timedelta(hours=1) / columns_an_hour
    first = now.replace(minute=0, second=0, microsecond=0)
    starting = [each for each in day.lanes if each.starts]
    starting.sort(key=lambda lane: (not lane.overlapping, lane.starts[0]))
    lines = [f"{'next 24 h':<{_NAME_COLUMNS}}{_hours(first, columns_an_hour)}"]
    lines += [
        f"{fit(printable(each.schedule), _NAME_COLUMNS - 1)} {_lane(each, first, step, count)}"
        for each in starting[:most]
    ]
    more = len(starting) - most
    lines.append("   ".join(_meeting(day, missed) + ([f"{more} more schedules"] if more > 0 else [])))
    return lines


def _hours(first: datetime.datetime, columns_an_hour: int) -> str:
    """The clock on this wall every three hours: a day when it is changed shows what it will show."""
    text = ""
    for hour in range(24):
        shown = (first + datetime.timedelta(hours=hour)).astimezone()
        if shown.hour % 3 == 0 and len(text) <= hour * columns_an_hour:
            text = f"{text:<{hour * columns_an_hour}}{shown:%H}"
    return text


def _lane(lane: Lane, first: datetime.datetime, step: datetime.timedelta, count: int) -> str:
    cells = ["."] * count
    lasts = max(1, round(datetime.timedelta(seconds=lane.lasts_s) / step))
    meeting = set(lane.overlapping)
    for start in lane.starts:
        index = int((start - first) / step)
        for place in range(index + 1, min(index + lasts, count)):
            cells[place] = "=" if cells[place] == "." else cells[place]
    for start in lane.starts:
        index = int((start - first) / step)
        if 0 <= index < count:
            cells[index] = "!" if start in meeting or cells[index] == "!" else _MARKS[lane.action]
    return "".join(cells)


def _meeting(day: DayAhead, missed: int) -> list[str]:
    if day.busiest_at is None:
        words = ["overlaps: none"]
    else:
        starts = sum(len(each.overlapping) for each in day.lanes)
        words = [
            f"! overlaps: {starts} starts, busiest {day.busiest_at.astimezone():%H:%M} ({day.busiest} at {printable(day.busiest_host)})"
        ]
    missed_key = f" ({keys.of('schedule.missed')})" if missed else ""
    words.append(f"missed 24 h: {missed}{missed_key}")
    return words


# One schedule.


def detail_lines(known: Known, now: datetime.datetime) -> list[str]:
    """What is known of one, what is at risk first."""
    schedule = known.status.schedule
    lines = []
    pause = pause_of(known.status, known.general, now)
    if pause is not None:
        which = "" if pause is known.status.state.pause else "everything is "
        lines.append(f"! {which}{pause_words(pause, now)}  (since {pause.since.astimezone():%Y-%m-%d %H:%M})")
    if known.past and known.past[0].outcome in _TONES:
        lines.append(_trouble(known.past[0]))
    lines.append(_subject(schedule))
    lines.append(_history(known.past, known.durations))
    lines += [_keeping(known.keep)] if known.keep is not None and known.keep.policy else []
    lines += _times(known.status, known.lane)
    lines += _others(schedule)
    return [printable(each) for each in lines]


def _trouble(instant: Instant) -> str:
    """The worst part of the newest instant."""
    parts = [each.run for each in instant.parts if each.run.outcome is instant.outcome]
    first = parts[0]
    more = f" (and {len(parts) - 1} more)" if len(parts) > 1 else ""
    mark = "!" if instant.outcome is RunOutcome.FAILED else "-"
    part = f" {first.part}" if first.part else ""
    reason = first.reason or (
        f"job {first.job_id} says why ({keys.of('schedule.log')})" if first.job_id else ""
    )
    return f"{mark} {instant.planned_at.astimezone():%a %H:%M} {instant.outcome.value}{part}: {reason}{more}"


def past_line(instant: Instant) -> str:
    """When it ran, what came of it, how long it took, and the job that says why."""
    took = clock(instant.duration_s) if instant.duration_s is not None else "-"
    job = next((each.run.job_id for each in instant.parts if each.run.job_id), "")
    return f"{instant.planned_at.astimezone():%a %Y-%m-%d %H:%M}  {instant.outcome.value:<10} {took:>7}  {job}".rstrip()


def _subject(schedule: Schedule) -> str:
    names = schedule.sources or (
        () if schedule.action in (Action.BACKUP, Action.SHIP, Action.DRILL) else ("all",)
    )
    shown = ", ".join(schedule.sources[:_NAMED]) or ", ".join(names)
    more = f" and {len(schedule.sources) - _NAMED} more" if len(schedule.sources) > _NAMED else ""
    where = "+".join(schedule.storages) or "the default storage"
    to = (
        ""
        if schedule.action is Action.REPORT
        else f"  {'in' if schedule.action is not Action.BACKUP else 'to'} {where}"
    )
    of = f" of {shown}{more}" if schedule.action in OF_SOURCES else ""
    return f"{schedule.name}  {schedule.action.value}{of}{to}"


def _history(past: Sequence[Instant], durations: Sequence[float]) -> str:
    shown = " ".join(outcome_word(each.outcome) for each in reversed(past)) or "it never ran"
    line = f"last {len(past)}: {shown}" if past else shown
    if durations:
        line += f"   avg {clock(statistics.fmean(durations))}  max {clock(max(durations))}"
    return line


def _keeping(keep: KeepAhead) -> str:
    """Each backup once, in however many storages it is."""
    going = list({each.backup_id: each for each in keep.going}.values())
    kept = len({each.backup_id for each in keep.fates} - {each.backup_id for each in going})
    when = "after the next run" if keep.coming else "next"
    line = f"{when} keeps {kept}, lets {len(going)} go"
    named = [f"{each.backup_id[:6]} {each.created_at.astimezone():%d %b}" for each in going[:3]]
    more = f" and {len(going) - 3} more" if len(going) > 3 else ""
    said = f"{line}: {', '.join(named)}{more}" if going else line
    return f"{said}  ({keys.of('schedule.keep')})"


def _times(status: ScheduleStatus, lane: Lane | None) -> list[str]:
    schedule, timing, lines = status.schedule, status.schedule.timing, []
    words = schedule.rhythm or (
        f"after each run of {schedule.after}" if schedule.after else "a template, it never runs"
    )
    begins = ""
    at = status.state.next_at
    if at is not None:
        there = at.astimezone(zoneinfo.ZoneInfo(timing.timezone))
        begins = f"; next {at.astimezone():%a %Y-%m-%d %H:%M} here, {there:%a %H:%M %z} there"
    lines.append(f"{words}, {timing.timezone}{begins}")
    if lane is not None and lane.overlapping:
        lines.append(
            f"! {len(lane.overlapping)} of {counted(len(lane.starts), 'start')} until tomorrow meet others at {', '.join(lane.hosts[:_NAMED])}  ({keys.of('schedule.ahead')})"
        )
    parts = [
        f"window {timing.window}" if timing.window else "no window",
        f"catches up {timing.catch_up.value}",
        f"{timing.retries} retries" if timing.retries != 1 else "1 retry",
    ]
    if timing.is_smart:
        parts.append(f"smart: {status.state.moved or 'not moved'}")
    if timing.jitter_s:
        parts.append(f"jitter {clock(timing.jitter_s)}")
    lines.append(", ".join(parts))
    return lines


def _others(schedule: Schedule) -> list[str]:
    hooks, lines = schedule.hooks, []
    if not hooks.is_empty:
        place = "here" if hooks.is_here else "on the host"
        lines.append(f"hooks {place}: before: {hooks.before or 'none'}; after: {hooks.after or 'none'}")
    if schedule.notify:
        lines.append(f"tells {', '.join(schedule.notify)}")
    if schedule.note:
        lines.append(f"note: {schedule.note}")
    return lines


def all_lines(status: ScheduleStatus) -> list[str]:
    """All that it says, by the names of the command line."""
    pairs = [("action", status.schedule.action.value), ("timezone", status.schedule.timing.timezone)]
    pairs += [each for each in described(status.schedule) if each[0] != "action"]
    return [f"{name:<18} {value}" for name, value in pairs]


def skipped_lines(runs: Sequence[ScheduledRun]) -> list[str]:
    """What did not run, newest first."""
    lines = []
    for each in runs:
        until = f" to {each.last_at.astimezone():%a %H:%M}" if each.last_at is not None else ""
        part = f" {each.part}" if each.part else ""
        lines.append(f"{each.planned_at.astimezone():%a %H:%M}{until}  {each.schedule}{part}: {each.reason}")
    return lines or [f"nothing was missed: {counted(0, 'run')} skipped"]
