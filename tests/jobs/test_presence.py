"""Whoever knocks at a host writes down whether it opened: jobs of every kind, tests, and comparisons with what is live."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine import events
from engine.errors import HostError
from engine.model.alerts import Condition
from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest
from engine.model.schedules import CatchUp, Schedule, Timing
from engine.notify import Notifier
from engine.service import Engine
from tests.fakes.clock import FakeClock
from tests.jobs.world import World, open_world
from tests.servers.fault_proxy import ALWAYS, Fault, FaultProxy, Harm, running_fault_proxy
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> FakeClock:
    """Stands still until it is advanced."""
    return FakeClock()


@pytest.fixture
async def way(sshd: Sshd) -> AsyncIterator[FaultProxy]:
    """The way to the host, which can be cut."""
    async with running_fault_proxy(sshd.port) as found:
        yield found


@pytest.fixture
async def world(tmp_path: Path, sshd: Sshd, way: FaultProxy, clock: FakeClock) -> AsyncIterator[World]:
    """A database of the host behind that way, backed up once."""
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.executescript("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1);")
    (tmp_path / "world").mkdir()
    async with open_world(tmp_path / "world", clock) as found:
        await found.add_storages("near")
        await found.add_host(sshd.behind(way.port, tmp_path))
        await found.engine.add_source(Source("shop", "sqlite", "server", {"path": str(tmp_path / "shop.db")}))
        await found.one_backup("shop")
        await found.engine.evaluate_alerts()
        yield found


async def _drill(engine: Engine) -> object:
    return await engine.drill(DrillRequest("shop"))


async def _restore(engine: Engine) -> object:
    request = RestoreRequest("latest:shop", to=str(engine.home.directory.with_name("back")), host="server")
    return await engine.restore(request)


async def _compare(engine: Engine) -> object:
    return await engine.diff_live("latest:shop", lambda _difference: None)


DEEDS: dict[str, Callable[[Engine], Awaitable[object]]] = {
    "drill": _drill,
    "restore": _restore,
    "source test": lambda engine: engine.test_source("shop"),
    "diff": _compare,
}


async def test_whoever_does_not_reach_a_host_raises_its_alert_and_whoever_does_ends_it(
    world: World, way: FaultProxy
) -> None:
    """A host is mostly found gone by what a person or a schedule wants of it, seldom by a look."""
    for name, do in DEEDS.items():
        way.arm(Fault(Harm.REFUSE, times=ALWAYS))
        with contextlib.suppress(HostError):  # a drill says that it found nothing out
            await do(world.engine)
        raised = (await world.engine.evaluate_alerts()).raised
        assert ("host server" in [each.subject for each in raised]) is True, name
        way.heal()
        await do(world.engine)
        recovered = (await world.engine.evaluate_alerts()).recovered
        assert ("host server" in [each.subject for each in recovered]) is True, name


async def test_what_a_silent_host_missed_is_made_up_for_once_when_it_is_back(
    world: World, way: FaultProxy, clock: FakeClock
) -> None:
    """Nobody wants to wait for the next night, or to be called for each source of a host that is well again."""
    engine = world.engine
    for name, catch_up in (("nightly", CatchUp.ONCE), ("never", CatchUp.NONE)):
        timing = Timing(timezone="UTC", retries=0, catch_up=catch_up)
        begins = (clock.now() + datetime.timedelta(hours=1)).strftime("daily at %H:%M")
        await engine.add_schedule(Schedule(name, rhythm=begins, sources=("shop",), timing=timing))
    way.arm(Fault(Harm.REFUSE, times=ALWAYS))
    clock.advance(3600)
    assert len(await _work(world)) == 2
    assert await _risks(world) == ["host server"]
    clock.advance(3600)
    way.heal()
    assert await engine.look_at_hosts() == []
    assert await _risks(world) == []
    (advice,) = [each for each in (await engine.alerts()).alerts if each.condition is Condition.FAILED]
    assert "it was missed while host server could not be reached" in advice.reason
    assert "; its next run is at " in advice.reason
    assert await _work(world) == ["nightly"]
    assert (await engine.schedule_runs("nightly"))[0].reason.startswith("made up for: host server could not")
    assert [each.condition for each in (await engine.evaluate_alerts()).recovered] == [Condition.FAILED]
    assert await _work(world) == []
    # The same of the storage that it goes to.
    near, unplugged = world.place("near"), world.place("unplugged")
    near.rename(unplugged)
    clock.advance(82_800)
    assert len(await _work(world)) == 2
    assert await _risks(world) == ["storage near"]
    unplugged.rename(near)
    assert await engine.look_at_storages() == []
    assert await _risks(world) == []
    assert await _work(world) == ["nightly"]
    assert await _work(world) == []
    assert await _risks(world) == []


async def _work(world: World) -> list[str]:
    """Starts what is due, and runs it; the schedules of the jobs."""
    queued = (await world.engine.tick(is_starting_worker=False)).queued
    await world.engine.worker(is_staying=False, linger_s=0.0).work(Notifier(), events.ignore)
    return [(await world.engine.show_job(each)).request["schedule"] for each in queued]


async def _risks(world: World) -> list[str]:
    """What an evaluation finds at risk that nothing else says already."""
    wanted = await world.engine.expectations()
    found = await world.engine.evaluate_alerts(wanted.sources)
    return [each.subject for each in found.standing if each.is_risk]
