"""What goes wrong with a server's log on its way: nothing is lost in silence, nothing is kept twice, and the spool is left alone."""

from __future__ import annotations

import contextlib
import datetime
import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import HoldfastError, RefusedError, RestoreError, StorageFullError
from engine.jobs import log_shipment
from engine.model.definitions import Source
from engine.model.log_report import LogReport
from engine.model.requests import DrillRequest, ShipRequest
from engine.model.schedules import Action, Schedule
from engine.model.shipments import ShippedLog
from engine.storages.base import Buffer, Key, Kind
from engine.storages.local import LocalStorage
from tests.jobs.world import World, open_world
from tests.servers.fault_proxy import Fault, Harm, Way, running_fault_proxy
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.restic import ResticProgram
from tests.servers.small_disk import fill, small_disk
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One for all of these, with small segments."""
    with running_postgres(is_archiving=True, segment_mib=1) as running:
        running.psql("create table stamps (at timestamptz default clock_timestamp())")
        yield running


@pytest.fixture
def cluster(server: Postgres) -> Postgres:
    """The same, with a spool in which nothing waits but what this test writes."""
    _close(server)
    for each in server.spool.iterdir():
        each.unlink()
    return server


def _close(cluster: Postgres) -> Path:
    """A row, and the segment that it is in closed and in the spool; its path there."""
    name = cluster.psql("insert into stamps default values; select pg_walfile_name(pg_switch_wal())")
    while cluster.psql(f"select last_archived_wal >= '{name}' from pg_stat_archiver") != "t":
        threading.Event().wait(0.01)
    return cluster.spool / name


def _spooled(cluster: Postgres) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in cluster.spool.iterdir() if each.name[0] != "."}


async def _begin(world: World, cluster: Postgres, *storages: str, host: str = "") -> None:
    """A source with a base in these storages, and all of its log so far."""
    await world.add_storages(*storages)
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    source = (
        Source("shop", "postgres", host, options) if host else Source("shop", "postgres", options=options)
    )
    await world.engine.add_source(source)
    await world.one_backup("shop", to=storages)
    shipped = await _ship(world, *storages)
    assert shipped.status == "completed", shipped


async def _ship(world: World, *storages: str) -> ShippedLog:
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",), storages))).logs
    return shipped


async def _report(world: World) -> LogReport:
    return await world.engine.log_report("shop")


def _now(cluster: Postgres) -> datetime.datetime:
    return datetime.datetime.fromisoformat(cluster.psql("select clock_timestamp()"))


def _numbers(report: LogReport) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in report.gaps]


async def test_a_segment_that_is_missing_is_a_gap_within_one_look_until_a_base_is_taken(
    world: World, cluster: Postgres
) -> None:
    """What lies in the gap or behind it is refused, and so is what was before the first base and what is to come."""
    await _begin(world, cluster, "first")
    before = _now(cluster)
    lost = _close(cluster)
    in_gap = _now(cluster)
    lost.unlink()
    shipped = await _ship(world, "first")
    number = int(lost.name[8:16], 16) * 4096 + int(lost.name[16:], 16)
    # Where the server wrote something by itself meanwhile, the gap can be told already.
    assert shipped.gaps or f"segment {number} of 00000001 left the server" in shipped.warnings[0], shipped
    _close(cluster)
    shipped = await _ship(world, "first")
    report = await _report(world)
    assert [(gap.first, gap.last) for gap in shipped.gaps] == _numbers(report) == [(number, number)]
    assert report.recoverable_to is not None
    assert report.recoverable_to < before
    for at in (in_gap, _now(cluster)):
        with pytest.raises(RestoreError, match="shop cannot be brought back to") as error:
            await world.engine.drill(DrillRequest("shop", at=at))
        assert str(error.value.hint).startswith("the nearest instant that can be reached is")
    await world.one_backup("shop")
    assert (await _ship(world, "first")).status == "completed"
    report = await _report(world)
    assert len(report.reaches) == 2
    for at, why in ((in_gap, "has a gap"), (report.reaches[0].begins_at - datetime.timedelta(days=1), "oldest base"),
                    (_now(cluster) + datetime.timedelta(days=1), "log ends")):  # fmt: skip
        with pytest.raises(RestoreError, match=why):
            await world.engine.drill(DrillRequest("shop", at=at))
    assert report.recoverable_to is not None
    assert (await world.engine.drill(DrillRequest("shop", at=report.recoverable_to))).status == "passed"


async def test_a_segment_counts_only_when_it_is_whole_and_only_once(world: World, cluster: Postgres) -> None:
    """Half-copied, cut short, damaged, doubled with the same content and with another one.

    The server may write by itself meanwhile, so that a look closes one more segment, and ships it.
    """
    await _begin(world, cluster, "first")
    cut, spoiled, whole, newest = (_close(cluster) for _ in range(4))
    good = {each: each.read_bytes() for each in (cut, spoiled, newest)}
    for each in (cut, newest):
        each.write_bytes(good[each][: 300 << 10])
    content = bytearray(good[spoiled])
    content[8192:8200] = b"nonsense"
    spoiled.write_bytes(content)
    strange = cluster.spool / "000000010000000000000001.gz"
    strange.touch()
    shipped = await _ship(world, "first")
    assert f"{cluster.spool} on localhost holds what is no log's, as '{strange.name}'" in str(
        shipped.warnings
    )
    strange.unlink()
    assert shipped.status == "incomplete"
    assert shipped.segments
    assert sorted(_spooled(cluster)) == sorted(each.name for each in (cut, spoiled, newest)), whole
    assert all(any(each.name in said for said in shipped.warnings) for each in (cut, spoiled, newest))
    for each, content_ in good.items():
        each.write_bytes(content_)
    shipped = await _ship(world, "first")
    assert (shipped.status, shipped.released, shipped.gaps, _spooled(cluster)) == (
        "completed",
        shipped.segments,
        (),
        {},
    )
    assert shipped.segments >= 3
    size_bytes = (await _report(world)).size_bytes
    cut.write_bytes(good[cut])
    shipped = await _ship(world, "first")
    assert (shipped.status, shipped.released, _spooled(cluster)) == ("completed", shipped.segments + 1, {})
    assert (await _report(world)).size_bytes == size_bytes + (shipped.segments << 20)
    _close(cluster)
    cut.write_bytes(good[cut][:8000] + bytes([good[cut][8000] ^ 1]) + good[cut][8001:])
    there = _spooled(cluster)
    with pytest.raises(RefusedError, match=f"{cut.name} waits on .* with another content"):
        await _ship(world, "first")
    assert _spooled(cluster).items() >= there.items()
    assert cut.name in str((await _report(world)).state)


async def test_a_server_that_was_made_anew_stops_the_log_until_a_base_is_taken_of_it(
    world: World, cluster: Postgres
) -> None:
    """Its spool is left alone, and the log of the old one can still be replayed."""
    await _begin(world, cluster, "first")
    _close(cluster)
    await _ship(world, "first")
    before = await _report(world)
    with running_postgres(is_archiving=True, segment_mib=1) as anew:
        anew.psql("create table stamps (at timestamptz default clock_timestamp())")
        await world.engine.edit_source("shop", anew.options(log_spool=str(anew.spool)))
        _close(anew)
        there = _spooled(anew)
        assert there
        for _ in range(2):
            with pytest.raises(RefusedError, match="shop is another server than the one") as error:
                await _ship(world, "first")
            assert "holdfast backup shop" in str(error.value.hint)
        assert _spooled(anew).items() >= there.items()
        report = await _report(world)
        assert report.state is not None
        assert "another server" in report.state.error
        assert (report.reaches, report.gaps) == (before.reaches, ())
        await world.one_backup("shop")
        shipped = await _ship(world, "first")
        assert (shipped.status, shipped.gaps) == ("completed", ())
        report = await _report(world)
        assert len({reach.base.position.identity for reach in report.reaches}) == 2
        for at in (before.reaches[0].path[-1].ends_at, report.recoverable_to):
            assert at is not None
            assert (await world.engine.drill(DrillRequest("shop", at=at))).status == "passed"


class _Slow(SystemClock):
    """An hour behind the host's."""

    def now(self) -> datetime.datetime:
        """Of an hour ago."""
        return super().now() - datetime.timedelta(hours=1)


