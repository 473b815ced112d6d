"""Restores that are begun from several views: planned by a worker, shown, asked for, then a job whose view is opened."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RestoreError, UsageError
from engine.model import told
from engine.model.backup import Backup
from engine.model.plan_steps import restored_words
from engine.model.requests import RestoreRequest
from engine.model.results import RestoreResult
from engine.model.text import size
from tui import backup_work, paths
from tui.dialogs.confirm import Confirm, TypeName
from tui.dialogs.reader import Reader
from tui.panes.restore_running import RunningView
from tui.panes.restore_text import Target
from tui.text import printable

if TYPE_CHECKING:
    from tui.app import ConsoleApp


async def plan(console: ConsoleApp, request: RestoreRequest) -> RestoreResult | None:
    """What a worker says that a restore would do; None where it cannot be done, which was shown, or nobody waited."""
    dry = dataclasses.replace(request, is_dry_run=True, before_hook="", after_hook="")
    return await console.finish("restore", dry, "planning the restore", RestoreResult)


async def show_dry(console: ConsoleApp, request: RestoreRequest) -> None:
    """The plan on a page."""
    found = await plan(console, request)
    if found is not None:
        await console.ask(Reader("What it would do", [*plan_of(found), "", f"Same as: {_command(request)}"]))


def plan_of(found: RestoreResult) -> list[str]:
    """A dry run's result in sentences."""
    return [*told.restored(found), *(f"  {printable(each)}" for each in found.warnings)]


async def restore(
    console: ConsoleApp, request: RestoreRequest, target: Target, source: str, host: str
) -> None:
    """Plans, asks as its danger asks, passes the guard, begins, and opens its view."""
    found = await plan(console, request)
    if found is None:
        return
    lines = [*plan_of(found), *_warnings(request), "", f"Same as: {_command(request)}"]
    if console.engine.is_guarded(request):
        place = f"{request.host}:{request.to}" if request.to else host
        environment = await _environment(console, request.host or host)
        title = f"REPLACE WHAT IS LIVE of {source} on {place}{environment}"
        if request.to:
            title = f"DELETE WHAT THE BACKUP DOES NOT HOLD from {place}{environment}"
        is_wanted = await console.ask(TypeName(title, lines, source))
    else:
        where = found.target or target.value
        is_wanted = await console.ask(
            Confirm(f"Restore {source} to {printable(where)}?", lines, yes="restore it")
        )
    if is_wanted and (not console.engine.is_guarded(request) or await console.pass_guard("point.start")):
        job = await console.submit("restore", request, f"restore of {source}")
        await console.main.pane.push(RunningView(job, source))


def _warnings(request: RestoreRequest) -> list[str]:
    if not request.is_in_place:
        return []
    if request.is_safety_left_out:
        return ["NOTHING of what is replaced is kept: there is no way back."]
    return ["It can be rolled back until it is discarded: what is live is kept aside, or backed up first."]


async def _environment(console: ConsoleApp, host: str) -> str:
    known = {each.name: each for each in await console.engine.hosts()}
    found = known[host].options.get("environment") if host in known else None
    return f" -- env: {str(found).upper()}" if found else ""


def _command(request: RestoreRequest) -> str:
    return "holdfast " + shlex.join(["restore", *restored_words(request)])


async def files_here(console: ConsoleApp, backup: Backup) -> None:
    """Asks for a folder of this machine, and restores all of a backup into it. Raises: UsageError, RestoreError where there is no room."""
    said = await console.ask_line(f"restore {backup.source} into folder: ", str(Path.cwd() / backup.source))
    if not said:
        return
    folder = local_path(said)
    await asyncio.to_thread(require_room, folder, backup.size_bytes)
    request = RestoreRequest(backup.backup_id, folder)
    job = await console.submit("restore", request, f"restore of {backup.source} into {folder}")
    await console.main.pane.push(RunningView(job, backup.source))


def local_path(text: str) -> str:
    """A path of this machine as a person types, pastes or drops it. Raises: UsageError for several."""
    words = [each for each in paths.pasted(text)[0] if each]
    if len(words) != 1:
        raise UsageError("one folder is needed", hint="quote it where it holds spaces")
    return paths.absolute(words[0])


def require_room(folder: str, size_bytes: int) -> None:
    """Before anything starts. Raises: RestoreError, UsageError. Blocks: for a thread."""
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UsageError(f"{folder} is a file", hint="name a folder")
    free = free_bytes(folder)
    if free is not None and free < size_bytes:
        raise RestoreError(
            f"{folder} has {size(free)} free, and {size(size_bytes)} are needed; nothing was changed",
            hint="name a folder on another disk, or pick a part of the backup",
        )


async def export(console: ConsoleApp, backup: Backup) -> None:
    """Asks where to and how, and downloads."""
    await backup_work.download(console, backup)


def free_bytes(folder: str) -> int | None:
    """Room where a folder of this machine is, or will be. Blocks: for a thread."""
    place = Path(folder)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None
