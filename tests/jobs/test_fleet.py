"""`holdfast demo --fleet`: a home in which everything has something true to show."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import events
from engine.cli.demo.fleet import command, filling, past, roster
from engine.cli.output import Output
from engine.errors import UsageError
from engine.model.alerts import Condition
from engine.model.backup import BackupFilter, Proof
from engine.model.job import JobStatus
from engine.model.requests import BackupRequest, DrillRequest, RestoreRequest
from engine.notify import Notifier
from engine.repository import lock
from engine.service import Engine, open_engine
from tests.fakes.clock import START, FakeClock
from tests.fakes.small_repositories import QUICK

_SHOWN = {
    Condition.FAILED, Condition.INCOMPLETE, Condition.COPY_MISSING, Condition.OVERDUE, Condition.SIZE_ANOMALY, Condition.UNPROVEN,
    Condition.PROOF_FAILED, Condition.DRILL_OVER_BUDGET, Condition.UNCOVERED, Condition.STORAGE_LOW, Condition.UNREACHABLE, Condition.LOCK_HELD,
    Condition.PAUSED_LONG, Condition.KIT_UNTESTED,
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Filled once; never changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "CONFIRM_S", 0.02)
        for module in ("engine.repository.repository", "engine.service.repositories"):
            patch.setattr(f"{module}.Kdf", lambda: QUICK)
        home = tmp_path_factory.mktemp("fleet") / "home"
        asyncio.run(filling.fill(home, FakeClock()))
    return home


@pytest.fixture
async def engine(filled: Path) -> AsyncIterator[Engine]:
    """At the instant that its year ends at."""
    async with open_engine(str(filled), clock=FakeClock(), environment={}) as opened:
        yield opened


@pytest.mark.slow
async def test_every_list_of_the_fleet_has_something_to_show(engine: Engine) -> None:
    """Whoever tries the console on it meets no empty pane."""
    status = await engine.status((await engine.expectations()).sources)
    assert {each.condition for each in status.concerns} >= _SHOWN
    alerts = await engine.alerts(is_past_included=True)
    stand = [each for each in alerts.alerts if each.recovered_at is None]
    assert {(each.condition, each.subject) for each in stand} == {
        (each.condition, each.subject) for each in status.concerns if not each.covered_by
    }
    assert any(each.acknowledged_at for each in stand)
    assert len(stand) < len(alerts.alerts)
    assert alerts.silences
    assert alerts.windows
    for proof in Proof:
        assert proof is Proof.READABLE or await engine.backups(BackupFilter(proof=proof))
    assert len(await engine.backups(BackupFilter(is_kept=True))) == 4
    assert {each.status for each in await engine.jobs(limit=2_000)} >= {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.INCOMPLETE,
    }
    assert len(await engine.evidence()) == 4
    assert len(await engine.plans()) == 2
    assert any(each.state.pause for each in await engine.schedules())
    assert {each.storage.name for each in await engine.storage_standings() if each.used_bytes} == {
        "cloud",
        "vault",
    }
    year = await engine.trends(START - past.YEAR, START, source="orders-db")
    assert len(year.sources[0].buckets) > 50


@pytest.mark.slow
async def test_the_catalog_of_the_fleet_is_sound(engine: Engine) -> None:
    """A past that was written at once is as good as one that happened."""
    with contextlib.closing(sqlite3.connect(engine.home.catalog)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    newest = await engine.latest_backup("orders-db")
    job = await engine.show_job(newest.job_id)
    assert job.result["backups"][0]["storages"][0]["snapshot_id"] == newest.copies[0].snapshot_id
    assert len(await engine.job_log(newest.job_id)) == 3
    proved = (await engine.backups(BackupFilter(proof=Proof.DRILLED)))[0]
    assert "drill" in [each.verb for each in await engine.backup_proofs(proved.backup_id)]


@pytest.mark.slow
async def test_what_is_real_of_the_fleet_is_backed_up_by_its_worker_which_starts_nothing_else(
    filled: Path, tmp_path: Path
) -> None:
    """Hosts that never were cannot fail one after the other as soon as a person does something."""
    home = shutil.copytree(filled, tmp_path / "home")
    async with open_engine(str(home), environment={}) as engine:
        newest = (await engine.jobs(limit=1))[0]
        job = await engine.enqueue("backup", BackupRequest((roster.NOTES, roster.LEDGER), (roster.NEAR,)))
        worker = engine.worker(is_staying=False, tick=engine.next_tick, linger_s=0)
        assert await worker.work(Notifier.of({}), events.ignore) == 1
        assert (await engine.show_job(job.job_id)).status is JobStatus.COMPLETED
        assert (await engine.jobs(limit=2))[1].job_id == newest.job_id
        for storage in (roster.CLOUD, roster.VAULT):
            await engine.enable_storage(storage, is_enabled=False)  # nobody waits for what is nowhere
        assert await engine.verify_audit() == []
        drilled = await engine.drill(DrillRequest(roster.LEDGER))
        assert drilled.status == "passed"
        await engine.restore(RestoreRequest(f"latest:{roster.NOTES}", str(tmp_path / "back")))
    assert list((tmp_path / "back").rglob("photo.raw"))


def test_the_fleet_is_not_mixed_with_what_is_there(tmp_path: Path) -> None:
    """A home in use keeps its truth."""
    (tmp_path / "catalog.db").write_bytes(b"mine")
    output = Output(io.BytesIO(), is_json=True, environment={})
    with pytest.raises(UsageError, match="something is in this folder"):
        command.run(str(tmp_path), output, _nothing)
    assert [each.name for each in tmp_path.iterdir()] == ["catalog.db"]


async def _nothing(_work: object) -> None:
    raise AssertionError("it was begun")