async def test_instants_are_the_hosts_whatever_the_time_is_here(tmp_path: Path, cluster: Postgres) -> None:
    """The difference is told, and counts in nothing."""
    async with open_world(tmp_path / "world", _Slow()) as world:
        await _begin(world, cluster, "first")
        _close(cluster)
        await _ship(world, "first")
        report = await _report(world)
        assert report.state is not None
        assert 3590 < report.state.clock_ahead_s < 3610
        assert report.lag_s is not None
        assert report.lag_s < 60
        count = cluster.psql("select count(*) from stamps")
        check = ("postgres", "select count(*) from stamps", count)
        drilled = await world.engine.drill(DrillRequest("shop", at=report.recoverable_to, checks=(check,)))
        assert drilled.status == "passed", drilled.checks


async def test_a_connection_that_is_cut_anywhere_costs_no_segment(
    world: World, cluster: Postgres, sshd: Sshd, restic_packaged: ResticProgram
) -> None:
    """What is kept in the end is byte for byte what the server archived."""
    async with running_fault_proxy(sshd.port) as way:
        await world.add_host(sshd.behind(way.port, world.directory))
        await _begin(world, cluster, "first", host="server")
        archived: dict[str, bytes] = {}
        dice = random.Random(7)
        struck = 0
        for _ in range(8):
            for _ in range(2):
                path = _close(cluster)
                archived[path.name] = path.read_bytes()
            way.arm(Fault(Harm.CUT, Way.DOWN, dice.randrange(2 << 10, 200 << 10)))
            with contextlib.suppress(HoldfastError):
                await _ship(world, "first")
            struck += way.struck
            way.heal()
        assert struck >= 4
        last = await _ship(world, "first")
        assert (last.status, last.gaps, _spooled(cluster)) == ("completed", (), {})
    assert _kept(world, restic_packaged, "first").items() >= archived.items()


