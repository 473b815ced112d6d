"""restore, of a whole server to an instant in place: its data folder is put aside for another one, which a base and the log behind it make.

All that takes long is done beside the live server, which runs on. The person's hooks stop it and start it again; between them two names change.
Whether it came to the target is the server's own word. `rollback` changes the names back, `discard` removes what was put aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from engine.errors import (
    CommandFailedError,
    HoldfastError,
    RefusedError,
    RestoreError,
    SourceError,
    UsageError,
)
from engine.events import Noted, StepBegan, Warned
from engine.hosts.base import Command, OpenHost, require_success
from engine.jobs import hooks, left_restores, replay
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_on_host
from engine.jobs.left_restores import LeftRestore, Stage
from engine.jobs.replay import ReplayPlan
from engine.jobs.replay_base import Choice
from engine.model.job import Job
from engine.model.requests import RestoreRequest, RollbackRequest
from engine.model.results import RestoredDatabase, RestoreResult, RollbackResult
from engine.sources.logs import Wanted, WholePlace, WholeSource, WholeSwap, is_short

_RECORD_BYTES: Final = 10240
"""Of tar, which reads whole ones."""
_TIMEOUT_S: Final = 6 * 3600.0
_SILENCE_S: Final = 60.0
"""How long a server that was started may not answer; one that replays says so."""
_LOOK_S: Final = 0.2
_REPLAYING: Final = ("starting up", "not yet accepting", "recovery")


@dataclass(frozen=True, slots=True)
class _Whole:
    """What is done to which server."""

    context: JobContext
    planned: ReplayPlan
    source: WholeSource
    host: OpenHost
    data: str
    swap: WholeSwap

    async def run(self, command: Command) -> None:
        """Raises: RestoreError in the host's words."""
        done = await self.host.run(command, timeout_s=_TIMEOUT_S)
        if not done.exit.is_success:
            said = done.exit.stderr.decode(errors="replace").strip()
            raise RestoreError(
                f"{self.planned.source} was not put in place: {said}", hint="what was live is as it was"
            )

    async def feed(
        self, command: Command, send: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[int]]
    ) -> None:
        """An archive into the command. Raises: CommandFailedError in the host's words; StorageError, DamagedError."""
        async with self.host.start(command) as process:
            with contextlib.suppress(BrokenPipeError):  # it says itself why it reads no more
                size_bytes = await send(process.write)
                await process.write(bytes(-size_bytes % _RECORD_BYTES))
            await process.close_input()
            require_success(self.host.name, command, await process.wait())


async def run(context: JobContext, request: RestoreRequest) -> RestoreResult:
    """Restores, or says what it would do. Raises: UsageError, RefusedError, RestoreError, SourceError, HostError, RepositoryError."""
    began = context.clock.monotonic()
    _require_whole(request)
    for each in await left_restores.left(context.catalog, request.source):
        raise RefusedError(each.sentence, hint=each.remedy)
    log, is_there = hooks.HookLog(), True
    async with AsyncExitStack() as stack:
        planned, base = await Choice(context, request).open(stack)
        backup = base.backup
        source, host = await stack.enter_async_context(open_on_host(context, base.source))
        whole = await _prepared(request, planned, base, source, host)
        if not request.is_dry_run:
            log = await _put_in_place(whole, request, base)
            is_there = await _is_there(whole, log)
    done = RestoredDatabase(
        f"the server of {request.source}", whole.data, whole.swap.aside, backup.size_bytes
    )
    return RestoreResult(
        job_id=context.job_id,
        status="completed" if log.is_well and is_there else "incomplete",
        restored_files=0,
        restored_bytes=backup.size_bytes + planned.size_bytes,
        duration_s=context.clock.monotonic() - began,
        target=f"{request.source}: {whole.data}",
        is_dry_run=request.is_dry_run,
        databases=(done,),
        hooks=tuple(log.results),
        backup_id=backup.backup_id,
        note="; ".join((*whole.swap.lines, *whole.swap.passing.said)),
    )


