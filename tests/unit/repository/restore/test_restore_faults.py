"""Restores from what is damaged, gone, or interrupted: what can be had comes, and nothing half."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from engine import events
from engine.errors import HoldfastError
from engine.repository import repository, restore
from engine.repository.repository import Repository
from engine.repository.restore import RestoreOptions
from engine.storages.base import Key, Kind
from tests.fakes.crafted import Crafted
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.conftest import PASSWORD, POLYNOMIAL, QUICK
from tests.unit.repository.restore import restoring

pytestmark = pytest.mark.slow
"""Each restore starts worker processes."""


async def test_a_damaged_blob_costs_its_file_alone(
    crafted: Crafted, target: Path, opened: Repository
) -> None:
    """The rest of the backup is whole and comes back."""
    nodes = [await crafted.file(b"bad", b"bad" * 100), await crafted.file(b"good", b"good" * 100)]
    named = await crafted.commit(nodes)
    assert nodes[0].content is not None
    location = opened.index.lookup("data", nodes[0].content[0])
    assert location is not None
    await opened.storage.put(
        Key(Kind.PACK, location.pack.hex()), [bytes(location.offset + location.length + 73)]
    )
    tally = await restoring.run_named(crafted, named, target)
    assert restoring.content(target) == {"good": "good" * 100}
    assert [failure.path for failure in tally.failures] == [b"bad"]
    assert nodes[0].content[0].hex() in tally.failures[0].message


async def test_a_missing_pack_costs_its_files_alone(
    crafted: Crafted, target: Path, opened: Repository
) -> None:
    """As above, for a pack that is gone."""
    nodes = [await crafted.file(b"bad", b"bad" * 100), await crafted.file(b"good", b"good" * 100)]
    named = await crafted.commit(nodes)
    assert nodes[0].content is not None
    location = opened.index.lookup("data", nodes[0].content[0])
    assert location is not None
    await opened.storage.delete(Key(Kind.PACK, location.pack.hex()))
    tally = await restoring.run_named(crafted, named, target)
    assert (restoring.content(target), len(tally.failures)) == ({"good": "good" * 100}, 1)


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_an_interrupted_restore_leaves_whole_files_or_none(
    crafted: Crafted, target: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file under its own name would be taken for a whole one."""
    monkeypatch.setattr("engine.repository.restore_walk.TASK_FILES", 10)
    chunk = os.urandom(200_000)
    folders = []
    for number in range(10):
        files = [await crafted.file(b"%d-%d" % (number, each), chunk, b"%d" % each) for each in range(10)]
        folders.append(await crafted.folder(b"%d" % number, files))
    named = await crafted.commit(folders)
    reached = asyncio.Event()
    heard: list[events.Event] = []

    def emit(event: events.Event) -> None:
        heard.append(event)
        if len(heard) > after:
            reached.set()

    options = RestoreOptions(str(target))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(restore.restore(crafted.repository, named.snapshot, options, emit=emit))
        if after:
            await reached.wait()
        else:
            await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    found = [path for path in target.rglob("*") if path.is_file()]
    assert all(path.stat().st_size == 200_001 for path in found)
    assert not [path for path in found if path.name.startswith(".holdfast")]


async def test_a_storage_that_goes_away_ends_the_restore(
    crafted: Crafted, target: Path, tmp_path: Path
) -> None:
    """And says so, once, instead of a million failures."""

    class GoneStorage(MemoryStorage):
        is_gone = False

        async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
            if self.is_gone and key.kind is Kind.PACK:
                raise ConnectionStorageError
            return await super().get(key, offset, length)

    storage = GoneStorage()
    made = await repository.create(storage, PASSWORD, clock=LoopClock(), polynomial_=POLYNOMIAL, kdf=QUICK)
    own = Crafted(made)
    named = await own.commit([await own.file(b"f", b"content")])
    await made.load_blob("tree", named.snapshot.tree)
    storage.is_gone = True
    with pytest.raises(ConnectionStorageError):
        await restoring.run_named(own, named, target)


class ConnectionStorageError(HoldfastError):
    """the storage is gone"""

    retryable = True
