"""What the views of restores and drills say, out of values alone. All lines are printable."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from engine.events import JobProgress
from engine.model.backup import SAFETY_TAG, Backup, BackupStatus, Scope
from engine.model.drills import PastDrill, Ways, estimate
from engine.model.instants import InstantPlan
from engine.model.instants import Target as Instant
from engine.model.job import Job, JobStatus
from engine.model.plan_steps import drill_words, restore_words, restored_words
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.results import DrillResult, DrillStep
from tui import keys
from tui.panes import timeline as timelines
from tui.panes.timeline import Timeline
from tui.text import age, bar, clock, ladder, moment, printable, short_size, size, span

STRIP_POINTS: Final = 61
"""Restore points that are seen at once."""
STRIP_WIDTH: Final = 60
_SHORT: Final = {"incremental": "incr", "differential": "diff"}
_OVERWRITTEN: Final = {
    "always": "overwritten",
    "if-changed": "overwritten if they differ",
    "never": "left alone",
}
_PASSED: Final = {"passed": "PASS", "failed": "FAIL", "inconclusive": "INCONCLUSIVE"}


class Target(StrEnum):
    """Where a backup goes."""

    DRILL = "drill"
    BESIDE = "beside"
    LIVE = "live"
    FILES = "files"
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a person chose so far."""

    backup: Backup
    is_newest: bool
    ways: Ways
    host: str
    """Of the source."""
    drill: DrillRequest
    restore: RestoreRequest
    past: Sequence[PastDrill] = ()
    storages: Sequence[str] = ()
    """That hold the backup, in the order in which they are asked."""
    free_bytes: int | None = None
    """Where the files go to, if that is this machine."""
    timeline: Timeline | None = None
    """Of a source with a log; the backup is then the base of what is chosen on it."""
    instant: Instant = field(default_factory=Instant)
    replay: InstantPlan | None = None
    """What going there takes."""

    @property
    def is_replayed(self) -> bool:
        """Whether a drill of it replays the log."""
        return (
            self.timeline is not None
            and self.drill.level in ("", timelines.LEVEL)
            and not self.drill.scenario
        )

    @property
    def drill_request(self) -> DrillRequest:
        """The drill of what is chosen: the newest one as such, so that a blind one may choose."""
        if self.timeline is not None and self.is_replayed:
            return timelines.drill_at(self.drill, self.timeline, self.instant)
        if self.is_newest or self.drill.scenario == "blind":
            return self.drill
        return dataclasses.replace(self.drill, backup=self.backup.backup_id)


def is_point(backup: Backup | None) -> bool:
    """Whether one can go back to it by itself: it did not fail, holds all, and is none that a restore took for itself."""
    return (
        backup is not None
        and backup.status is not BackupStatus.FAILED
        and backup.scope is Scope.ALL
        and SAFETY_TAG not in backup.tags
    )


def strip(points: Sequence[Backup], chosen: str, width: int = STRIP_WIDTH) -> str:
    """Restore points along the time, oldest on the left: `|` is one, `x` one that failed, `#` the chosen one."""
    times = [each.created_at.timestamp() for each in points]
    first, last = min(times), max(times)
    cells = ["."] * width
    for each, at in zip(points, times, strict=True):
        place = round((at - first) / (last - first) * (width - 1)) if last > first else width - 1
        mark = "#" if each.backup_id == chosen else "x" if each.status is BackupStatus.FAILED else "|"
        if cells[place] != "#" and (mark != "x" or cells[place] == "."):
            cells[place] = mark
    return "".join(cells)


def point_line(backup: Backup, place: str, now: datetime.datetime) -> str:
    """The chosen point: when, how old, what it is, how well it is proved."""
    parts = [
        f"{moment(backup.created_at, now)}, {age(backup.created_at, now)} old",
        backup.backup_id[:8],
        f"{_SHORT.get(backup.kind, backup.kind)} {short_size(backup.size_bytes)}",
        ladder(backup.proof, backup.proven_at, now),
        *([f"before {backup.label}"] if backup.label else []),
        *([] if backup.status is BackupStatus.COMPLETED else [backup.status.value.upper()]),
        place,
    ]
    return printable("  ".join(parts))


