"""Drills of file trees: good backups pass, every damage fails, and what could not be looked at is never called passed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.jobs.drill_files import SAMPLE
from engine.model.backup import Proof
from engine.model.requests import DrillRequest, VerifyRequest
from engine.model.results import DrillResult
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World) -> Path:
    """A tree with a few more files than a sample, source `tree`, backed up."""
    root = world.directory / "tree"
    root.mkdir()
    for number in range(SAMPLE + 30):
        (root / f"file [{number}]*").write_bytes(os.urandom(100 + number))
    await world.add_storages("first")
    await world.add_files("tree", root)
    await world.one_backup("tree")
    return root


def _steps(result: DrillResult) -> dict[str, str]:
    return {each.step: each.status for each in result.steps}


@pytest.mark.usefixtures("tree")
async def test_a_good_backup_passes_and_climbs_the_ladder(world: World) -> None:
    """So that a person sees which backups are proven, and by what."""
    result = await world.engine.drill(DrillRequest("tree", seed=7))
    assert result.status == "passed"
    assert (result.level, len(result.checks)) == ("files", SAMPLE)
    assert set(_steps(result).values()) == {"ok"}
    assert all(each.duration_s > 0 for each in result.steps)
    assert 0 < sum(each.duration_s for each in result.steps[:-1]) <= result.rto_s
    # A lower proof that comes later does not make the drill any younger.
    verified = await world.engine.verify(VerifyRequest(storage="first", is_reading_data=True))
    backup = await world.engine.show_backup("latest:tree")
    proofs = await world.engine.backup_proofs(backup.backup_id)
    assert [(each.proof, each.verb, each.job_id) for each in proofs] == [
        (Proof.VERIFIED, "verify", verified.job_id),
        (Proof.DRILLED, "drill", result.job_id),
    ]
    assert (backup.proof, backup.proven_by) == (Proof.DRILLED, f"drill {result.job_id}")
    assert backup.proven_at == proofs[1].proven_at
    assert not list(world.engine.home.cache.glob("holdfast-drill-*"))


@pytest.mark.usefixtures("tree")
async def test_the_seed_in_the_evidence_makes_the_same_choice_again(world: World) -> None:
    """Whoever doubts the evidence can look at the very files."""
    first = await world.engine.drill(DrillRequest("tree"))
    told = json.loads(Path(first.report).read_text(encoding="utf-8"))
    again = await world.engine.drill(DrillRequest("tree", seed=told["seed"]))
    other = await world.engine.drill(DrillRequest("tree", seed=told["seed"] + 1))
    assert [each.check for each in again.checks] == [each.check for each in first.checks]
    assert [each.check for each in other.checks] != [each.check for each in first.checks]
    assert (first.previous, other.previous and other.previous.job_id) == (None, again.job_id)
    assert again.previous is not None
    assert (again.previous.status, again.previous.rto_s) == ("passed", first.rto_s)
    assert list(again.previous.steps) == list(first.steps)
    told = json.loads(Path(again.report).read_text(encoding="utf-8"))
    assert told["drill"]["previous"]["job_id"] == first.job_id


@pytest.mark.usefixtures("tree")
async def test_a_drill_lifts_the_score_that_nothing_else_does(world: World) -> None:
    """Never proven is a state that one sees."""
    before = await world.engine.source_health("tree")
    assert (before.score, before.limit) == (45, "")
    await world.engine.drill(DrillRequest("tree"))
    assert (await world.engine.source_health("tree")).score == 95
    await world.engine.drill(DrillRequest("tree", budget_s=0.001))
    assert (await world.engine.source_health("tree")).score == 25


@pytest.mark.usefixtures("tree")
async def test_a_damaged_pack_fails_the_drill(world: World) -> None:
    """The drill must be able to fail, or it proves nothing."""
    for pack in (world.place("first") / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            content = bytearray(pack.read_bytes())
            content[len(content) // 3] ^= 0xFF
            pack.write_bytes(content)
    result = await world.engine.drill(DrillRequest("tree"))
    assert result.status == "failed"
    assert (await world.engine.show_backup("latest:tree")).proof is Proof.TAKEN
    assert not list(world.engine.home.cache.glob("holdfast-drill-*"))


async def test_a_tree_without_a_file_fails_the_drill(world: World) -> None:
    """The disk was not mounted: a backup of nothing is whole, and no backup."""
    (world.directory / "unmounted").mkdir()
    await world.add_storages("first")
    await world.add_files("tree", world.directory / "unmounted")
    await world.one_backup("tree")
    result = await world.engine.drill(DrillRequest("tree"))
    assert (result.status, [each.check for each in result.checks]) == ("failed", ["files"])


@pytest.mark.usefixtures("tree")
async def test_a_storage_that_is_away_leaves_the_drill_inconclusive(world: World) -> None:
    """It says nothing of the backup, neither good nor bad."""
    world.place("first").rename(world.place("away"))
    result = await world.engine.drill(DrillRequest("tree"))
    assert result.status == "inconclusive"
    assert _steps(result) == {"open the backup": "failed"}
    assert (await world.engine.show_backup("latest:tree")).proof is Proof.TAKEN


@pytest.mark.usefixtures("tree")
async def test_a_drill_over_its_budget_fails(world: World) -> None:
    """A restore that takes too long is a failure to the people who wait."""
    result = await world.engine.drill(DrillRequest("tree", budget_s=0.001))
    assert result.status == "failed"
    assert [each.check for each in result.checks if not each.passed] == ["recovery time"]


@pytest.mark.usefixtures("tree")
async def test_reading_every_byte_is_a_verification_and_no_drill(world: World) -> None:
    """The ladder says what was done."""
    result = await world.engine.drill(DrillRequest("tree", level="bytes"))
    assert (result.status, result.level) == ("passed", "bytes")
    assert (await world.engine.show_backup("latest:tree")).proof is Proof.VERIFIED


@pytest.mark.usefixtures("tree")
async def test_a_level_that_the_kind_has_not_is_refused(world: World) -> None:
    """Never a drill of less than was asked for."""
    for level in ("server", "moon"):
        with pytest.raises(UsageError):
            await world.engine.drill(DrillRequest("tree", level=level))


@pytest.mark.usefixtures("tree")
async def test_evidence_that_was_touched_shows_in_the_audit(world: World) -> None:
    """Evidence that can be edited is none."""
    result = await world.engine.drill(DrillRequest("tree"))
    assert list(await world.engine.verify_audit()) == []
    report = Path(result.report)
    report.write_text(report.read_text(encoding="utf-8").replace('"passed"', '"failed"'), encoding="utf-8")
    assert [each.kind for each in await world.engine.verify_audit()] == ["edited"]
    report.unlink()
    assert [each.kind for each in await world.engine.verify_audit()] == ["deleted"]
    Path(result.report_pdf).write_bytes(b"")
    assert {each.kind for each in await world.engine.verify_audit()} == {"deleted", "edited"}


def test_the_command_line_says_how_a_drill_ended(tmp_path: Path) -> None:
    """Scripts read the exit code; people the steps with their times."""
    line = CommandLine(tmp_path)
    line.set_up()
    line.done("backup", "data")
    passed = line.run("drill", "data")
    assert passed.code == 0, passed.err
    assert "restore" in passed.out
    assert "scratch gone: yes" in passed.out
    failed = line.run("drill", "data", "--budget", "0.000001", "--json")
    assert failed.code == 4
    assert failed.result["previous"]["status"] == "passed"
    assert failed.result["status"] == "failed"
    assert {"steps", "checks", "rto_s", "rpo_s", "budget_s", "report"} <= failed.result.keys()
    line.done("evidence", "sign-off", failed.result["job_id"][:10], "--by", "Grace")
    told = line.done("evidence", "show", failed.result["job_id"]).out
    assert "signed off by Grace" in told
    assert "recovery time" in told
    assert line.done("evidence", "public-key").out.startswith("ssh-ed25519 ")
