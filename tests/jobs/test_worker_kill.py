"""A worker is killed with SIGKILL at random moments, most of them while it runs a job: no job is lost, and none is done twice.

HOLDFAST_KILL_SEED chooses other moments, HOLDFAST_WORKER_KILLS another number of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.jobs.snapshot_tags import JOB_TAG
from engine.model.job import JobStatus, QueueRule
from engine.model.requests import BackupRequest
from engine.process import ProcessIdentity
from engine.storages.local import LocalStorage
from tests.fakes.small_repositories import make
from tests.jobs.world import World, open_world
from tests.servers.restic import ResticProgram
from tests.servers.tools import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = int(os.environ.get("HOLDFAST_KILL_SEED", "20261128"))
KILLS = int(os.environ.get("HOLDFAST_WORKER_KILLS", "100"))
ANYWHERE = 10
"""One in so many kills falls at any moment at all, the start of the worker too."""
WAITING = 3
"""Jobs that wait at least, so that a worker always has one."""
LONGEST_S = 0.25
"""Of a moment after a job began, however slow the machine is."""
AGAIN = QueueRule(most_attempts=10_000, retry_s=0)


class Zygote:
    """Starts workers and kills them."""

    def __init__(self, ours: socket.socket) -> None:
        self._ours = ours
        self._ours.settimeout(60)

    def start(self) -> int:
        """A fresh worker; its process id."""
        self._ours.send(b"f")
        return int(self._next(b"pid ").removeprefix(b"pid "))

    def wait_for_job(self) -> bool:
        """Until it begins a job. False where it is gone before."""
        return self._next(b"began", b"dead") == b"began"

    def wait_for_end(self) -> None:
        """Until it is gone."""
        self._next(b"dead")

    def time_one(self) -> float:
        """How long a worker that nobody kills has jobs to run, in seconds."""
        self.start()
        assert self.wait_for_job()
        began = time.monotonic()
        self.wait_for_end()
        return time.monotonic() - began

    def _next(self, *wanted: bytes) -> bytes:
        while not (told := self._ours.recv(100)).startswith(wanted):
            pass
        return told


@contextlib.contextmanager
def _zygote(home: Path) -> Iterator[Zygote]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = ["-m", "tests.jobs.worker_zygote", str(home), str(theirs.fileno())]
    with ours, subprocess.Popen([sys.executable, *words], cwd=PROJECT, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield Zygote(ours)
        finally:
            ours.close()
            assert process.wait(60) == 0


async def _set_up(world: World) -> None:
    world.place("").mkdir()
    storage = LocalStorage(world.place("main"), SystemClock())
    await make(storage, SystemClock())
    storage.close()
    await world.add_storages("main")
    for name in ("one", "two"):
        folder = world.directory / name
        folder.mkdir()
        for number in range(20):
            (folder / str(number)).write_bytes(os.urandom(2_000))
        await world.add_files(name, folder)
        await world.one_backup(name)


async def _feed(world: World, number: int, least: int = WAITING) -> list[str]:
    """Queues so many jobs that enough wait; their ids."""
    found = await world.engine._parts.catalog.jobs.queue()
    made = []
    for at in range(least - found.waiting):
        source = ("one", "two")[(number + at) % 2]
        (world.directory / source / "0").write_bytes(os.urandom(2_000))
        made.append((await world.engine.enqueue("backup", BackupRequest((source,)), rule=AGAIN)).job_id)
    return made


async def _was_running(world: World, pid: int) -> bool:
    """Whether the killed worker left a job behind."""
    owners = [ProcessIdentity.parse(job.owner) for job in await world.engine._parts.catalog.jobs.running()]
    return any(owner is not None and owner.pid == pid for owner in owners)


async def test_a_worker_killed_at_any_moment_loses_no_job_and_does_none_twice(
    tmp_path: Path, restic_newest: ResticProgram
) -> None:
    """Machines lose power, and kernels out of memory kill what they like; the night's backups are there in the morning all the same."""
    print(f"HOLDFAST_KILL_SEED={SEED}")  # noqa: T201 -- shown where it fails
    moments = random.Random(SEED)
    made: list[str] = []
    while_running = 0
    async with open_world(tmp_path / "world") as world:
        await _set_up(world)
        catalog = world.engine._parts.catalog
        with _zygote(world.directory / "home") as zygote, _zygote(world.directory / "home") as second:
            made += await _feed(world, 0)
            longest_s = min(zygote.time_one(), LONGEST_S)
            for number in range(KILLS):
                made += await _feed(world, number)
                pid = zygote.start()
                if number % ANYWHERE:
                    assert zygote.wait_for_job()
                threading.Event().wait(moments.random() * longest_s)
                os.kill(pid, signal.SIGKILL)
                zygote.wait_for_end()
                while_running += await _was_running(world, pid)
            made += await _feed(world, KILLS, least=2 * WAITING)
            async with asyncio.TaskGroup() as both:
                for each in (zygote, second):
                    each.start()
                    both.create_task(asyncio.to_thread(each.wait_for_end))
        jobs = [await catalog.jobs.get(job_id) for job_id in made]
        attempts = sum(job.attempts for job in jobs)
        told = f"{KILLS} kills, {while_running} while a job ran; {len(jobs)} jobs in {attempts} attempts; within {longest_s:.2f} s"
        print(told)  # noqa: T201 -- shown with -s
        assert {job.status for job in jobs} == {JobStatus.COMPLETED}
        assert [[b.status.value for b in await catalog.backups.of_job(each)] for each in made] == [
            ["completed"]
        ] * len(made)
        restic = world.restic(restic_newest, "main")
        tags = [tag for each in restic.snapshots() for tag in each["tags"] if tag.startswith(JOB_TAG)]
        assert {each: tags.count(JOB_TAG + each) for each in made} == dict.fromkeys(made, 1)
        assert restic.list_names("locks") == []
        restic.check()
        assert while_running >= KILLS * 8 // 10, told
