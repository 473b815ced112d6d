"""Backups to several storages at once: two against one, and one beside another that takes 1 MB/s.

Each round does all in turn on fresh repositories, a stream of SQL and a tree of small files. The time is that to the last snapshot, since a
storage that is held at 1 MB/s and is dropped when the other is done ([spill] wait_s = 0) may still index what it took.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.inputs import Inputs
from tests.bench.measure import Measured, Run, measure, run_quietly, size_bytes
from tests.bench.programs import PASSWORD, Holdfast
from tests.bench.report import Figure

ROUNDS = 3
TWO_LIMIT = 1.3
"""Times the slower alone."""
BESIDE_SLOW_LIMIT = 1.1
"""Times the fast one alone."""
MEMORY_LIMIT_MIB = 300.0
HELD_KIB_S = 1024
BUFFER_BYTES = 1 << 30
BUFFER_LIMIT_MIB = 1024.0
_WATCH_S = 0.1
_INCOMPLETE = 3


@dataclass(frozen=True, slots=True)
class _Case:
    """To which storages, and how the job ends."""

    storages: tuple[str, ...]
    ends_with: int = 0


CASES = {
    "one": _Case(("one",)),
    "two": _Case(("one", "two")),
    "beside": _Case(("one", "held"), _INCOMPLETE),
}


@dataclass(frozen=True, slots=True)
class _Sample:
    """One backup."""

    measured: Measured
    snapshot_s: float
    """From the start to the last snapshot that it wrote."""


@dataclass(slots=True)
class _Watch:
    """Looks how large the buffer grows."""

    cache: Path
    most_bytes: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """As long as the body runs."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _look(self) -> None:
        while not self._end.wait(_WATCH_S):
            with contextlib.suppress(OSError):
                found = [size_bytes(folder) or 0 for folder in self.cache.glob("holdfast-spill-*")]
                self.most_bytes = max(self.most_bytes, sum(found))


def figures(place: Path) -> Iterator[Figure]:
    """For the stream and for the tree: two at once, one beside a slow one, the memory of each, and what the buffer held."""
    inputs = Inputs(place / "inputs")
    for name, data in (("sql", inputs.stream("sql")), ("small", inputs.tree("small"))):
        found: dict[str, list[_Sample]] = defaultdict(list)
        buffer_bytes = 0
        for number in range(ROUNDS):
            for case in list(CASES)[:: 1 if number % 2 else -1]:
                watch = _Watch(place / "room" / "home" / "cache")
                with watch.watching():
                    found[case].append(_run(place / "room", data, CASES[case]))
                buffer_bytes = max(buffer_bytes, watch.most_bytes)
        alone = [each.snapshot_s for each in found["one"]]
        for case, limit in (("two", TWO_LIMIT), ("beside", BESIDE_SLOW_LIMIT)):
            ratio = statistics.median(each.snapshot_s for each in found[case]) / statistics.median(alone)
            title = {"two": "two storages at once", "beside": "one beside another held at 1 MB/s"}[case]
            peak = max(each.measured.peak_bytes for each in found[case]) / (1 << 20)
            yield Figure(f"{name}, {title}: time over one alone", ratio, "times", limit)
            yield Figure(f"{name}, {title}: peak memory", peak, "MiB", MEMORY_LIMIT_MIB)
        yield Figure(f"{name}: most in the buffer", buffer_bytes / (1 << 20), "MiB", BUFFER_LIMIT_MIB)
        yield Figure(f"{name}: one alone", statistics.median(alone), "s")
        yield Figure(
            f"{name}: CPU of one alone", statistics.median(each.measured.cpu_s for each in found["one"]), "s"
        )
        yield Figure(
            f"{name}: CPU of two", statistics.median(each.measured.cpu_s for each in found["two"]), "s"
        )


def _run(room: Path, data: Path, case: _Case) -> _Sample:
    shutil.rmtree(room, ignore_errors=True)
    (room / "home").mkdir(parents=True, mode=0o700)
    settings = f"[catalog]\ncopies = false\n[spill]\nwait_s = 0\nlimit_bytes = {BUFFER_BYTES}\n"
    (room / "home" / "config.toml").write_text(settings if case.ends_with else "", encoding="ascii")
    secret = room / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    program = Holdfast()
    for name in case.storages:
        limit = ("--limit-upload", str(HELD_KIB_S)) if name == "held" else ()
        where = ("--path", str(room / name), "--password", f"file:{secret}", *limit)
        run_quietly(*program.words(room, "storage", "add", name, "--kind", "local", *where))
    if data.is_dir():
        source = ("--kind", "files", "--path", str(data))
        run_quietly(*program.words(room, "source", "add", "data", *source))
        run = Run((program.words(room, "backup", "data", "--to", *case.storages),), ends_with=case.ends_with)
    else:
        stdin = ("--stdin", "s.sql", "--as-source", "data")
        words = program.words(room, "backup", *stdin, "--to", *case.storages)
        run = Run((("cat", str(data)), words), feeders=1, ends_with=case.ends_with)
    begin = room / "begin"
    begin.touch()
    measured = measure(run)
    snapshots = [path.stat().st_mtime for path in room.glob("*/snapshots/*")]
    return _Sample(measured, max(snapshots) - begin.stat().st_mtime)
