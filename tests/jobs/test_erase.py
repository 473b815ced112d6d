"""A path is erased from all backups of a source, in every storage, and stock restic finds the rest whole."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.errors import PathMissingError, RefusedError, UnknownNameError, UsageError
from engine.jobs import erase
from engine.model.backup import Proof
from engine.model.requests import EraseRequest, VerifyRequest
from tests.jobs.world import World, open_world
from tests.servers.restic import ResticProgram

pytestmark = pytest.mark.slow

SECRET = b"a customer's letter " * 5000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two storages and the source `tree`, backed up twice; `people/ann` and a twin of `people/bob` are in it."""
    async with open_world(tmp_path / "world") as opened:
        root = opened.directory / "tree"
        (root / "people").mkdir(parents=True)
        (root / "people" / "ann").write_bytes(SECRET)
        (root / "people" / "bob").write_bytes(b"bob")
        (root / "more").write_bytes(b"more")
        await opened.add_storages("first", "second")
        await opened.add_files("tree", root)
        await opened.one_backup("tree", ("first", "second"))
        (root / "more").write_bytes(b"even more")
        await opened.one_backup("tree", ("first", "second"))
        yield opened


def asked(world: World, name: str = "people/ann") -> EraseRequest:
    """To erase one of the files."""
    return EraseRequest(f"{world.directory}/tree/{name}", "tree", "asked for by Ann")


async def test_it_is_gone_everywhere_and_the_rest_is_whole(
    world: World, restics: list[ResticProgram]
) -> None:
    """From both storages and both backups, bytes and name; the ids of the backups stay, and the audit log says who and why."""
    before = {each.backup_id for each in await world.engine.backups()}
    await world.engine.verify(VerifyRequest(storage="first", is_reading_data=True))
    done = await world.engine.erase(asked(world))
    assert {each.proof for each in await world.engine.backups()} == {Proof.TAKEN}
    assert (done.status, [each.storage for each in done.storages]) == ("completed", ["first", "second"])
    for each in done.storages:
        assert (each.snapshots, each.files, each.size_bytes) == (2, 2, 2 * len(SECRET))
        assert (each.still_needed_bytes, set(each.backups)) == (0, before)
        assert each.prune is not None
        assert each.prune.unused_bytes_after == 0
    assert {each.backup_id for each in await world.engine.backups()} == before
    for backup in before:
        restored = await world.restore(backup, world.directory / f"restored-{backup}", "second")
        below = restored / str(world.directory / "tree").lstrip("/")
        assert sorted(each.name for each in below.rglob("*")) == ["bob", "more", "people"]
    for program in restics:
        for storage in ("first", "second"):
            stock = world.restic(program, storage)
            stock.check()
            assert len(stock.snapshots()) == 2
    (entry,) = [each for each in await world.engine.audit_log() if each.verb == "erase"]
    assert entry.object == "tree"
    assert "people/ann erased from 4 snapshots in first, second: asked for by Ann" in entry.detail
    with pytest.raises(PathMissingError):
        await world.engine.erase(asked(world))
    await world.one_backup(
        "tree", ("first", "second")
    )  # what is still on the host comes back, and builds on the rest


async def test_a_dry_run_tells_the_same_and_changes_nothing(world: World) -> None:
    """Two pairs of eyes look at it first."""
    place = world.place("first")
    before = sorted(place.rglob("*"))
    done = await world.engine.erase(dataclasses.replace(asked(world), is_dry_run=True))
    assert [(each.snapshots, each.files, each.prune) for each in done.storages] == [(2, 2, None)] * 2
    assert sorted(each for each in place.rglob("*") if "locks" not in each.parts) == [
        each for each in before if "locks" not in each.parts
    ]


async def test_a_backup_on_hold_stops_it_before_anything_is_changed(world: World) -> None:
    """One law must not be broken to keep another."""
    oldest = (await world.engine.backups())[-1].backup_id
    await world.engine.protect_backup(oldest, is_protected=True, hold_reason="case 7")
    before = await world.engine.backups()
    with pytest.raises(RefusedError, match="on hold: case 7"):
        await world.engine.erase(asked(world))
    assert await world.engine.backups() == before


async def test_a_hold_counts_in_a_storage_that_answers_only_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not there when all were looked at, and holds a backup that no other has."""
    oldest = (await world.engine.backups())[-1].backup_id
    await world.engine.protect_backup(oldest, is_protected=True, hold_reason="case 7")
    before = sorted((world.place("second") / "snapshots").iterdir())

    async def looked_at(*_asked: object) -> None:
        """Nothing answered, so that nothing was found to be held."""

    monkeypatch.setattr(erase, "_refuse_held", looked_at)
    done = await world.engine.erase(asked(world))
    assert (done.status, done.storages) == ("incomplete", ())
    assert all("on hold: case 7" in each for each in done.warnings)
    assert sorted((world.place("second") / "snapshots").iterdir()) == before


async def test_a_source_that_nobody_knows_is_named(world: World) -> None:
    """Rather than the path."""
    with pytest.raises(UnknownNameError, match="no source named tere"):
        await world.engine.erase(EraseRequest("/x", "tere"))


async def test_a_storage_that_is_switched_off_is_named(world: World) -> None:
    """Whoever is told that all is gone must not find it there."""
    await world.engine.enable_storage("second", is_enabled=False)
    done = await world.engine.erase(asked(world))
    assert done.status == "incomplete"
    assert done.warnings == ("storage second is switched off: what it holds is left as it is",)


@pytest.mark.parametrize("path", ["/", "", "/a/../b", "/a//b"])
async def test_what_names_nothing_is_refused(world: World, path: str) -> None:
    """A slip of the finger must not empty all backups."""
    with pytest.raises(UsageError, match="names no file or folder"):
        await world.engine.erase(EraseRequest(path, "tree"))
