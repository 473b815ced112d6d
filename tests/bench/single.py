"""Rows that are held against a limit: an index of ten million blobs, start-up, long lists, the console's first screen and its keys, a large catalog, a tick of many schedules, ten thousand of them due at once, two storages at once, a stream of 50 GiB."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import (
    catalog_scale,
    console,
    due_at_once,
    fan_out,
    index_scale,
    large_catalog,
    logs,
    postgres,
    schedule_scale,
)
from tests.bench.measure import Run, measure
from tests.bench.programs import HOLDFAST, Holdfast, Pass, Task
from tests.bench.report import Figure

STARTS = 40
START_RATIO_LIMIT = 3.0
LISTED_BACKUPS = 100_000
LIST_LIMIT_S = 0.5
HUGE_BYTES = 50 << 30
HUGE_LIMIT_MIB = 200.0
HUGE_GROWTH_LIMIT = 1.2


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
    yield from index_scale.figures(place, sys.executable)


def long_list(place: Path) -> Iterator[Figure]:
    """`holdfast backups` on a catalog of 100,000 backups."""
    catalog_scale.fill(place / "home", LISTED_BACKUPS)
    run = Run(((str(HOLDFAST), "--home", str(place / "home"), "backups"),))
    spans = [measure(run).wall_s for _round in range(5)]
    yield Figure(f"holdfast backups on {LISTED_BACKUPS} backups", statistics.median(spans), "s", LIST_LIMIT_S)


def huge_stream(place: Path) -> Iterator[Figure]:
    """Memory on a stream of 50 GiB out of a sparse file, against one of 5 GiB: it must not grow with the stream."""
    peaks = []
    for size_bytes in (HUGE_BYTES // 10, HUGE_BYTES):
        source = place / "sparse"
        with source.open("wb") as file:
            file.truncate(size_bytes)
        program, task = Holdfast(), Task("backup-stream", source)
        room = place / str(size_bytes)
        room.mkdir()
        program.prepare(room, task)
        run = program.run(room, task)
        assert run is not None
        measured = measure(run)
        peaks.append(measured.peak_bytes)
        yield Figure(
            f"stream of {size_bytes >> 30} GiB: peak memory",
            measured.peak_bytes / (1 << 20),
            "MiB",
            HUGE_LIMIT_MIB,
        )
        yield Figure(f"stream of {size_bytes >> 30} GiB: time", measured.wall_s, "s")
    yield Figure(
        "stream of 50 GiB: memory over that of 5 GiB", peaks[1] / peaks[0], "times", HUGE_GROWTH_LIMIT
    )


SINGLES: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "start-up": start_up,
    "index": index_of_millions,
    "backups-list": long_list,
    "console": console.first_screen,
    "console-keys": console.scrolling,
    "tick": schedule_scale.figures,
    "due-at-once": due_at_once.figures,
    "catalog": large_catalog.figures,
    "postgres-growth": postgres.growth,
    "two-storages": fan_out.figures,
    "huge-stream": huge_stream,
    "logs": logs.figures,
    "logs-restore": logs.restores,
    "logs-shipping": logs.shipping,
}
ONLY_BY_NAME = {"catalog", "due-at-once", "huge-stream", "logs", "logs-restore", "logs-shipping"}
"""Not part of a run that names nothing: they take minutes."""