async def _prepared(
    request: RestoreRequest, planned: ReplayPlan, base: DatabaseBackup, source: object, host: OpenHost
) -> _Whole:
    """Looks, and changes nothing."""
    context = base.context
    if not isinstance(source, WholeSource):
        raise UsageError(
            f"{planned.source} is of kind {base.source.kind}, whose server is not put aside as a whole",
            hint="restore its databases: leave --whole-server out",
        )
    try:
        data = await source.data_folder()
    except SourceError as error:
        lost = "where the server is lost, restore it into a folder, by --to DIR, and start it there"
        error.hint = f"{error.hint}; {lost}" if error.hint else lost
        raise
    length = await replay.segment_bytes(context, base, planned)
    stamp = f"{context.clock.now().astimezone(datetime.UTC):%Y%m%d_%H%M%S}"
    needed_bytes = base.backup.size_bytes + planned.size_bytes
    wanted = Wanted(needed_bytes, stamp, request.tablespaces)
    swap = source.whole(data, replay.replay_of(planned, length), base.depth, base.manifest, wanted)
    whole = _Whole(context, planned, source, host, data, swap)
    await whole.run(swap.look)
    context.emit(Noted(f"{data} becomes {swap.aside} once the hook before it has stopped the server"))
    return whole


async def _put_in_place(whole: _Whole, request: RestoreRequest, base: DatabaseBackup) -> hooks.HookLog:
    """Makes the new folder, has the server stopped, swaps, and has it started. What it made is removed where the swap never was."""
    context, planned, swap = whole.context, whole.planned, whole.swap
    is_swapped = False
    record = LeftRestore(context.job_id, planned.source, whole.data, swap.aside, Stage.LAYING)
    await left_restores.put(context.catalog, record)
    try:
        context.emit(StepBegan(f"lay the base beside {whole.data}"))
        await whole.feed(swap.base, lambda write: base.read(base.files, write))
        context.emit(StepBegan("lay the log beside it"))
        await whole.feed(swap.log, lambda write: replay.pass_on(base, planned, swap.passing, write))
        if (finish := swap.finish()) is not None:
            await whole.run(finish)
        source = await context.catalog.sources.get(planned.source)
        async with hooks.around(context, request, source.host) as log:
            context.emit(StepBegan(f"put {whole.data} aside"))
            await left_restores.reach(context.catalog, record, Stage.SWAPPING)
            await _swapped(whole)
            is_swapped = True
            await left_restores.reach(context.catalog, record, Stage.SWAPPED)
        return log
    except asyncio.CancelledError:
        if not is_swapped:
            raise
        _go_on()  # what is aside must be in a result, so that it can be brought back
        return log
    except CommandFailedError as error:
        raise RestoreError(
            f"{planned.source} was not put in place: {error.message}", hint="what was live is as it was"
        ) from error
    finally:
        if not is_swapped:
            await asyncio.shield(_cleared(whole))


async def _cleared(whole: _Whole) -> None:
    """Removes what was made beside what is live; where it cannot, it says what stands where."""
    context = whole.context
    with contextlib.suppress(HoldfastError):
        await whole.run(whole.swap.clear)
        await left_restores.forget(context.catalog, context.job_id)
        return
    record = await left_restores.of_job(context.catalog, context.job_id)
    if record is not None:
        context.emit(Warned(f"{record.sentence}: {record.remedy}"))


async def _swapped(whole: _Whole) -> None:
    """Swaps, or leaves it as it was, also where the job is cancelled meanwhile. Raises: RestoreError."""
    over = asyncio.Event()

    async def swap() -> None:
        try:
            await whole.run(whole.swap.swap)
        finally:
            over.set()

    try:
        await asyncio.shield(swap())
    except asyncio.CancelledError:
        await over.wait()
        with contextlib.suppress(HoldfastError):  # it refuses where nothing was swapped
            await whole.run(whole.swap.undo)
        raise


