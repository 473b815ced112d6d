"""What mends what is at risk: of each concern a few words for its row, and the action behind them. Pure but for `mend`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from engine.model.alerts import Condition
from engine.model.status import Concern

if TYPE_CHECKING:
    from tui.panes.sources import SourcesView

Mend = Callable[["SourcesView", Concern], Awaitable[None]]


def source_of(concern: Concern) -> str:
    """The source that it is about; empty where it is about something else."""
    noun, _, name = concern.subject.partition(" ")
    return name if noun == "source" else ""


def name_of(concern: Concern) -> str:
    """Its subject's name, without the noun of a source, which most are."""
    return source_of(concern) or concern.subject


def words_of(concern: Concern) -> str:
    """What `m` does."""
    return _REMEDIES[concern.condition][0] if _is_of_source(concern) else "its log"


def haste(condition: Condition) -> int:
    """How little it can wait: 0 first."""
    found = (place for place, each in enumerate(_WORST_FIRST) if condition in each)
    return next(found, len(_WORST_FIRST))


async def mend(view: SourcesView, concern: Concern) -> None:
    """Does it, or leads to where a person does. Raises: what the engine raises."""
    work = _REMEDIES[concern.condition][1] if _is_of_source(concern) else _show_log
    await work(view, concern)


def _is_of_source(concern: Concern) -> bool:
    """Whether the remedy fits its subject: what failed may also be a schedule's prune, which no backup mends."""
    return concern.condition not in _OF_SOURCES or bool(source_of(concern))


async def _back_up(view: SourcesView, concern: Concern) -> None:
    from engine.model.requests import BackupRequest

    name = source_of(concern)
    await view.console.submit("backup", BackupRequest((name,)), f"backing up {name}")


async def _drill(view: SourcesView, concern: Concern) -> None:
    await view.lead_to_restore(source_of(concern))


async def _copy(view: SourcesView, concern: Concern) -> None:
    from engine.model.requests import CopyRequest

    storage = concern.remedy.split()[-1]
    await view.console.submit(
        "copy", CopyRequest("", storage, is_missing=True), f"copying what {storage} misses"
    )


async def _compare(view: SourcesView, concern: Concern) -> None:
    before, after = concern.remedy.split()[-2:]
    await view.compare(before, after)


async def _details(view: SourcesView, concern: Concern) -> None:
    await view.show_details(source_of(concern))


async def _show_log(view: SourcesView, concern: Concern) -> None:
    from tui.dialogs.reader import Reader

    if concern.job_id:
        await view.show_log(concern.job_id)
    else:
        await view.console.ask(Reader(concern.subject, [concern.reason, "", f"-> {concern.remedy}"]))


async def _test_host(view: SourcesView, concern: Concern) -> None:
    from tui.dialogs.reader import Reader

    name = concern.subject.partition(" ")[2]
    view.console.tell(f"host {name}: connecting…")
    report = await view.console.engine.test_host(name)
    lines = [
        f"{report.hostname}, as {report.user}, in {report.duration_s:.1f} s",
        *([] if report.uncovered else ["every database and data folder has a source"]),
        *[f"no source takes {each}" for each in report.uncovered],
        *(["", "these would:"] if report.proposals else []),
        *report.proposals,
    ]
    await view.console.ask(Reader(f"host {name}", lines))


async def _cover(view: SourcesView, concern: Concern) -> None:
    """Looks at what the host has, and makes sources of what is chosen."""
    from tui.dialogs import wizards

    await wizards.find_sources(view.console, concern.subject.partition(" ")[2])
    view.reload()


async def _to_storages(view: SourcesView, concern: Concern) -> None:
    await view.console.main.go("storage")
    view.console.tell(f"{concern.subject}: {concern.reason}")


async def _test(view: SourcesView, concern: Concern) -> None:
    if concern.subject.startswith("host "):
        await _test_host(view, concern)
        return
    name = concern.subject.partition(" ")[2]
    view.console.tell(f"storage {name}: writing and reading back…")
    found = await view.console.engine.test_storage(name)
    view.console.tell(f"storage {name} answers in {1000 * found.latency_s:.0f} ms")


async def _copy_catalog(view: SourcesView, _concern: Concern) -> None:
    from engine.model.requests import CopyCatalogRequest

    await view.console.submit("copy_catalog", CopyCatalogRequest(), "copying the catalog into every storage")


