"""job show|log|cancel|follow, jobs, worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from engine.cli import definitions, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.options import count
from engine.cli.output import Column, Output, shape
from engine.errors import UsageError
from engine.events import StepEnded, Warned
from engine.model import text, when
from engine.model.job import LOG_KEPT, Job, JobStatus
from engine.model.spans import span
from engine.notify import Notifier
from engine.scope import task_scope

_SHOWN: Final = 50
_PAGE: Final = 500
_LOOK_INTERVAL_S: Final = 0.5
_MOST_STOPS: Final = 2
_HEADS: Final = (
    Column("JOB"),
    Column("VERB"),
    Column("STATUS"),
    Column("BEGAN"),
    Column("TOOK", is_right=True),
    Column("WHAT", is_flexible=True),
)
_ABOUT: Final = ("sources", "backups", "backup", "storage", "source", "from_storage")
"""Fields of a request that say what a job is about, the most telling first."""


def _declare_job(parser: Parser) -> None:
    parser.add_argument("job", metavar="ID", help="an id, or the beginning of one")


async def _show(call: Call) -> int:
    job = await call.engine.show_job(call.arguments.job)
    pairs = [
        ("job", job.job_id),
        ("verb", f"{job.verb} {_about(job)}"),
        ("status", job.status.value),
        ("created", text.instant(job.created_at)),
        ("began", text.instant(job.started_at)),
        ("ended", text.instant(job.completed_at)),
    ]
    if job.most_attempts > 1 and (job.attempts > 1 or job.error):
        pairs.append(("attempts", f"{job.attempts} of {job.most_attempts}"))
    if job.priority:
        pairs.append(("priority", str(job.priority)))
    if job.status is JobStatus.QUEUED:
        pairs += [
            (name, text.instant(at))
            for name, at in (("not before", job.not_before), ("deadline", job.deadline))
            if at is not None
        ]
    if job.error:
        pairs.append(("error" if job.status.is_final else "last error", job.error))
    told = call.engine.progress_of(job)
    if not job.status.is_final and job.progress:
        pairs.append(("progress", _progress_line(job)))
        pairs += [("budget", span(told.budget_s))] if told.budget_s is not None else []
        pairs += [("kept until", text.instant(told.kept.until))] if told.kept is not None else []
    definitions.show_pairs(call.output, pairs)
    if not job.status.is_final:
        for each in told.steps:
            _tell_step(call.output, each)
    from engine.cli import job_results  # all verbs, which the other ones of this file need not

    job_results.tell(call, job)
    call.output.result(_object(job))
    return diagnostics.DONE


def _object(job: Job) -> dict[str, Any]:
    fields: dict[str, Any] = shape(job)
    for name in ("owner", "lease_until", "idempotency_key"):
        if not fields[name]:
            del fields[name]
    return fields


def _about(job: Job) -> str:
    for name in _ABOUT:
        value = job.request.get(name)
        if value:
            return value if isinstance(value, str) else " ".join(str(each) for each in value)
    return ""


def _progress_line(job: Job) -> str:
    done = text.size(job.progress.get("done_bytes", 0))
    files = job.progress.get("done_files", 0)
    return f"{job.progress.get('step', '')} {done}{f', {files} files' if files else ''}".strip()


def _declare_log(parser: Parser) -> None:
    _declare_job(parser)
    parser.add_argument("--all", action="store_true", help="the expert's lines too")


async def _log(call: Call) -> int:
    lines = await call.engine.job_log(call.arguments.job)
    chosen = [each for each in lines if call.arguments.all or call.output.is_json or each.level == "person"]
    for each in chosen:
        call.output.line(f"{each.at.astimezone():%Y-%m-%d %H:%M:%S}  {text.printable(each.message)}")
    if not lines and await _is_forgotten(call):
        call.output.line(
            f"the log is gone: that of a job that completed is kept for {LOG_KEPT.days} days; `holdfast job show` tells what it did"
        )
    call.output.items([shape(each) for each in chosen])
    return diagnostics.DONE


async def _is_forgotten(call: Call) -> bool:
    job = await call.engine.show_job(call.arguments.job)
    return job.status is JobStatus.COMPLETED and call.clock.now() - job.created_at > LOG_KEPT


async def _cancel(call: Call) -> int:
    is_asked = await call.engine.cancel_job(call.arguments.job)
    job = await call.engine.show_job(call.arguments.job)
    call.output.line(
        f"job {job.job_id} was asked to end"
        if is_asked
        else f"job {job.job_id} is over already: {job.status.value}"
    )
    call.output.result({"job_id": job.job_id, "status": job.status.value, "cancelled": is_asked})
    return diagnostics.DONE


async def _follow(call: Call) -> int:
    last, shown = None, 0
    async for job in call.engine.follow_job(call.arguments.job):
        if job.status is JobStatus.QUEUED and last is not None and last.status is not JobStatus.QUEUED:
            call.listener.emit(Warned(_again(job)))
            shown = 0
        shown = _tell_progress(call, job, last, shown)
        last = job
        if call.output.is_closed:
            return diagnostics.DONE
    if last is None:
        raise UsageError(f"there is no job {call.arguments.job}")
    from engine.cli import job_results  # all verbs, which the other ones of this file need not

    call.listener.clear()
    job_results.tell(call, last, steps_told=shown)
    _tell_end(call.output, last)
    call.output.result(_object(last))
    return job_results.exit_of(last)


def _tell_progress(call: Call, job: Job, last: Job | None, shown: int) -> int:
    """Tells what is new of a job that runs: how far it is, and steps that ended, of which so many are told already. Gives how many are now."""
    if job.status.is_final or not job.progress:
        return shown
    told = call.engine.progress_of(job)
    if call.output.is_json:
        call.output.progress(shape(told))
    else:
        ended = told.steps_left_out + len(told.steps)
        new = told.steps[max(0, len(told.steps) - (ended - shown)) :] if ended > shown else ()
        for each in new:
            _tell_step(call.output, each)
        shown = ended
        is_new = last is None or call.engine.progress_of(last).kept is None
        if told.kept is not None and is_new:
            call.listener.emit(told.kept)
        call.listener.emit(told.newest)
    call.output.flush()
    return shown


def _tell_step(output: Output, step: StepEnded) -> None:
    output.line(
        f"  {step.status:<8} {span(step.duration_s):>8}  {text.printable(step.step)}  {text.printable(step.detail)}".rstrip()
    )


def _again(job: Job) -> str:
    at = f" at {text.instant(job.not_before)}" if job.not_before else ""
    return f"{job.error}; attempt {job.attempts + 1} of {job.most_attempts} follows{at}"


def _tell_end(output: Output, job: Job) -> None:
    said = f": {text.printable(job.error)}" if job.error else ""
    output.line(f"job {job.job_id}, {job.verb} {text.printable(_about(job))}: {job.status.value}{said}")


def _declare_jobs(parser: Parser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on, and print each change")
    parser.add_argument("--status", choices=[each.value for each in JobStatus])
    parser.add_argument("--verb", default="", metavar="VERB", help="backup, restore, …")
    parser.add_argument("--since", metavar="WHEN", help="queued then or later")
    parser.add_argument("--until", metavar="WHEN", help="queued before then")
    parser.add_argument(
        "--before",
        default="",
        metavar="ID",
        help="from behind this job on: the last one of a page begins the next",
    )
    parser.add_argument("--limit", type=count, default=_SHOWN, metavar="N", help=f"the newest N ({_SHOWN})")
    parser.add_argument("--all", action="store_true", help="however many there are")


async def _jobs(call: Call) -> int:
    arguments, out = call.arguments, call.output
    if arguments.follow:
        return await _follow_all(call)
    if out.is_json:
        await out.stream(_paged(call, None if arguments.all else arguments.limit), _object, str)
        return diagnostics.DONE
    # One more than is shown tells whether there are more.
    limit = None if arguments.all else arguments.limit
    found = [each async for each in _paged(call, limit + 1 if limit else None)]
    shown = found[:limit]
    out.table(_HEADS, [_row(call, each) for each in shown])
    if len(found) > len(shown):
        out.line(f"the newest {len(shown)}; --before {shown[-1].job_id} shows what comes behind them")
    return diagnostics.DONE


async def _paged(call: Call, limit: int | None) -> AsyncIterator[Job]:
    """The jobs that are asked for, a page in memory at a time; all where there is no limit."""
    arguments, before, left = call.arguments, call.arguments.before, limit
    now, offset_of = call.clock.now(), call.clock.local_offset
    since, until = (
        when.parse(each, now, offset_of) if each else None for each in (arguments.since, arguments.until)
    )
    status = JobStatus(arguments.status) if arguments.status else None
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = await call.engine.jobs(
            status=status, verb=arguments.verb, since=since, until=until, before=before, limit=size
        )
        for each in page:
            yield each
        if len(page) < size:
            return
        before = page[-1].job_id
        left = None if left is None else left - size


def _row(call: Call, job: Job) -> list[str]:
    end = job.completed_at or call.clock.now()
    took = span((end - job.started_at).total_seconds()) if job.started_at else "-"
    return [job.job_id, job.verb, job.status.value, text.instant(job.started_at), took, _about(job)]


async def _follow_all(call: Call) -> int:
    """Prints each job whenever its status changed, until it is interrupted."""
    status = JobStatus(call.arguments.status) if call.arguments.status else None
    known: dict[str, JobStatus] = {}
    while not call.output.is_closed:
        found = await call.engine.jobs(status=status, verb=call.arguments.verb, limit=call.arguments.limit)
        for job in reversed(found):
            if known.get(job.job_id) is not job.status:
                _tell_end(call.output, job)
                call.output.progress(_object(job))
        known = {job.job_id: job.status for job in found}
        call.output.flush()
        await asyncio.sleep(_LOOK_INTERVAL_S)
    return diagnostics.DONE


def _declare_worker(parser: Parser) -> None:
    parser.add_argument("--once", action="store_true", help="end when no job waits any more")


async def _worker(call: Call) -> int:
    worker = call.engine.worker(is_staying=not call.arguments.once, tick=call.engine.next_tick)
    if not call.arguments.once:
        call.output.line(
            "waits for jobs, and for what schedules start; Ctrl-C stops it when its jobs are over"
        )
        call.output.flush()
    with stopping(worker.stop):
        async with task_scope() as tasks:
            tending = tasks.create_task(call.engine.keep_tending())
            done = await worker.work(Notifier.of(os.environ), call.listener.emit)
            tending.cancel()
        await call.engine.tell_the_last()
    call.output.line(f"{text.counted(done, 'job')} run")
    call.output.result({"jobs": done})
    return diagnostics.DONE


@contextlib.contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops a worker gently, the second at once, the third ends the process."""
    count = 0

    def end() -> None:
        nonlocal count
        count += 1
        if count > _MOST_STOPS:
            os._exit(diagnostics.INTERRUPTED)
        stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


SHOW = Command(_declare_job, _show)
LOG = Command(_declare_log, _log)
CANCEL = Command(_declare_job, _cancel)
FOLLOW = Command(_declare_job, _follow)
JOBS = Command(_declare_jobs, _jobs)
WORKER = Command(_declare_worker, _worker, is_job=True)
