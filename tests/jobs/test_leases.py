"""Processes that share one catalog: none takes another's job, and a killed one leaves nothing half written."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob, Outcome, SlotLimits
from engine.clock import SystemClock
from engine.model.job import JobStatus
from engine.process import Liveness, ProcessIdentity
from tests.servers.tools import PROJECT

pytestmark = pytest.mark.slow

CLAIMER = """
import asyncio, pathlib, sys
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import Outcome, SlotLimits
from engine.clock import SystemClock
from engine.model.job import JobStatus
from engine.process import ProcessIdentity
async def main():
    me = ProcessIdentity.current()
    async with Catalog.open(pathlib.Path(sys.argv[1]), SystemClock()) as catalog:
        while job := await catalog.jobs.claim(me, SlotLimits(100)):
            print(job.job_id, flush=True)
            assert await catalog.jobs.renew(job.job_id, me) == "held"
            assert await catalog.jobs.finish(job.job_id, me, Outcome(JobStatus.COMPLETED))
asyncio.run(main())
"""

WRITER = """
import asyncio, pathlib, sys
from engine.catalog.catalog import Catalog
from engine.clock import SystemClock
async def main():
    async with Catalog.open(pathlib.Path(sys.argv[1]), SystemClock()) as catalog:
        number = (await catalog.settings.get("first")) or 0
        print("ready", flush=True)
        while True:
            number += 1
            async with catalog._database.transaction() as transaction:
                await transaction.execute("put_setting", name="first", value=str(number))
                await transaction.execute("put_setting", name="second", value=str(number))
            print(number, flush=True)
asyncio.run(main())
"""

HOLDER = """
import asyncio, pathlib, sys
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import SlotLimits
from engine.clock import SystemClock
from engine.process import ProcessIdentity
async def main():
    async with Catalog.open(pathlib.Path(sys.argv[1]), SystemClock()) as catalog:
        job = await catalog.jobs.claim(ProcessIdentity.current(), SlotLimits())
        print(job.job_id, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def _start(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )


async def test_processes_that_claim_at_once_run_each_job_once(tmp_path: Path) -> None:
    """Two workers and a person's own command share the queue."""
    path = tmp_path / "catalog.db"
    async with Catalog.open(path, SystemClock()) as catalog:
        for number in range(60):
            await catalog.jobs.create(NewJob(f"1{number:02d}", "backup", {}, ("host:x",)))
    children = [_start(CLAIMER, path) for _ in range(4)]
    claimed = Counter(line for child in children for line in child.communicate()[0].split())
    assert [child.returncode for child in children] == [0] * 4
    assert claimed == Counter(f"1{number:02d}" for number in range(60))


def test_a_killed_writer_leaves_whole_transactions_and_all_it_reported(tmp_path: Path) -> None:
    """Nothing that was said to be written is lost, and nothing is half written."""
    path = tmp_path / "catalog.db"
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    for _ in range(8):
        with _start(WRITER, path) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            for _ in range(moments.randrange(1, 40)):
                reported = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            for line in child.stdout:
                with contextlib.suppress(ValueError):
                    reported = int(line)
        connection = sqlite3.connect(path)
        kept = dict(connection.execute("SELECT name, value FROM settings"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        assert kept["first"] == kept["second"], f"seed {seed}"
        assert int(kept["first"]) >= reported, f"seed {seed}"


async def test_a_killed_holder_is_proved_dead_and_its_job_goes_on(tmp_path: Path) -> None:
    """After kill -9 the job is marked with the reason at once, and its host is free for the next."""
    path = tmp_path / "catalog.db"
    async with Catalog.open(path, SystemClock()) as catalog:
        for job_id in ("1a", "1b"):
            await catalog.jobs.create(NewJob(job_id, "backup", {}, ("host:x",)))
        with _start(HOLDER, path) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "1a\n"
            me = ProcessIdentity.current()
            assert await catalog.jobs.claim(me, SlotLimits()) is None
            [job] = await catalog.jobs.running()
            owner = ProcessIdentity.parse(job.owner)
            assert owner is not None
            os.kill(child.pid, signal.SIGKILL)
        assert owner.liveness() is Liveness.DEAD
        assert await catalog.jobs.interrupt(job, f"process {owner.pid} died")
        claimed = await catalog.jobs.claim(me, SlotLimits())
        assert claimed is not None
        assert await catalog.jobs.finish(claimed.job_id, me, Outcome(JobStatus.COMPLETED))
