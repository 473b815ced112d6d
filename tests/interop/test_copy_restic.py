"""Copies between repositories, ours and stock restic's, know each other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.model.secret import Secret
from engine.repository import copy, repository
from engine.repository.copy import Copied
from engine.repository.reader import Named
from engine.storages.registry import open_storage
from tests.fakes.small_repositories import QUICK
from tests.interop.restic_history import CLOCK, DAYS, opened, read_folder, write_history
from tests.servers.restic import PASSWORD, Restic, ResticProgram

pytestmark = pytest.mark.slow


async def copied(source: Path, target: Path) -> Copied:
    """Copies all snapshots, by us."""
    async with (
        opened(source, exclusive=False) as (ours, _),
        opened(target, exclusive=False) as (theirs, held),
    ):
        snapshots = [Named(*each) for each in await ours.snapshots()]
        return await copy.copy(ours, (theirs, held), snapshots)


async def make_empty(place: Path) -> None:
    """A new repository of ours."""
    async with open_storage("local", {"path": str(place)}, clock=CLOCK) as storage:
        await repository.create(storage, Secret(PASSWORD), clock=CLOCK, kdf=QUICK)


async def test_restic_reads_our_copy_and_copies_nothing_again(
    restic_newest: ResticProgram, restics: list[ResticProgram], tmp_path: Path
) -> None:
    """Whoever made the copy, the other knows it by `original`."""
    source = Restic(restic_newest, tmp_path / "source", tmp_path / "temporary")
    source.begin()
    write_history(source, tmp_path / "files")
    await make_empty(tmp_path / "target")
    done = await copied(tmp_path / "source", tmp_path / "target")
    assert [each.is_skipped for each in done.snapshots] == [False] * DAYS
    for program in restics:
        Restic(program, tmp_path / "target", tmp_path / f"temporary-{program.version}").check()
    target = Restic(
        restic_newest,
        tmp_path / "target",
        tmp_path / "temporary",
        settings={"RESTIC_FROM_REPOSITORY": str(tmp_path / "source"), "RESTIC_FROM_PASSWORD": PASSWORD},
    )
    target.restore("latest", tmp_path / "restored")
    whole = str(tmp_path / "files").lstrip("/")
    assert read_folder(tmp_path / "restored" / whole) == read_folder(tmp_path / "files")
    target.run("copy")
    assert len(target.snapshots()) == DAYS
    said = target.run("prune", "--dry-run").stdout.decode()
    assert [line.split()[2:4] for line in said.splitlines() if line.startswith("to repack:")] == [
        ["0", "blobs"]
    ]


async def test_we_copy_nothing_that_restic_copied(restic_newest: ResticProgram, tmp_path: Path) -> None:
    """The same the other way round."""
    source = Restic(restic_newest, tmp_path / "source", tmp_path / "temporary")
    source.begin()
    write_history(source, tmp_path / "files")
    target = Restic(restic_newest, tmp_path / "target", tmp_path / "temporary")
    target.init()
    target.settings.update(
        {"RESTIC_FROM_REPOSITORY": str(tmp_path / "source"), "RESTIC_FROM_PASSWORD": PASSWORD}
    )
    target.run("copy")
    done = await copied(tmp_path / "source", tmp_path / "target")
    assert all(each.is_skipped for each in done.snapshots)
    assert done.blobs == 0


async def test_only_what_is_missing_is_copied(restic_newest: ResticProgram, tmp_path: Path) -> None:
    """A copy that was interrupted, or whose snapshots were forgotten, costs no more than what it lacks."""
    source = Restic(restic_newest, tmp_path / "source", tmp_path / "temporary")
    source.begin()
    write_history(source, tmp_path / "files")
    await make_empty(tmp_path / "target")
    await copied(tmp_path / "source", tmp_path / "target")
    shutil.rmtree(tmp_path / "target" / "snapshots")
    (tmp_path / "target" / "snapshots").mkdir()
    done = await copied(tmp_path / "source", tmp_path / "target")
    assert [each.is_skipped for each in done.snapshots] == [False] * DAYS
    assert done.blobs == 0
