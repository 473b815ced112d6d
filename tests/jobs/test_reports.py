"""report: what really happened in a home comes out as it was, and is kept as evidence that others can check."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from engine.errors import HoldfastError, UsageError
from engine.jobs import evidence_check
from engine.model.definitions import LOCAL_HOST
from engine.model.reports import ComplianceReport, ToldLine
from engine.model.requests import DrillRequest, VerifyRequest
from engine.model.schedules import Schedule
from tests.jobs.test_verbs import Program, program
from tests.jobs.world import open_world

__all__ = ["program"]
pytestmark = pytest.mark.slow
HOUR = datetime.timedelta(hours=1)


async def test_a_report_tells_what_happened_and_is_kept_as_evidence(tmp_path: Path) -> None:
    """Backups, a drill with who took part, a failure that came twice, and what was forgotten since."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content")
    async with open_world(tmp_path / "world") as world:
        engine = world.engine
        await world.add_storages("near", "far")
        await world.add_files("tree", tmp_path / "tree")
        await world.add_files("gone", tmp_path / "nowhere")
        await world.add_files("idle", tmp_path / "tree")
        await engine.add_schedule(Schedule("hour", rhythm="hourly", sources=("tree",)))
        began = datetime.datetime.now(datetime.UTC)  # noqa: TID251 -- the engine's own clock is the machine's
        first = await world.one_backup("tree")
        await engine.verify(VerifyRequest(storage="near"))
        drill = await engine.drill(DrillRequest("tree", by=("Ada Example",)))
        await engine.sign_off(drill.job_id, "Max Example")
        await world.backup("tree", to=("near", "far"))
        for _ in range(2):
            with pytest.raises(HoldfastError):
                await world.backup("gone")
        await engine.delete_backups((first.backup_id,))
        await engine.test_host(LOCAL_HOST)
        told = ToldLine(began, "ops", "source gone", "the last backup failed")
        report = await engine.compliance(began, began + HOUR, told=[told])
        kept = await engine.keep_report(report)
        before = await engine.compliance(began - HOUR, began)
        trends = await engine.trends(began - HOUR, began + HOUR)
        line, _ = await engine.evidence_public_key()
        assert await engine.verify_audit() == []
        with pytest.raises(UsageError, match="ends before it begins"):
            await engine.compliance(began, began)
    _require_as_it_was(report, drill.job_id, told)
    assert {each.completed + each.failed for each in before.sources} == {0}
    (found,) = (each for each in trends.sources if each.source == "tree")
    assert sum(each.backups for each in found.buckets) == 2
    assert any(each.recovery_s for each in found.buckets)
    key = tmp_path / "key"
    key.write_text(line + "\n")
    keys = evidence_check.read_keys(key)
    assert [evidence_check.check(Path(each.path), keys).status for each in kept] == ["valid", "valid"]
    assert json.loads(Path(kept[0].path).read_bytes())["kind"] == "holdfast-compliance-report"


def _require_as_it_was(report: ComplianceReport, drill_job: str, told: ToldLine) -> None:
    rows = {each.source: each for each in report.sources}
    tree = rows["tree"]
    assert (tree.completed, tree.failed, tree.storages, tree.rhythm) == (2, 0, ("near", "far"), "hourly")
    assert (tree.proof, tree.failed_proofs) == ("drilled", 0)
    assert tree.proven_by.startswith(f"drill {drill_job} by ")
    assert (rows["gone"].failed, rows["gone"].newest_at, rows["idle"].proof) == (2, None, "")
    assert [(each.status, each.took_part, each.signed_off_by) for each in report.drills] == [
        ("passed", ("Ada Example",), ("Max Example",))
    ]
    assert [(each.verb, each.subject, each.count) for each in report.failures] == [("backup", "gone", 2)]
    assert report.told == (told,)
    assert all(each.host == LOCAL_HOST for each in report.uncovered)


def test_the_verb_writes_each_format_where_it_is_told_to(program: Program, tmp_path: Path) -> None:
    """A pipe gets it as it is; a script its object."""
    words = ("report", "compliance", "--from", "1d ago", "--to", "now")
    assert json.loads(program.run(*words))["sources"] == []
    assert program.run(*words, "--format", "csv").startswith(b"table,source,host,")
    assert program.run(*words, "--format", "csv", "--output", "-").startswith(b"table,source,host,")
    path = tmp_path / "report.pdf"
    result = program.json(*words, "--output", str(path), "--keep")
    assert path.read_bytes().startswith(b"%PDF-")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(result["kept"]) == 2
    assert program.json("report", "trends", "--from", "1d ago", "--to", "now")["by"] == "day"
    assert b"ends before it begins" in program.run(
        "report", "trends", "--from", "now", "--to", "1d ago", expects=2
    )
    assert b"prints JSON, not csv" in program.run(*words, "--format", "csv", "--json", expects=2)
