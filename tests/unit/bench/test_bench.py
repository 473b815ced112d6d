"""The bench's own instruments: a figure is worth what measured it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from tests.bench import pairs, report
from tests.bench.inputs import MIB, Inputs, sql_block
from tests.bench.measure import Measured, Run, RunFailedError, measure
from tests.servers.tools import PROJECT

_HOLD = "import time; kept = bytearray(b'x') * (64 << 20); time.sleep(0.3)"


@pytest.mark.slow
def test_memory_of_child_processes_is_counted() -> None:
    """A program that works in many processes must not look small."""
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_HOLD!r}])"
    measured = measure(Run(((sys.executable, "-c", program),)))
    assert 64 * MIB < measured.peak_bytes < 120 * MIB


def test_a_program_that_only_brings_the_data_is_not_counted() -> None:
    """Both sides are fed by the same cat, and it is nobody's cost."""
    busy = "for number in range(3_000_000): pass\nprint('x')"
    measured = measure(Run(((sys.executable, "-c", busy), ("cat",)), feeders=1))
    assert measured.cpu_s < 0.05


_LATE = """
from tests.bench.measure import Run, adopt_orphans, measure
adopt_orphans()
print(measure(Run((("sh", "-c", "number=0; while [ $number -lt 200000 ]; do number=$((number + 1)); done &"),))).cpu_s)
"""


@pytest.mark.slow
def test_a_process_that_ends_after_its_parent_is_counted() -> None:
    """Half the work of a program of two workers must not be left out because one of them ends a moment later."""
    told = subprocess.run([sys.executable, "-c", _LATE], check=True, capture_output=True, cwd=PROJECT)
    assert float(told.stdout) > 0.05


def test_a_failed_program_gives_no_figure(tmp_path: Path) -> None:
    """A program that gives up early would be the fastest of all."""
    with pytest.raises(RunFailedError, match="no such thing"):
        measure(Run((("sh", "-c", "echo no such thing >&2; exit 3"), ("cat",))), stdout=tmp_path / "out")


def test_the_dump_compresses_like_a_real_one() -> None:
    """Text that is too regular would flatter whoever compresses least."""
    text = sql_block(7, MIB)
    assert text == sql_block(7, MIB)
    assert 3.2 < len(text) / len(zstandard.ZstdCompressor(level=3).compress(text)) < 3.7


def test_the_trees_are_the_same_every_time(tmp_path: Path) -> None:
    """Figures of two days can be compared only on the same files."""
    first, second = (Inputs(tmp_path / name, 0.001).tree("small") for name in ("a", "b"))
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert len(files) == 100
    assert [(first / path).read_bytes() for path in files] == [(second / path).read_bytes() for path in files]
    assert [(first / path).stat().st_mtime_ns for path in files] == [
        (second / path).stat().st_mtime_ns for path in files
    ]


def _results(**seconds: float) -> pairs.Results:
    results = pairs.Results()
    for program, wall_s in seconds.items():
        name = {"restic": "restic 0.19.1"}.get(program, program)
        results.samples["sql"][name].append(pairs.Sample(Measured(wall_s, 1.0, 100 * MIB), 1000))
    return results


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (_results(holdfast=1.0, restic=2.1), []),
        (_results(holdfast=1.0, restic=1.9), ["sql: 1.90 times as fast as restic 0.19.1, floor 2.0"]),
        (_results(restic=1.9), ["sql: holdfast was not measured"]),
    ],
    ids=["above", "below", "missing"],
)
def test_a_row_below_its_floor_is_named(results: pairs.Results, expected: list[str]) -> None:
    """A bench that ends well although we became slow guards nothing."""
    assert list(report.misses(results, [])) == expected