async def _rehearse_kit(view: SourcesView, _concern: Concern) -> None:
    from engine.model.requests import DrillRequest
    from tui.dialogs.menu import Menu

    names = [each.name for each in await view.console.engine.sources()]
    chosen = await view.console.ask(
        Menu("Restore which source by a recovery kit alone?", [(each, each) for each in names])
    )
    if chosen is not None:
        request = DrillRequest(chosen, scenario="kit-only")
        await view.console.submit("drill", request, f"drill of {chosen} by the recovery kit alone")


async def _resume(view: SourcesView, concern: Concern) -> None:
    name = concern.subject.partition(" ")[2]
    if name:
        await view.console.engine.resume_schedule(name)
    else:
        await view.console.engine.resume()
    view.console.tell(f"{name or 'everything'} starts by itself again")


async def _test_destination(view: SourcesView, concern: Concern) -> None:
    name = concern.subject.partition(" ")[2]
    view.console.tell(f"{name}: sending a message…")
    await view.console.engine.test_destination(name)
    view.console.tell(f"{name} took a message")


async def _ship(view: SourcesView, concern: Concern) -> None:
    from tui import log_work

    await log_work.ship(view.console, source_of(concern))


async def _show_reach(view: SourcesView, concern: Concern) -> None:
    from tui import log_work

    await log_work.show_report(view.console, source_of(concern))


async def _schedule_log(view: SourcesView, concern: Concern) -> None:
    from tui import log_work
    from tui.dialogs.wizards.schedule import add_schedule

    await add_schedule(view.console, log_work.shipping(source_of(concern)))
    view.reload()


_REMEDIES: Final[Mapping[Condition, tuple[str, Mend]]] = {
    Condition.FAILED: ("back up", _back_up),
    Condition.INCOMPLETE: ("back up", _back_up),
    Condition.OVERDUE: ("back up", _back_up),
    Condition.COPY_MISSING: ("copy it there", _copy),
    Condition.SIZE_ANOMALY: ("what changed", _compare),
    Condition.UNPROVEN: ("drill", _drill),
    Condition.PROOF_FAILED: ("drill", _drill),
    Condition.DRILL_OVER_BUDGET: ("its log", _show_log),
    Condition.OBJECTIVE_MISSED: ("details", _details),
    Condition.UNCOVERED: ("cover it", _cover),
    Condition.STORAGE_LOW: ("to storages", _to_storages),
    Condition.UNREACHABLE: ("test it", _test),
    Condition.LOCK_HELD: ("to storages", _to_storages),
    Condition.CATALOG_COPY_OLD: ("copy it", _copy_catalog),
    Condition.WORKER_GONE: ("how", _show_log),
    Condition.HOME_FULL: ("how", _show_log),
    Condition.KIT_UNTESTED: ("drill the kit", _rehearse_kit),
    Condition.PAUSED_LONG: ("resume", _resume),
    Condition.DELIVERY_FAILED: ("send again", _test_destination),
    Condition.LOG_GAP: ("back up", _back_up),
    Condition.LOG_OTHER_SERVER: ("back up", _back_up),
    Condition.LOG_LONG: ("back up", _back_up),
    Condition.LOG_STOPPED: ("ship now", _ship),
    Condition.LOG_ROOM: ("ship now", _ship),
    Condition.LOG_WARNED: ("its log", _show_reach),
    Condition.LOG_CLOCK: ("its log", _show_reach),
    Condition.LOG_UNSCHEDULED: ("schedule it", _schedule_log),
    Condition.RESTORE_LEFT: ("its log", _show_log),
}
_WORST_FIRST: Final = (
    (
        Condition.PROOF_FAILED, Condition.FAILED, Condition.UNREACHABLE, Condition.HOME_FULL, Condition.WORKER_GONE, Condition.LOG_GAP,
        Condition.LOG_OTHER_SERVER, Condition.LOG_ROOM,
    ),
    (Condition.OVERDUE, Condition.LOG_STOPPED, Condition.STORAGE_LOW, Condition.LOCK_HELD, Condition.COPY_MISSING, Condition.OBJECTIVE_MISSED),
    (Condition.INCOMPLETE, Condition.SIZE_ANOMALY, Condition.UNCOVERED, Condition.DELIVERY_FAILED, Condition.CATALOG_COPY_OLD),
)  # fmt: skip
"""What cannot be brought back, or soon nothing can be backed up; what grows older; what is not whole. All else can wait for the morning."""
_OF_SOURCES: Final = frozenset(
    (Condition.FAILED, Condition.INCOMPLETE, Condition.OVERDUE, Condition.UNPROVEN, Condition.PROOF_FAILED, Condition.OBJECTIVE_MISSED)
)  # fmt: skip