def proven_words(past: Sequence[PastDrill], objective_s: float | None, now: datetime.datetime) -> str:
    """How the restore was last proved."""
    last = next(iter(past), None)
    if last is None:
        said = "never drilled"
    else:
        said = f"{verdict_word(last)} {age(last.at, now)} ago in {clock(last.rto_s)}"
    budget_s = objective_s if objective_s is not None else last.budget_s if last is not None else None
    return f"{said}   budget {clock(budget_s)}" if budget_s is not None else said


def verdict_word(drill: PastDrill) -> str:
    """`PASS`, `FAIL`; late where it did not keep to its time."""
    return _PASSED.get(drill.status, drill.status.upper())


def last_line(past: Sequence[PastDrill], now: datetime.datetime) -> str:
    """The last drills, newest first, and what of each was wrong."""
    if not past:
        return "never: nobody knows whether it works, and how long it takes"
    return "   ".join(
        f"{moment(each.at, now)} {verdict_word(each)} {clock(each.rto_s)}"
        + (f" ({each.failed_checks} of {each.checks} checks wrong)" if each.failed_checks else "")
        for each in past[:3]
    )


def level_word(level: str) -> str:
    """How deep a drill went, as a column has room for it."""
    return {timelines.LEVEL: "pitr"}.get(level, level) or "-"


# Targets.


def why_not(target: Target, ways: Ways) -> str:
    """Why a source cannot go there, in one sentence; empty where it can."""
    if target is Target.BESIDE and not ways.is_loading:
        if ways.is_files:
            return (
                f"files have no name to lie beside: {keys.of('point.files')} brings them into another folder"
            )
        way = ways.load_hint or f"{keys.of('point.files')} brings its dump into a folder"
        return f"nothing can be loaded beside what runs: {way}"
    if target is Target.LIVE and not ways.is_in_place:
        return f"nothing of this kind can be put in place: {keys.of('point.files')} brings it into a folder"
    return ""


def target_words(target: Target, chosen: Chosen) -> str:
    """What a target means for this source."""
    restore, ways = chosen.restore, chosen.ways
    if target is Target.DRILL:
        kept = f"kept {span(chosen.drill.keep_s)}, " if chosen.drill.keep_s else ""
        return f"drill   [default] {_drill_place(chosen)}, {kept}then gone"
    if target is Target.BESIDE:
        return f"side    as {restore.into or 'a new name'}, beside the live one on {restore.target_source or chosen.host}"
    if target is Target.LIVE:
        kept = "kept aside" if ways.is_loading else "safety backup first"
        if restore.is_safety_left_out:
            kept = "NOTHING of it is kept"
        return f"live    replace it on {chosen.host} ({kept}; asks for a name)"
    if target is Target.FILES:
        place = f"{restore.host + ':' if restore.host else ''}{restore.to}"
        return f"files   into {place if restore.to else 'a folder, of this machine or of a host'}"
    return "export  one archive, to be taken away"


def _drill_place(chosen: Chosen) -> str:
    level, host = chosen.drill.level, chosen.drill.host
    if level == "bytes" or not (chosen.ways.is_database or chosen.ways.is_files):
        return "every byte is read"
    if level == "parse":
        return "every dump is parsed"
    if chosen.ways.is_files:
        return "200 files, into a scratch folder"
    if level == "database":
        return f"scratch databases on live {chosen.host}"
    return f"throwaway server on {host or chosen.host}"


# The plan.


