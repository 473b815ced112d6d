"""A shipment of a log that is cancelled at any await, into two storages: nothing is lost, nothing doubled, and the next one goes on.

The catalog is lost in between, or not; the log's server is a list of segments.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from engine.catalog.jobs import NewJob, Outcome, SlotLimits
from engine.format.snapshot import Snapshot
from engine.hosts import registry as hosts
from engine.jobs import forget, log_store, log_tidying
from engine.jobs.log_shipment import Shipment
from engine.jobs.opening import open_repositories
from engine.jobs.snapshot_tags import BACKUP_TAG, JOB_TAG, POSITION_TAG, SOURCE_TAG, position_text
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source
from engine.model.job import JobStatus
from engine.model.logs import LogPosition, LogSegment
from engine.model.requests import ForgetRequest, KeepPolicy, Limits, ShipRequest
from engine.model.schedules import Action, Schedule
from engine.model.storage_results import LogUsage
from engine.process import ProcessIdentity
from engine.repository import writer
from engine.sources.logs import BasePosition, LogLook, ReadSegment, SegmentStream, WaitingSegment
from tests.fakes.disturbing import Steps, attempt, counting
from tests.jobs.world import World
from tests.servers.restic import ResticProgram

pytestmark = pytest.mark.slow

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
STORAGES = ("first", "second")
SERVER = "7301"
POINTS = 24
CUTS = 10
SOURCE = Source("shop", "postgres")


class Spool:
    """A server's log, and the part of it that waits."""

    is_logged = True

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.waiting: list[str] = []

    def grow(self, count: int) -> None:
        """So many segments more."""
        for _ in range(count):
            name = f"{len(self.contents):08d}"
            self.contents[name] = random.Random(name).randbytes(3000)
            self.waiting.append(name)

    async def base_position(self) -> BasePosition | None:
        """See `LogSource`."""
        return None

    async def setup(self) -> Sequence[str]:
        """See `LogSource`."""
        return ()

    async def look(self) -> LogLook:
        """See `LogSource`."""
        await asyncio.sleep(0)
        waiting = [WaitingSegment(name, 3000, "1", int(name), float(int(name))) for name in self.waiting]
        return LogLook(SERVER, "spool", "1", len(self.contents), NOON, waiting)

    @asynccontextmanager
    async def segments(self, wanted: Sequence[WaitingSegment], look: LogLook) -> AsyncIterator[SegmentStream]:
        """See `LogSource`."""
        yield _Stream(self, list(wanted))

    async def release(self, names: Sequence[str]) -> None:
        """See `LogSource`."""
        await asyncio.sleep(0)
        self.waiting = [name for name in self.waiting if name not in names]


class _Stream:
    def __init__(self, spool: Spool, wanted: list[WaitingSegment]) -> None:
        self.spool, self.wanted = spool, wanted
        self.current = WaitingSegment("", 0)
        self.left = b""

    async def next(self) -> WaitingSegment | None:
        await asyncio.sleep(0)
        if not self.wanted:
            return None
        self.current = self.wanted.pop(0)
        self.left = self.spool.contents[self.current.name]
        return self.current

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece, self.left = self.left, b""
        return piece

    def judge(self) -> ReadSegment:
        number = self.current.number
        at = NOON + datetime.timedelta(seconds=number)
        return ReadSegment(LogSegment(self.current.name, "1", number, 3000, at, at))


async def _ship(world: World, spool: Spool, *names: str) -> None:
    context = world.engine._parts.context("ship")
    storages = [await context.catalog.storages.get(name) for name in names or STORAGES]
    async with hosts.open_pool(resolve_secret=context.secrets) as pool:
        host = await pool.host(Host(LOCAL_HOST, "local"))
        shipment = Shipment(context, ShipRequest((SOURCE.name,)), SOURCE, storages)
        await shipment.run(spool, host)
        await shipment.remember("")


