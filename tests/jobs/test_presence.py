"""Whoever knocks at a host writes down whether it opened: jobs of every kind, tests, and comparisons with what is live."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.errors import HostError
from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest
from engine.service import Engine
from tests.jobs.world import World, open_world
from tests.servers.fault_proxy import ALWAYS, Fault, FaultProxy, Harm, running_fault_proxy
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
async def way(sshd: Sshd) -> AsyncIterator[FaultProxy]:
    """The way to the host, which can be cut."""
    async with running_fault_proxy(sshd.port) as found:
        yield found


@pytest.fixture
async def world(tmp_path: Path, sshd: Sshd, way: FaultProxy) -> AsyncIterator[World]:
    """A database of the host behind that way, backed up once."""
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.executescript("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1);")
    (tmp_path / "world").mkdir()
    async with open_world(tmp_path / "world") as found:
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
