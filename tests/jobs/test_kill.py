"""A backup is killed with SIGKILL at random moments, most of them between its first write and its commit, by its own log of events.

HOLDFAST_KILL_SEED chooses other moments, HOLDFAST_KILLS another number of them.
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

import psutil
import pytest

from engine.clock import SystemClock
from engine.repository import lock
from engine.storages.local import LocalStorage
from tests.fakes.small_repositories import Contents, all_contents, expected, make, reopen
from tests.jobs.kill_child import generation
from tests.servers.restic import Restic, ResticProgram

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("HOLDFAST_KILL_SEED", "20261121"))
KILLS = int(os.environ.get("HOLDFAST_KILLS", "100"))
PARTS = 4
"""Repositories among which the kills are shared out, for as many processes of the test run."""
ANYWHERE = 10
"""One in so many kills falls at any moment at all."""
WHOLE = 20
"""One in so many generations is not killed, so that there are ever more snapshots to lose."""
DELAY_S = 0.003
FIRST_WRITE, COMMIT = b"before put data\n", b"before put snapshots\n"


@dataclass(slots=True)
class _Run:
    """One child and what it told."""

    events: list[bytes] = field(default_factory=list)

    @property
    def is_between(self) -> bool:
        """Whether it ended after its first write and before its commit."""
        return FIRST_WRITE in self.events and COMMIT not in self.events


@dataclass(frozen=True, slots=True)
class _Moment:
    """When a child is killed."""

    event: int
    """Counted from 1; the child is nodded to go on from it, and from no other after it."""
    delay_s: float
    """From the nod to the kill."""
    is_after_write: bool
    """Whether the first write is the first event that counts."""

    def is_come(self, events: list[bytes]) -> bool:
        """Whether the last of these events is the one."""
        if not self.is_after_write:
            return len(events) == self.event
        return FIRST_WRITE in events and len(events) - events.index(FIRST_WRITE) == self.event


class _Child:
    """A process that backs up a generation."""

    def __init__(self, repository: Path, number: int, *, has_processes: bool) -> None:
        self._ours, theirs = socket.socketpair()
        words = [
            "-m",
            "tests.jobs.kill_child",
            str(repository),
            str(number),
            str(theirs.fileno()),
            str(int(has_processes)),
        ]
        self._process = subprocess.Popen([sys.executable, *words], cwd=ROOT, pass_fds=[theirs.fileno()])
        theirs.close()

    def run(self, moment: _Moment | None) -> _Run:
        """Lets it run to the end, or kills it at that moment; nothing more is nodded to then."""
        done = _Run()
        workers: list[psutil.Process] = []
        is_over = False
        for line in self._lines():
            done.events.append(line)
            if is_over:
                continue
            self._nod()
            if moment is not None and moment.is_come(done.events):
                is_over = True
                threading.Event().wait(moment.delay_s)
                self._process.send_signal(signal.SIGSTOP)
                workers = psutil.Process(self._process.pid).children(recursive=True)
                self._process.send_signal(signal.SIGKILL)
        code = self._process.wait()
        self._ours.close()
        assert code == 0 or (is_over and code == -signal.SIGKILL), f"the child ended with {code}"
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive, "worker processes outlived the process that they worked for"
        return done

    def _nod(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._ours.send(b".")

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        with contextlib.suppress(ConnectionError):
            while data := self._ours.recv(4096):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield line + b"\n"


def _moment(random_: random.Random, whole: _Run, number: int) -> _Moment:
    """When to kill, judged by a run that was not: seldom at any event at all, mostly between the first write and the commit."""
    delay_s = random_.random() * DELAY_S
    if number % ANYWHERE == 0:
        return _Moment(random_.randint(1, len(whole.events)), delay_s, is_after_write=False)
    length = whole.events.index(COMMIT) - whole.events.index(FIRST_WRITE)
    return _Moment(random_.randint(1, length * 9 // 10), delay_s, is_after_write=True)


class _Ledger:
    """The repository, and what its snapshots held when they were first seen."""

    def __init__(self, place: Path, program: ResticProgram, storage: LocalStorage) -> None:
        self.restic = Restic(program, place / "repository", place / "restic")
        self._storage = storage
        self._before: dict[str, Contents] = {}

    async def judge(self, number: int) -> None:
        """The stale lock can be removed, all is sound, nothing that was there is gone or changed, and what is new is whole."""
        opened = await reopen(self._storage)
        await lock.remove_stale(opened, clock=SystemClock())
        assert await lock.inspect(opened, clock=SystemClock()) == []
        self.restic.check()
        found = await all_contents(self._storage)
        assert {name: found.get(name) for name in self._before} == self._before
        new = expected(generation(number))
        assert all(held == new for name, held in found.items() if name not in self._before)
        self._before = found

    @property
    def count(self) -> int:
        """How many snapshots there are."""
        return len(self._before)


@pytest.mark.parametrize("part", range(PARTS))
async def test_a_backup_killed_at_any_moment_loses_nothing(
    tmp_path: Path, restic_newest: ResticProgram, part: int
) -> None:
    """Machines lose power, and kernels out of memory kill what they like."""
    print(f"HOLDFAST_KILL_SEED={SEED}")  # noqa: T201 -- shown where it fails
    random_ = random.Random(SEED + part)
    kills = -(-KILLS // PARTS)
    storage = LocalStorage(tmp_path / "repository", SystemClock())
    await make(storage, SystemClock())
    ledger = _Ledger(tmp_path, restic_newest, storage)
    whole = {}
    for number, has_processes in ((0, False), (1, False), (2, True)):
        child = _Child(tmp_path / "repository", number, has_processes=has_processes)
        whole[has_processes] = child.run(None)
        await ledger.judge(number)
    between = killed = 0
    number = 10
    while killed < kills:
        number += 1
        has_processes = number % 4 == 0
        is_whole = number % WHOLE == 0
        moment = None if is_whole else _moment(random_, whole[has_processes], number)
        child = _Child(tmp_path / "repository", number, has_processes=has_processes)
        run = child.run(moment)
        killed += not is_whole
        between += run.is_between
        assert not is_whole or run.events[-1] == b"end\n"
        await ledger.judge(number)
    storage.close()
    told = (
        f"{killed} kills, {between} of them between the first write and the commit; {ledger.count} snapshots"
    )
    print(told)  # noqa: T201 -- shown with -s
    assert between >= kills * 8 // 10, told
    ledger.restic.restore("latest", tmp_path / "restored")
