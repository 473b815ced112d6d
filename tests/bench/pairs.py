"""Runs a workload: every program on a fresh repository, several rounds, the order turned round each time."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import Measured, RunFailedError, measure, size_bytes
from tests.bench.programs import STREAM, Program, Task
from tests.bench.workloads import Step, Workload


@dataclass(frozen=True, slots=True)
class Sample:
    """One step done once by one program."""

    measured: Measured
    repository_bytes: int | None


@dataclass(slots=True)
class Results:
    """All samples, by row and program, in the order of the rounds."""

    samples: dict[str, dict[str, list[Sample]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failures: list[str] = field(default_factory=list)

    def wall_s(self, row: str, program: str) -> float | None:
        """The median wall time."""
        found = [sample.measured.wall_s for sample in self.samples[row].get(program, [])]
        return statistics.median(found) if found else None

    def cpu_s(self, row: str, program: str) -> float | None:
        """The median CPU time."""
        found = [sample.measured.cpu_s for sample in self.samples[row].get(program, [])]
        return statistics.median(found) if found else None

    def peak_mib(self, row: str, program: str) -> float | None:
        """The highest peak of all rounds."""
        found = [sample.measured.peak_bytes for sample in self.samples[row].get(program, [])]
        return max(found) / (1 << 20) if found else None

    def repository_bytes(self, row: str, program: str) -> int | None:
        """The largest repository of all rounds."""
        found = [
            sample.repository_bytes
            for sample in self.samples[row].get(program, [])
            if sample.repository_bytes
        ]
        return max(found) if found else None

    def ratios(self, row: str, ours: str, theirs: str) -> list[float]:
        """Their time over ours, round by round."""
        mine, other = self.samples[row].get(ours, []), self.samples[row].get(theirs, [])
        return [their.measured.wall_s / our.measured.wall_s for our, their in zip(mine, other, strict=False)]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _do_step(program: Program, room: Path, data: Path, step: Step) -> Sample | None:
    task = Task(step.step, data, room / "target")
    run = program.run(room, task)
    if run is None:
        return None
    measured = measure(run)
    if step.step == "restore":
        _assert_restored(task)
        shutil.rmtree(task.target)
    return Sample(measured, size_bytes(program.repository(room)) if step.step.startswith("backup") else None)


def _assert_restored(task: Task) -> None:
    """A restore that left something out is not faster. Raises RunFailedError."""
    restored = task.target / (str(task.data).lstrip("/") if task.data.is_dir() else STREAM)
    if size_bytes(restored) != size_bytes(task.data):
        raise RunFailedError(f"{restored} does not hold what {task.data} holds")


def run_workload(
    workload: Workload, programs: Sequence[Program], place: Path, data: Path, rounds: int, results: Results
) -> None:
    """Does the workload's steps with every program, `rounds` times. A program that fails is named in `results.failures`."""
    for number in range(rounds):
        for program in programs if number % 2 == 0 else reversed(programs):
            room = place / "room"
            shutil.rmtree(room, ignore_errors=True)
            room.mkdir(parents=True)
            try:
                program.prepare(room, Task("prepare", data))
                for step in workload.steps:
                    sample = _do_step(program, room, data, step)
                    if sample is not None:
                        results.samples[step.row][program.name].append(sample)
                        _tell(
                            f"{step.row:20} {program.name:16} round {number + 1}: {sample.measured.wall_s:8.2f} s"
                        )
            except (RunFailedError, OSError) as exc:
                results.failures.append(f"{workload.name}: {program.name}: {exc}")
                _tell(results.failures[-1])
            finally:
                shutil.rmtree(room, ignore_errors=True)
