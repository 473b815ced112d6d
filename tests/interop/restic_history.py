"""A repository that stock restic wrote over some days, for our prune, copy, repair and check to work on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.clock import SystemClock
from engine.model.secret import Secret
from engine.repository import lock, repository
from engine.repository.lock import HeldLock
from engine.repository.repository import Repository
from engine.storages.registry import open_storage
from tests.servers.restic import PASSWORD, Restic

CLOCK = SystemClock()
DAYS = 3


@asynccontextmanager
async def opened(
    place: Path, *, exclusive: bool = True, loads_index: bool = True
) -> AsyncIterator[tuple[Repository, HeldLock]]:
    """A repository on this machine, locked by us, its index read unless it is damaged."""
    async with open_storage("local", {"path": str(place)}, clock=CLOCK) as storage:
        found = await repository.open_repository(storage, Secret(PASSWORD), cache_directory=None, clock=CLOCK)
        async with lock.hold(found, exclusive=exclusive, clock=CLOCK) as held:
            if loads_index:
                await found.load_index()
            yield found, held


def write_history(restic: Restic, files: Path) -> list[str]:
    """Backs up a folder day by day, while half of its files change; returns the snapshots' ids, oldest first."""
    draw = random.Random(7)
    for day in range(DAYS):
        for number in range(30):
            path = files / f"folder-{number % 3}" / f"file-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not day or draw.random() < 0.5:
                path.write_bytes(draw.randbytes(draw.randrange(60_000)) + b"text " * draw.randrange(9_000))
        restic.backup(files, "--time", f"2026-10-{day + 1:02d} 10:00:00", "--host", "there")
    return [each["id"] for each in restic.snapshots()]


def read_folder(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }
