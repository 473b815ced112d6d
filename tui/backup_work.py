"""What is done with sources and backups from several views: each a few questions, then a job for a worker, or a change of the catalog."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from engine.errors import HoldfastError, UsageError
from engine.model import described, log_words
from engine.model.archives import DownloadResult, ShareResult, archive_name
from engine.model.backup import Backup, BackupFilter, OrderBy, Ordered
from engine.model.erasures import EraseResult
from engine.model.instants import Target
from engine.model.job import Job, JobStatus
from engine.model.requests import (
    BackupRequest,
    DeleteRequest,
    DownloadRequest,
    DrillRequest,
    EraseRequest,
    VerifyRequest,
)
from engine.model.results import ForgetResult
from engine.model.text import counted, instant
from tui import keys
from tui.dialogs.confirm import Confirm, TypeName
from tui.dialogs.menu import Menu
from tui.dialogs.reader import Reader
from tui.dialogs.waiting import Waiting
from tui.text import age, moment, printable, short_size, size

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_NAMED: Final = 6
"""So many are named one by one in a question."""
_SAME_INSTANT: Final = 64
"""More backups of one source were never taken in the same instant."""


@runtime_checkable
class Chooser(Protocol):
    """The pane that restores, as others lead to it."""

    async def choose(
        self, source: str, backup: str = "", paths: Sequence[str] = (), instant: Target | None = None
    ) -> None:
        """Shows the plan of a drill or restore of this source's newest backup, or of that one; `paths`: of these alone; `instant`: by its log."""


async def lead_to_restore(
    console: ConsoleApp,
    source: str,
    backup: str = "",
    paths: Sequence[str] = (),
    instant: Target | None = None,
) -> None:
    """To the pane that restores and drills, with these chosen."""
    pane = await console.main.go("restore")
    if isinstance(pane, Chooser):
        await pane.choose(source, backup, paths, instant)


async def as_of(console: ConsoleApp, source: str, said: str) -> Backup:
    """Its newest backup of before a time, as `--at` understands it. Raises: UsageError for what is no time, UnknownNameError where there is none so old."""
    at = console.engine.instant(said)
    if at > console.now():
        raise UsageError(f"{said!r} is yet to come", hint="say when it was still as you want it back")
    return await console.engine.latest_backup(source, at)


async def place_of(console: ConsoleApp, order: Ordered, backup: Backup) -> int:
    """Where a backup stands in the order of time, newest first; found by halves."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        (found,) = await console.engine.backups_at(order, middle, 1)
        if found is None or found.created_at > backup.created_at:
            low = middle + 1
        else:
            high = middle
    page = await console.engine.backups_at(order, low, _SAME_INSTANT)
    ids = [each.backup_id if each is not None else "" for each in page]
    return low + (ids.index(backup.backup_id) if backup.backup_id in ids else 0)


async def ended(console: ConsoleApp, job: Job) -> Job:
    """Waits until a job is over, however long: whoever leaves the console meanwhile loses nothing. Raises: HoldfastError where it failed."""
    last = job
    async for now in console.engine.follow_job(job.job_id):
        last = now
    return _well(last)


def _well(last: Job) -> Job:
    if last.status not in (JobStatus.COMPLETED, JobStatus.INCOMPLETE):
        raise HoldfastError(
            f"job {last.job_id} ended as {last.status.value}{f': {last.error}' if last.error else ''}",
            hint=f"{keys.of('drawer.jobs')} shows its log",
        )
    return last


async def show_log(console: ConsoleApp, job_id: str) -> None:
    """A job's log on a page."""
    job = await console.engine.show_job(job_id)
    lines = [
        f"{line.at.astimezone():%H:%M:%S} {line.message}" for line in await console.engine.job_log(job_id)
    ]
    said = [job.error] if job.error else []
    await console.ask(Reader(f"job {job_id}, {job.verb}: {job.status.value}", [*lines, *said]))


async def show_last_log(console: ConsoleApp, *, sources: Sequence[str] = (), storage: str = "") -> None:
    """The log of the last job of any of these sources, or at that storage; says so where none is known."""
    job = await console.engine.last_job_of(sources=sources, storage=storage)
    if job is None:
        console.tell(f"no job of {storage or named(sources) or 'it'} is known")
    else:
        await show_log(console, job.job_id)


# Sources.


async def back_up(console: ConsoleApp, sources: Sequence[str]) -> None:
    """Now, as usual."""
    await console.submit("backup", BackupRequest(tuple(sources)), f"backing up {named(sources)}")


async def back_up_as(console: ConsoleApp, sources: Sequence[str]) -> None:
    """Asks how."""
    from tui.dialogs.backup_forms import backup_form

    await console.ask(backup_form(console, tuple(sources), await console.engine.storages()))


async def drill_all(console: ConsoleApp, sources: Sequence[str]) -> None:
    """Asks once, then hands one drill a source to the worker, which runs one after the other."""
    lines = [
        *[printable(each) for each in sources[:20]],
        *([f"and {len(sources) - 20} more"] if len(sources) > 20 else []),
        "One after the other, each into a scratch target that is thrown away; nothing that is live is written to.",
        f"They go on whoever leaves; {keys.of('drawer.jobs')} shows how far they are, and what came of all of them.",
    ]
    if await console.ask(Confirm(f"Drill {counted(len(sources), 'source')}?", lines, yes="drill them")):
        requests = [DrillRequest(each) for each in sources]
        await console.batches.submit("drill", requests, f"drills of {counted(len(sources), 'source')}")


async def define_source(console: ConsoleApp, name: str = "") -> None:
    """The wizard for a source that there is, or what can be new: a source, a host, all of the way to a first backup."""
    from tui.dialogs import wizards

    await (wizards.edit_source(console, name) if name else wizards.define(console))


# Backups.


async def verify(console: ConsoleApp, backups: Sequence[str]) -> None:
    """Asks how deep, then one job a backup, one after the other."""
    deep = await console.ask(
        Menu(
            f"Verify {counted(len(backups), 'backup')}",
            [
                ("readable", "its structure: every part of it is there          (readable)"),
                ("verified", "read everything again and compare the digests     (verified)"),
            ],
        )
    )
    if deep is None:
        return
    requests = [VerifyRequest(each, is_reading_data=deep == "verified") for each in backups]
    if len(requests) == 1:
        await console.submit("verify", requests[0], f"verifying {backups[0]}")
    else:
        await console.batches.submit("verify", requests, f"verifying {counted(len(backups), 'backup')}")


async def download_newest(console: ConsoleApp, backup: Backup, path: str = "/") -> None:
    """Into the folder that the console was started in, without a question; says where it went when it is there."""
    file = _here(archive_name(backup, ""))
    request = DownloadRequest(backup.backup_id, file, path=path)
    await tell_download(console, await console.submit("download", request, f"downloading to {file}"))


async def download(console: ConsoleApp, backup: Backup, path: str = "/") -> None:
    """Asks where to and how; says where it went when it is there. Raises: HoldfastError."""
    from tui.dialogs.backup_forms import download_form

    form = download_form(console, backup, path)
    if await console.ask(form) and form.job is not None:
        await tell_download(console, form.job)


async def share(console: ConsoleApp, backup: Backup, path: str = "/") -> None:
    """Asks where and how long; shows the link when it is there. Raises: HoldfastError."""
    from tui.dialogs.backup_forms import share_form

    form = share_form(console, backup, await console.engine.storages(), path)
    if await console.ask(form) and form.job is not None:
        done = await console.ask(Waiting(console, form.job, f"Sharing {backup.backup_id}"))
        result = console.engine.result_of(done) if done is not None else None
        if isinstance(result, ShareResult):
            await show_link(console, result.storage, result.name)
        elif done is not None:
            _well(done)


async def show_link(console: ConsoleApp, storage: str, name: str) -> None:
    """The link of what is shared, to be copied: it is kept nowhere. Raises: UnknownNameError, StorageError."""
    from tui.dialogs.link import LinkDialog

    await console.ask(LinkDialog(name, await console.engine.share_link(storage, name)))


async def tell_download(console: ConsoleApp, job: Job) -> None:
    """Says where an archive went, when it is there. Raises: HoldfastError."""
    result = console.engine.result_of(await ended(console, job))
    if isinstance(result, DownloadResult):
        console.tell(f"downloaded, {size(result.size_bytes)}: {printable(result.file)}")


