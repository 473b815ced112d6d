"""schedule add|list|show|edit|run|pause|resume|remove|preview, tick, pause, resume."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, Final

from engine.cli import definitions, diagnostics, schedule_options
from engine.cli.command import Call, Command, Parser, add_name, declare_name, declare_nothing
from engine.cli.options import count
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import text, when
from engine.model.job import Job
from engine.model.schedule_options import described, unset
from engine.model.schedules import (
    Pause,
    PlannedRun,
    Schedule,
    ScheduledRun,
    ScheduleStatus,
    Timing,
)
from engine.model.spans import span
from engine.model.timetables import worst

_COLOURS: Final = {"completed": "32", "incomplete": "33", "skipped": "33", "failed": "31"}
_SHOWN_RUNS: Final = 10
_MOST_PARTS: Final = 10_000
_SHOWN: Final = 3


def _declare_add(parser: Parser) -> None:
    add_name(parser, "schedule")
    parser.add_argument("--template", action="store_true", help="it never runs; others are made from it")
    parser.add_argument("--from-template", metavar="NAME", help="begin with all that the template says")
    schedule_options.declare(parser)


async def _add(call: Call) -> int:
    arguments = call.arguments
    if arguments.from_template:
        template = (await call.engine.show_schedule(arguments.from_template)).schedule
        if not template.is_template:
            raise UsageError(
                f"{arguments.from_template} is no template",
                hint="one is made by schedule add NAME --template",
            )
        begun = dataclasses.replace(template, name=arguments.name, is_template=arguments.template)
    else:
        timing = Timing(timezone=schedule_options.machine_zone())
        begun = Schedule(arguments.name, timing=timing, is_template=arguments.template)
    added = await call.engine.add_schedule(schedule_options.applied(arguments, begun))
    code = _done(call, "is written down", added)
    if not added.schedule.is_template and not await call.engine.workers():
        call.output.line(
            "no worker lives that would start it: `holdfast service install`, or `holdfast tick` from a timer"
        )
    return code


def _declare_edit(parser: Parser) -> None:
    add_name(parser, "schedule")
    schedule_options.declare(parser)
    definitions.add_unset(parser)


async def _edit(call: Call) -> int:
    arguments = call.arguments
    old = (await call.engine.show_schedule(arguments.name)).schedule
    new = schedule_options.applied(arguments, unset(old, arguments.unset))
    if new == old:
        raise UsageError("nothing was said to be changed", hint="holdfast schedule edit --help")
    return _done(call, "is changed", await call.engine.edit_schedule(new))


def _done(call: Call, what: str, status: ScheduleStatus) -> int:
    schedule = status.schedule
    begins = "" if schedule.after and not schedule.is_template else f"; {_next(status)}"
    call.output.line(f"schedule {schedule.name} {what}: {_rhythm(schedule)}{begins}")
    if status.state.moved:
        call.output.line(f"  {status.state.moved}")
    call.output.result(_object(status))
    return diagnostics.DONE


def _rhythm(schedule: Schedule) -> str:
    if schedule.is_template:
        return "a template"
    return f"{schedule.rhythm}, {schedule.timing.timezone}" if schedule.rhythm else f"after {schedule.after}"


def _next(status: ScheduleStatus) -> str:
    if status.state.next_at is None:
        return "never by itself" if status.schedule.is_template else f"next after {status.schedule.after}"
    return f"next at {_at(status.state.next_at, status.schedule)}"


def _at(instant: datetime.datetime, schedule: Schedule) -> str:
    return f"{_local(instant, schedule):%Y-%m-%d %H:%M %Z}"


def _local(instant: datetime.datetime, schedule: Schedule) -> datetime.datetime:
    from engine.schedule import due

    return due.local(instant, schedule)


def _object(status: ScheduleStatus, runs: Sequence[ScheduledRun] | None = None) -> dict[str, Any]:
    """As scripts read it: the schedule's fields, and where it is."""
    schedule, state = status.schedule, status.state
    fields: dict[str, Any] = shape(schedule)
    for name in ("next_at", "planned_at"):
        instant = getattr(state, name)
        fields[name] = None if instant is None else shape(_local(instant, schedule))
    fields["moved"] = state.moved
    fields["pause"] = shape(state.pause)
    if runs is not None:
        fields["runs"] = [shape(each) for each in runs]
    return fields


async def _list(call: Call) -> int:
    found = await call.engine.schedules()
    last: dict[str, list[ScheduledRun]] = {}
    for each in await call.engine.last_runs():
        last.setdefault(each.schedule, []).append(each)
    heads = [
        Column("SCHEDULE"),
        Column("ACTION"),
        Column("WHEN", is_flexible=True),
        Column("NEXT"),
        Column("LAST"),
        Column("WHAT", is_flexible=True),
    ]
    rows = [_row(call, each, last.get(each.schedule.name, [])) for each in found]
    call.output.table(heads, rows)
    pause = await call.engine.present_pause()
    if pause is not None:
        call.output.line(f"all of them are {_paused(pause)}")
    call.output.items([_object(each, last.get(each.schedule.name, [])) for each in found])
    return diagnostics.DONE


