"""Schedules, destinations and recovery plans, defined and changed by forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.alerts import Occasion
from engine.model.definitions import Source
from engine.model.schedules import Action, Schedule, Timing
from tests.jobs.world import World
from tests.tui.seat import do, open_console
from tests.tui.test_wizards import choose, put
from tui.dialogs import base, form
from tui.panes.timeline import LEVEL

pytestmark = pytest.mark.slow
ADDRESS = "json://user:hunter-2@127.0.0.1:1/path"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test waits until it sees something, and for no person."""
    monkeypatch.setattr(base, "DEAF_S", 0.0)
    monkeypatch.setattr(form, "PATIENCE_S", 0.02)


async def test_a_schedule_shows_its_next_runs_while_it_is_typed(world: World, tmp_path: Path) -> None:
    """And what else works at the same host then."""
    await world.add_storages("main")
    await world.add_files("site", tmp_path)
    timing = Timing("Europe/Berlin")
    await world.engine.add_schedule(
        Schedule("early", rhythm="daily at 02:05", sources=("site",), timing=timing)
    )
    async with open_console(world.engine) as seat:
        await seat.press("2", "n")
        await seat.sees("New schedule", "backup, free")
        await put(seat, "cron", "now and then")
        await seat.sees("'now and then' is no rhythm")
        await put(seat, "timezone", "Europe/Berlin")
        await put(seat, "cron", "daily at 02:00")
        await put(seat, "name", "nightly")
        await put(seat, "source", "kind:files")
        await seat.sees("overlaps early 02:05 on localhost", "nightly")
        seat.app.screen.query_one("#field-keep_preset").focus()
        await seat.press("ctrl+o")
        await seat.sees("gfs", "7 daily")
        await seat.press("down", "enter")
        await seat.sees("--keep-preset")
        await put(seat, "keep_preset", "everything")
        await seat.press("ctrl+s")
        await seat.sees("there is no keep preset everything")
        assert [each.schedule.name for each in await world.engine.schedules()] == ["early"]
        await put(seat, "keep_preset", "gfs")
        await seat.press("ctrl+s")
        await seat.sees("schedule nightly is written down: next at")
    made = (await world.engine.show_schedule("nightly")).schedule
    assert (made.rhythm, made.sources, made.options["keep_preset"]) == (
        "daily at 02:00",
        ("kind:files",),
        "gfs",
    )
    assert made.timing.timezone == "Europe/Berlin"


async def test_a_schedule_is_changed_and_forgotten(world: World, tmp_path: Path) -> None:
    """Only what differs is in the line."""
    await world.add_storages("main")
    await world.add_files("site", tmp_path)
    await world.engine.add_schedule(Schedule("nightly", rhythm="daily at 02:00", sources=("site",)))
    async with open_console(world.engine) as seat:
        await seat.press("2")
        await seat.sees("nightly")
        await seat.press("e")
        await seat.sees("Edit schedule nightly", "next ")
        await put(seat, "cron", "hourly")
        await seat.sees("holdfast schedule edit nightly --cron hourly")
        await seat.press("ctrl+s")
        await seat.sees("schedule nightly is changed")
        assert (await world.engine.show_schedule("nightly")).schedule.rhythm == "hourly"
        await seat.press("X")
        await seat.sees("FORGET SCHEDULE nightly")
        await seat.type("nightly")
        await seat.press("enter")
        await seat.sees("schedule nightly is forgotten")
    assert await world.engine.schedules() == []


async def test_a_schedule_of_another_action_has_the_fields_of_that_action(
    world: World, tmp_path: Path
) -> None:
    """A drill has a budget and no rules of retention."""
    await world.add_files("site", tmp_path)
    template = Schedule("weekly", Action.DRILL, "weekly on sunday at 05:00", is_template=True)
    await world.engine.add_schedule(template)
    async with open_console(world.engine) as seat:
        await seat.press("2", "n")
        await seat.sees("from the template weekly")
        await seat.press("down", "enter")
        await seat.sees("budget", "level", "drill, free")
        assert "keep-preset" not in seat.text
        await put(seat, "source", "site")
        await put(seat, "budget", "10m")
        await seat.sees("--budget 10m")
        await seat.press("pagedown")
        await seat.sees("budget = 600")
        await seat.press("ctrl+s")
        await seat.sees("schedule drill is written down")
    made = (await world.engine.show_schedule("drill")).schedule
    assert (made.action, made.options["budget"], made.is_template) == (Action.DRILL, 600, False)


