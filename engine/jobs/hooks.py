"""A person's own commands round a job, on the host that it is about or on this machine: stop the application before a restore, start it and
flush its cache after; freeze what is to be backed up.

Each is a line for the host's shell, without a terminal and with nothing on standard input. What it leaves running in the background may be
ended with it: an application is started by its service manager. The line is kept with the job, so it must hold no secret.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.errors import CommandFailedError, HoldfastError, HostError, RestoreError
from engine.events import Noted, StepBegan, Warned
from engine.hosts.base import Command
from engine.jobs import host_load
from engine.jobs.context import JobContext
from engine.model.definitions import LOCAL_HOST
from engine.model.requests import RestoreRequest
from engine.model.results import HookResult
from engine.model.schedules import Hooks

_KEPT_BYTES = 4096
_KEPT_LINES = 10
_JOINED = 'exec 2>&1; exec sh -c "$1"'


@dataclass(slots=True)
class HookLog:
    """What the hooks of one job did, and what the second one is told."""

    outcome: str = "completed"
    """completed, incomplete, failed: the body sets it."""
    results: list[HookResult] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether every hook that ran ended with status 0."""
        return all(each.status == 0 for each in self.results)


@dataclass(frozen=True, slots=True)
class _Round:
    """The hooks of one job: what they are, where they run, and what they are told."""

    hooks: Hooks
    host: str
    job: str
    """What they are round, for messages: restore."""
    settings: Mapping[str, str]


@asynccontextmanager
async def around(context: JobContext, request: RestoreRequest, host: str) -> AsyncIterator[HookLog]:
    """Runs the one hook, the body, and the other hook, also where the body failed and was rolled back.

    Raises: RestoreError where the first hook failed: then the body never began.
    """
    hooks = Hooks(request.before_hook, request.after_hook, request.hook_timeout_s)
    about = _Round(hooks, host, "restore", {"HOLDFAST_BACKUP": request.backup})
    async with _around(context, about, RestoreError) as log:
        yield log


async def run_between(
    context: JobContext, verb: str, request: object, work: Callable[[JobContext, Any], Awaitable[Any]]
) -> Any:
    """A job of a schedule between its hooks, on the host of its first source, or here. Where the last hook failed the result is incomplete, and
    says so: what was stopped or frozen before the job may be so still.

    Raises: CommandFailedError where the first hook failed; as the job.
    """
    hooks: Hooks = getattr(request, "hooks", None) or Hooks()
    if hooks.is_empty:
        return await work(context, request)
    sources = getattr(request, "sources", ()) or tuple(filter(None, (getattr(request, "source", ""),)))
    host = LOCAL_HOST
    if sources and not hooks.is_here:
        host = (await context.catalog.sources.get(sources[0])).host
    about = _Round(hooks, host, verb, {"HOLDFAST_SOURCES": " ".join(sources)})
    async with _around(context, about, CommandFailedError) as log:
        result = await work(context, request)
        log.outcome = str(getattr(result, "status", "completed"))
    return (
        result if log.is_well else _marked(result, f"the hook after the {verb} {_failure(log.results[-1])}")
    )


def _marked(result: Any, warning: str) -> Any:
    """The result with the warning; what a proof found stands."""
    status = "incomplete" if result.status == "completed" else result.status
    warnings = (*getattr(result, "warnings", ()), warning)
    known = {each.name for each in dataclasses.fields(result)}
    changes = {"status": status, **({"warnings": warnings} if "warnings" in known else {})}
    return dataclasses.replace(result, **changes)


@asynccontextmanager
async def _around(context: JobContext, about: _Round, refusal: type[HoldfastError]) -> AsyncIterator[HookLog]:
    log = HookLog()
    if about.hooks.before:
        done = await _run(context, about, "before", "")
        log.results.append(done)
        if done.status != 0:
            raise refusal(f"the hook before the {about.job} {_failure(done)}; nothing was changed")
    try:
        yield log
    except BaseException:
        if about.hooks.after:
            await asyncio.shield(_run(context, about, "after", "failed"))
        raise
    if about.hooks.after:
        done = await _run(context, about, "after", log.outcome)
        log.results.append(done)
        if done.status != 0:
            context.emit(Warned(f"the hook after the {about.job} {_failure(done)}"))


def _failure(done: HookResult) -> str:
    last = done.output.rpartition("\n")[2]
    how = f"ended with status {done.status}" if done.status is not None else "did not end"
    return f"{how}: {last}" if last else how


async def _run(context: JobContext, about: _Round, when: str, outcome: str) -> HookResult:
    """Never raises a HoldfastError: what went wrong is in the result."""
    line = about.hooks.before if when == "before" else about.hooks.after
    context.emit(StepBegan(f"hook {when} the {about.job}, on {about.host}"))
    began = context.clock.monotonic()
    settings = {
        **about.settings,
        "HOLDFAST_JOB": context.job_id,
        "HOLDFAST_WHEN": when,
        "HOLDFAST_OUTCOME": outcome,
    }
    command = Command(("sh", "-c", _JOINED, "sh", line), settings=settings)
    status, output = None, ""
    try:
        async with asyncio.timeout(about.hooks.timeout_s):
            status, output = await _output(context, about.host, command)
    except TimeoutError:
        output = f"it took longer than {about.hooks.timeout_s:g} seconds and was ended"
    except HoldfastError as error:
        output = error.message
    done = HookResult(when, line, status, output, context.clock.monotonic() - began)
    context.emit(Noted(f"hook {when} the {about.job}: status {done.status}: {done.output}"))
    return done


async def _output(context: JobContext, name: str, command: Command) -> tuple[int | None, str]:
    """Exit status and last lines. A connection of its own: that of the restore may be gone. Raises: HostError."""
    definition = await context.catalog.hosts.get(name)
    kept = b""
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(host_load.open_host(context, definition))
        process = await stack.enter_async_context(host.start(command))
        while data := await process.read():
            kept = (kept + data)[-_KEPT_BYTES:]
        ended = await process.wait()
    if ended.signal or ended.status is None:
        raise HostError(f"it was ended by {ended.signal or 'a connection that was lost'}")
    lines = kept.decode(errors="backslashreplace").strip().splitlines()
    return ended.status, "\n".join(lines[-_KEPT_LINES:])
