"""A transaction happens whole or not at all, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from engine.model.definitions import Host
from tests.fakes.clock import FakeClock


async def _names(catalog: Catalog) -> list[str]:
    return [each.name for each in await catalog.hosts.all()]


async def test_an_error_rolls_back(catalog: Catalog) -> None:
    """Half a change is worse than none."""
    database = catalog._database

    async def write_and_fail() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("put_setting", name="a", value="1")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await write_and_fail()
    assert await catalog.settings.all() == {}


async def test_a_cancellation_at_any_await_leaves_all_or_nothing(catalog: Catalog) -> None:
    """Ctrl-C lands wherever it lands."""

    async def write() -> None:
        async with catalog._database.transaction() as transaction:
            await transaction.execute("put_setting", name="a", value="1")
            await transaction.execute("put_setting", name="b", value="2")

    for turns in range(12):
        await catalog.settings.put("a", None)
        await catalog.settings.put("b", None)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(write())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert await catalog.settings.all() in ({}, {"a": 1, "b": 2})
        await catalog.hosts.add(Host(f"after{turns}"))


async def test_tasks_that_write_at_once_take_turns(catalog: Catalog) -> None:
    """Several jobs report to one catalog."""
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(catalog.hosts.add(Host(f"web{number:02d}")))
    assert await _names(catalog) == [f"web{number:02d}" for number in range(20)]


async def test_what_another_process_changed_is_noticed(
    path: Path, catalog: Catalog, clock: FakeClock
) -> None:
    """The console follows the worker without reading everything again and again."""
    before = await catalog.data_version()
    await catalog.hosts.add(Host("ours"))
    own = await catalog.data_version()
    async with Catalog.open(path, clock) as other:
        await other.hosts.add(Host("theirs"))
    assert (own == before, await catalog.data_version() == before) == (True, False)


async def test_settings_and_host_keys_are_kept(catalog: Catalog, clock: FakeClock) -> None:
    """A key that a person accepted is not asked for again."""
    await catalog.settings.put("paused", {"reason": "move"})
    await catalog.host_keys.accept("[web1]:2222", "ssh-ed25519 AAAA")
    await catalog.host_keys.accept("[web1]:2222", "ssh-ed25519 AAAA")
    keys = await catalog.host_keys.all("[web1]:2222")
    assert (await catalog.settings.get("paused"), await catalog.settings.get("none")) == (
        {"reason": "move"},
        None,
    )
    assert [(key.address, key.key, key.accepted_at) for key in keys] == [
        ("[web1]:2222", "ssh-ed25519 AAAA", clock.now())
    ]
    await catalog.host_keys.remove("[web1]:2222")
    assert await catalog.host_keys.all() == []


async def test_proofs_of_packs_are_found_by_age(catalog: Catalog, clock: FakeClock) -> None:
    """`verify --max-age` passes over what was proved lately."""
    first, second = b"\x01" * 32, b"\x02" * 32
    await catalog.pack_proofs.record("repo", [first, second], clock.now())
    clock.advance(86_400)
    await catalog.pack_proofs.record("repo", [second], clock.now())
    assert (await catalog.pack_proofs.all("repo"))[second] == clock.now()
    await catalog.pack_proofs.remove("repo", [second])
    assert (await catalog.pack_proofs.all("repo")).keys() == {first}
    await catalog.pack_proofs.keep_only("repo", {second})
    assert await catalog.pack_proofs.all("repo") == {}


async def test_what_is_lasting_waits_for_the_disk_whatever_came_before_it(catalog: Catalog) -> None:
    """A note may be lost by a power cut, and may be cancelled anywhere; it must not take the next backup's row with it."""
    database = catalog._database

    async def synchronous(*, is_lasting: bool) -> int:
        async with database.transaction(is_lasting=is_lasting) as transaction:
            ((found,),) = await transaction._connection.execute_fetchall("PRAGMA synchronous")
        return int(found)

    for turns in range(12):
        async with asyncio.TaskGroup() as group:
            note = group.create_task(catalog.settings.put("note", turns, is_lasting=False))
            for _ in range(turns):
                await asyncio.sleep(0)
            note.cancel()
        assert [await synchronous(is_lasting=each) for each in (True, False, True)] == [2, 1, 2]
