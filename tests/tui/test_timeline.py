"""Tab 3 of a source with a log: an instant is chosen on its timeline, drilled to, and brought back, by keys, through a real worker."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from engine.model.definitions import Source
from engine.model.requests import ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres
from tests.tui.brought_back import over
from tests.tui.seat import Seat
from tests.tui.test_wizards import put
from tui.panes.timeline import to_second

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool."""
    with running_postgres(is_archiving=True) as server:
        yield server


async def _stamped(world: World, cluster: Postgres) -> list[datetime.datetime]:
    """A source with a base, and a log with two rows, each with an instant behind it."""
    await world.add_storages("main")
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop")
    cluster.psql("create database till")
    cluster.psql("create table stamps (at timestamptz); create table others (at timestamptz)", "till")
    found = []
    for _ in range(2):
        cluster.psql("insert into stamps values (clock_timestamp())", "till")
        found.append(datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()")))
    await world.engine.ship(ShipRequest(("shop",)))
    return found


async def _choose(seat: Seat, text: str) -> None:
    """Types where to."""
    await seat.press("T")
    await seat.sees("just before ...")
    await seat.paste(text)
    await seat.press("enter")


async def _step(seat: Seat) -> None:
    """Along the timeline by each key, and back to its beginning."""
    await seat.press("b")
    await seat.misses("just before")
    await seat.press(
        "b", "left_curly_bracket", "right_curly_bracket", "left_parenthesis", "greater_than_sign"
    )
    await seat.sees(": the end of the log")
    await seat.press("right_parenthesis")
    await seat.sees("nothing later can be reached")
    await seat.press("less_than_sign", "less_than_sign")
    await seat.sees("that is the oldest base")


async def test_an_instant_is_typed_drilled_to_and_a_table_of_it_brought_beside(
    world: World, cluster: Postgres, seat: Seat
) -> None:
    """What cannot be reached is refused at once, and the nearest that can is offered; what came after the base is named, not picked."""
    first, second = await _stamped(world, cluster)
    await seat.press("3")
    await seat.sees("shop")
    await seat.press("D")
    await seat.sees(
        "BASES  |", "LOG    =", "#\n", ": the end of the log", "at most", "holdfast drill shop --at"
    )
    await _choose(seat, "2020-01-01")
    await seat.sees("is before the oldest base", "the nearest that can: ")
    await seat.press("ctrl+u")
    await seat.paste(first.isoformat())
    await seat.press("enter")
    await seat.sees(f"TO     {to_second(first)}")
    await seat.press("enter")
    await seat.sees("PASS")
    (job,) = await world.engine.jobs(verb="drill")
    assert datetime.datetime.fromisoformat(job.request["at"]) == first
    assert job.result["level"] == "point-in-time"
    await seat.press("escape", "s", "p")
    await seat.sees("e takes names of databases and tables")
    await _choose(seat, f"just before {second.isoformat()}")
    await seat.sees(f"TO     just before {to_second(second)}")
    await _step(seat)
    await _choose(seat, f"just before {second.isoformat()}")
    await seat.press("e")
    await seat.sees("Restore shop beside")
    for field, text in (("into", "then"), ("databases", "till"), ("tables", "stamps")):
        await put(seat, field, text)
    await seat.press("ctrl+s")
    await seat.sees("--just-before --into then", "only: till, stamps", "by 1 drill")
    await seat.press("enter")
    await seat.sees("Restore shop to")
    await seat.answer("y")
    await seat.sees("completed: restored")
    assert cluster.psql("select count(*) from stamps", "then") == "2"
    assert cluster.psql("select to_regclass('others') is null", "then") == "t"
    assert await over(world.engine, "restore") == "completed"
