"""A catalog of a million backups is asked by index: what is asked often scans no large table, and no page is sorted anew."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import re
import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.catalog.catalog import Catalog
from engine.catalog.database import Value, to_json
from engine.catalog.jobs import NewJob, Outcome, SlotLimits
from engine.catalog.opening import Schema, load_queries, run_script
from engine.catalog.packing import _DICTIONARIES, pack, unpack
from engine.catalog.schedules import Decided
from engine.catalog.schedules import Outcome as ScheduleOutcome
from engine.catalog.shortening import AS_COPIED
from engine.jobs import values
from engine.model.backup import Backup, BackupFilter, BackupStatus, Copy, Place, Proof, ProofRecord, Scope
from engine.model.definitions import Storage
from engine.model.job import Job, JobStatus
from engine.model.requests import BackupRequest
from engine.model.results import BackupResult, SourceResult
from engine.model.schedules import RunOutcome, Schedule, ScheduledRun
from engine.process import ProcessIdentity
from engine.schedule import due
from tests.fakes.clock import START, FakeClock

OURS = ProcessIdentity("here", "boot+1", 1, 1)
HOUR = datetime.timedelta(hours=1)
_LARGE = re.compile(
    r"SCAN (backups|copies|jobs|proofs|tags|audit|job_log|b|c|t|p)\b(?! USING INDEX (jobs_(waiting|running|held|kit_drilled)|copies_missing))"
)
_ALONG = re.compile(r"SCAN (jobs|b) USING INDEX \w+_by_time")
"""A page is walked along the time; nothing else may be."""
_SEEN_WHOLE = {
    "backups_by_snapshots": "where damage or a whole repository is named",
    "proved_in_storage": "the bytes of a storage were written anew",
    "has_backups": "one row, whichever",
    "count_backups": "a recovery says how many it found",
    "count_backups_by_storage": "the usage of a storage, which reads all of that anyway",
    "list_proofs_of_period": "a report, one pass",
    "oldest_audit": "one row from the beginning",
    "audit_head": "one row from the end",
    "newest_audit": "rows from the end",
    "move_copies": "a storage was moved",
    "remove_backups_without_copies": "a storage was removed",
    "remove_copies_of_storage": "a storage was removed",
    "remove_old_jobs": "once a day at most",
    "foreign_key_check": "a check",
    "quick_check": "a check",
}
"""Queries that may read a large table from end to end, and when that is."""


async def _plan(catalog: Catalog, sql: str, parameters: Mapping[str, Value]) -> list[str]:
    return [row[3] for row in await catalog._database.fetch_sql("EXPLAIN QUERY PLAN " + sql, parameters)]


async def test_no_query_scans_a_large_table_but_those_that_say_why(catalog: Catalog) -> None:
    """What is fast with ten backups and slow with a million shows after a year."""
    scanning = {}
    for name, sql in load_queries().items():
        if sql.startswith("PRAGMA") or name in ("select_backups", "select_backup_keys", "select_jobs"):
            continue
        parameters: dict[str, Value] = dict.fromkeys(re.findall(r":(\w+)", sql), "[]")
        scans = [line for line in await _plan(catalog, sql, parameters) if _LARGE.search(line)]
        if scans and name not in _SEEN_WHOLE:
            scanning[name] = scans
    assert scanning == {}


JOB = Job("7a", "backup", {}, JobStatus.COMPLETED, START)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"verb": "drill"},
        {"verb": "backup"},
        {"status": JobStatus.FAILED},
        {"status": JobStatus.COMPLETED},
        {"status": JobStatus.RUNNING, "verb": "backup"},
        {"status": JobStatus.COMPLETED, "verb": "restore"},
        {"since": START, "until": START + HOUR},
        {"before": JOB, "verb": "verify"},
        {"before": JOB, "status": JobStatus.QUEUED, "since": START},
    ],
    ids=lambda asked: "+".join(asked) or "all",
)
async def test_a_page_of_jobs_is_read_along_an_index(
    catalog: Catalog, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page and the hundredth cost the same, whatever is asked for."""
    told = _caught(catalog, monkeypatch)
    await catalog.jobs.page(**asked)  # type: ignore[arg-type]
    await _require_along_an_index(catalog, *told[-1])


