"""The table of the benches, and which rows are below their floor."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.pairs import Results
from tests.bench.workloads import FLOORS, SIZE_RATIO_LIMIT

OURS = "holdfast"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that has no rival: start-up, memory of an index."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    """At most this."""

    @property
    def is_met(self) -> bool:
        """Whether it is within its limit."""
        return self.limit is None or self.value <= self.limit


def _floor_for(row: str, program: str) -> float | None:
    floor = FLOORS.get(row)
    return floor.ratios.get(program.partition(" ")[0]) if floor else None


def misses(results: Results, figures: list[Figure]) -> Iterator[str]:
    """One sentence for each floor that is not reached. A row of which ours is missing does not reach its floor."""
    yield from results.failures
    for row, programs in results.samples.items():
        if OURS not in programs:
            yield f"{row}: holdfast was not measured"
        for program in programs:
            yield from _misses_against(results, row, program)
        floor, peak = FLOORS.get(row), results.peak_mib(row, OURS)
        if floor and floor.peak_mib and peak and peak > floor.peak_mib:
            yield f"{row}: peak memory {peak:.0f} MiB, limit {floor.peak_mib} MiB"
    for figure in figures:
        if not figure.is_met:
            yield f"{figure.name}: {figure.value:.3g} {figure.unit}, limit {figure.limit:.3g}"


def _misses_against(results: Results, row: str, program: str) -> Iterator[str]:
    ratios, wanted = results.ratios(row, OURS, program), _floor_for(row, program)
    if program == OURS:
        return
    if wanted is not None and ratios and statistics.median(ratios) < wanted:
        yield f"{row}: {statistics.median(ratios):.2f} times as fast as {program}, floor {wanted}"
    ours, theirs = results.repository_bytes(row, OURS), results.repository_bytes(row, program)
    if program.startswith("restic") and ours and theirs and ours > SIZE_RATIO_LIMIT * theirs:
        yield f"{row}: repository {ours / theirs:.3f} times the size of that of {program}, limit {SIZE_RATIO_LIMIT}"


def table(results: Results, figures: list[Figure]) -> str:
    """Markdown, as README shows it: median wall s / median CPU s / highest peak MiB, and ratios with their range."""
    lines = [
        "| work | program | wall s | CPU s | peak MiB | repository MiB | ratio (range) | floor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, programs in results.samples.items():
        lines += [
            _line(results, row, program)
            for program in sorted(programs, key=lambda name: (name != OURS, name))
        ]
    lines += [
        "",
        *(f"- {figure.name}: {figure.value:.3g} {figure.unit}{_limit(figure)}" for figure in figures),
    ]
    return "\n".join(lines)


def _limit(figure: Figure) -> str:
    return "" if figure.limit is None else f" (limit {figure.limit:.3g})"


def _line(results: Results, row: str, program: str) -> str:
    ratios = results.ratios(row, OURS, program) if program != OURS else []
    floor = _floor_for(row, program)
    size = results.repository_bytes(row, program)
    cells = (
        row,
        program,
        _number(results.wall_s(row, program), 2),
        _number(results.cpu_s(row, program), 2),
        _number(results.peak_mib(row, program), 0),
        _number(size / (1 << 20) if size else None, 0),
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "",
        f"{floor:.2f}" if floor is not None else "",
    )
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def as_json(results: Results, figures: list[Figure], machine: dict[str, Any]) -> dict[str, Any]:
    """All that was measured, round by round."""
    rows = {
        row: {
            program: [
                {
                    "wall_s": round(sample.measured.wall_s, 4),
                    "cpu_s": round(sample.measured.cpu_s, 4),
                    "peak_bytes": sample.measured.peak_bytes,
                    "repository_bytes": sample.repository_bytes,
                }
                for sample in samples
            ]
            for program, samples in programs.items()
        }
        for row, programs in results.samples.items()
    }
    single = [
        {"name": figure.name, "value": figure.value, "unit": figure.unit, "limit": figure.limit}
        for figure in figures
    ]
    return {
        "schema_version": 1,
        "machine": machine,
        "rows": rows,
        "figures": single,
        "misses": list(misses(results, figures)),
    }
