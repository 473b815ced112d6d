"""Runs a pipeline of programs and measures wall time, CPU time and peak memory of whole process trees."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE_INTERVAL_S = 0.05
_ENDING_S = 2.0
"""How long a process may take to end after the one that started it: a worker gives its memory back first."""
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Run:
    """Programs to run, each one's output piped into the next."""

    stages: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own."""
    cwd: Path | None = None
    feeders: int = 0
    """How many of the first stages only bring the data: their memory and CPU are not counted."""
    ends_with: int = 0
    """What the last stage ends with when all went as it should."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run cost."""

    wall_s: float
    cpu_s: float
    """User and system time of all processes counted, children included."""
    peak_bytes: int
    """The highest sum of proportional set sizes (PSS) of all processes counted, sampled 20 times a second."""


class RunFailedError(Exception):
    """A program of the bench ended with an error: its figures would mean nothing."""


def adopt_orphans() -> None:
    """Makes this process the parent of grandchildren whose parent ended, so that their CPU time is counted too."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """The process and all its descendants that live now."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found.extend(int(child) for child in (task / "children").read_bytes().split())
    return found


def pss_bytes(pid: int) -> int:
    """The process's proportional set size; 0 when it is gone."""
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/smaps_rollup").open("rb") as lines:
        for line in lines:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class _Sampler(threading.Thread):
    """Follows the memory of some process trees until told to stop."""

    def __init__(self, roots: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._roots = roots
        self._ended = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        """Samples at a steady pace."""
        while not self._ended.wait(_SAMPLE_INTERVAL_S):
            processes = {pid for root in self._roots for pid in children_of(root)}
            self.peak_bytes = max(self.peak_bytes, sum(map(pss_bytes, processes)))

    def stop(self) -> int:
        """Ends the sampling; gives the peak."""
        self._ended.set()
        self.join()
        return self.peak_bytes


def _start(run: Run, said: int, stdout: Path | None) -> list[subprocess.Popen[bytes]]:
    started: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, **run.environment}
    source: int = subprocess.DEVNULL
    with open(stdout or os.devnull, "wb") as sink:  # noqa: PTH123 -- os.devnull is a name, not a path of ours
        for number, words in enumerate(run.stages, start=1):
            is_last = number == len(run.stages)
            target = sink.fileno() if is_last else subprocess.PIPE
            process = subprocess.Popen(
                words, stdin=source, stdout=target, stderr=said, env=environment, cwd=run.cwd
            )
            if started:
                os.close(source)
            if not is_last:
                assert process.stdout is not None
                source = os.dup(process.stdout.fileno())
                process.stdout.close()
            started.append(process)
    return started


def _own_children() -> set[int]:
    """The children of this process itself, ended or not."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ends at this moment
            found.update(map(int, (task / "children").read_bytes().split()))
    return found


def _reap_orphans(others: set[int]) -> float:
    """CPU seconds of the processes that were adopted since `others` were all; waits a moment for those that are still ending."""
    seconds = 0.0
    give_up = time.monotonic() + _ENDING_S
    while (left := _own_children() - others) and time.monotonic() < give_up:
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                ended, _status, usage = os.wait4(pid, os.WNOHANG)
                seconds += usage.ru_utime + usage.ru_stime if ended else 0.0
        time.sleep(0.01)
    return seconds


def _wait_all(processes: Sequence[subprocess.Popen[bytes]], feeders: int) -> float:
    """CPU seconds of all but the feeders, once all ended. Leaves none behind when it is interrupted."""
    cpu_s = 0.0
    try:
        for number, process in enumerate(processes):
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if number >= feeders:
                cpu_s += usage.ru_utime + usage.ru_stime
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
    return cpu_s


def measure(run: Run, stdout: Path | None = None) -> Measured:
    """Runs it to its end. Raises RunFailedError, with what it said, when any stage fails."""
    others = _own_children()
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        processes = _start(run, said.fileno(), stdout)
        sampler = _Sampler([process.pid for process in processes[run.feeders :]])
        sampler.start()
        try:
            cpu_s = _wait_all(processes, run.feeders)
            wall_s = time.perf_counter() - began
        finally:
            peak_bytes = sampler.stop()
        *first, last = processes
        failed = [process for process in first if process.returncode != 0]
        failed += [last] if last.returncode != run.ends_with else []
        if failed:
            said.seek(0)
            text = said.read().decode(errors="replace")[-4000:]
            raise RunFailedError(f"{failed[0].args!r} ended with {failed[0].returncode}: {text}")
    return Measured(wall_s, cpu_s + _reap_orphans(others), peak_bytes)


def run_quietly(
    *words: str | Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> bytes:
    """Runs one program that is not measured; gives its output. Raises RunFailedError."""
    merged = {**os.environ, **(environment or {})}
    done = subprocess.run(
        [str(word) for word in words],
        env=merged,
        cwd=cwd,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise RunFailedError(f"{words} ended with {done.returncode}: {said[-4000:]}")
    return done.stdout


def size_bytes(folder: Path | None) -> int | None:
    """The sum of the sizes of the files below a folder, or that of a file."""
    if folder is None:
        return None
    if folder.is_file():
        return folder.stat().st_size
    return sum(
        (Path(root) / name).stat().st_size for root, _folders, names in os.walk(folder) for name in names
    )