async def test_a_destination_keeps_its_address_to_itself(world: World) -> None:
    """It holds a password."""
    async with open_console(world.engine) as seat:
        await do(seat, "who is told of")
        await seat.sees("nobody is told of anything yet")
        await seat.press("n")
        await seat.sees("New destination")
        await put(seat, "name", "ops")
        await put(seat, "url", "nonsense")
        await seat.press("ctrl+s")
        await seat.misses("saving")
        assert await world.engine.destinations() == []
        await put(seat, "url", ADDRESS)
        await put(seat, "on", "failure alert")
        await seat.sees("json://127.0.0.1", "--url -", "--on failure --on alert", 'url = "vault:notify.ops"')
        assert "hunter-2" not in seat.text
        await seat.press("ctrl+s")
        await seat.sees("ops is told at json://127.0.0.1")
        made = await world.engine.show_destination("ops")
        assert (made.url, made.occasions) == ("vault:notify.ops", (Occasion.FAILURE, Occasion.ALERT))
        assert (await world.engine._parts.vault.get("notify.ops")).reveal() == ADDRESS.encode()
        await seat.press("e")
        await seat.sees("Edit destination ops", "vault:notify.ops")
        await put(seat, "digest", "25:00")
        await seat.press("ctrl+s")
        await seat.sees("is no time of day")
        await put(seat, "digest", "08:00")
        await put(seat, "on", "")
        await seat.sees("holdfast notify edit ops --digest 08:00 --unset on")
        await seat.press("ctrl+s")
        await seat.sees("destination ops is changed")
    changed = await world.engine.show_destination("ops")
    assert (changed.digest_at, changed.occasions, changed.shown) == ("08:00", (), made.shown)


async def test_a_plan_is_written_down_step_by_step(world: World, tmp_path: Path) -> None:
    """Before it is needed, by whoever knows the order."""
    for name in ("shop", "site"):
        await world.add_files(name, tmp_path)
    async with open_console(world.engine) as seat:
        await seat.press("3", "P")
        await seat.sees("there is no recovery plan yet")
        await seat.press("n")
        await seat.sees("New recovery plan")
        await put(seat, "name", "all")
        await put(seat, "step-0", "shop --in-place --to /a")
        await seat.sees("to two places")
        await put(seat, "step-0", "shop --in-place")
        await seat.sees("step 2", "never backed up yet")
        await put(seat, "step-1", "sit --to /srv/r")
        await seat.press("ctrl+s")
        await seat.sees("there is no source named sit")
        assert await world.engine.plans() == []
        await put(seat, "step-1", "site --to /srv/r --go-on")
        await put(seat, "budget", "2h")
        await seat.sees("--go-on' --budget 2h")
        await seat.press("ctrl+s")
        await seat.sees("plan all is written down")
        made = await world.engine.show_plan("all")
        assert ([each.source for each in made.steps], made.budget_s) == (["shop", "site"], 7200)
        await seat.sees("> all")
        await seat.press("c")
        await seat.sees("Edit plan all")
        await put(seat, "step-0", "")
        await seat.sees("holdfast plan edit all --step")
        await seat.press("ctrl+s")
        await seat.sees("plan all is changed")
    assert [each.source for each in (await world.engine.show_plan("all")).steps] == ["site"]


async def test_a_log_is_shipped_and_a_random_instant_drilled_to_on_schedule(world: World) -> None:
    """Each with the options that it alone has; shipping is seen in the day ahead as what it is."""
    await world.add_storages("main")
    await world.engine.add_source(
        Source("shop", "postgres", options={"physical": True, "log_spool": "/var/spool/log"})
    )
    async with open_console(world.engine) as seat:
        for action, options in (
            ("ship", {"to": "main", "follow": "4m", "poll": "5s"}),
            ("drill", {"level": LEVEL, "budget": "15m"}),
        ):
            await seat.press("2", "n")
            await seat.sees("New schedule")
            await choose(seat, "action", action)
            for field, text in {"cron": "every 5 minutes", "source": "shop", **options}.items():
                await put(seat, field, text)
            await seat.sees(*(f"--{name} {value}" for name, value in options.items()))
            await seat.press("ctrl+s")
            await seat.sees(f"schedule {action} is written down")
        await seat.sees("L")
    found = {each.schedule.name: each.schedule for each in await world.engine.schedules()}
    assert found["ship"].options == {"follow": 240, "poll": 5}
    assert found["drill"].options == {"level": LEVEL, "budget": 900}
    assert await world.engine.log_storages("shop") == ("main",)
