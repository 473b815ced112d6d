"""Tab 3: drills and restores, by keys, through a real worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.model.definitions import Source
from engine.model.job import JobStatus
from engine.model.plans import Plan, PlanStep
from engine.model.requests import DrillRequest, RestoreRequest
from tests.families.postgres import make_shop, new_name
from tests.jobs.world import World
from tests.servers.postgres import Postgres
from tests.tui.brought_back import make_database, over
from tests.tui.brought_back import shop as shop
from tests.tui.brought_back import storage as storage
from tests.tui.brought_back import tree as tree
from tests.tui.seat import Seat, open_console

pytestmark = pytest.mark.slow


async def test_a_drill_takes_two_keys_and_leaves_evidence(
    shop: Path, world: World, seat: Seat, tmp_path: Path
) -> None:
    """`D` shows what will happen, enter starts it; it ends with its verdict, and the evidence can be taken away."""
    await seat.sees("shop", "today")
    await seat.press("D")
    await seat.sees("never drilled", "TARGET>(d) drill", "writes to live hosts: none", "holdfast drill shop")
    await seat.press("enter")
    await seat.sees("drill of shop", "PASS", "checks  report")
    (job,) = await world.engine.jobs(verb="drill")
    assert job.result["status"] == "passed"
    await seat.press("o")
    await seat.press("ctrl+u")
    await seat.paste(f"'{tmp_path}/audit'")
    await seat.press("enter")
    await seat.sees("JSON, PDF and signatures")
    names = {each.name for each in (tmp_path / "audit").iterdir()}
    assert {f"drill-{job.job_id}.json", f"drill-{job.job_id}.pdf", "evidence-public-key"} <= names
    assert json.loads((tmp_path / "audit" / f"drill-{job.job_id}.json").read_text())["verdict"] == "passed"
    await seat.press("escape")
    await seat.sees("LAST", "PASS", "by the drills that passed")
    assert shop.exists()


async def test_a_drill_that_runs_is_found_again_and_started_once(shop: Path, world: World) -> None:
    """Whoever closes the console, or presses enter twice, has one drill."""
    job = await world.engine.enqueue("drill", DrillRequest("shop"))
    async with open_console(world.engine) as seat:
        await seat.sees("shop", "today")
        await seat.press("3")
        await seat.sees("> drill of shop", "J shows it")
        await seat.press("enter")
        await seat.sees("drill of shop", f"job {job.job_id}")
        await seat.sees("PASS")
        await seat.press("q")
        await seat.sees("LAST", "PASS")
    assert [each.job_id for each in await world.engine.jobs(verb="drill")] == [job.job_id]


async def test_marked_sources_are_drilled_after_one_question(
    shop: Path, tree: Path, world: World, seat: Seat
) -> None:
    """The whole fleet: mark all, one key, yes. One runs at a time; the drawer has the tally, the row of messages the verdict."""
    await seat.press("3")
    await seat.sees("shop", "tree", "NEVER")
    await seat.press("ctrl+a", "D")
    await seat.sees("Drill 2 sources?")
    await seat.answer("y")
    await seat.misses("NEVER")
    second, first = await world.engine.jobs(verb="drill")
    assert {each.request["source"] for each in (first, second)} == {"shop", "tree"}
    assert first.completed_at is not None
    assert second.started_at is not None
    assert second.started_at >= first.completed_at
    await seat.sees("2 drills: 2 passed")
    await seat.press("9")
    await seat.sees("  2 drills: 2 passed", second.job_id)
    await seat.press("X")
    await seat.sees("2 drills: 2 passed")


async def test_those_of_a_fleet_that_wait_end_together(
    shop: Path, tree: Path, world: World, seat: Seat
) -> None:
    """Whoever began a hundred by mistake need not end each."""
    await world.engine.submit_in_turn("drill", [DrillRequest(each) for each in ["shop", "tree"] * 3])
    await seat.press("9")
    await seat.sees("drills: ", "of 6 over")
    await seat.press("X")
    await seat.sees("that run one after the other?")
    await seat.answer("y")
    await seat.sees("6 drills: ", "cancelled (")
    jobs = await world.engine.jobs(verb="drill")
    assert jobs[0].status is JobStatus.CANCELLED


async def test_a_drill_fails_in_words_where_a_check_of_ones_own_does(shop: Path, seat: Seat) -> None:
    """Its options are one form; what was wrong stands below the verdict."""
    await seat.press("3")
    await seat.sees("shop")
    await seat.press("enter", "e")
    await seat.sees("Drill of shop", "checks")
    await seat.press("down")
    await seat.paste("SELECT count(*) FROM orders=4")
    await seat.sees("holdfast drill shop --check")
    await seat.press("ctrl+s")
    await seat.sees("1 of your own")
    await seat.press("enter")
    await seat.sees("FAIL", "wrong", "3 instead of 4")


async def test_an_older_point_is_found_by_stepping_and_by_a_time(
    shop: Path, world: World, seat: Seat
) -> None:
    """What was meant by --at; a wrong time, and one before everything, is a sentence, and nothing starts."""
    first = await world.engine.latest_backup("shop")
    make_database(shop, 4)
    await world.one_backup("shop")
    await seat.press("3")
    await seat.sees("shop")
    await seat.press("enter")
    await seat.sees("1 of 2")
    await seat.press("less_than_sign")
    await seat.sees("2 of 2", f"--backup {first.backup_id}")
    await seat.press("less_than_sign")
    await seat.sees("that is the oldest one")
    await seat.press("greater_than_sign")
    await seat.sees("1 of 2")
    await seat.press("less_than_sign", "G")
    await seat.sees("1 of 2")
    for said, answer in (
        ("now", "1 of 2"),
        ("tomorrowish", "tomorrowish"),
        ("3000-01-01", "yet to come"),
        ("2h ago", "no backup"),
    ):
        await seat.press("T")
        await seat.sees("as of (")
        await seat.paste(said)
        await seat.press("enter")
        await seat.sees(answer)
        await seat.press("escape") if answer != "1 of 2" else None
    assert await world.engine.jobs(verb="drill") == []


async def test_what_a_drill_kept_is_told_and_thrown_away_by_one_key(
    shop: Path, world: World, seat: Seat
) -> None:
    """People look into it, and let it go."""
    await seat.press("3")
    await seat.sees("shop")
    await seat.press("enter", "e")
    await seat.sees("Drill of shop", "keep")
    while not seat.app.focused or seat.app.focused.id != "field-keep_s":
        await seat.press("down")
    await seat.paste("1h")
    await seat.press("ctrl+s")
    await seat.sees("kept 1h, then gone")
    await seat.press("enter")
    await seat.sees("kept until", "look into it by", "sqlite3")
    await seat.press("escape", "escape")
    await seat.sees("* drill of shop: passed, kept until")
    await seat.press("x")
    await seat.sees("Throw away what 1 drill kept?", "sqlite3")
    await seat.answer("y")
    await seat.misses("kept until")
    assert await over(world.engine, "drill") == "cancelled"
    (job,) = await world.engine.jobs(verb="drill")
    assert job.result["status"] == "passed"


async def test_a_plan_is_rehearsed_run_and_forgotten(
    shop: Path, tree: Path, world: World, seat: Seat, tmp_path: Path
) -> None:
    """Both of its steps; what would be done is shown before."""
    steps = (
        PlanStep("shop", RestoreRequest("", into="again")),
        PlanStep("tree", RestoreRequest("", to=str(tmp_path / "back"))),
    )
    await world.engine.add_plan(Plan("all", steps, 600.0, "call Ann"))
    await seat.press("3", "P")
    await seat.sees("all", "shop, tree", "call Ann")
    await seat.press("enter")
    await seat.sees("Recovery plan all", "step 1  shop into again", "holdfast plan add all")
    await seat.press("escape", "D")
    await seat.sees("plan of all", "passed: plan all: 2 of 2 steps")
    await seat.press("o", "ctrl+u")
    await seat.paste(str(tmp_path / "audit"))
    await seat.press("enter")
    await seat.sees("JSON, PDF and signatures")
    await seat.press("escape", "R")
    await seat.sees("run it as everything was at")
    await seat.press("enter")
    await seat.sees("Run plan all?", "would restore")
    await seat.answer("y")
    await seat.sees("completed: plan all: 2 of 2 steps")
    assert (tmp_path / "back" / str(tree).lstrip("/") / "first").read_text() == "one"
    await seat.press("escape", "X")
    await seat.sees("FORGET PLAN all")
    await seat.type_name("all")
    await seat.sees("plan all is forgotten")
    assert await world.engine.plans() == []


async def test_evidence_is_signed_off_and_held_against_its_key(
    shop: Path, world: World, seat: Seat, tmp_path: Path
) -> None:
    """By whoever stands by it; and whoever has the key sees that nothing was changed."""
    await world.engine.drill(DrillRequest("shop"))
    await seat.press("3", "E")
    await seat.sees("passed", "shop")
    await seat.press("s")
    await seat.sees("your name")
    await seat.paste("Ann Auditor")
    await seat.press("enter")
    await seat.sees("note, if")
    await seat.press("enter")
    await seat.sees("is signed off by Ann Auditor")
    await seat.press("enter")
    await seat.sees("signature  valid", "signed off by Ann Auditor", "right ")
    await seat.press("escape", "V")
    await seat.sees("against this home's key")
    await seat.press("enter")
    await seat.sees("1 of 1 file as they were signed", "valid")
    await seat.press("escape", "K")
    await seat.sees("ssh-ed25519", "fingerprint")
    await seat.press("escape", "o")
    await seat.press("ctrl+u")
    await seat.paste(str(tmp_path / "audit"))
    await seat.press("enter")
    await seat.sees("JSON, PDF and signatures")
    (item,) = await world.engine.evidence()
    assert [each.by for each in item.sign_offs] == ["Ann Auditor"]
    found = await world.engine.check_evidence(
        [str(next((tmp_path / "audit").glob("drill-*.json")))],
        str(tmp_path / "audit" / "evidence-public-key"),
    )
    assert [each.status for each in found] == ["valid"]


async def test_a_real_server_is_drilled_and_one_table_of_it_brought_back(
    world: World, storage: None, postgres: Postgres
) -> None:
    """PostgreSQL: a throwaway server, and a table picked in the tree."""
    name, fresh = make_shop(postgres), new_name()
    options = postgres.options(database=[name])
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop")
    async with open_console(world.engine) as seat:
        await seat.sees("shop", "today")
        await seat.press("D")
        await seat.sees("throwaway server on localhost")
        await seat.press("enter")
        await seat.sees("start a throwaway server", "PASS")
        await seat.press("escape", "s", "p")
        await seat.sees("public.", "no mark")
        await seat.press("slash")
        await seat.paste("public.customers")
        await seat.press("enter", "space", "t")
        await seat.sees("only:", "public.customers")
        await seat.press("e")
        await seat.sees("Restore shop beside")
        await seat.paste(fresh)
        await seat.press("ctrl+s")
        await seat.sees(f"as {fresh}")
        await seat.press("enter")
        await seat.sees("would restore")
        await seat.answer("y")
        await seat.sees("completed: restored")
    assert (
        postgres.psql("select count(*) from pg_tables where schemaname in ('public', 'shipping')", fresh)
        == "1"
    )


async def test_a_plan_is_written_down_changed_and_rehearsed_as_of_a_time(
    shop: Path, world: World, seat: Seat
) -> None:
    """By the wizard, and by the form of a rehearsal: who took part is in the evidence."""
    await world.engine.add_plan(Plan("all", (PlanStep("shop", RestoreRequest("", into="again")),)))
    await seat.press("3", "P")
    await seat.sees("all")
    await seat.press("e")
    await seat.sees("Rehearse plan all")
    await seat.press("down", "down")
    await seat.paste("Ann")
    await seat.sees("holdfast plan drill all --by Ann")
    await seat.press("ctrl+s")
    await seat.sees("passed: plan all: 1 of 1 step")
    (job,) = await world.engine.jobs(verb="plan")
    assert job.request["by"] == ["Ann"]