async def protect(console: ConsoleApp, backups: Sequence[Backup]) -> None:
    """From forget and delete."""
    for each in backups:
        await console.engine.protect_backup(each.backup_id, is_protected=True, hold_reason=each.hold_reason)
    console.tell(f"{_which(backups)} protected")


async def unprotect(console: ConsoleApp, backups: Sequence[Backup]) -> None:
    """Asks, and passes the guard: what nothing protects may go tonight."""
    reasons = [f"{each.backup_id} is held: {each.hold_reason}" for each in backups if each.hold_reason]
    asked = Confirm(f"End the protection of {counted(len(backups), 'backup')}?", reasons, yes="end it")
    if await console.ask(asked) and await console.pass_guard("history.unprotect"):
        for each in backups:
            await console.engine.protect_backup(each.backup_id, is_protected=False)
        console.tell(f"{_which(backups)} protected and held no more")


async def hold(console: ConsoleApp, backups: Sequence[Backup]) -> None:
    """Asks why."""
    reason = await console.ask_line("held, because: ", backups[0].hold_reason)
    if not reason:
        return
    for each in backups:
        await console.engine.protect_backup(
            each.backup_id, is_protected=each.is_protected, hold_reason=reason
        )
    console.tell(f"{_which(backups)} held: {printable(reason)}")


async def expire(console: ConsoleApp, backups: Sequence[Backup]) -> None:
    """Asks from when on they may go; nothing: no such instant. Raises: UsageError for what is no instant."""
    last = backups[0].expires_at
    said = await console.ask_line(
        "may go from (30d, 2027-01-31, or nothing): ", instant(last) if last else ""
    )
    if said is None:
        return
    at = console.engine.instant(said, is_ahead=True) if said.strip() else None
    for each in backups:
        await console.engine.expire_backup(each.backup_id, at)
    console.tell(f"{_which(backups)} {f'may go from {instant(at)} on' if at else 'may stay for ever'}")


async def delete(console: ConsoleApp, backups: Sequence[Backup]) -> bool:
    """The plan, the typed name, the guard, then a job; whether it was handed over. Raises: UsageError where one must stay."""
    kept = next((each for each in backups if each.is_protected or each.hold_reason), None)
    if kept is not None:
        raise UsageError(
            f"backup {kept.backup_id} is kept: {kept.hold_reason or 'it is protected'}",
            hint=f"{keys.of('history.unprotect')} takes that away, if you may",
        )
    sources = sorted({each.source for each in backups})
    name = sources[0] if len(sources) == 1 else f"delete {len(backups)}"
    ids = tuple(each.backup_id for each in backups)
    only = await _only(console, ids)
    lines = [line for source in sources for line in await _deletion(console, source, backups)]
    lines += ["", *only]
    lines += ["", f"Same as: holdfast delete {' '.join(ids)}"]
    title = (
        f"DELETE {counted(len(backups), 'BACKUP').upper()} of {printable(named(sources))} in every storage"
    )
    if not await console.ask(TypeName(title, lines, name)):
        return False
    if not await console.pass_guard("history.delete"):
        return False
    await console.submit("delete", DeleteRequest(ids), f"deleting {counted(len(ids), 'backup')}")
    return True


async def _only(console: ConsoleApp, ids: tuple[str, ...]) -> Sequence[str]:
    """What only these hold, as a worker finds out; who does not wait goes on without knowing."""
    title = "Looking what only these backups hold (esc goes on without knowing)"
    done = await console.finish("delete", DeleteRequest(ids, is_dry_run=True), title, ForgetResult)
    if done is None:
        return ["What only they hold is not known."]
    return [
        *(f"! {log_words.lost(each, is_done=False)}" for each in done.lost),
        *(
            f"Data that only these hold in {printable(each.storage)}: {size(each.size_bytes)}, freed at the next prune."
            for each in done.only
        ),
    ]


