"""Evidence of drills: signed, signed off, checked by strangers, and never changed by any of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from pypdf import PdfReader

from engine.cli.dispatch import dispatch
from engine.errors import ProofFailedError, UnknownNameError, UsageError
from engine.jobs import evidence_check
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult
from tests.jobs.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
async def drilled(world: World) -> DrillResult:
    """A drill of a small tree, with people and a note."""
    (world.directory / "tree").mkdir()
    (world.directory / "tree" / "file").write_text("content", encoding="ascii")
    await world.add_storages("first")
    await world.add_files("tree", world.directory / "tree")
    await world.one_backup("tree")
    return await world.engine.drill(DrillRequest("tree", by=("Ada", "Łukasz"), note="quarterly"))


async def _check(world: World, *files: Path) -> list[str]:
    key = world.directory / "key.pub"
    key.write_text((await world.engine.evidence_public_key())[0], encoding="ascii")
    keys = evidence_check.read_keys(key)
    return [evidence_check.check(each, keys).status for each in files]


async def test_evidence_is_checked_where_the_home_is_not(
    world: World, drilled: DrillResult, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An auditor gets two files and a key, and needs nobody's word, and no home; the exit code is for scripts."""
    report = Path(drilled.report)
    copy = Path(shutil.copy(report, tmp_path))
    page = Path(drilled.report_pdf)
    assert drilled.report_sha256 in PdfReader(page).pages[0].extract_text()
    assert await _check(world, page) == ["valid"]
    assert await _check(world, copy) == ["no-signature"]
    shutil.copy(f"{report}.sig", tmp_path)
    assert await _check(world, report, copy) == ["valid", "valid"]
    told = json.loads(copy.read_text(encoding="utf-8"))
    assert (told["by"], told["note"]) == (["Ada", "Łukasz"], "quarterly")
    assert told["signed_by"] == (await world.engine.evidence_public_key())[1]
    words = ["--home", str(tmp_path / "nowhere"), "evidence", "verify", str(copy), "--public-key"]
    key = str(world.directory / "key.pub")
    assert dispatch([*words, key]) == 0
    assert "every byte is as it was signed" in capfd.readouterr().out
    copy.write_bytes(copy.read_bytes().replace(b"quarterly", b"quarterlz"))
    assert dispatch([*words, key, "--json"]) == 4
    assert json.loads(capfd.readouterr().out)["items"][0]["status"] == "changed"
    assert dispatch([*words, str(copy)]) == 2
    assert "holds no Ed25519 public key" in capfd.readouterr().err
    assert not (tmp_path / "nowhere").exists()


async def test_a_sign_off_is_added_and_changes_nothing(world: World, drilled: DrillResult) -> None:
    """Who stood by it, and when, is part of the proof; what they stood by stays what it was."""
    before = Path(drilled.report).read_bytes()
    await world.engine.sign_off(drilled.job_id[:8], "Grace; evidence x sha256:" + "0" * 64, "seen")
    item = await world.engine.sign_off(drilled.report, "Эдсгер")
    assert [(each.by[:6], each.note) for each in item.sign_offs] == [("Grace;", "seen"), ("Эдсгер", "")]
    assert Path(drilled.report).read_bytes() == before
    assert list(await world.engine.evidence()) == [item]
    first, second = sorted(Path(drilled.report).parent.glob("*.sign-off-*.json"))
    assert await _check(world, first, second) == ["valid", "valid"]
    assert list(await world.engine.verify_audit()) == []
    async with asyncio.TaskGroup() as group:
        for name in ("one", "two", "three"):
            group.create_task(world.engine.sign_off(drilled.job_id, name))
    files = sorted(Path(drilled.report).parent.glob("*.sign-off-*.json"))
    assert await _check(world, *files) == ["valid"] * 5
    first.write_bytes(first.read_bytes().replace(b"seen", b"read"))
    assert await _check(world, first, second) == ["changed", "changed"]
    assert [each.kind for each in await world.engine.verify_audit()] == ["edited"]


async def test_nobody_can_stand_by_what_was_changed(world: World, drilled: DrillResult) -> None:
    """A sign-off would give it weight again."""
    report = Path(drilled.report)
    for by, error in ((" ", UsageError), ("A\nB", UsageError)):
        with pytest.raises(error):
            await world.engine.sign_off(drilled.job_id, by)
    with pytest.raises(UnknownNameError):
        await world.engine.sign_off("0zzzz", "Ada")
    report.write_bytes(report.read_bytes().replace(b"quarterly", b"quarterlz"))
    with pytest.raises(ProofFailedError, match="not what was signed here: changed"):
        await world.engine.sign_off(drilled.job_id, "Ada")
    assert (await world.engine.show_evidence(drilled.job_id))[2] == "changed"
    report.write_bytes(b"{")
    assert [each.status for each in await world.engine.evidence()] == ["damaged"]