def plan_lines(target: Target, chosen: Chosen) -> list[str]:
    """What will happen, how long it takes as far as anybody knows, what is written, and the command line that does the same."""
    if chosen.replay is not None and (
        chosen.restore.source or (target is Target.DRILL and chosen.is_replayed)
    ):
        budget_s = chosen.drill.budget_s if target is Target.DRILL else None
        lines = timelines.replayed(chosen.replay, budget_s, is_laid_out=target is Target.FILES)
        lines += ["writes to live hosts: none"] if target is Target.DRILL else _of_target(target, chosen)
        return [printable(each) for each in (*lines, f"same as: {command(target, chosen)}")]
    backup = chosen.backup
    storages = chosen.storages
    others = f", or else {', '.join(storages[1:])}" if len(storages) > 1 else ""
    lines = [
        f"fetch up to {short_size(backup.size_bytes)} from {storages[0]}{others}"
        if storages
        else "no storage holds it any more"
    ]
    lines += _of_target(target, chosen)
    lines.append(f"same as: {command(target, chosen)}")
    return [printable(each) for each in lines]


def _of_target(target: Target, chosen: Chosen) -> list[str]:
    if target is Target.DRILL:
        return [_duration(chosen), _written_by_drill(chosen)]
    room = (
        []
        if chosen.free_bytes is None
        else [f"room: {size(chosen.free_bytes)} free, {size(chosen.backup.size_bytes)} at most are needed"]
    )
    restore = chosen.restore
    picked = [*restore.databases, *restore.tables, *restore.include]
    what = (
        [f"only: {', '.join(picked[:6])}{f' and {len(picked) - 6} more' if len(picked) > 6 else ''}"]
        if picked
        else []
    )
    if target is Target.EXPORT:
        return ["packed on this machine, where nothing is; no host is written to"]
    if target is Target.FILES:
        place = f"host {restore.host}" if restore.host else "this machine alone"
        return [*what, *room, f"writes to: {place}; files there: {_OVERWRITTEN.get(restore.overwrite, '')}"]
    if target is Target.BESIDE:
        return [
            *what,
            f"writes to live hosts: {restore.target_source or chosen.host}, new databases alone",
        ]
    return [*what, f"WRITES TO LIVE HOSTS: {chosen.host} (checked first; can be rolled back)"]


def levels_of(drill: DrillRequest) -> tuple[str, ...]:
    """Whose past drills tell how long it will take; none where the newest one's level does."""
    return (drill.level,) if drill.level else ()


def _duration(chosen: Chosen) -> str:
    about, _ = estimate(chosen.past, chosen.backup.size_bytes, levels_of(chosen.drill))
    if about is None:
        return "how long: no drill has passed yet, this one will tell"
    budget = f" of {clock(chosen.drill.budget_s)}" if chosen.drill.budget_s is not None else ""
    return f"about {clock(max(1.0, about))}{budget}, by the drills that passed"


def _written_by_drill(chosen: Chosen) -> str:
    level = chosen.drill.level
    if chosen.ways.is_loading and level == "database":
        return f"writes to live hosts: scratch databases on {chosen.host}, removed after"
    if chosen.ways.is_loading and level == "" and not chosen.drill.host:
        return "writes to live hosts: none (or scratch databases, if no server starts)"
    return "writes to live hosts: none"


def command(target: Target, chosen: Chosen) -> str:
    """The command line that does the same."""
    if target is Target.DRILL:
        words = ["drill", *drill_words(chosen.drill_request)]
    elif target is Target.EXPORT:
        words = ["download", chosen.backup.backup_id, "--to", "FILE"]
    else:
        restore = chosen.restore
        is_named = bool(restore.source)
        words = [
            "restore",
            *(restored_words(restore) if is_named else [chosen.backup.backup_id, *restore_words(restore)]),
        ]
        words += ["--to", "FOLDER"] if target is Target.FILES and not chosen.restore.to else []
        words += ["--into", "NAME"] if target is Target.BESIDE and not chosen.restore.into else []
    return "holdfast " + shlex.join(words)


