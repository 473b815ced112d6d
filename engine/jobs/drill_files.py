"""The drill of a file tree: files chosen at random, restored into a scratch folder, each compared with what the repository holds of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.errors import HoldfastError, RestoreError
from engine.format.snapshot import Snapshot
from engine.jobs.context import JobContext
from engine.jobs.drill_steps import TEAR_DOWN, DrillRecord, StepFailedError
from engine.model.manifest import CheckResult
from engine.repository import dump as repository_dump
from engine.repository import reader, restore
from engine.repository.patterns import Pattern, Selection, escape
from engine.repository.reader import Trees, Visited
from engine.repository.repository import Repository
from engine.repository.restore import RestoreOptions

SAMPLE = 200
"""So many files at the least; all, where there are fewer."""
_READ_BYTES = 1 << 20


async def drill(
    context: JobContext, repository: Repository, snapshot: Snapshot, seed: int, record: DrillRecord
) -> None:
    """Restores a sample, compares it, removes it. Raises: StepFailedError, which is written down."""
    record.level = "files"
    with record.step("choose files") as detail:
        chosen, count = await choose(repository, snapshot, seed)
        detail.append(f"{len(chosen)} of {count} files, seed {seed}")
    if not chosen:
        record.checks.append(CheckResult("files", "at least one", "none", False))
        return
    folder = Path(tempfile.mkdtemp(prefix="holdfast-drill-", dir=context.home.cache))
    try:
        with record.step("restore") as detail:
            await _restore(context, repository, snapshot, chosen, folder, detail)
        with record.step("compare"):
            for each in chosen:
                record.checks.append(await _compared(repository, each, folder))
    finally:
        await asyncio.shield(_tear_down(folder, record))


async def choose(repository: Repository, snapshot: Snapshot, seed: int) -> tuple[list[Visited], int]:
    """A fair sample of the snapshot's regular files, in one walk and bounded memory, and how many files there are."""
    draw = random.Random(seed)  # noqa: S311 -- the seed is in the evidence, so that the choice can be made again
    sample: list[Visited] = []
    count = 0
    async for visited in reader.walk(Trees(repository), snapshot.tree):
        if visited.node.type != "file":
            continue
        count += 1
        if len(sample) < SAMPLE:
            sample.append(visited)
        elif (place := draw.randrange(count)) < SAMPLE:
            sample[place] = visited
    return sample, count


async def _restore(
    context: JobContext,
    repository: Repository,
    snapshot: Snapshot,
    chosen: Sequence[Visited],
    folder: Path,
    detail: list[str],
) -> None:
    patterns = tuple(Pattern.parse(escape(each.path)) for each in chosen)
    options = RestoreOptions(target=str(folder), selection=Selection(includes=patterns))
    tally = await restore.restore(repository, snapshot, options, emit=context.emit)
    detail.append(f"{tally.restored_files} files, {tally.done_bytes} bytes")
    if not tally.is_complete:
        first = tally.failures[0]
        raise RestoreError(f"/{first.path.decode(errors='backslashreplace')}: {first.message}")


async def _compared(repository: Repository, visited: Visited, folder: Path) -> CheckResult:
    """SHA-256 of the file on the disk against that of the repository's blobs, each of which is checked as it is read."""
    shown = "/" + visited.path.decode(errors="backslashreplace")
    expected = ""
    try:
        expected = await repository_dump.sha256_of(repository, visited.node)
        actual = await asyncio.to_thread(_hash_of, os.path.join(os.fsencode(folder), visited.path))  # noqa: PTH118 -- bytes
    except HoldfastError as error:
        return CheckResult(shown, "readable", error.message, False)
    except OSError as error:
        return CheckResult(shown, expected, str(error.strerror), False)
    return CheckResult(shown, expected, actual, expected == actual)


def _hash_of(path: bytes) -> str:
    hashed = hashlib.sha256()
    with open(path, "rb") as file:  # noqa: PTH123 -- pathlib takes no bytes
        while data := file.read(_READ_BYTES):
            hashed.update(data)
    return hashed.hexdigest()


async def _tear_down(folder: Path, record: DrillRecord) -> None:
    try:
        with record.step(TEAR_DOWN, is_proof=False) as detail:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if await asyncio.to_thread(folder.exists):
                raise RestoreError(f"{folder} is still there")
            detail.append("scratch gone: yes")
    except StepFailedError:
        return