async def test_a_forget_cancelled_at_any_await_keeps_all_that_bases_need(
    world: World, restic_newest: ResticProgram
) -> None:
    """What the catalog names is there, and the next shipment and the next forget go on from it."""
    await world.add_storages("first")
    await world.engine.add_source(dataclasses.replace(SOURCE, options={"all": True}))
    spool = Spool()
    request = ForgetRequest(KeepPolicy(last=1), is_pruning=True)
    steps = Steps(0)

    async def disturbed() -> None:
        steps.victim = asyncio.current_task()
        await forget.run(world.engine._parts.context("forget"), request)

    count = 0
    for number in range(CUTS + 1):
        spool.grow(3)
        await _ship(world, spool, "first")
        base = len(spool.contents) - 2
        await _add_base(world, base)
        steps = Steps(1 + (2 * number - 1) * count // (2 * CUTS) if number else 0)
        async with counting(steps):
            await attempt(disturbed)
        count = count or steps.count
        needed = {name for name in spool.contents if int(name) >= base}
        assert needed <= (await _kept(world, "first")).keys()
    done = await forget.run(world.engine._parts.context("forget"), request)
    assert done.status == "completed"
    assert (await _kept(world, "first")).keys() == needed
    (held,) = await world.engine._parts.catalog.logs.holdings("shop")
    assert [(run.first, run.last) for run in held.runs] == [(base, base + 1)]
    stock = world.restic(restic_newest, "first")
    assert len(stock.snapshots()) == 2
    stock.check()


async def _add_base(world: World, number: int, job: str = "") -> None:
    """A snapshot that says it is a backup, of that job, that brings that segment."""
    context = world.engine._parts.context()
    at = NOON + datetime.timedelta(seconds=number)
    position = BasePosition(LogPosition(SERVER, "1", number), at)
    tags = [f"{SOURCE_TAG}shop", f"{BACKUP_TAG}{number:016d}", f"{POSITION_TAG}{position_text(position)}"]
    tags += [f"{JOB_TAG}{job}"] if job else []
    opening = open_repositories(
        context, [await context.catalog.storages.get("first")], is_exclusive=False, limits=Limits()
    )
    async with opening as opened:
        (found,) = opened.opened
        async with writer.open_session([(found.repository, found.lock)], clock=context.clock) as session:
            tree_id = await session.save_tree_blob(b'{"nodes":[]}\n')
            await session.commit(Snapshot(at, tree_id, ["/postgres/shop"], "here", tags=tags))


async def test_a_log_without_a_base_is_kept_for_the_span_that_the_rules_name(world: World) -> None:
    """And whole while a base is being taken, or where the rules name none; the plan says which, and so does what is told of the log."""
    await world.add_storages(*STORAGES)
    engine, catalog = world.engine, world.engine._parts.catalog
    await engine.add_source(dataclasses.replace(SOURCE, options={"all": True}))
    spool = Spool()
    spool.grow(10)
    await _ship(world, spool)
    within = KeepPolicy(last=1, logs_within_s=4.0)

    async def judged(policy: KeepPolicy, *, is_dry_run: bool = True) -> list[tuple[int, str]]:
        done = await engine.forget(ForgetRequest(policy, "shop", is_dry_run=is_dry_run))
        return [(each.segments, each.why) for each in done.logs]

    usage, standing = await engine.storage_usage("first"), (await engine.storage_standings())[0]
    assert (usage.log_bytes, usage.raw_bytes) == (30_000, 30_000)
    assert standing.logs == usage.logs == (LogUsage("shop", 10, 30_000),)
    assert "no schedule forgets there" in (await engine.log_report("shop")).baseless[0]
    for first, second in (await judged(KeepPolicy(last=1)), await judged(KeepPolicy(last=1, daily=-1))):
        assert (first[0], second[0]) == (0, 0)
        assert "name no span of time" in first[1]
    await catalog.jobs.create(NewJob("1", "backup", {"sources": ["shop"]}))
    here = ProcessIdentity.current()
    assert await catalog.jobs.claim(here, SlotLimits())
    taking = await judged(within, is_dry_run=False)
    assert [each[0] for each in taking] == [0, 0]
    assert "job 1 is taking one" in taking[0][1]
    await catalog.jobs.finish("1", here, Outcome(JobStatus.FAILED))
    assert [each[0] for each in await judged(KeepPolicy(daily=1))] == [0, 0]
    options: Mapping[str, OptionValue] = {"keep_last": 1, "keep_logs_within": 4}
    await engine.add_schedule(
        Schedule("tidy", Action.FORGET, "daily at 02:00", sources=("shop",), options=options)
    )
    (told, _) = (await engine.log_report("shop")).baseless
    planned = await judged(within)
    assert (planned[0][0], planned[0][1]) == (5, told)
    assert await judged(within, is_dry_run=False) == planned
    assert [(run.first, run.last) for held in await catalog.logs.holdings("shop") for run in held.runs] == [
        (5, 9),
        (5, 9),
    ]
    spool.grow(1)
    await _ship(world, spool)
    assert sorted(await _kept(world, "second")) == [f"{number:08d}" for number in range(5, 11)]
    await _add_base(world, 8, "1")
    first, second = await judged(KeepPolicy(last=1))
    assert first == (3, "")
    assert second[0] == 3, second
    assert "those in first may be copied there" in second[1]


async def test_log_snapshots_that_newer_ones_stand_for_go_now_and_then(world: World) -> None:
    """Where nobody else is at work; where somebody is, a little later."""
    await world.add_storages(*STORAGES)
    context = world.engine._parts.context()
    storages = [await context.catalog.storages.get(name) for name in STORAGES]
    spool = Spool()
    for _ in range(3):
        spool.grow(1)
        await _ship(world, spool)
    await log_tidying.tidy(context, storages, log_tidying.EVERY - 1, Limits())
    assert await _snapshots(world) == [3, 3]
    opening = open_repositories(context, storages[:1], is_exclusive=False, limits=Limits())
    async with opening:
        await log_tidying.tidy(context, storages, 1, Limits())
    assert await _snapshots(world) == [3, 1]
    await log_tidying.tidy(context, storages, log_tidying.EVERY // 4, Limits())
    assert await _snapshots(world) == [1, 1]
    for storage in STORAGES:
        assert await _kept(world, storage) == spool.contents
    spool.grow(1)
    await _ship(world, spool)
    (first, _) = await context.catalog.logs.holdings("shop")
    assert [(run.first, run.last) for run in first.runs] == [(0, 3)]


async def _snapshots(world: World) -> list[int]:
    """How many each storage has."""
    return [len(list((world.place(name) / "snapshots").iterdir())) for name in STORAGES]


async def _kept(world: World, storage: str) -> dict[str, bytes]:
    """What the storage's head has, by name."""
    context = world.engine._parts.context()
    definition = await context.catalog.storages.get(storage)
    opening = open_repositories(context, [definition], is_exclusive=False, limits=Limits(), is_reading=True)
    async with opening as opened:
        repository = opened.opened[0].repository
        heads = {each.storage: each.snapshot_id for each in await context.catalog.logs.heads()}
        _, tree = await log_store.open_head(repository, SOURCE, heads.get(storage, ""))
        return {
            node.name.decode(): await log_store.content_of(repository, node, 1 << 20)
            async for node, _ in log_store.segments(repository, tree, SERVER)
        }


async def test_a_shipment_cancelled_at_any_await_loses_and_doubles_nothing(
    world: World, restic_newest: ResticProgram
) -> None:
    """What a host was told to forget, both storages have; a catalog that is lost with it is found again."""
    await world.add_storages(*STORAGES)
    catalog = world.engine._parts.catalog
    spool = Spool()
    spool.grow(2)
    steps = Steps(0)

    async def disturbed() -> None:
        steps.victim = asyncio.current_task()
        await _ship(world, spool)

    async with counting(steps):
        assert await attempt(disturbed) is None
    count = steps.count
    is_cut = 0
    for number in range(POINTS):
        spool.grow(2)
        steps = Steps(1 + (2 * number + 1) * count // (2 * POINTS))
        async with counting(steps):
            is_cut += isinstance(await attempt(disturbed), asyncio.CancelledError)
        gone = spool.contents.keys() - set(spool.waiting)
        for storage in STORAGES:
            assert gone <= (await _kept(world, storage)).keys()
        if number % 4 == 3:
            await catalog.storages.remove("second")
            await world.add_storages("second")
    assert is_cut >= POINTS // 2
    spool.grow(1)
    await _ship(world, spool)
    assert spool.waiting == []
    for held in await catalog.logs.holdings("shop"):
        assert [(run.first, run.last) for run in held.runs] == [(0, len(spool.contents) - 1)]
    await world.engine.add_source(dataclasses.replace(SOURCE, options={"all": True}))
    done = await world.engine.forget(ForgetRequest(KeepPolicy(last=1), storages=STORAGES))
    assert [each.segments for each in done.logs] == [0, 0]
    for storage in STORAGES:
        assert await _kept(world, storage) == spool.contents
        stock = world.restic(restic_newest, storage)
        assert len(stock.snapshots()) == 1
        stock.check()