def checks_line(target: Target, chosen: Chosen) -> str:
    """What is looked at before it is believed."""
    if target is Target.DRILL:
        own = f"; {len(chosen.drill.checks)} of your own" if chosen.drill.checks else ""
        more = own or f"; your own: {keys.of('point.options')}"
        if chosen.drill.level in ("bytes", "parse") or not (chosen.ways.is_database or chosen.ways.is_files):
            return f"every byte against its digest{own}"
        if chosen.ways.is_files:
            return "each file's SHA-256 against what was backed up"
        if chosen.is_replayed:
            return f"the server's own word on where it ended{more}"
        return f"tables, rows, indexes, constraints against the manifest{more}"
    if target in (Target.BESIDE, Target.LIVE) and chosen.ways.is_loading:
        return "tables, rows, indexes, constraints, before it gets its name"
    return "every byte against its digest" + (
        "; read back from the disk" if chosen.restore.is_verified else ""
    )


# What runs.


def step_lines(steps: Sequence[DrillStep]) -> list[str]:
    """Steps that ended, a line each."""
    return [
        printable(f" {each.status:<7} {clock(each.duration_s):>7}  {each.step}  {each.detail}".rstrip())
        for each in steps
    ]


def running_line(progress: JobProgress, now: datetime.datetime) -> str:
    """The step that runs, since when, how far."""
    if not progress.step:
        return " begins…"
    since = progress.step_began_at
    parts = [
        f" >       {clock((now - since).total_seconds()) if since is not None else '':>7}  {progress.step}"
    ]
    done, total = progress.done_bytes, progress.total_bytes
    if total:
        parts.append(f"{bar(done / total, 10)} {100 * done // total}% {short_size(done)}/{short_size(total)}")
    elif done:
        parts.append(short_size(done))
    if progress.done_files:
        total_files = f"/{progress.total_files}" if progress.total_files else ""
        parts.append(f"{progress.done_files}{total_files} files")
    return printable("  ".join(parts))  # fmt: skip


def stopwatch_line(job: Job, progress: JobProgress, usual_s: float | None, now: datetime.datetime) -> str:
    """How long it has run, against its budget or what it usually takes."""
    began = job.started_at
    if began is None:
        return f"waits for its turn for {age(job.created_at, now)}"
    took = max(0.0, ((job.completed_at or now) - began).total_seconds())
    budget_s = progress.budget_s
    if budget_s:
        late = "  OVER BUDGET" if took > budget_s else ""
        return f"[{bar(took / budget_s, 20)}] {clock(took)} of {clock(budget_s)}{late}"
    if usual_s:
        return f"[{bar(took / usual_s, 20)}] {clock(took)}, usually {clock(usual_s)}"
    return clock(took)


def drill_verdict(result: DrillResult) -> str:
    """One line: `PASS 6m39s of 15m  7/7 checks  report drill-71ab`."""
    right = sum(each.passed for each in result.checks)
    budget = f" of {clock(result.budget_s)}" if result.budget_s is not None else ""
    word = _PASSED.get(result.status, result.status.upper())
    return (
        f"{word} {clock(result.rto_s)}{budget}  {right}/{len(result.checks)} checks  report {result.job_id}"
    )


def wrong_lines(result: DrillResult) -> list[str]:
    """Checks that failed, a line each."""
    wrong = [each for each in result.checks if not each.passed]
    lines = [f" wrong    {each.check}: {each.actual} instead of {each.expected}" for each in wrong[:20]]
    return [printable(each) for each in lines] + ([f" and {len(wrong) - 20} more"] if len(wrong) > 20 else [])


def tone_of(job: Job, verdict: str = "") -> str:
    """How its last line is coloured."""
    if verdict == "passed" or (not verdict and job.status is JobStatus.COMPLETED):
        return "good"
    return "warning" if verdict == "inconclusive" or job.status is JobStatus.CANCELLED else "risk"
