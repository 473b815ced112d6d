"""Rows that are held against a limit: the index of ten million blobs, and start-up."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.measure import Run, measure
from tests.bench.programs import HOLDFAST, Pass
from tests.bench.report import Figure

STARTS = 40
START_RATIO_LIMIT = 3.0


def start_up(_place: Path) -> Iterator[Figure]:
    """`holdfast --version` against `python3 -c pass`, in turn."""
    ours, bare = [], []
    for _round in range(STARTS):
        ours.append(measure(Run(((str(HOLDFAST), "--version"),))).wall_s)
        bare.append(measure(Run((Pass().words(),))).wall_s)
    yield Figure(
        "start-up over python3 -c pass",
        statistics.median(ours) / statistics.median(bare),
        "times",
        START_RATIO_LIMIT,
    )
    yield Figure("start-up", statistics.median(ours) * 1000, "ms")


def index_of_millions(place: Path) -> Iterator[Figure]:
    """Memory and query time of an index of ten million blobs, in a process of its own."""
    from tests.bench import index_scale

    yield from index_scale.figures(place, sys.executable)


SINGLES: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "start-up": start_up,
    "index": index_of_millions,
}
