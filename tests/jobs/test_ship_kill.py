"""A shipment of a log is killed with SIGKILL at random moments, most of them while a segment is under way: nothing is lost, or kept twice.

HOLDFAST_KILL_SEED chooses other moments, HOLDFAST_SHIP_KILLS another number of them.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.jobs import log_store
from engine.model.definitions import Source
from engine.model.logs import LogRun
from engine.model.requests import ShipRequest
from engine.sources.postgres.spool import archive_command
from engine.storages.local import LocalStorage
from tests.fakes.small_repositories import make, reopen
from tests.jobs.world import World, open_world
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.restic import ResticProgram
from tests.servers.tools import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = int(os.environ.get("HOLDFAST_KILL_SEED", "20261128"))
KILLS = int(os.environ.get("HOLDFAST_SHIP_KILLS", "50"))
ANYWHERE = 10
"""One in so many kills falls at any moment at all."""
LONGEST_S = 0.002
"""From a step to the kill."""
STORAGES = ("first", "second")
SEGMENTS_PER_HIGH = 4096
"""Of 1 MiB each."""


@dataclass(slots=True)
class Zygote:
    """Starts shipments and kills them."""

    _ours: socket.socket
    told: list[bytes] = field(default_factory=list)
    """By the last one, in order."""

    def run(self, steps: int | None, delay_s: float = 0.0) -> int:
        """Lets one ship to its end, or kills it so long after so many of its steps; gives what it ended with."""
        self._ours.send(b"f")
        pid = int(self._ours.recv(100).removeprefix(b"pid "))
        self.told = []
        while not (said := self._ours.recv(100)).startswith(b"dead "):
            self.told.append(said)
            if len(self.told) == steps:
                threading.Event().wait(delay_s)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return int(said.removeprefix(b"dead "))

    @property
    def is_under_way(self) -> bool:
        """Whether a segment was read that was not in both storages when it ended."""
        kept = [at for at, each in enumerate(self.told) if each == b"has put snapshots"]
        read = [at for at, each in enumerate(self.told) if each == b"read"]
        return bool(read) and len([at for at in kept if at > read[-1]]) < len(STORAGES)


@contextlib.contextmanager
def _zygote(home: Path) -> Iterator[Zygote]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = ["-m", "tests.jobs.ship_zygote", str(home), str(theirs.fileno()), *STORAGES]
    with ours, subprocess.Popen([sys.executable, *words], cwd=PROJECT, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.settimeout(60)
        try:
            yield Zygote(ours)
        finally:
            ours.close()
            assert process.wait(60) == 0


class _Log:
    """What the server archived so far, of which it keeps a copy, and where it is."""

    def __init__(self, world: World, cluster: Postgres) -> None:
        self.copies = cluster.directory / "copies"
        self._world, self._cluster = world, cluster
        self._storages = {name: LocalStorage(world.place(name), SystemClock()) for name in STORAGES}
        copying = f"mkdir -p {self.copies} && cp %p {self.copies}/%f && {archive_command(str(cluster.spool))}"
        quoted = copying.replace("'", "''")
        cluster.psql(f"alter system set archive_command = '{quoted}'")
        cluster.psql("select pg_reload_conf(); create table noise (t text)")

    def write(self, number: int) -> None:
        """More than a segment of log, archived."""
        name = self._cluster.psql(
            f"insert into noise select md5(i::text || {number}) from generate_series(1, 12000) i; select pg_walfile_name(pg_switch_wal())"
        )
        while self._cluster.psql(f"select last_archived_wal >= '{name}' from pg_stat_archiver") != "t":
            threading.Event().wait(0.01)

    async def require_all(self, first: int) -> None:
        """Each segment from there on is in the spool, or in all storages; and none is there of which the server did not speak."""
        archived = {_number(each.name) for each in self.copies.iterdir() if len(each.name) == 24}
        spooled = {_number(each.name) for each in self._cluster.spool.iterdir() if len(each.name) == 24}
        held = [await self._held(name) for name in STORAGES]
        wanted = {each for each in archived if each >= first}
        assert wanted <= spooled | set.intersection(*held)
        for each in held:
            assert each - spooled <= archived | {first - 1}, "a storage holds what never was"

    async def _held(self, storage: str) -> set[int]:
        repository = await reopen(self._storages[storage])
        source = Source("shop", "postgres")
        _, tree = await log_store.open_head(repository, source, "")
        runs: list[LogRun] = (await log_store.runs(repository, tree))[0]
        return {number for run in runs for number in range(run.first, run.last + 1)}

    def close(self) -> None:
        for each in self._storages.values():
            each.close()


def _number(name: str) -> int:
    return int(name[8:16], 16) * SEGMENTS_PER_HIGH + int(name[16:], 16)


async def _set_up(world: World, cluster: Postgres) -> int:
    """A source with a base, its log shipped so far; the number of the first segment that comes."""
    world.place("").mkdir()
    for name in STORAGES:
        storage = LocalStorage(world.place(name), SystemClock())
        await make(storage, SystemClock())
        storage.close()
    await world.add_storages(*STORAGES)
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop", to=STORAGES)
    (shipped,) = (await world.engine.ship(ShipRequest(("shop",), STORAGES))).logs
    assert (shipped.status, shipped.waiting) == ("completed", 0), shipped
    (run,) = (await world.engine.log_report("shop")).reaches[0].path or (None,)
    return run.last + 1 if run is not None else (await _base_number(world)) + 1


async def _base_number(world: World) -> int:
    return (await world.engine.log_report("shop")).reaches[0].base.position.number


async def test_a_shipment_killed_at_any_moment_leaves_no_gap_and_keeps_nothing_twice(
    tmp_path: Path, restic_newest: ResticProgram
) -> None:
    """What is not in every storage is still on the host, whatever the moment."""
    print(f"HOLDFAST_KILL_SEED={SEED}")  # noqa: T201 -- shown where it fails
    dice = random.Random(SEED)
    async with open_world(tmp_path / "world") as world:
        with (
            running_postgres(is_archiving=True, segment_mib=1) as cluster,
            contextlib.closing(_Log(world, cluster)) as log,
        ):
            first = await _set_up(world, cluster)
            with _zygote(world.directory / "home") as zygote:
                log.write(0)
                assert zygote.run(None) == 0
                whole = len(zygote.told)
                read, released = zygote.told.index(b"read"), zygote.told.index(b"release")
                under_way = 0
                for number in range(1, KILLS + 1):
                    log.write(number)
                    span = (read + 1, released * 3 // 4) if number % ANYWHERE else (1, whole)
                    steps = dice.randint(*span)
                    ended = zygote.run(steps, dice.random() * LONGEST_S)
                    assert ended in (0, -signal.SIGKILL)
                    under_way += ended != 0 and zygote.is_under_way
                    await log.require_all(first)
                assert zygote.run(None) == 0
            told = f"{KILLS} kills, {under_way} of them while a segment was under way; {whole} steps"
            print(told)  # noqa: T201 -- shown with -s
            (shipped,) = (await world.engine.ship(ShipRequest(("shop",), STORAGES))).logs
            assert (shipped.status, shipped.waiting, shipped.gaps) == ("completed", 0, ()), shipped
            _judge(world, restic_newest, log.copies, first)
            assert under_way >= KILLS * 8 // 10, told


def _judge(world: World, program: ResticProgram, copies: Path, first: int) -> None:
    """Each storage has the log byte for byte as the server archived it, each segment once, in a repository that is sound."""
    own = {each.name: each.read_bytes() for each in copies.iterdir() if _is_from(each, first)}
    assert len(own) > KILLS // 2
    for storage in STORAGES:
        restic = world.restic(program, storage)
        target = world.directory / "out" / storage
        restic.restore("latest", target, "--tag", "holdfast:logs-of=shop")
        files = [each for each in target.rglob("*") if each.is_file() and _is_from(each, first)]
        assert {each.name: each.read_bytes() for each in files} == own
        assert len(files) == len(own)
        restic.run("unlock")
        restic.run("check", "--read-data")


def _is_from(path: Path, first: int) -> bool:
    return len(path.name) == 24 and _number(path.name) >= first