def _row(call: Call, status: ScheduleStatus, last: Sequence[ScheduledRun]) -> list[str]:
    schedule, state = status.schedule, status.state
    is_paused = state.pause is not None and state.pause.covers(call.clock.now())
    begins = "paused" if is_paused else "-" if state.next_at is None else _at(state.next_at, schedule)
    what = " ".join(schedule.sources) or " ".join(schedule.storages)
    outcome = worst(last)
    said = outcome.value if outcome is not None else "-"
    return [schedule.name, schedule.action.value, _rhythm(schedule), begins, said, what]


def _paused(pause: Pause) -> str:
    until = f" until {text.instant(pause.until)}" if pause.until is not None else ""
    return f"paused since {text.instant(pause.since)}{until}: {text.printable(pause.reason)}"


async def _show(call: Call) -> int:
    status = await call.engine.show_schedule(call.arguments.name)
    runs = await call.engine.schedule_runs(call.arguments.name, limit=_SHOWN_RUNS)
    schedule, state = status.schedule, status.state
    pairs = [
        ("name", schedule.name),
        ("action", schedule.action.value),
        ("timezone", schedule.timing.timezone),
    ]
    pairs += [pair for pair in described(schedule) if pair[0] != "action"]
    pairs += [("template", "yes")] if schedule.is_template else []
    pairs += [("next", _next(status).removeprefix("next "))]
    pairs += [("moved", state.moved)] if state.moved else []
    if state.pause is not None and (state.pause.until is None or state.pause.until > call.clock.now()):
        pairs.append(("paused", _paused(state.pause)))
    definitions.show_pairs(call.output, pairs)
    for each in runs:
        status_ = call.output.styled(f"{each.outcome.value:<10}", _COLOURS.get(each.outcome.value, "0"))
        said = f"{each.part}{': ' if each.part and each.reason else ''}{each.reason}"
        until = f" to {_at(each.last_at, schedule)}" if each.last_at is not None else ""
        job = f"  job {each.job_id}" if each.job_id else ""
        call.output.line(
            f"  {_at(each.planned_at, schedule)}{until}  {status_} {text.printable(said)}{job}".rstrip()
        )
    call.output.result(_object(status, runs))
    return diagnostics.DONE


def _declare_run(parser: Parser) -> None:
    add_name(parser, "schedule")
    parser.add_argument("--detach", action="store_true", help="do not wait for its end")


async def _run(call: Call) -> int:
    name = call.arguments.name
    jobs = list(await call.engine.run_schedule(name))
    if call.arguments.detach:
        for job in jobs:
            call.output.line(
                f"job {job.job_id}, {job.verb}: {job.status.value}; `holdfast job follow {job.job_id}` watches it"
            )
        call.output.result({"schedule": name, "status": "queued", "jobs": [_job(each) for each in jobs]})
        return diagnostics.DONE
    from engine.cli import job_results  # all verbs, which the other ones of this file need not

    ended: list[Job] = []
    while jobs:
        last = await _follow(call, jobs.pop(0))
        ended.append(last)
        said = f": {text.printable(last.error)}" if last.error else ""
        job_results.tell(call, last)
        call.output.line(f"job {last.job_id}, {last.verb}: {last.status.value}{said}")
        if not jobs:
            # Retention follows a backup. What else is due now is not waited for.
            await call.engine.tick()
            jobs += await _following(call, name, ended)
    status = _overall(ended)
    call.output.result({"schedule": name, "status": status, "jobs": [_job(each) for each in ended]})
    return diagnostics.exit_of(status)


async def _following(call: Call, name: str, ended: Sequence[Job]) -> list[Job]:
    """Further jobs of the run that these are of."""
    done = {each.job_id for each in ended}
    runs = await call.engine.schedule_runs(name, limit=_MOST_PARTS)
    instants = {each.planned_at for each in runs if each.job_id in done}
    further = [
        each.job_id
        for each in runs
        if each.planned_at in instants and each.job_id and each.job_id not in done
    ]
    return [await call.engine.show_job(each) for each in further]


async def _follow(call: Call, job: Job) -> Job:
    last = job
    async for last in call.engine.follow_job(job.job_id):
        if last.progress:
            call.listener.emit(call.engine.progress_of(last).newest)
    call.listener.clear()
    return last


def _job(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "verb": job.verb,
        "status": job.status.value,
        "error": job.error,
        "result": shape(job.result),
    }