def _kept(world: World, program: ResticProgram, storage: str) -> dict[str, bytes]:
    """The segments of that storage, as restic restores them."""
    target = world.directory / "out" / storage
    world.restic(program, storage).restore("latest", target, "--tag", "holdfast:logs-of=shop")
    return {each.name: each.read_bytes() for each in target.rglob("*") if each.is_file()}


async def test_nothing_is_released_while_a_storage_is_away(
    world: World, cluster: Postgres, restic_packaged: ResticProgram
) -> None:
    """The other takes it all the same; the one that comes back gets what it lacks."""
    await _begin(world, cluster, "first", "second")
    shutil.move(world.place("second"), world.directory / "away")
    archived: dict[str, bytes] = {}
    for _ in range(2):
        path = _close(cluster)
        archived[path.name] = path.read_bytes()
        shipped = await _ship(world, "first", "second")
        assert (shipped.status, shipped.released, shipped.storages) == ("incomplete", 0, ("first",))
        assert shipped.segments
        assert any("second" in each for each in shipped.warnings)
        assert _spooled(cluster).items() >= archived.items()
    shutil.move(world.directory / "away", world.place("second"))
    shipped = await _ship(world, "first", "second")
    assert (shipped.status, shipped.gaps) == ("completed", ())
    assert shipped.released >= len(archived)
    assert _spooled(cluster) == {}
    for storage in ("first", "second"):
        assert _kept(world, restic_packaged, storage).items() >= archived.items()


async def test_a_shipment_by_hand_takes_nothing_from_a_storage_that_a_schedule_ships_to(
    world: World, cluster: Postgres
) -> None:
    """The default storage alone is asked for; what the other lacks stays on the host until the schedule's own run."""
    await _begin(world, cluster, "first", "second")
    schedule = Schedule("log", Action.SHIP, "daily at 02:00", sources=("sho*",), storages=("first", "second"))
    await world.engine.add_schedule(schedule)
    path = _close(cluster)
    by_hand = await _ship(world)
    assert (by_hand.status, by_hand.released) == ("completed", 0)
    assert path.name in _spooled(cluster)
    shipped = await _ship(world, "first", "second")
    assert (shipped.status, shipped.gaps, _spooled(cluster)) == ("completed", (), {})
    assert {each.storage for each in (await _report(world)).reaches if each.path} == {"first", "second"}


async def test_a_storage_that_missed_a_batch_gets_no_snapshot_of_the_next_one(
    world: World, cluster: Postgres, restic_packaged: ResticProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would name what the storage lacks; at the next look it gets all of it."""
    await _begin(world, cluster, "first", "second")
    put = LocalStorage.put
    failed: list[Key] = []

    async def failing_once(self: LocalStorage, key: Key, parts: Sequence[Buffer]) -> None:
        if key.kind is Kind.PACK and "second" in str(self.traits.local_path) and not failed:
            failed.append(key)
            raise StorageFullError("second has no room")
        await put(self, key, parts)

    for _ in range(3):
        _close(cluster)
    there = _spooled(cluster)
    monkeypatch.setattr(LocalStorage, "put", failing_once)
    monkeypatch.setattr(log_shipment, "BATCH_SEGMENTS", 1)
    shipped = await _ship(world, "first", "second")
    assert (shipped.status, shipped.released, shipped.storages) == ("incomplete", 0, ("first",)), shipped
    assert failed
    for storage in ("first", "second"):
        world.restic(restic_packaged, storage).run("check", "--read-data")
    shipped = await _ship(world, "first", "second")
    assert (shipped.status, shipped.gaps) == ("completed", ()), shipped
    for storage in ("first", "second"):
        assert _kept(world, restic_packaged, storage).items() >= there.items()


async def test_a_full_storage_leaves_the_spool_alone_and_tells_how_long_it_will_last(
    world: World, cluster: Postgres
) -> None:
    """Once there is room again all of it comes."""
    world.place("").mkdir()
    with small_disk(world.place("first"), 64 << 10):
        await _begin(world, cluster, "first")
        filler = world.place("first") / "filler"
        fill(filler)
        for _ in range(2):
            _close(cluster)
        there = _spooled(cluster)
        with pytest.raises(HoldfastError, match="first"):
            await _ship(world, "first")
        assert _spooled(cluster).items() >= there.items()
        state = (await _report(world)).state
        assert state is not None
        assert "first" in state.error
        assert state.waiting_segments >= len(there)
        assert state.lasts_s is not None
        assert state.lasts_s > 0
        filler.unlink()
        shipped = await _ship(world, "first")
        assert (shipped.status, shipped.gaps, _spooled(cluster)) == ("completed", (), {})
