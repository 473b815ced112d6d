"""A worker whose machine's clock is set while it runs: forward by an hour, and back again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.model.schedules import RunOutcome
from engine.service import Engine, open_engine
from tests.jobs.command_line import CommandLine
from tests.servers.faked_clock import FakedClock

pytestmark = pytest.mark.slow

HOUR = datetime.timedelta(hours=1)
_PATIENCE_S = 60.0


@pytest.fixture
def clock(tmp_path: Path) -> FakedClock:
    """Half past an hour to come, so that no second that a slow machine takes is near an instant."""
    now = SystemClock().now()
    half_past = now.replace(minute=30, second=0, microsecond=0) + HOUR
    return FakedClock(tmp_path / "clock", half_past - now)


@contextlib.contextmanager
def _worker(line: CommandLine, clock: FakedClock) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        line.words("worker"),
        env={**line.environment(), **clock.environment},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_S)


def _done(line: CommandLine, clock: FakedClock, *words: str) -> str:
    """What a command says that goes by that clock, and must end well."""
    environment = {**line.environment(), **clock.environment}
    ran = subprocess.run(line.words(*words), env=environment, capture_output=True, text=True, check=True)
    return ran.stdout


async def _over(engine: Engine, count: int) -> list[tuple[datetime.datetime, RunOutcome]]:
    """Instant and outcome of each run, oldest first, as soon as there are so many that are over."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            runs = [
                each for each in await engine.schedule_runs("hours") if each.outcome is not RunOutcome.OPEN
            ]
            if len(runs) >= count:
                return [(each.planned_at, each.outcome) for each in reversed(runs)]
            await asyncio.sleep(0.05)


async def test_a_clock_that_is_set_while_a_worker_runs_does_nothing_twice_and_loses_nothing(
    tmp_path: Path, clock: FakedClock
) -> None:
    """Machines wake up, and are set right, an hour off: nobody may find two backups for it, or none."""
    line = CommandLine(tmp_path)
    for name, rhythm in (("hours", "hourly"), ("aside", "monthly")):
        words = ("--cron", rhythm, "--timezone", "UTC", "--action", "report", "--report", "trends")
        _done(line, clock, "schedule", "add", name, *words)
    first = clock.now().replace(minute=0, second=0, microsecond=0) + HOUR
    async with open_engine(str(line.home), environment={}) as engine:
        with _worker(line, clock):
            clock.set(HOUR)
            assert await _over(engine, 1) == [(first, RunOutcome.COMPLETED)]
            clock.set(-HOUR)
            # By the worker, who looks at its schedules when it is done, as this command does.
            _done(line, clock, "schedule", "run", "aside")
            clock.set(2 * HOUR)
            found = await _over(engine, 2)
        assert found == [(first, RunOutcome.COMPLETED), (first + HOUR, RunOutcome.COMPLETED)]
        assert [each.request["schedule"] for each in await engine.jobs()].count("hours") == 2
