"""status: one answer to what is at risk, and why, with an exit code that a script can go by."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import errors
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.requests import DrillRequest
from engine.model.status import Status
from tests.jobs.test_verbs import Program, program
from tests.jobs.world import open_world
from tests.servers.sshd import Sshd

__all__ = ["program"]
pytestmark = pytest.mark.slow


def _said(found: Status) -> list[tuple[str, bool, str]]:
    return [(each.subject, each.is_risk, each.reason) for each in found.concerns]


async def test_each_step_towards_proof_takes_a_concern_away(tmp_path: Path) -> None:
    """From nothing at all to a drilled backup, and to a drill that fails."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content")
    async with open_world(tmp_path / "world") as world:
        assert _said(await world.engine.status()) == []
        await world.add_storages("near")
        await world.add_files("tree", tmp_path / "tree")
        assert _said(await world.engine.status()) == [("source tree", True, "it was never backed up")]
        backup = await world.one_backup("tree")
        found = await world.engine.status()
        assert _said(found) == [("source tree", False, "no backup of it was ever proved")]
        assert not found.is_at_risk
        (row,) = found.sources
        assert (row.source, row.recoverable_to, row.copies) == ("tree", backup.created_at, 1)
        await world.engine.drill(DrillRequest("tree"))
        assert _said(await world.engine.status()) == []
        for pack in (world.place("near") / "data").rglob("*"):
            if pack.is_file():
                pack.write_bytes(b"x" * pack.stat().st_size)
        await world.engine.drill(DrillRequest("tree"))
        found = await world.engine.status()
        assert found.is_at_risk
        assert _said(found) == [("source tree", True, "the last attempt to prove it drilled failed")]


async def test_what_a_test_of_a_host_found_uncovered_is_counted_until_a_source_takes_it(
    tmp_path: Path,
) -> None:
    """It is kept: a status connects to nothing."""
    async with open_world(tmp_path / "world") as world:
        report = await world.engine.test_host(LOCAL_HOST)
        found = await world.engine.status()
        assert found.uncovered == len(report.uncovered) > 0
        assert [each.subject for each in found.concerns] == [f"host {LOCAL_HOST}"]
        await world.engine.add_source(Source("all", "files", LOCAL_HOST, {"path": ("/",)}))
        await world.engine.test_host(LOCAL_HOST)
        assert (await world.engine.status()).uncovered < found.uncovered


def test_the_exit_code_says_whether_anything_is_at_risk(program: Program, tmp_path: Path) -> None:
    """0 and 4, in both forms."""
    assert program.json("status")["status"] == "well"
    (tmp_path / "tree").mkdir()
    program.run("source", "add", "tree", "--kind", "files", "--path", str(tmp_path / "tree"))
    result = program.json("status", expects=4)
    assert result["status"] == "at risk"
    assert result["concerns"] == [
        {
            "subject": "source tree",
            "risk": True,
            "reason": "it was never backed up",
            "remedy": "holdfast backup tree",
            "condition": "overdue",
            "host": "localhost",
            "job_id": "",
            "covered_by": "",
        }
    ]
    said = program.run("status", expects=4).decode()
    assert said.startswith("1 at risk, 1 source\n")
    assert "at risk  source tree: it was never backed up\n         holdfast backup tree\n" in said


async def test_a_retired_host_is_not_missed_and_its_backups_stay(tmp_path: Path, sshd: Sshd) -> None:
    """Switched off for good: no alarm until the end of days, no backup by mistake, and all of it reversible and written down."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content")
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("near")
        await world.add_host(sshd)
        await world.add_files("old", tmp_path / "tree", host="server")
        await world.add_files("new", tmp_path / "tree")
        await world.one_backup("old")
        await world.engine.add_source(Source("never", "files", "server", {"path": ("/srv",)}))
        assert (await world.engine.status()).is_at_risk
        host = await world.engine.retire_host("server", "sold")
        found = await world.engine.status()
        assert [each.subject for each in found.concerns] == ["source new"]
        assert {each.source: each.retired for each in found.sources} == {
            "new": "",
            "never": "sold",
            "old": "sold",
        }
        with pytest.raises(errors.RefusedError, match="host server is retired: sold"):
            await world.backup("old")
        done = await world.backup("old", "new")
        assert ([each.source for each in done.backups], done.status) == (["new"], "completed")
        await world.restore("latest:old", tmp_path / "back")
        document = f'[hosts.server]\naddress = "{host.address}"\n'
        changed = (await world.engine.plan_config(document, "f")).changes[0].fields
        assert "retired" not in {each.key for each in changed}
        await world.engine.unretire_host("server")
        assert (await world.backup("old")).status == "completed"
        log = [(each.verb, each.detail) for each in await world.engine.audit_log()]
        assert ("host retire", "sold") in log
        assert ("host unretire", "") in log
