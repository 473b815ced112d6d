"""The fleet in one file: out of one home, into another, checked whole before anything is changed."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from engine import errors
from engine.catalog.catalog import Catalog
from engine.model.alerts import Destination, Occasion
from engine.model.definitions import Host
from engine.model.plans import Plan, PlanStep
from engine.model.requests import RestoreRequest
from engine.model.schedules import Schedule, Timing
from engine.model.secret import Secret
from tests.fakes.clock import START, FakeClock
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World, open_world
from tests.servers.restic import PASSWORD

pytestmark = pytest.mark.slow

MORE = """
# Two more, by a pattern.
[hosts."web-[1-2]"]
address = "backup@{name}.example.org"

[storages.far]
kind = "local"
path = "%s"
"""


@pytest.fixture
async def fleet(world: World) -> str:
    """The document of a world with a host, a source, a storage, a plan and somebody who is told."""
    await world.add_storages("main")
    await world.engine.add_host(Host("web", "ssh", "backup@web.example.org", {"jump": ("gate",)}))
    await world.add_files("site", Path("/srv/www"), host="web", exclude=("*.tmp",))
    step = PlanStep("site", RestoreRequest("", "/srv/back"), goes_on=True)
    await world.engine.add_plan(Plan("all", (step,), 60.0))
    await world.engine.set_secret("chat", Secret(b"json://user:token@127.0.0.1:1/path"))
    await world.engine.add_destination(
        Destination(
            "ops",
            "apprise",
            "vault:chat",
            occasions=(Occasion.ALERT,),
            only=("host web",),
            template="$title\n$body",
        )
    )
    return await world.engine.export_config()


async def test_an_exported_fleet_makes_an_empty_home_the_same(
    world: World, fleet: str, tmp_path: Path
) -> None:
    """It lies in git; no secret does."""
    assert PASSWORD not in fleet
    assert "token" not in fleet
    async with open_world(tmp_path / "other") as other:
        done = await other.engine.apply_config(fleet, "fleet.toml")
        assert [each.what for each in done.changes] == ["add"] * 5
        for one, two in (
            (await world.engine.hosts(), await other.engine.hosts()),
            (await world.engine.sources(), await other.engine.sources()),
            (await world.engine.storages(), await other.engine.storages()),
            (await world.engine.plans(), await other.engine.plans()),
        ):
            assert one == two
        (told,) = await world.engine.destinations()
        (unset,) = await other.engine.destinations()
        assert unset.destination == dataclasses.replace(told.destination, shown="")
        assert list((await other.engine.plan_config(fleet, "f")).missing_secrets) == ["chat"]
        assert await other.engine.export_config() == fleet
        assert (await other.engine.apply_config(fleet, "f", is_pruning=True)).changes == []


async def test_a_fleet_grows_by_its_file_and_the_file_follows_the_fleet(world: World, fleet: str) -> None:
    """Who edits the file and who types a verb do not undo each other's work."""
    text = fleet + MORE % world.place("far")
    planned = await world.engine.plan_config(text, "fleet.toml")
    assert [each.name for each in planned.changes] == ["web-1", "web-2", "far"]
    assert list(planned.opened) == ["far"]
    assert not world.place("far").exists()
    done = await world.engine.apply_config(text, "fleet.toml")
    assert done.changes == planned.changes
    assert done.storages[0].password in await world.engine.recovery_kit("far")
    await world.engine.edit_host("web-2", "elsewhere", {})
    rewritten = await world.engine.export_config(text)
    rest = iter(rewritten.splitlines())
    assert all(line in rest for line in text.splitlines())
    assert '[hosts.web-2]\naddress = "elsewhere"' in rewritten
    assert (await world.engine.plan_config(rewritten, "fleet.toml")).changes == []


