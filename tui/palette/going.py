"""From wherever one is to the place of an action, with what it is to be done to under the cursor; then it is done as by its key."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.errors import UnknownNameError, UsageError
from engine.model.job import Job
from engine.model.requests import BackupRequest
from engine.model.text import instant, printable
from tui import backup_work, keys
from tui.actions import ACTIONS, Action
from tui.actions.places import NOUNS, PLACES
from tui.palette import used
from tui.palette.lines import Name, Wanted
from tui.panes import timeline as timelines
from tui.panes.base import View
from tui.place import Place
from tui.widgets.rows import RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_BACKUPS, _JOBS = 100, 50
"""The newest of them are offered by name."""


async def names(console: ConsoleApp) -> Mapping[str, Sequence[Name]]:
    """What has a name, by noun: out of the catalog alone. Raises: what the engine raises."""
    engine = console.engine
    sources = [Name(each.name, each.kind) for each in await engine.sources()]
    latest = [Name(f"latest:{each.name}", "its newest") for each in sources]
    backups = await engine.backups(limit=_BACKUPS)
    return {
        "source": sources,
        "backup": [*latest, *(Name(each.backup_id, f"{each.source} {instant(each.created_at)}") for each in backups)],
        "storage": [Name(each.name, each.kind) for each in await engine.storages()],
        "host": [Name(each.name, each.address) for each in await engine.hosts()],
        "schedule": [Name(each.schedule.name) for each in await engine.schedules()],
        "plan": [Name(each.name) for each in await engine.plans()],
        "secret": [Name(name) for name, _ in await engine.secrets()],
        "destination": [Name(each.destination.name, each.destination.kind) for each in await engine.destinations()],
        "job": [Name(each.job_id, _of_job(each)) for each in await engine.jobs(limit=_JOBS)],
    }  # fmt: skip


def _of_job(job: Job) -> str:
    from tui.job_words import target_of

    return f"{job.verb} {target_of(job)} {job.status.value}"


async def do(console: ConsoleApp, wanted: Wanted) -> None:
    """What a row of the palette says. Raises: what the engine raises, UnknownNameError for a name that nothing has."""
    verb, _, noun = wanted.entry.key.partition(" ")
    if noun:
        await _go(console, noun, wanted.names, is_opened=verb == "open")
    else:
        await _act(console, ACTIONS[wanted.entry.key], wanted)
    await asyncio.to_thread(used.note, console.engine.home.directory, wanted.entry.key)


async def _act(console: ConsoleApp, action: Action, wanted: Wanted) -> None:
    if reason := console.why_off(action):
        console.tell(reason)
        return
    more = _WITH_MORE.get(action.action_id)
    if more is not None and (wanted.options or (wanted.entry.takes_text and wanted.names)):
        await more(console, wanted)
        return
    here = next((each for each in console.main.places() if action.place == each.PLACE), None)
    if here is not None and not wanted.names:
        here.perform(action)
        return
    place = await reach(console, action.place, wanted.names)
    if PLACES[action.place].is_by_hand(action):
        console.tell(f"choose one, then {console.key_of(action) or keys.of('list.open')}: {action.title}")
    else:
        place.perform(action)


async def _go(console: ConsoleApp, noun: str, names: Sequence[str], *, is_opened: bool) -> None:
    place = await reach(console, NOUNS[noun], names)
    if is_opened and names:
        place.table.list.perform(ACTIONS["list.open"])  # type: ignore[attr-defined]


# With options, or a text.


async def _back_up_to(console: ConsoleApp, wanted: Wanted) -> None:
    sources, storages = _sources(console, wanted), tuple(wanted.options["--to"].split())
    said = f"backing up {backup_work.named(sources)} to {', '.join(storages)}"
    await console.submit("backup", BackupRequest(sources, storages), said)


async def _to_instant(console: ConsoleApp, wanted: Wanted) -> None:
    (source, *_) = _sources(console, wanted)
    timeline = timelines.timeline_of(await console.engine.log_report(source))
    if timeline is not None:
        chosen = timelines.read(wanted.options["--at"], console.engine.instant)
        timeline.reach(chosen)
        await backup_work.lead_to_restore(console, source, instant=chosen)
        return
    backup = await backup_work.as_of(console, source, wanted.options["--at"])
    await backup_work.lead_to_restore(console, source, backup.backup_id)


def _sources(console: ConsoleApp, wanted: Wanted) -> tuple[str, ...]:
    """Those that were named, or those that are chosen. Raises: UsageError where none is."""
    if wanted.names:
        return wanted.names
    for place in console.main.places():
        table = getattr(place, "table", None)
        if place.PLACE in ("sources", "restore") and table is not None and (chosen := table.chosen()):
            return tuple(chosen)
    raise UsageError("no source was named", hint=f"{wanted.entry.commands[0]} SOURCE")


async def _find(console: ConsoleApp, wanted: Wanted) -> None:
    from tui.panes.found import FoundView

    if not wanted.names:
        raise UsageError("nothing to look for was named", hint="find nginx.conf --source NAME")
    _close_drawer(console)
    await _over(console, "backups", FoundView(wanted.names[0], wanted.options.get("--source", "")))


_WITH_MORE: Final[Mapping[str, Callable[[ConsoleApp, Wanted], Awaitable[None]]]] = {
    "source.backup": _back_up_to,
    "source.drill": _to_instant,
    "source.restore": _to_instant,
    "restore.drill": _to_instant,
    "history.find": _find,
}


# Places.


async def reach(console: ConsoleApp, place: str, names: Sequence[str]) -> Place:
    """Goes to a place, with these under the cursor or marked, or to the view of that one; without a name with the cursor where it is. Raises:
    UnknownNameError, and what the engine raises.
    """
    if place == "everywhere":
        return console.main
    if place == "jobs":
        return await _drawer(console, names)
    _close_drawer(console)
    if place in _TABS:
        view = await _tab(console, _TABS[place])
    elif place in _OVER:
        tab, module, kind = _OVER[place]
        view = await _over(console, tab, getattr(importlib.import_module(f"tui.panes.{module}"), kind)())
    else:
        return await _OF_ONE[place](console, names)
    if names:
        await choose(console, view, names)
    return view


_TABS: Final = {each: each for each in ("schedules", "restore", "storage")} | {"sources": "backups"}
"""Places that are the outermost views of tabs."""
_OVER: Final = {
    "hosts": ("backups", "hosts", "HostsView"),
    "alerts": ("backups", "alerts", "AlertsView"),
    "destinations": ("backups", "destinations", "DestinationsView"),
    "shares": ("backups", "shares", "SharesView"),
    "vault": ("storage", "vault", "VaultView"),
    "plans": ("restore", "restore_plans", "PlansView"),
    "evidence": ("restore", "restore_evidence", "EvidenceView"),
}
"""Lists over a tab: the tab, the module, the view."""


async def _tab(console: ConsoleApp, tab: str) -> View:
    pane = await console.main.go(tab)
    while await pane.pop():
        pass
    await console.loaded(pane.view)
    pane.view.focus_default()
    return pane.view


async def _over(console: ConsoleApp, tab: str, view: View) -> View:
    """Over the outermost one: escape leads there, however often one went somewhere."""
    pane = await console.main.go(tab)
    while await pane.pop():
        pass
    await pane.push(view)
    await console.loaded(view)
    return view


def _close_drawer(console: ConsoleApp) -> None:
    drawer = console.main.drawer
    if drawer is not None and drawer.is_open:
        drawer.toggle()


async def _drawer(console: ConsoleApp, names: Sequence[str]) -> Place:
    drawer = console.main.drawer
    if drawer is None or not drawer.is_open:
        await console.main.do_drawer_jobs()
    drawer = console.main.drawer
    assert drawer is not None
    await drawer.refresh_jobs()
    drawer.table.focus()
    if names:
        job = await console.engine.show_job(names[0])
        _put_cursor(drawer.table, [job.job_id])
    return drawer


async def choose(console: ConsoleApp, view: View, names: Sequence[str]) -> None:
    """Puts the cursor on a row, or marks several; one that came just now is read first. Raises: UnknownNameError."""
    table: RowTable = view.table  # type: ignore[attr-defined]
    if table.filter:
        table.set_filter("")
    if any(table.list.source.index_of(each) is None for each in names):
        console.load(view)
        await console.loaded(view)
    _put_cursor(table, names)


def _put_cursor(table: RowTable, names: Sequence[str]) -> None:
    for each in names:
        if table.list.source.index_of(each) is None:
            raise UnknownNameError(f"there is no {printable(each)} in this list")
    table.go_to(names[0])
    table.list.marked = dict.fromkeys(names) if len(names) > 1 else {}
    table.list.refresh()
    table.focus()


async def _history(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.panes.history import HistoryView

    found = [await console.engine.show_backup(each) for each in names]
    sources = {each.source for each in found}
    view = HistoryView(*sources) if len(sources) == 1 else HistoryView()
    await _over(console, "backups", view)
    if found:
        await view.go_to(found[0])
        view.table.list.marked = dict.fromkeys(each.backup_id for each in found) if len(found) > 1 else {}
    return view


async def _contents(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.panes.contents import ContentsView

    return await _over(
        console, "backups", ContentsView(await console.engine.show_backup(_one(names, "backup")))
    )


async def _compare(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.panes.compare import CompareView

    backup = await console.engine.show_backup(_one(names, "backup"))
    return await _over(console, "backups", CompareView(backup.backup_id))


async def _instants(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.panes.schedule_runs import InstantsView

    return await _over(console, "schedules", InstantsView(_one(names, "schedule")))


async def _keep(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.panes.schedule_keep import KeepView

    return await _over(console, "schedules", KeepView(_one(names, "schedule")))


async def _point(console: ConsoleApp, names: Sequence[str]) -> Place:
    source = (await console.engine.show_source(_one(names, "source"))).name
    await backup_work.lead_to_restore(console, source)
    pane = console.main.pane
    view = next(each for each in reversed(pane.views) if each.PLACE == "point")
    await console.loaded(view)
    return view


async def _running(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.job_words import target_of
    from tui.panes.restore_running import RunningView

    job = await console.engine.show_job(_one(names, "job"))
    if job.verb not in _SHOWN_RUNNING:
        raise UsageError(
            f"job {job.job_id} is a {job.verb}, no drill and no restore",
            hint=f"{keys.of('drawer.jobs')} shows its log",
        )
    return await _over(console, "restore", RunningView(job, target_of(job)))


async def _log(console: ConsoleApp, names: Sequence[str]) -> Place:
    from tui.dialogs.job_page import JobLog, JobPage

    page = JobPage(console, await console.engine.show_job(_one(names, "job")))
    await console.push_screen(page)
    return page.query_one(JobLog)


def _one(names: Sequence[str], noun: str) -> str:
    """The name. Raises: UsageError where none is known that could be asked for."""
    if not names:
        raise UsageError(f"there is no {noun} yet")
    return names[0]


_SHOWN_RUNNING: Final = frozenset({"drill", "restore", "rollback", "discard", "plan run", "plan drill"})
_OF_ONE: Final[Mapping[str, Callable[[ConsoleApp, Sequence[str]], Awaitable[Place]]]] = {
    "history": _history,
    "contents": _contents,
    "compare": _compare,
    "instants": _instants,
    "keep": _keep,
    "point": _point,
    "running": _running,
    "log": _log,
}
"""Views of one thing, and where to begin."""