PLACE = Place(START, "7a")


@pytest.mark.parametrize(
    "chosen",
    [
        BackupFilter(),
        BackupFilter(source="a"),
        BackupFilter(source="a", scope=Scope.ALL, kind="full"),
        BackupFilter(status=BackupStatus.FAILED),
        BackupFilter(storage="near"),
        BackupFilter(tag="nightly"),
        BackupFilter(tag="nightly", storage="near"),
        BackupFilter(since=START),
    ],
    ids=str,
)
async def test_a_page_of_backups_is_read_along_an_index(
    catalog: Catalog, chosen: BackupFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for backups, from the start and from the middle on."""
    told = _caught(catalog, monkeypatch)
    for before in (None, PLACE):
        await catalog.backups.page(chosen, before=before)
        await _require_along_an_index(catalog, *told[-1])


def _caught(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Value]]]:
    told: list[tuple[str, Mapping[str, Value]]] = []
    real = type(catalog._database).fetch_sql

    async def fetch_sql(database: object, sql: str, parameters: Mapping[str, Value]) -> object:
        if not sql.startswith("EXPLAIN"):
            told.append((sql, parameters))
        return await real(database, sql, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(type(catalog._database), "fetch_sql", fetch_sql)
    return told


async def _require_along_an_index(catalog: Catalog, sql: str, parameters: Mapping[str, Value]) -> None:
    plan = await _plan(catalog, sql, parameters)
    assert not [line for line in plan if _LARGE.search(line) and not _ALONG.fullmatch(line)], plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan, plan


def _backup(number: int, **changes: object) -> Backup:
    at = START + number * HOUR
    copies = (Copy("shelf", f"{number:064x}"),)
    backup = Backup(
        f"{number:08d}", "files", "web1", "full", BackupStatus.COMPLETED, at, at, 1, 1, 1, 0, 0, copies
    )
    return dataclasses.replace(backup, **changes)  # type: ignore[arg-type]


async def test_what_was_proved_of_a_source_outlives_the_backup(catalog: Catalog) -> None:
    """A drill of last month says of the source what it said, although retention has taken the backup that was drilled."""
    await catalog.backups.add_many([_backup(1), _backup(2), _backup(3, scope=Scope.ROLES)])
    for number, is_passed, hour in ((1, True, 10), (2, False, 11), (1, True, 9), (3, True, 12)):
        at = START + hour * HOUR
        await catalog.backups.record_proof(
            ProofRecord(f"{number:08d}", "shelf", Proof.DRILLED, at, is_passed, "7j")
        )
    await catalog.backups.remove("00000001")
    found = (await catalog.standing.proofs(["files", "none"]))["files"]
    assert [(each.backup_id, each.is_passed, each.proven_at) for each in found] == [
        ("00000002", False, START + 11 * HOUR),
        ("00000001", True, START + 10 * HOUR),
    ]


async def test_a_moved_storage_keeps_its_copies_under_their_new_ids(catalog: Catalog) -> None:
    """Ids that change places must not be taken one for the other."""
    await catalog.storages.add(Storage("shelf", "local"))
    await catalog.backups.add_many([_backup(1), _backup(2), _backup(3)])
    old = {number: f"{number:064x}" for number in (1, 2, 3)}
    await catalog.storages.move(Storage("shelf", "local", {"path": "/new"}), {old[1]: old[2], old[2]: old[1]})
    found = await catalog.backups.by_snapshots("shelf", list(old.values()))
    assert found == {old[2]: "00000001", old[1]: "00000002", old[3]: "00000003"}


async def test_a_job_that_is_over_is_packed_and_given_back_whole(catalog: Catalog, clock: FakeClock) -> None:
    """A million of them are most of a catalog, and each must still say all that it did."""
    long = {"job_id": "1a", "status": "completed", "backups": [{"source": "db", "warnings": ["é" * 500]}]}
    request = {"sources": ["db"], "storages": ["near", "far"], "tags": []}
    await catalog.jobs.create(NewJob("1a", "backup", request))
    await catalog.jobs.claim(OURS, SlotLimits())
    await catalog.jobs.set_progress("1a", OURS, {"done_bytes": 5})
    await catalog.jobs.finish("1a", OURS, Outcome(JobStatus.COMPLETED, long))
    job = await catalog.jobs.get("1a")
    assert (job.request, job.result, job.progress, job.owner) == (request, long, {}, "")
    ((size,),) = await catalog._database.fetch_sql("SELECT length(request) + length(result) FROM jobs", {})
    assert size < 150


async def test_the_last_drill_is_found_among_packed_jobs(catalog: Catalog, clock: FakeClock) -> None:
    """Drills stay readable to the index that finds them."""
    for number, (verb, source) in enumerate((("drill", "db"), ("drill", "files"), ("backup", "db"))):
        await catalog.jobs.create(NewJob(f"1{number}", verb, {"source": source}))
        await catalog.jobs.claim(OURS, SlotLimits())
        await catalog.jobs.finish(f"1{number}", OURS, Outcome(JobStatus.COMPLETED, {"source": source}))
        clock.advance(1)
    found = await catalog.jobs.last_drill("db")
    assert found is not None
    assert found.job_id == "10"


async def test_jobs_are_counted_as_they_end(catalog: Catalog) -> None:
    """Whoever asks every fifteen seconds must not have a million rows counted."""
    for number in range(4):
        await catalog.jobs.create(NewJob(f"1{number}", "backup", {}))
    for number, status in ((0, JobStatus.COMPLETED), (1, JobStatus.FAILED)):
        await catalog.jobs.claim(OURS, SlotLimits())
        await catalog.jobs.finish(f"1{number}", OURS, Outcome(status))
    await catalog.jobs.request_cancel("12")
    assert not await catalog.jobs.finish("10", OURS, Outcome(JobStatus.FAILED))
    found = {each.status.value: each.count for each in await catalog.history.counts()}
    assert found == {"queued": 1, "completed": 1, "failed": 1, "cancelled": 1}


async def test_an_older_catalog_knows_what_was_proved_and_how_jobs_ended(
    path: Path, clock: FakeClock
) -> None:
    """Nobody drills everything anew because of an upgrade."""
    steps = {number: step for number, step in Schema.current().migrations.items() if number < 4}
    connection = sqlite3.connect(path)
    run_script(connection, "".join(steps[number] for number in sorted(steps)))
    connection.executescript(
        """
        INSERT INTO backups VALUES ('1a', 'db', 'h', 'full', 'completed', 5, 6, 1, 1, 0, 0, 0, '[]', '[]', 'drilled', 7, 0, NULL, '', '', 'all', '');
        INSERT INTO proofs VALUES ('1a', 7000000, 'near', 'drilled', 1, '1j', 'level files', 'drill'), ('1a', 3000000, 'far', 'drilled', 1, '1i', '', 'drill');
        INSERT INTO jobs (job_id, verb, request, status, created_at, completed_at, idempotency_key) VALUES ('1j', 'drill', '{}', 'completed', 1, 2, '');
        PRAGMA user_version = 3;
        """
    )
    connection.close()
    async with Catalog.open(path, clock) as catalog:
        (record,) = (await catalog.standing.proofs(["db"]))["db"]
        assert (record.job_id, record.storage, record.proven_at.timestamp()) == ("1j", "near", 7)
        assert [(each.verb, each.count) for each in await catalog.history.counts()] == [("drill", 1)]


async def test_jobs_are_found_by_verb_status_and_time(catalog: Catalog, clock: FakeClock) -> None:
    """And paged without gap or repeat."""
    for number in range(8):
        await catalog.jobs.create(NewJob(f"1{number}", "drill" if number % 2 else "backup", {}))
        await catalog.jobs.claim(OURS, SlotLimits())
        status = JobStatus.FAILED if number in (2, 3) else JobStatus.COMPLETED
        await catalog.jobs.finish(f"1{number}", OURS, Outcome(status))
        clock.advance(3600)

    async def ids(**asked: object) -> list[str]:
        return [job.job_id for job in await catalog.jobs.page(**asked)]  # type: ignore[arg-type]

    assert await ids(verb="drill", limit=2) == ["17", "15"]
    assert await ids(verb="drill", limit=2, before=await catalog.jobs.get("15")) == ["13", "11"]
    assert await ids(status=JobStatus.FAILED) == ["13", "12"]
    assert await ids(status=JobStatus.FAILED, verb="drill") == ["13"]
    assert await ids(since=START + 2 * HOUR, until=START + 5 * HOUR) == ["14", "13", "12"]
    assert await ids(status=JobStatus.COMPLETED, until=START + 2 * HOUR) == ["11", "10"]


async def test_a_snapshot_s_id_is_kept_once_and_told_by_job_and_backup(catalog: Catalog) -> None:
    """The same 32 bytes twice for each storage were an eighth of a large catalog."""
    far = Copy("far", "", BackupStatus.FAILED, "no answer")
    backup = _backup(1, copies=(Copy("shelf", "ab" * 32), far))
    await catalog.backups.add(backup)
    stored = [{"storage": "shelf", "snapshot_id": "ab" * 32, "status": "completed", "error": ""}]
    stored += [{"storage": "far", "snapshot_id": "", "status": "failed", "error": "no answer"}]
    stored += [{"storage": "gone", "snapshot_id": "ef" * 32, "status": "completed", "error": ""}]
    result = {"job_id": "1a", "backups": [{"backup_id": backup.backup_id, "storages": stored}]}
    await catalog.jobs.create(NewJob("1a", "backup", {}))
    await catalog.jobs.claim(OURS, SlotLimits())
    await catalog.jobs.finish("1a", OURS, Outcome(JobStatus.COMPLETED, result))
    assert (await catalog.jobs.get("1a")).result == result
    assert [job.result for job in await catalog.jobs.page()] == [result]
    ((kept,),) = await catalog._database.fetch_sql("SELECT result FROM jobs", {})
    assert ("abab" in unpack(kept), "efef" in unpack(kept), '"1a"' in unpack(kept)) == (False, True, False)
    await catalog.backups.remove(backup.backup_id)
    (told,) = (await catalog.jobs.get("1a")).result["backups"]
    assert [each["snapshot_id"] for each in told["storages"]] == ["", "", "ef" * 32]


async def test_the_logs_of_jobs_that_completed_go_after_90_days(catalog: Catalog, clock: FakeClock) -> None:
    """Nobody reads how a backup of last winter went well; how one failed is another matter."""
    for number, status in enumerate((JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED)):
        await catalog.jobs.create(NewJob(f"1{number}", "backup", {}))
        await catalog.jobs.add_log(f"1{number}", "person", "began")
        await catalog.jobs.claim(OURS, SlotLimits())
        await catalog.jobs.finish(f"1{number}", OURS, Outcome(status))
        clock.advance(86_400)
    await catalog.jobs.forget_logs(clock.now())
    assert len(await catalog.jobs.log("10")) == 1
    for days, left in ((88, [0, 1, 1]), (1, [0, 1, 1]), (1, [0, 1, 0])):
        clock.advance(days * 86_400)
        await catalog.jobs.forget_logs(clock.now())
        assert [len(await catalog.jobs.log(f"1{number}")) for number in range(3)] == left


def test_what_jobs_say_today_is_packed_small() -> None:
    """Where a field is added that the dictionary does not know, each of a million jobs says it in full."""
    copies = (Copy("near", AS_COPIED), Copy("far", AS_COPIED))
    done = SourceResult("3894ngpfw6t86wk6", "db", "completed", START, START + HOUR, 61.51, 160050, 25007, 41, 2, 9999, copies)  # fmt: skip
    result = values.to_object(BackupResult(AS_COPIED, "completed", (done,)))
    request = {**values.to_object(BackupRequest(("db",), ("near", "far"))), "schedule": "daily"}
    assert len(pack(to_json(request))) <= 25
    assert len(pack(to_json(result))) <= 95


def test_a_dictionary_that_was_once_used_stays() -> None:
    """With another one, all that was packed before would be lost."""
    digests = [hashlib.sha256(each).hexdigest()[:16] for each in _DICTIONARIES.values()]
    assert digests == ["71f3cf433b438172", "d909e07b12e1704c", "d9a29a0fdcc17770"]


async def test_an_older_catalog_is_made_smaller_and_says_the_same(path: Path, clock: FakeClock) -> None:
    """Whoever upgrades loses nothing of what is known."""
    connection = sqlite3.connect(path)
    run_script(
        connection,
        "".join(step for number, step in sorted(Schema.current().migrations.items()) if number < 8),
    )
    connection.executescript(
        """
        INSERT INTO sources VALUES ('db', 'postgres', 'h', '{}');
        INSERT INTO backups VALUES ('1a', 'db', 'h', 'full', 'incomplete', 5, 6, 1, 1, 0, 0, 0, '[]', '[]', 'taken', NULL, 0, NULL, '', '1j', 'all', '');
        INSERT INTO copies VALUES ('1a', 'near', x'ab', 'completed', '', 5), ('1a', 'far', x'', 'failed', 'no answer', 5);
        INSERT INTO proof_standings VALUES ('db', 'drilled', 1, 7000000, '1a', 'near', '1j', '', 'drill'), ('db', 'drilled', 0, 3, '1a', 'near', '1i', '', 'drill');
        INSERT INTO source_proofs VALUES ('db', 'drilled', 1, 6000000), ('db', 'drilled', 0, 9000000), ('db', 'verified', 1, 4000000);
        PRAGMA user_version = 7;
        """
    )
    packed = bytes.fromhex("01") + zlib.compress(b"{}")[2:-4]
    connection.execute(
        "INSERT INTO jobs (job_id, verb, request, status, created_at, completed_at, idempotency_key) VALUES ('1j', 'backup', ?, 'completed', 1, 2, '')",
        (packed,),
    )
    connection.commit()
    connection.close()
    async with Catalog.open(path, clock) as catalog:
        copies = [(each.storage, each.status.value) for each in (await catalog.backups.get("1a")).copies]
        assert copies == [("far", "failed"), ("near", "completed")]
        found = (await catalog.standing.proofs(["db"]))["db"]
        assert [(each.proof.value, each.is_passed, each.proven_at.timestamp(), each.job_id) for each in found] == [
            ("drilled", False, 9, ""), ("drilled", True, 7, "1j"), ("verified", True, 4, ""),
        ]  # fmt: skip
        assert (await catalog.jobs.get("1j")).request == {}
        assert await catalog.check() == []


async def test_of_a_busy_schedule_the_last_runs_are_kept(catalog: Catalog, clock: FakeClock) -> None:
    """One that runs each minute must not fill the catalog, one that runs each month must not be forgotten."""
    schedule = Schedule("often", rhythm="hourly", sources=("db",))
    await catalog.timetable.add(schedule, due.begin(schedule, clock.now()))
    now = clock.now()
    days = [now - datetime.timedelta(days=day) for day in range(350)]
    runs = [ScheduledRun("often", day, "", RunOutcome.COMPLETED, "") for day in days]
    await catalog.timetable.record([ScheduleOutcome(run) for run in runs], now)
    before = await catalog.timetable.get("often")
    for extra, left in ((0, 200), (60, 200), (210, 191), (400, 1)):
        later = now + datetime.timedelta(days=extra)
        await catalog.timetable.decide([Decided(before, before.state)], later)
        assert len(await catalog.timetable.runs("often", 1000)) == left


async def test_what_a_job_made_is_found_by_the_time_that_it_had(catalog: Catalog, clock: FakeClock) -> None:
    """A second attempt must not make again what the first one made, though somebody set the clock back meanwhile."""
    await catalog.jobs.create(NewJob("1a", "backup", {}))
    made = [
        _backup(1, job_id="1a"),
        _backup(3, job_id="1a", created_at=START - 3 * HOUR),
        _backup(2, job_id="1b"),
        _backup(4),
    ]
    await catalog.backups.add_many(made)
    assert {each.backup_id for each in await catalog.backups.of_job("1a")} == {
        made[0].backup_id,
        made[1].backup_id,
    }
    assert await catalog.backups.of_job("1c") == []
