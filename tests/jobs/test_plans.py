"""Recovery plans: a database and its files brought back in their order, and rehearsed as one drill."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine import errors
from engine.cli.plan import parse_step
from engine.model.definitions import Source
from engine.model.plans import Plan, PlanRequest
from engine.model.requests import DrillRequest, RollbackRequest
from tests.jobs.world import World
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
async def application(world: World) -> Path:
    """A database `shop` and a tree `site`, backed up and then spoiled, and a plan `all` that brings both back."""
    folder = world.directory / "app"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "page").write_text("page\n", encoding="ascii")
    with closing(sqlite3.connect(folder / "shop.db")) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
        database.execute("INSERT INTO wares VALUES ('one')")
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(folder / "shop.db")}))
    await world.add_files("site", folder / "site")
    await world.one_backup("shop")
    await world.one_backup("site")
    (folder / "site" / "page").write_text("spoiled\n", encoding="ascii")
    with closing(sqlite3.connect(folder / "shop.db")) as database, database:
        database.execute("DELETE FROM wares")
    steps = (
        parse_step("shop --in-place --check 'SELECT count(*) FROM wares=1'"),
        parse_step("site --in-place"),
    )
    await world.engine.add_plan(Plan("all", steps, budget_s=600.0))
    return folder


def _wares(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        return int(database.execute("SELECT count(*) FROM wares").fetchone()[0])


async def test_a_plan_brings_all_of_it_back_in_order_and_each_step_can_be_rolled_back(
    world: World, application: Path
) -> None:
    """At three in the morning nobody remembers what came first."""
    result = await world.engine.run_plan(PlanRequest("all"))
    assert (result.status, [each.status for each in result.steps]) == ("completed", ["ok", "ok"])
    assert result.rto_s >= sum(each.duration_s for each in result.steps) > 0
    assert (_wares(application), (application / "site/page").read_text(encoding="ascii")) == (1, "page\n")
    for step in reversed(result.steps):
        assert step.restore is not None
        await world.engine.rollback(RollbackRequest(step.restore.job_id))
    assert (_wares(application), (application / "site/page").read_text(encoding="ascii")) == (0, "spoiled\n")


async def test_a_step_that_fails_stops_the_plan_unless_it_says_otherwise(
    world: World, application: Path
) -> None:
    """The application must not start on files whose database is not there; what was not tried is not called done."""
    taken = parse_step(f"shop --into {'shop.db'}")
    files = parse_step(f"site --to {world.directory / 'back'}")
    goes_on = parse_step("shop --into shop.db --go-on")
    await world.engine.add_plan(Plan("strict", (taken, files)))
    await world.engine.add_plan(Plan("lenient", (goes_on, files)))
    strict = await world.engine.run_plan(PlanRequest("strict"))
    assert [each.status for each in strict.steps] == ["failed", "skipped"]
    assert (strict.status, strict.steps[1].detail) == ("failed", "step 1, shop, failed")
    assert "is there already" in strict.steps[0].detail
    assert not (world.directory / "back").exists()
    lenient = await world.engine.run_plan(PlanRequest("lenient"))
    assert (lenient.status, [each.status for each in lenient.steps]) == ("incomplete", ["failed", "ok"])
    assert application.exists()


async def test_a_plan_is_rehearsed_as_one_drill_with_one_document(world: World, application: Path) -> None:
    """Three people with different clocks must read the same evidence; the live data is not asked."""
    result = await world.engine.run_plan(PlanRequest("all", is_drill=True, by=("Ada",)))
    assert (result.status, [each.status for each in result.steps]) == ("passed", ["ok", "ok"])
    told = json.loads(Path(result.report).read_text(encoding="utf-8"))
    assert (told["plan"]["name"], told["verdict"], told["by"]) == ("all", "passed", ["Ada"])
    assert [each["drill"]["report_sha256"] for each in told["rehearsal"]["steps"]] == [
        each.drill.report_sha256 for each in result.steps if each.drill
    ]
    assert _wares(application) == 0
    assert await world.engine.verify_audit() == []
    Path(result.report).write_text("{}", encoding="ascii")
    assert [each.kind for each in await world.engine.verify_audit()] == ["edited"]
    late = await world.engine.run_plan(PlanRequest("all", is_drill=True, budget_s=0.0))
    assert (late.status, late.is_within_budget) == ("failed", False)


async def test_nothing_is_begun_where_a_backup_is_missing(world: World, application: Path) -> None:
    """Half a recovery is none."""
    await world.add_files("other", application)
    await world.engine.add_plan(Plan("more", (parse_step("shop --in-place"), parse_step("other --in-place"))))
    with pytest.raises(errors.UnknownNameError, match="no backup of other"):
        await world.engine.run_plan(PlanRequest("more"))
    assert _wares(application) == 0


async def test_a_plan_is_rehearsed_where_it_would_have_to_work(
    world: World, application: Path, sshd: Sshd
) -> None:
    """The machine that burns is not asked, and the one that is to take over shows that it can."""
    await world.add_host(sshd, "old")
    await world.add_host(sshd, "spare")
    await world.engine.add_source(Source("ledger", "sqlite", "old", {"path": str(application / "shop.db")}))
    await world.one_backup("ledger")
    await world.engine.edit_host("old", f"{sshd.user}@{sshd.address}:1", {})
    steps = [
        f"ledger --in-place --check 'SELECT count(*) FROM wares=0'{how}"
        for how in ("", " --drill-host spare")
    ]
    for name, step in zip(("there", "elsewhere"), steps, strict=True):
        await world.engine.add_plan(Plan(name, (parse_step(step),)))
    found = [await world.engine.run_plan(PlanRequest(name, is_drill=True)) for name in ("there", "elsewhere")]
    assert [each.status for each in found] == ["inconclusive", "passed"]
    again = await world.engine.drill(DrillRequest("ledger", host="spare", scenario="catalog-gone"))
    assert (again.status, again.level) == ("passed", "server"), again
    assert "the drill goes to spare" in [each.detail for each in again.steps]
    for request, said in (
        (DrillRequest("ledger", host="nowhere"), "nowhere"),
        (DrillRequest("ledger", host="spare", level="database"), "no level database on another host"),
        (DrillRequest("site", host="spare"), "on this machine alone"),
    ):
        with pytest.raises((errors.UsageError, errors.UnknownNameError), match=said):
            await world.engine.drill(request)
    with pytest.raises(errors.UnknownNameError, match="nowhere"):
        await world.engine.add_plan(Plan("no", (parse_step("ledger --in-place --drill-host nowhere"),)))