def _overall(jobs: Sequence[Job]) -> str:
    """The worst of them; a proof that failed is told by its own result."""
    found = [str(each.result.get("status", "")) if each.verb in ("drill", "verify") else "" for each in jobs]
    if any(each in ("failed", "damaged", "inconclusive") for each in found):
        return "damaged"
    states = {each.status.value for each in jobs}
    for status in ("failed", "interrupted", "cancelled"):
        if status in states:
            return status if states == {status} else "incomplete"
    return "incomplete" if "incomplete" in states else "completed"


def _declare_pause(parser: Parser) -> None:
    add_name(parser, "schedule")
    _declare_reason(parser)


def _declare_reason(parser: Parser) -> None:
    parser.add_argument(
        "why", nargs="*", metavar="REASON", help="why; whoever finds nothing running reads it"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="the same")
    parser.add_argument("--until", metavar="WHEN", help="resume by itself then: 2h, or 2026-11-20 14:05")


def _reason(call: Call) -> str:
    arguments = call.arguments
    return arguments.reason or " ".join(arguments.why) or "no reason was given"


def _until(call: Call) -> datetime.datetime | None:
    if not call.arguments.until:
        return None
    return when.parse_ahead(call.arguments.until, call.clock.now(), call.clock.local_offset)


async def _pause(call: Call) -> int:
    status = await call.engine.pause_schedule(call.arguments.name, _reason(call), _until(call))
    assert status.state.pause is not None
    call.output.line(f"schedule {status.schedule.name} is {_paused(status.state.pause)}")
    call.output.result(_object(status))
    return diagnostics.DONE


async def _resume(call: Call) -> int:
    status = await call.engine.resume_schedule(call.arguments.name)
    call.output.line(f"schedule {status.schedule.name} goes on: {_next(status)}")
    call.output.result(_object(status))
    return diagnostics.DONE


async def _pause_all(call: Call) -> int:
    pause = await call.engine.pause(_reason(call), _until(call))
    call.output.line(f"nothing starts by itself: {_paused(pause)}; `holdfast resume` ends it")
    call.output.result(shape(pause))
    return diagnostics.DONE


async def _resume_all(call: Call) -> int:
    pause = await call.engine.resume()
    call.output.line("everything goes on" if pause is not None else "nothing was paused")
    call.output.result({"was_paused": pause is not None, "pause": shape(pause)})
    return diagnostics.DONE


def _declare_preview(parser: Parser) -> None:
    parser.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="a schedule; all of them where it is left out"
    )
    parser.add_argument("--count", type=count, default=10, metavar="N", help="the next N runs (10)")


async def _preview(call: Call) -> int:
    runs = await call.engine.preview_schedules(call.arguments.name, count=call.arguments.count)
    heads = [Column("AT"), Column("SCHEDULE"), Column("ACTION"), Column("TAKES", is_right=True), Column("SOURCES", is_flexible=True), Column("OVERLAPS", is_flexible=True), Column("WHY", is_flexible=True)]  # fmt: skip
    call.output.table(heads, [_planned(each) for each in runs])
    call.output.items([shape(each) for each in runs])
    return diagnostics.DONE


def _planned(run: PlannedRun) -> list[str]:
    overlaps = [f"{each.schedule} {each.at:%H:%M} on {each.host}" for each in run.overlaps]
    return [
        f"{run.at:%Y-%m-%d %H:%M %z}",
        run.schedule,
        run.action.value,
        span(run.expected_s),
        _some(run.sources, " "),
        _some(overlaps, ", "),
        run.reason,
    ]


def _some(names: Sequence[str], between: str) -> str:
    """The first few, and how many more there are: a pattern may stand for a fleet."""
    more = len(names) - _SHOWN
    return between.join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


async def _tick(call: Call) -> int:
    result = await call.engine.tick()
    then = (
        f"; the next is due at {text.instant(result.next_at)}"
        if result.next_at is not None
        else "; nothing is planned"
    )
    call.output.line(f"{text.counted(len(result.queued), 'job')} queued, {result.skipped} skipped{then}")
    call.output.result(shape(result))
    call.output.flush()
    await call.engine.tend_alerts()  # after the answer: a mail server may take its time
    return diagnostics.DONE


ADD = Command(_declare_add, _add)
LIST = Command(declare_nothing, _list)
SHOW = Command(declare_name("schedule"), _show)
EDIT = Command(_declare_edit, _edit)
RUN = Command(_declare_run, _run, is_job=True)
PAUSE = Command(_declare_pause, _pause)
RESUME = Command(declare_name("schedule"), _resume)
PREVIEW = Command(_declare_preview, _preview)
REMOVE = definitions.removal(
    "schedule",
    lambda engine, name: engine.remove_schedule(name),
    lambda engine, name: engine.show_schedule(name),
    tells="; its jobs and backups stay",
)
TICK = Command(declare_nothing, _tick)
PAUSE_ALL = Command(_declare_reason, _pause_all)
RESUME_ALL = Command(declare_nothing, _resume_all)