def _go_on() -> None:
    """The job was cancelled where that cannot undo anything any more."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


async def _is_there(whole: _Whole, log: hooks.HookLog) -> bool:
    """Whether the server came to the target, by its own word; says why not."""
    context, planned = whole.context, whole.planned
    try:
        if not log.is_well:
            raise RestoreError("the hook after the restore failed, so nobody asked the server where it is")
        context.emit(StepBegan(f"replay {planned.source} to {planned.target.words}"))
        last = await _recovered(whole)
        if planned.until is not None and last is not None and last > planned.until:
            raise RestoreError(
                f"{planned.source} did not come to {planned.target.words}: its last transaction is of {last}"
            )
        if is_short(last, needed := replay.last_needed(planned)):
            raise RestoreError(
                f"{planned.source} replayed its log to {last or 'no transaction'}, and it goes on to {needed}: a record between is damaged"
            )
    except asyncio.CancelledError:
        _go_on()
        said = f"nobody waited until the server of {planned.source} had replayed its log"
    except RestoreError as error:
        said = error.message
    else:
        return True
    context.emit(
        Warned(f"{said}; once it is stopped, `holdfast rollback {context.job_id}` brings back what was live")
    )
    return False


async def _recovered(whole: _Whole) -> datetime.datetime | None:
    """Waits until the server has replayed; gives its last transaction. Raises: RestoreError where it does not answer."""
    clock = whole.context.clock
    heard = clock.monotonic()
    while True:
        try:
            is_over, last = await whole.source.whole_reached()
        except SourceError as error:
            said = f"{error.message} {error.hint or ''}"
            if any(word in said for word in _REPLAYING):
                heard = clock.monotonic()
            elif clock.monotonic() - heard > _SILENCE_S:
                raise RestoreError(
                    f"the server of {whole.planned.source} does not answer since it was started: {error.message}"
                ) from error
        else:
            heard = clock.monotonic()
            if is_over:
                return last
        await asyncio.sleep(_LOOK_S)


async def roll_back(
    context: JobContext, request: RollbackRequest, job: Job, name: str, place: WholePlace
) -> RollbackResult:
    """Changes the names back, or removes what was put aside, also of a restore that ended in the middle.

    Raises: RefusedError where the server runs; UsageError, HostError.
    """
    source = await context.catalog.sources.get(name)
    async with open_on_host(context, source) as (opened, host):
        if not isinstance(opened, WholeSource) or not place.aside.startswith(f"{place.data}.before-"):
            raise UsageError(f"job {job.job_id} put no server aside")
        kept = f"{place.data}.restored-{context.clock.now().astimezone(datetime.UTC):%Y%m%d_%H%M%S}"
        if request.is_discarding:
            context.emit(StepBegan(f"remove {place.aside}"))
            command = opened.whole_discard(place)
        else:
            context.emit(StepBegan(f"bring back {place.data}"))
            command = opened.whole_back(place, kept)
        ended = await host.run(command, timeout_s=_TIMEOUT_S)
    if not ended.exit.is_success:
        said = ended.exit.stderr.decode(errors="replace").strip()
        raise RefusedError(f"{place.data} was left as it is: {said}", hint="stop the server, and try again")
    await left_restores.forget(context.catalog, job.job_id)
    words = {
        "kept": f"what the restore brought is kept as {kept}; start the server now",
        "back": f"{place.data} is what was live; start the server now",
        "never": f"{place.data} was never put aside; start the server where the hook before the restore stopped it",
    }
    told = words.get(ended.stdout.decode(errors="replace").strip())
    return RollbackResult(
        context.job_id, "completed", job.job_id, (place.data,), (told,) if told is not None else ()
    )


def _require_whole(request: RestoreRequest) -> None:
    """Raises: UsageError for a part of a server, or where nobody says how it is stopped and started."""
    if not request.source or not request.is_in_place:
        raise UsageError("--whole-server goes with --source S, whose log is kept, and --in-place")
    if request.databases or request.tables or request.masks or request.target_source or request.is_with_roles:
        raise UsageError(
            "--whole-server brings all of a server back: leave --database, --table, --mask, --on and --roles out"
        )
    if not request.is_dry_run and not (request.before_hook and request.after_hook):
        raise UsageError(
            "nothing says how the server is stopped and started",
            hint="--before-hook 'systemctl stop postgresql' --after-hook 'systemctl start postgresql', as the host's own service is called",
        )
