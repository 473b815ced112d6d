"""What holds of every view: that it bears any size of the terminal, an empty home, and a session that may change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from textual import events
from textual.geometry import Size

from engine.model.backup import Backup
from engine.model.requests import RestoreRequest
from engine.model.schedules import Schedule
from tests.jobs.world import World
from tests.tui.seat import Seat, open_console
from tests.unit.tui.test_actions import PLACES
from tui.actions import of_place
from tui.dialogs.base import Dialog
from tui.panes.base import View
from tui.panes.compare import CompareView
from tui.panes.contents import ContentsView
from tui.panes.found import FoundView
from tui.panes.history import HistoryView
from tui.panes.restore_evidence import EvidenceView
from tui.panes.restore_pick import PickView
from tui.panes.restore_plans import PlansView
from tui.panes.restore_point import PointView
from tui.panes.restore_running import RunningView
from tui.panes.restore_text import Target
from tui.panes.schedule_keep import KeepView
from tui.panes.schedule_runs import InstantsView
from tui.panes.shares import SharesView
from tui.widgets.rows import RowTable

pytestmark = pytest.mark.slow
Opening = Callable[[Seat], Awaitable[object]]


def _key(key: str) -> Opening:
    return lambda seat: seat.press(key)


def _action(name: str) -> Opening:
    return lambda seat: getattr(seat.app.main, f"do_{name}")()


def _view(make: Callable[[Backup], View]) -> Opening:
    async def push(seat: Seat) -> None:
        engine = seat.app.engine
        await seat.app.main.pane.push(make(await engine.latest_backup("tree")))

    return push


async def _pick(seat: Seat) -> None:
    engine = seat.app.engine
    backup, ways = await engine.latest_backup("tree"), await engine.ways("tree")
    request = RestoreRequest(backup.backup_id)
    await seat.app.main.pane.push(PickView(backup, Target.FILES, request, ways, lambda _: None))


async def _running(seat: Seat) -> None:
    (job,) = await seat.app.engine.jobs(verb="backup")
    await seat.app.main.pane.push(RunningView(job, "tree"))


OPENINGS: Mapping[str, Opening] = {
    "sources": _key("1"),
    "schedules": _key("2"),
    "restore": _key("3"),
    "storage": _key("4"),
    "hosts": _action("hosts_open"),
    "vault": _action("vault_open"),
    "alerts": _action("alerts_open"),
    "destinations": _action("destinations_open"),
    "history": _view(lambda backup: HistoryView(backup.source)),
    "contents": _view(ContentsView),
    "compare": _view(lambda backup: CompareView(backup.backup_id, backup.backup_id)),
    "found": _view(lambda _: FoundView("*")),
    "shares": _view(lambda _: SharesView()),
    "instants": _view(lambda _: InstantsView("nightly")),
    "keep": _view(lambda _: KeepView("nightly")),
    "plans": _view(lambda _: PlansView()),
    "evidence": _view(lambda _: EvidenceView()),
    "point": _view(lambda backup: PointView(backup.source)),
    "pick": _pick,
    "running": _running,
}
"""How each view is come to, in a home that has one of everything; nothing stands open."""
SMALL = (20, 5)
OUTERMOST = ("sources", "schedules", "restore", "storage", "hosts", "vault", "alerts", "destinations")
"""Those that an empty home has too."""


def test_every_view_is_among_them() -> None:
    """One that is added is tried here too."""
    assert set(OPENINGS) == {name for name, place in PLACES.items() if issubclass(place, View)}


async def _open(seat: Seat, place: str) -> View:
    """Opens a view; it has been read when this returns."""
    while await seat.app.main.pane.pop():
        pass
    await OPENINGS[place](seat)
    await seat.pilot.pause()
    view = seat.app.main.pane.view
    assert place == view.PLACE
    for worker in list(seat.app.workers):
        if worker.group == f"load {id(view)}":
            await worker.wait()
    await seat.pilot.pause()
    return view


async def _one_of_everything(world: World, tree: Path) -> None:
    tree.mkdir()
    (tree / "file").write_text("content")
    await world.add_storages("main")
    await world.add_files("tree", tree)
    await world.one_backup("tree")
    rules = {"keep_last": 1}
    await world.engine.add_schedule(Schedule("nightly", rhythm="0 2 * * *", sources=("tree",), options=rules))
    await world.engine.add_schedule(Schedule("hourly", rhythm="0 * * * *", sources=("tree",)))


async def test_every_view_bears_any_size_and_says_why_it_is_read_only(world: World, tmp_path: Path) -> None:
    """A telephone, a window that is dragged, a guest: the console lives, and of a list there is a row."""
    await _one_of_everything(world, tmp_path / "tree")
    async with open_console(world.engine, size=SMALL, is_read_only=True) as seat:
        for place in OPENINGS:
            view = await _open(seat, place)
            for action in of_place(place):
                if action.is_changing:
                    view.perform(action)
                    assert not isinstance(seat.app.screen, Dialog), action
            for table in view.query(RowTable):
                row = table.current
                if row is not None and table.display:
                    assert any(row.cells[0][:6] in line for line in seat.rows), (place, seat.text)
            for size in ((1, 1), (200, 60), (3, 40)):
                seat.app.post_message(events.Resize(Size(*size), Size(*size)))
            await seat.pilot.resize_terminal(*SMALL)
            assert seat.app.screen is seat.app.main, (place, seat.text)
            assert "mistake" not in seat.text, (place, seat.text)
    assert len(await world.engine.jobs()) == 1


async def test_an_empty_home_has_every_view_that_needs_nothing(world: World) -> None:
    """On a telephone, too; what makes no sense there says why."""
    async with open_console(world.engine, size=SMALL) as seat:
        for place in OUTERMOST:
            view = await _open(seat, place)
            for action in of_place(place):
                view.why_off(action)
            assert "mistake" not in seat.text, (place, seat.text)
            assert seat.app.screen is seat.app.main, (place, seat.text)


async def test_titles_are_covered_by_nothing(world: World, tmp_path: Path) -> None:
    """`3/8` hid what the last column is."""
    for number in range(30):
        await world.add_files(f"source-{number:02}", tmp_path)
    async with open_console(world.engine) as seat:
        await seat.sees("SOURCE", "1/30", "STATE")
        await seat.press("slash")
        await seat.type("source-")
        await seat.press("enter", "j")
        await seat.sees("SOURCE", "/sourc… 2/30", "STATE")
