"""Tab 3 of a source with a log: an instant is chosen on its timeline, drilled to, and brought back, by keys, through a real worker."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres
from tests.tui.brought_back import over
from tests.tui.seat import Seat
from tests.tui.test_wizards import choose, put, show_all
from tui.dialogs import base, form
from tui.panes.timeline import to_second

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool."""
    with running_postgres(is_archiving=True) as server:
        yield server


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test waits until it sees something, and for no person."""
    monkeypatch.setattr(base, "DEAF_S", 0.0)
    monkeypatch.setattr(form, "PATIENCE_S", 0.02)


async def _define(seat: Seat, cluster: Postgres) -> None:
    """The source, by its form: a folder that the server does not fill is told with the line that makes it do so."""
    await seat.press("n")
    await seat.sees("What is new?")
    await seat.press("enter")
    await seat.sees("New source")
    await choose(seat, "kind", "postgres")
    await put(seat, "name", "shop")
    await show_all(seat)
    for field, value in cluster.options().items():
        if field not in ("all", "database"):
            await put(seat, field, str(value))
    await choose(seat, "physical", "yes")
    await put(seat, "log_spool", "/var/elsewhere")
    await seat.sees("1 setting missing: see below", "archive_command = ")
    await put(seat, "log_spool", str(cluster.spool))
    await seat.sees("the server is set for it")
    await seat.press("ctrl+s")
    await seat.sees("source shop is defined")


async def _back_up(world: World, seat: Seat, cluster: Postgres) -> list[datetime.datetime]:
    """A base, two rows, each with an instant behind it, and the log of both."""
    await seat.sees("> shop")
    await seat.press("b")
    await seat.sees("backing up shop")
    assert await over(world.engine, "backup") == "completed"
    cluster.psql("create database till")
    cluster.psql("create table stamps (at timestamptz); create table others (at timestamptz)", "till")
    found = []
    for _ in range(2):
        cluster.psql("insert into stamps values (clock_timestamp())", "till")
        found.append(datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()")))
    cluster.psql("drop table others", "till")
    await seat.press("s")
    await seat.sees("shipping the log of shop")
    assert await over(world.engine, "ship") == "completed"
    await seat.sees("pitr")
    await seat.press("i")
    await seat.sees("shop: recoverable from", "base ", "lag  ", "Same as: holdfast logs show shop")
    await seat.press("escape")
    await seat.press("0", "G")
    await seat.sees("> - shop           its log is to be shipped", "m schedule it")
    await seat.press("m")
    await seat.sees("New schedule", "--action ship", "every 5 minutes")
    await seat.press("ctrl+s")
    await seat.sees("schedule ship is written down")
    await seat.press("1")
    await _do(seat, "what its server lacks before its log can be shipped")
    await seat.sees("nothing is missing")
    return found


async def _choose(seat: Seat, text: str) -> None:
    """Types where to."""
    await seat.press("T")
    await seat.sees("just before ...")
    await seat.paste(text)
    await seat.press("enter")


async def _do(seat: Seat, said: str) -> None:
    """By the palette, said at once."""
    await seat.press("colon")
    await seat.paste(said)
    await seat.press("enter")


async def _find(seat: Seat) -> None:
    """What dropped a table, by the log, and the way back to just before it."""
    await seat.press("F")
    await seat.sees("dropped, emptied or deleted from which table")
    await seat.type("others")
    await seat.press("enter")
    await seat.sees("Just before which?", "till public.others")
    await seat.press("enter")
    await seat.sees("TO     just before transaction", "only: till, public.others")


async def _drill(world: World, seat: Seat) -> None:
    """To where the table still was: rehearsed before it is done."""
    await seat.press("d")
    await seat.sees("holdfast drill shop --at-transaction", "--just-before")
    await seat.press("enter")
    await seat.sees("PASS")
    (job,) = await world.engine.jobs(verb="drill")
    assert (job.request["at"], job.request["is_before"]) == (None, True)
    assert job.request["at_transaction"]
    assert job.result["level"] == "point-in-time"


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


async def test_from_a_bare_server_to_a_table_of_a_chosen_second_by_keys_alone(
    world: World, cluster: Postgres, seat: Seat
) -> None:
    """What cannot be reached is refused at once, and the nearest that can is offered; what came after the base is named, not picked."""
    await world.add_storages("main")
    await _define(seat, cluster)
    first, second = await _back_up(world, seat, cluster)
    await _do(seat, f"drill shop --at {first.isoformat()}")
    await seat.sees(f"TO     {to_second(first)}")
    await seat.press("escape")
    await seat.sees("LAST DRILL")
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
    await _find(seat)
    await _drill(world, seat)
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
    assert cluster.psql("select count(*), to_regclass('others') is null from stamps", "then") == "2|t"
    assert await over(world.engine, "restore") == "completed"
    await _drop(world, seat, cluster)


async def _drop(world: World, seat: Seat, cluster: Postgres) -> None:
    """A server that is given up keeps no log for nobody to read: its slot goes, after the name was typed."""
    cluster.psql("select pg_create_physical_replication_slot('holdfast', true)")
    await world.engine.edit_source("shop", {"log_slot": "holdfast", "log_spool": None})
    await seat.press("escape", "escape", "1")
    await _do(seat, "have its server keep no more log for us")
    await seat.sees(
        "LET THE SERVER OF shop FORGET",
        "Still shipped by ship: pause or remove",
        "as it is now",
        "holdfast logs drop shop",
    )
    await seat.type_name("shop")
    await seat.sees("shop: replication slot holdfast is dropped")
    assert cluster.psql("select count(*) from pg_replication_slots") == "0"