async def test_a_file_with_a_mistake_changes_nothing(world: World, fleet: str) -> None:
    """The good half of a broken file is not applied; what only the kind of a source knows is a mistake as well."""
    host = '[hosts.new]\naddress = "new"\n'
    source = '[sources.bad]\nkind = "files"\npath = "/srv"\nfilename = "x"\n'
    with pytest.raises(errors.ConfigurationError, match=r"fleet\.toml, line 3: option --filename"):
        await world.engine.apply_config(host + source, "fleet.toml")
    storage = '[storages.bad]\nkind = "local"\npath = "/proc/none"\npassword = "env:NOBODY"\n'
    with pytest.raises(errors.HoldfastError):
        await world.engine.apply_config(host + storage, "fleet.toml")
    secret = '[sources.db]\nkind = "postgres"\ndatabase = "a"\nsecret = "vault:lost"\n'
    assert list((await world.engine.plan_config(secret, "f")).missing_secrets) == ["lost"]
    assert await world.engine.export_config() == fleet


async def test_a_schedule_of_the_file_keeps_what_it_names(world: World, fleet: str) -> None:
    """Who takes a source out of the file must not hear of the schedules when nobody backs it up any more."""
    sources = '[sources.one]\nkind = "files"\npath = "/srv"\n[sources.two]\nkind = "files"\npath = "/etc"\n'
    schedule = '[schedules.nightly]\nrhythm = "daily"\nsources = ["one", "two"]\n'
    await world.engine.apply_config(sources + schedule, "f")
    less = sources.partition("[sources.two]")[0] + schedule
    assert (await world.engine.plan_config(less, "f")).changes == []
    with pytest.raises(errors.ConfigurationError, match="f, line 4: there is no source named two"):
        await world.engine.apply_config(less, "f", is_pruning=True)


async def test_who_is_told_stands_in_the_file_and_goes_with_it(world: World) -> None:
    """What was sealed for one that is gone is forgotten with it; what another one names stays."""
    engine = world.engine
    for name in ("ops", "old"):
        await engine.set_secret(f"notify.{name}", Secret(b"json://user:token@127.0.0.1:1/path"))
        await engine.add_destination(Destination(name, "apprise", f"vault:notify.{name}"))
    told = '[destinations.%s]\nkind = "apprise"\nurl = "vault:notify.ops"\n'
    applied = await engine.apply_config(told % "new", "f", is_pruning=True)
    assert [(each.what, each.name) for each in applied.changes] == [
        ("add", "new"),
        ("remove", "old"),
        ("remove", "ops"),
    ]
    (found,) = await engine.destinations()
    assert found.destination.shown == "json://127.0.0.1"
    assert [name for name, _ in await engine.secrets() if name.startswith("notify.")] == ["notify.ops"]
    with pytest.raises(errors.ConfigurationError, match="line 1: 'sauce x' is no pattern"):
        await engine.plan_config(told % "new" + 'only = ["sauce x"]\n', "f")
    window = '[windows.all]\nsubject = "*"\nevery = "daily"\nduration_s = %d\nreason = "none"\n'
    with pytest.raises(errors.ConfigurationError, match="line 1: the window all would begin again"):
        await engine.plan_config(window % 86_400, "f")
    await engine.apply_config(window % 60, "f")
    assert [each.reason for each, _ in (await engine.alerts()).windows] == ["none"]
    told_of = [(each.verb, each.object) for each in await engine.audit_log()]
    assert ("notify add", "ops") in told_of
    assert ("alerts silence", "all") in told_of
    nowhere = told.replace("vault:notify.ops", "command:echo nothing") % "new"
    with pytest.raises(errors.ConfigurationError, match="line 3: apprise knows no service"):
        await engine.apply_config(nowhere, "f")
    schema = (await engine.config_schema())["properties"]["destinations"]["additionalProperties"]
    assert schema["required"] == ["kind", "url"]
    assert ("digest_at" in schema["properties"], "shown" in schema["properties"]) == (True, False)


