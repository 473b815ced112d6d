"""The index at ten million blobs. As a program: `build FOLDER`, `query FOLDER`; each in a process of its own, so that its memory is its own."""

from __future__ import annotations

import concurrent.futures
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from engine.format import index as index_format
from engine.format.pack import BlobEntry
from engine.repository.index import Index
from engine.repository.index_builder import IndexBuilder
from tests.bench.measure import Run, measure
from tests.bench.report import Figure

BLOBS_IN_FILE = 50_000
BLOBS_IN_PACK = 25
FILES = 200
QUERIES = 200_000
BYTES_A_BLOB_LIMIT = 60.0
_MEMBERS = ("build", "query")


def _ids(file: int) -> list[bytes]:
    drawn = random.Random(file).randbytes(32 * BLOBS_IN_FILE)
    return [drawn[at : at + 32] for at in range(0, len(drawn), 32)]


def _write_file(job: tuple[Path, int]) -> None:
    """One index file as JSON, a tenth of it trees."""
    folder, file = job
    ids = _ids(file)
    packs = []
    for at in range(0, BLOBS_IN_FILE, BLOBS_IN_PACK):
        type_ = "tree" if at % (10 * BLOBS_IN_PACK) == 0 else "data"
        members = enumerate(ids[at : at + BLOBS_IN_PACK])
        entries = [
            BlobEntry(type_, blob_id, 600_000 * number, 600_000 - number, 1_400_000 + at)
            for number, blob_id in members
        ]
        packs.append((ids[at][::-1], entries))
    (folder / f"{file:04d}.json").write_bytes(index_format.encode(packs))


def build(folder: Path) -> None:
    """Makes the packed index out of the index files."""
    builder = IndexBuilder(folder)
    began = time.perf_counter()
    for number, path in enumerate(sorted(folder.glob("*.json"))):
        builder.add_index(number.to_bytes(32, "big"), path.read_bytes())
    builder.finish(folder / "packed")
    builder.close()
    print(json.dumps({"seconds": time.perf_counter() - began}))


def query(folder: Path) -> None:
    """Asks for blobs that are there, and for as many that are not."""
    index = Index.open_files([folder / "packed"])
    draw = random.Random(0)
    hits = [
        blob_id
        for file in draw.sample(range(FILES), 40)
        for blob_id in draw.sample(_ids(file), QUERIES // 40)
    ]
    misses = [draw.randbytes(32) for _ in range(QUERIES)]
    draw.shuffle(hits)
    spans = []
    for ids in (hits, misses):
        began = time.perf_counter()
        found = sum(index.has("data", blob_id) or index.has("tree", blob_id) for blob_id in ids)
        spans.append((time.perf_counter() - began) / len(ids))
        assert found == (len(ids) if ids is hits else 0), f"{found} of {len(ids)} found"
    print(json.dumps({"count": index.blob_count, "hit_us": spans[0] * 1e6, "miss_us": spans[1] * 1e6}))


def figures(place: Path, python: str) -> Iterator[Figure]:
    """Builds, queries and measures."""
    folder = place / "index"
    folder.mkdir()
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for _done in pool.map(_write_file, ((folder, file) for file in range(FILES))):
            pass
    blobs = FILES * BLOBS_IN_FILE
    for action in _MEMBERS:
        said = place / action
        measured = measure(
            Run(((python, "-m", "tests.bench.index_scale", action, str(folder)),)), stdout=said
        )
        told = json.loads(said.read_bytes())
        yield Figure(
            f"index of {blobs} blobs, {action}: memory",
            measured.peak_bytes / blobs,
            "bytes a blob",
            BYTES_A_BLOB_LIMIT,
        )
        units = {"seconds": "s", "count": "blobs", "hit_us": "us", "miss_us": "us"}
        yield from (
            Figure(f"index of {blobs} blobs, {action}: {name.partition('_')[0]}", value, units[name])
            for name, value in told.items()
        )
    yield Figure("index: disk", (folder / "packed").stat().st_size / blobs, "bytes a blob")


if __name__ == "__main__":
    {"build": build, "query": query}[sys.argv[1]](Path(sys.argv[2]))
