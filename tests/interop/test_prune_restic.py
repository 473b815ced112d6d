"""What we forget, prune and repair, stock restic finds whole; and it finds nothing more to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.repository import forget, prune, repair
from engine.repository.prune_plan import PruneOptions
from tests.interop.restic_history import opened, read_folder, write_history
from tests.servers.restic import Restic, ResticProgram

pytestmark = pytest.mark.slow


@pytest.fixture
def restic(restic_program: ResticProgram, tmp_path: Path) -> Restic:
    """A new repository of this restic."""
    made = Restic(restic_program, tmp_path / "repository", tmp_path / "temporary")
    made.begin()
    return made


@pytest.mark.parametrize("percent", [0.0, 5.0])
async def test_restic_finds_our_prune_clean_and_has_nothing_to_do(
    restic: Restic, restics: list[ResticProgram], tmp_path: Path, percent: float
) -> None:
    """Nobody is bound to us: both programs tend one repository in turn."""
    ids = write_history(restic, tmp_path / "files")
    async with opened(tmp_path / "repository") as (repository, held):
        await forget.forget(repository, ids[:2], held)
        done = await prune.prune(repository, held, options=PruneOptions(max_unused_percent=percent))
    assert done.packs_deleted > 0
    for program in restics:
        other = Restic(program, restic.repository, tmp_path / f"temporary-{program.version}")
        other.check()
        said = other.run("prune", "--dry-run").stdout.decode()
        for line in ("to repack:", "this removes:", "to delete:"):
            (found,) = [each for each in said.splitlines() if each.startswith(line)]
            assert found.split()[-5:] == ["0", "blobs", "/", "0", "B"], said
    assert [each["id"] for each in restic.snapshots()] == ids[2:]
    restic.restore(ids[-1], tmp_path / "restored")
    whole = str(tmp_path / "files").lstrip("/")
    assert read_folder(tmp_path / "restored" / whole) == read_folder(tmp_path / "files")


async def test_we_find_nothing_to_do_after_restics_prune(restic: Restic, tmp_path: Path) -> None:
    """The other way round as well."""
    ids = write_history(restic, tmp_path / "files")
    restic.run("forget", *ids[:2], "--prune", "--max-unused", "0")
    async with opened(tmp_path / "repository") as (repository, held):
        done = await prune.prune(repository, held, options=PruneOptions(max_unused_percent=0))
    assert (done.packs_deleted, done.figures.unused_blobs_before) == (0, 0)
    restic.check()


async def test_restic_backs_up_on_top_of_our_prune(restic: Restic, tmp_path: Path) -> None:
    """What is left is what the next backup builds on."""
    ids = write_history(restic, tmp_path / "files")
    async with opened(tmp_path / "repository") as (repository, held):
        await forget.forget(repository, ids[:-1], held)
        await prune.prune(repository, held, options=PruneOptions(max_unused_percent=0))
    summary = restic.backup(tmp_path / "files", "--host", "there")
    assert (summary["files_new"], summary["files_changed"], summary["files_unmodified"]) == (0, 0, 30)
    restic.check()


@pytest.mark.parametrize("harm", ["index lost", "index damaged", "pack missing"])
async def test_restic_finds_our_repair_of_the_index_clean(restic: Restic, tmp_path: Path, harm: str) -> None:
    """A repository that lost its index is as good as before."""
    write_history(restic, tmp_path / "files")
    place = tmp_path / "repository"
    indexes = sorted((place / "index").iterdir())
    if harm == "index lost":
        indexes[0].unlink()
    elif harm == "index damaged":
        indexes[0].chmod(0o600)
        indexes[0].write_bytes(b"nonsense")
    else:
        extra = tmp_path / "extra"
        extra.mkdir()
        (extra / "file").write_bytes(b"of no lasting value" * 5_000)
        before = {path.name for path in (place / "data").rglob("*") if path.is_file()}
        lost = restic.backup(extra)["snapshot_id"]
        restic.run("forget", lost)
        for path in [
            each for each in (place / "data").rglob("*") if each.is_file() and each.name not in before
        ]:
            path.unlink()
    async with opened(place, loads_index=False) as (repository, held):
        done = await repair.repair_index(repository, held)
    assert done.is_changed
    restic.check()