async def test_a_file_without_schedules_takes_nothing_from_under_one(world: World, tmp_path: Path) -> None:
    """A schedule that only the catalog knows would fail each night, and nobody would have removed it."""
    await world.add_storages("main")
    for name in ("site", "shop"):
        await world.add_files(name, tmp_path)
    await world.engine.add_schedule(Schedule("nightly", rhythm="daily at 02:00", sources=("site",)))
    text = f'[sources.shop]\nkind = "files"\npath = ["{tmp_path}"]\n'
    with pytest.raises(
        errors.ConfigurationError,
        match="schedule nightly, which it does not list and which stays, would lose",
    ):
        await world.engine.apply_config(text, "f", is_pruning=True)
    assert [each.name for each in await world.engine.sources()] == ["shop", "site"]
    await world.engine.remove_schedule("nightly")
    await world.engine.apply_config(text, "f", is_pruning=True)
    assert [each.name for each in await world.engine.sources()] == ["shop"]


def test_what_a_file_leaves_out_goes_with_a_yes_alone(tmp_path: Path) -> None:
    """A file about one host must not cost the others by a slip; what it has no table for is none of its business."""
    line = CommandLine(tmp_path)
    line.done("host", "add", "web", "--address", "web", "--no-connect")
    line.done("source", "add", "site", "--kind", "files", "--path", "/srv")
    file = tmp_path / "fleet.toml"
    file.write_text('# mine\n[hosts.new]\naddress = "new"\n', encoding="utf-8")
    refused = line.run("config", "apply", str(file), "--prune")
    assert refused.code == 5
    assert "- host web" in refused.out
    applied = line.json("config", "apply", str(file), "--prune", "--yes")
    assert [(each["what"], each["name"]) for each in applied["changes"]] == [
        ("add", "new"),
        ("remove", "web"),
    ]
    line.done("config", "export", "--to", str(file))
    written = file.read_text(encoding="utf-8")
    assert written.startswith('# mine\n[hosts.new]\naddress = "new"\n')
    assert "[sources.site]" in written
    broken = line.run("config", "check", "-", "--json", given=b"[hosts.new]\nadress = 'a'\n")
    assert broken.code == 2
    assert "standard input, line 2: there is no key 'adress'" in broken.error["message"]
    twice = line.run("config", "check", "-", given=b"[hosts.new]\nadress = 'a'\nhops = 5\n")
    assert [each.partition("line ")[2] for each in twice.err.splitlines()] == [
        "2: there is no key 'adress' (did you mean address?)",
        "3: there is no key 'hops' " + twice.err.splitlines()[1].partition("'hops' ")[2],
    ]


async def test_a_smart_schedule_of_the_file_starts_at_a_quiet_time_as_one_that_was_added(
    tmp_path: Path,
) -> None:
    """Whoever keeps the fleet in git has the same night as whoever types."""
    clock = FakeClock()
    smart = 'rhythm = "daily at 15:00"\ntiming = { window = "13:00-18:00", smart = true }\n'
    async with open_world(tmp_path / "world", clock) as world:
        await world.add_storages("main")
        await world.engine.add_host(Host("web", "ssh", "backup@web.example.org"))
        await world.add_files("site", Path("/srv/www"), host="web")
        async with Catalog.open(world.engine.home.catalog, clock) as catalog:
            for hours in range(1, 240):  # ten days; at three in the afternoon the host is busy
                at = START.replace(minute=0) - datetime.timedelta(hours=hours)
                await catalog.timetable.add_load("web", at, 12.0 if at.hour == 15 else 1.0)
        await world.engine.apply_config(f'[schedules.nightly]\nsources = ["site"]\n{smart}', "fleet.toml")
        timing = Timing(window="13:00-18:00", is_smart=True)
        added = await world.engine.add_schedule(
            Schedule("typed", rhythm="daily at 15:00", sources=("site",), timing=timing)
        )
        found = await world.engine.show_schedule("nightly")
        assert found.schedule.timing == timing
        assert (found.state.next_at, found.state.moved) == (added.state.next_at, added.state.moved)
        assert found.state.moved.startswith("moved from 15:00 to 14:45: ")
