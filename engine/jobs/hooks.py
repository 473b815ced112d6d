"""A person's own commands round a restore, on the host that it goes to: stop the application before, start it and flush its cache after.

Each is a line for the host's shell, without a terminal and with nothing on standard input. What it leaves running in the background may be
ended with it: an application is started by its service manager. The line is kept with the job, so it must hold no secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import HoldfastError, HostError, RestoreError
from engine.events import Noted, StepBegan, Warned
from engine.hosts import registry as hosts
from engine.hosts.base import Command
from engine.jobs.context import JobContext
from engine.model.requests import RestoreRequest
from engine.model.results import HookResult

_KEPT_BYTES = 4096
_KEPT_LINES = 10
_JOINED = 'exec 2>&1; exec sh -c "$1"'


@dataclass(slots=True)
class HookLog:
    """What the hooks of one restore did, and what the second one is told."""

    outcome: str = "completed"
    """completed, incomplete, failed: the body sets it."""
    results: list[HookResult] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether every hook that ran ended with status 0."""
        return all(each.status == 0 for each in self.results)


@asynccontextmanager
async def around(context: JobContext, request: RestoreRequest, host: str) -> AsyncIterator[HookLog]:
    """Runs the one hook, the body, and the other hook, also where the body failed and was rolled back.

    Raises: RestoreError where the first hook failed: then the body never began.
    """
    log = HookLog()
    if request.before_hook:
        done = await _run(context, request, host, "before", "")
        log.results.append(done)
        if done.status != 0:
            raise RestoreError(f"the hook before the restore {_failure(done)}; nothing was changed")
    try:
        yield log
    except BaseException:
        if request.after_hook:
            await asyncio.shield(_run(context, request, host, "after", "failed"))
        raise
    if request.after_hook:
        done = await _run(context, request, host, "after", log.outcome)
        log.results.append(done)
        if done.status != 0:
            context.emit(Warned(f"the hook after the restore {_failure(done)}"))


def _failure(done: HookResult) -> str:
    last = done.output.rpartition("\n")[2]
    how = f"ended with status {done.status}" if done.status is not None else "did not end"
    return f"{how}: {last}" if last else how


async def _run(
    context: JobContext, request: RestoreRequest, name: str, when: str, outcome: str
) -> HookResult:
    """Never raises a HoldfastError: what went wrong is in the result."""
    line = request.before_hook if when == "before" else request.after_hook
    context.emit(StepBegan(f"hook {when} the restore, on {name}"))
    began = context.clock.monotonic()
    settings = {
        "HOLDFAST_JOB": context.job_id,
        "HOLDFAST_BACKUP": request.backup,
        "HOLDFAST_WHEN": when,
        "HOLDFAST_OUTCOME": outcome,
    }
    command = Command(("sh", "-c", _JOINED, "sh", line), settings=settings)
    status, output = None, ""
    try:
        async with asyncio.timeout(request.hook_timeout_s):
            status, output = await _output(context, name, command)
    except TimeoutError:
        output = f"it took longer than {request.hook_timeout_s:g} seconds and was ended"
    except HoldfastError as error:
        output = error.message
    done = HookResult(when, line, status, output, context.clock.monotonic() - began)
    context.emit(Noted(f"hook {when} the restore: status {done.status}: {done.output}"))
    return done


async def _output(context: JobContext, name: str, command: Command) -> tuple[int | None, str]:
    """Exit status and last lines. A connection of its own: that of the restore may be gone. Raises: HostError."""
    definition = await context.catalog.hosts.get(name)
    kept = b""
    async with (
        hosts.open_host(definition, resolve_secret=context.secrets) as host,
        host.start(command) as process,
    ):
        while data := await process.read():
            kept = (kept + data)[-_KEPT_BYTES:]
        ended = await process.wait()
    if ended.signal or ended.status is None:
        raise HostError(f"it was ended by {ended.signal or 'a connection that was lost'}")
    lines = kept.decode(errors="backslashreplace").strip().splitlines()
    return ended.status, "\n".join(lines[-_KEPT_LINES:])
