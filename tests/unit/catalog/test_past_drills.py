"""Drills as the catalog remembers them."""

from __future__ import annotations

from engine.catalog.catalog import Catalog
from engine.catalog.jobs import NewJob, Outcome, SlotLimits
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.job import JobStatus
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock

_OURS = ProcessIdentity("here", "boot+1", 1, 1)


async def _drill(catalog: Catalog, clock: FakeClock, job_id: str, source: str, rto_s: float) -> None:
    await catalog.jobs.create(NewJob(job_id, "drill", {"source": source}))
    assert await catalog.jobs.claim(_OURS, SlotLimits()) is not None
    checks = [{"check": "a", "passed": True}, {"check": "b", "passed": False}]
    result = {"source": source, "status": "failed", "level": "server", "backup_id": "9x", "rto_s": rto_s}
    await catalog.jobs.finish(
        job_id, _OURS, Outcome(JobStatus.COMPLETED, {**result, "budget_s": 60.0, "checks": checks})
    )
    clock.advance(60)


async def test_the_newest_drills_of_a_source_come_first(catalog: Catalog, clock: FakeClock) -> None:
    """With what each proved; another source's are another's, and a backup that is gone has no size."""
    await catalog.sources.add(Source("db", "postgres", LOCAL_HOST, {}))
    for number, source in enumerate(("db", "files", "db", "db")):
        await _drill(catalog, clock, f"{number}a", source, float(number))
    found = await catalog.standing.past_drills("db", 2)
    assert [(each.job_id, each.rto_s, each.checks, each.failed_checks) for each in found] == [
        ("3a", 3.0, 2, 1), ("2a", 2.0, 2, 1),
    ]  # fmt: skip
    assert found[0].is_in_time
    assert found[0].size_bytes is None
    assert await catalog.standing.last_drills() == {"db": found[0]}