async def _deletion(console: ConsoleApp, source: str, backups: Sequence[Backup]) -> list[str]:
    """What goes of one source, and what stays."""
    engine, now = console.engine, console.now()
    doomed = [each for each in backups if each.source == source]
    ids = {each.backup_id for each in doomed}
    chosen = BackupFilter(source=source)
    left = await engine.count_backups_of(source) - len(ids)
    lines = [
        f"{each.backup_id}  {moment(each.created_at, now)}  {short_size(each.size_bytes)}  {described.proof(each)}  in {described.storages(each)}"
        for each in doomed[:_NAMED]
    ]
    lines += [f"and {len(doomed) - _NAMED} more"] if len(doomed) > _NAMED else []
    if not left:
        return [*lines, f"NOTHING of {printable(source)} stays recoverable."]
    newest = await _first_left(console, chosen, ids, is_falling=True)
    oldest = await _first_left(console, chosen, ids, is_falling=False)
    ends = ""
    if newest is not None and oldest is not None:
        ends = f", newest {age(newest.created_at, now)} ago, oldest {instant(oldest.created_at)}"
    return [*lines, f"Still recoverable: {counted(left, 'point')}{ends}."]


async def _first_left(
    console: ConsoleApp, chosen: BackupFilter, doomed: set[str], *, is_falling: bool
) -> Backup | None:
    order = await console.engine.ordered_backups(
        chosen, OrderBy.CREATED, is_falling=is_falling, limit=len(doomed) + 1
    )
    found = await console.engine.backups_at(order, 0, len(order))
    return next((each for each in found if each is not None and each.backup_id not in doomed), None)


async def erase(console: ConsoleApp, source: str, path: str) -> None:
    """Asks why, has a worker find out what would go, shows that, has the path typed, then a job. Raises: HoldfastError."""
    reason = await console.ask_line("erase it from every backup, because: ")
    if reason is None:
        return
    asked = EraseRequest(path, source, reason, is_dry_run=True)
    title = f"Looking for {printable(path)} in all backups of {printable(source)}"
    found = await console.finish("erase", asked, title, EraseResult)
    if found is None:
        return
    lines = [
        *_erasure(found),
        "",
        f"Same as: holdfast erase {printable(path)} --source {printable(source)}",
        "If it is still there, the next backup takes it again: exclude it in the source.",
    ]
    title = f"ERASE {printable(path)} from all backups of {printable(source)}, for ever"
    if not await console.ask(TypeName(title, lines, source)):
        return
    if await console.pass_guard("contents.erase"):
        request = EraseRequest(path, source, reason)
        await console.submit("erase", request, f"erasing {path} from the backups of {source}")


def _erasure(result: EraseResult) -> list[str]:
    lines = []
    for each in result.storages:
        lines.append(
            f"storage {each.storage}: from {counted(each.snapshots, 'backup')}, {counted(each.files, 'file')} with {size(each.size_bytes)} in all"
        )
        if each.still_needed_bytes:
            lines.append(f"  {size(each.still_needed_bytes)} of it other files hold as well: that stays")
    return [*lines, *result.warnings]


async def dump(console: ConsoleApp, backup: str, path: str) -> None:
    """Asks for a file of this machine, and writes the content there. Raises: UsageError where that cannot be; PathMissingError, DamagedError."""
    name = await console.ask_line("write to file: ", _here(path.rpartition("/")[2] or "root"))
    if not name:
        return
    target = await asyncio.to_thread(Path(name).expanduser)
    try:
        file = await asyncio.to_thread(target.open, "xb")
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror}", hint="name a file that is not there yet"
        ) from error
    console.tell(f"writing {printable(str(target))}…")
    is_whole = False
    try:
        with file:

            async def write(data: bytes) -> None:
                await asyncio.to_thread(file.write, data)

            count = await console.engine.dump(backup, path, write)
        is_whole = True
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        if not is_whole:
            target.unlink(missing_ok=True)
    console.tell(f"written, {size(count)}: {printable(str(target))}")


def _here(name: str) -> str:
    return str(Path.cwd() / name)


def named(names: Sequence[str]) -> str:
    """`a, b and 3 more`."""
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _which(backups: Sequence[Backup]) -> str:
    if len(backups) == 1:
        return f"backup {backups[0].backup_id} is"
    return f"{len(backups)} backups are"


def until(now: datetime.datetime, expires_at: datetime.datetime) -> str:
    """How long something is still there: `2d`, `40m`; `over` where it is not."""
    return age(now, expires_at) if expires_at > now else "over"
