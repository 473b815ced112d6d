"""Every kind of job, handed to a worker: it runs there, is followed and cancelled from elsewhere, and its row tells what came of it."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from engine import events
from engine.catalog import turns
from engine.cli.plan import parse_step
from engine.errors import RefusedError, UsageError
from engine.jobs import values
from engine.model.definitions import Source
from engine.model.job import Job
from engine.model.plans import Plan, PlanRequest
from engine.model.requests import (
    BackupRequest,
    CopyCatalogRequest,
    CopyRequest,
    DeleteRequest,
    DownloadRequest,
    DrillRequest,
    EraseRequest,
    ForgetRequest,
    KeepPolicy,
    MoveRequest,
    PruneRequest,
    RecoverRequest,
    ReportRequest,
    RestoreRequest,
    RollbackRequest,
    VerifyRequest,
)
from engine.notify import Notifier
from engine.service import jobs as service_jobs
from engine.service import work
from engine.service.job_kinds import KINDS
from engine.worker import WorkerOptions
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World, open_world

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    """It and the worker look more often than a person's eyes need."""
    monkeypatch.setattr(service_jobs, "FOLLOW_INTERVAL_S", 0.02)
    monkeypatch.setattr(work, "WorkerOptions", functools.partial(WorkerOptions, look_s=0.02))


@pytest.fixture
async def application(world: World) -> Path:
    """A database `shop` and a tree `site`, two storages, and a plan `all`."""
    folder = world.directory / "app"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "page").write_text("page\n", encoding="ascii")
    (folder / "site" / "secret").write_text("secret\n", encoding="ascii")
    with closing(sqlite3.connect(folder / "shop.db")) as database, database:
        database.execute("CREATE TABLE wares (name TEXT)")
    await world.add_storages("first", "second")
    await world.engine.add_source(Source("shop", "sqlite", options={"path": str(folder / "shop.db")}))
    await world.add_files("site", folder / "site")
    steps = (parse_step("shop --in-place"), parse_step("site --in-place"))
    await world.engine.add_plan(Plan("all", steps, budget_s=600.0))
    return folder


@asynccontextmanager
async def _worker(world: World) -> AsyncIterator[None]:
    """A worker on the home, with a connection of its own as one elsewhere has, which is stopped at the end."""
    async with world.again() as its, asyncio.TaskGroup() as group:
        worker = its.engine.worker(is_staying=True)
        working = group.create_task(worker.work(Notifier(), events.ignore))
        while not await world.engine.workers():  # noqa: ASYNC110 -- it tells the catalog alone
            await asyncio.sleep(0.01)
        yield
        worker.stop()
        await working


async def _ended(world: World, verb: str, request: object) -> Job:
    """Submits a job and follows it to its end, which must be a good one; its result can be read."""
    job = await world.engine.submit(verb, request)
    async for last in world.engine.follow_job(job.job_id):
        job = last
    assert job.status == "completed", (verb, job.error)
    values.from_object(KINDS[verb].result, job.result)
    assert job.result.get("job_id", job.job_id) == job.job_id
    return job


async def _result(world: World, verb: str, request: object) -> Mapping[str, Any]:
    return (await _ended(world, verb, request)).result


async def test_each_kind_of_job_is_run_by_a_worker_and_told_by_its_row(
    world: World, application: Path
) -> None:
    """The console starts every job so, and knows of it no more than its row has."""
    page = application / "site/page"
    done: set[str] = set()

    async def run(verb: str, request: object) -> Mapping[str, Any]:
        done.add(verb)
        return await _result(world, verb, request)

    async with _worker(world):
        first = (await run("backup", BackupRequest(("shop", "site"))))["backups"]
        assert [each["source"] for each in first] == ["shop", "site"]
        site = first[1]["backup_id"]
        assert (await run("verify", VerifyRequest(storage="first", is_reading_data=True)))["packs_read"] > 0
        drill = await run("drill", DrillRequest("shop", budget_s=600.0))
        assert (drill["status"], Path(drill["report"]).exists()) == ("passed", True)
        page.write_text("spoiled\n", encoding="ascii")
        restored = await run("restore", RestoreRequest(site, is_in_place=True))
        assert page.read_text(encoding="ascii") == "page\n"
        assert (await run("rollback", RollbackRequest(restored["job_id"])))["restored_files"] == 1
        await run("rollback", RollbackRequest(restored["job_id"], is_discarding=True))
        plan = await run("plan", PlanRequest("all"))
        assert [each["restore"]["status"] for each in plan["steps"]] == ["completed", "completed"]
        rehearsed = await run("plan", PlanRequest("all", is_drill=True, by=("me",)))
        assert (rehearsed["status"], Path(rehearsed["report"]).exists()) == ("passed", True)
        archive = world.directory / "site.tar"
        packed = await run("download", DownloadRequest(site, str(archive)))
        assert (packed["file"], packed["size_bytes"]) == (str(archive), archive.stat().st_size)
        assert len((await run("copy", CopyRequest("first", "second", is_all=True)))["copied"]) >= 2
        erased = await run("erase", EraseRequest(str(application / "site/secret"), "site"))
        assert {each["storage"] for each in erased["storages"]} == {"first", "second"}
        assert (await run("copy_catalog", CopyCatalogRequest(("second",))))["storages"] == ["second"]
        assert Path((await run("report", ReportRequest(days=1.0)))["files"][0]["path"]).exists()
        forgotten = await run("forget", ForgetRequest(KeepPolicy(last=1), "shop", ("second",)))
        assert forgotten["fates"][-1]["is_kept"]
        assert (await run("delete", DeleteRequest((site,))))["fates"][0]["backup_id"] == site
        assert (await run("prune", PruneRequest("first")))["storage"] == "first"
        place = {"path": str(world.place("new"))}
        moved = await run("storage move", MoveRequest("first", "local", place))
        assert (await world.engine.show_storage("first")).options == place == {"path": moved["location"]}
    done.add("recover")
    assert await _recovered(world, place) == {"shop", "site"}
    # A link needs a storage that hands them out, and a log a server that keeps one: see test_share.py, test_logs.py.
    assert done == set(KINDS) - {"share", "ship"}


async def _recovered(world: World, place: Mapping[str, str]) -> set[str]:
    """The sources of the backups that another home finds in a storage."""
    request = RecoverRequest("first", "local", place, f"file:{world.directory}/password")
    async with open_world(world.directory / "another") as other, _worker(other):
        found = await _result(other, "recover", request)
    return {each["source"] for each in found["backups"]}


async def test_a_drill_shows_its_steps_and_what_it_keeps_while_it_runs_and_stands_when_it_is_cancelled(
    world: World, application: Path
) -> None:
    """Somebody else looks on, and ends it when they have seen enough."""
    await world.one_backup("shop")
    async with _worker(world):
        job = await world.engine.submit("drill", DrillRequest("shop", budget_s=600.0, keep_s=3600.0))
        async for last in world.engine.follow_job(job.job_id):
            job = last
            if job.progress.get("kept"):
                seen = values.from_object(events.JobProgress, job.progress)
                await world.engine.cancel_job(job.job_id)
    assert (seen.budget_s, seen.kept is not None and seen.kept.status) == (600.0, "passed")
    assert {each.status for each in seen.steps} == {"ok"}
    assert (job.status, job.result["status"], job.result["steps"][-1]["step"]) == (
        "cancelled",
        "passed",
        "tear down",
    )


async def test_what_a_worker_does_not_have_or_must_not_do_is_refused_when_it_is_submitted(
    world: World, application: Path
) -> None:
    """Hours later nobody sits there who could type a password."""
    kept = await world.one_backup("site")
    await world.engine.protect_backup(kept.backup_id, is_protected=True, hold_reason="case 7")
    for verb, request, said in (
        ("backup", BackupRequest(("site",), stdin_filename="said"), "standard input"),
        ("download", DownloadRequest(kept.backup_id, "/nowhere/a.tar", password="-"), "standard input"),
        ("download", DownloadRequest(kept.backup_id, "/nowhere/a.tar", password="env:A"), "environment"),
        ("delete", DeleteRequest((kept.backup_id[:6],)), "case 7"),
    ):
        with pytest.raises(RefusedError, match=said):
            await world.engine.submit(verb, request)
    with pytest.raises(UsageError, match="PruneRequest"):
        await world.engine.submit("prune", VerifyRequest())
    assert [each.verb for each in await world.engine.jobs()] == ["backup"]
    assert await world.engine.workers() == []


def test_a_job_that_was_handed_over_is_told_as_if_it_had_run_here(tmp_path: Path) -> None:
    """With its steps, its evidence, its files, and the exit code that scripts know."""
    line = CommandLine(tmp_path)
    line.set_up()
    line.done("backup", "data")
    target = tmp_path / "data.tar"
    jobs = [
        line.json(*words, "--detach")["job_id"]
        for words in (
            ("drill", "data", "--budget", "0"),
            ("download", "latest:data", "--to", str(target)),
            ("restore", "latest:data", "--to", str(line.data / "a" / "below")),
        )
    ]
    drill, download, restore = (line.run("job", "follow", each) for each in jobs)
    assert (drill.code, "choose files" in drill.out, "evidence: " in drill.out) == (4, True, True), drill
    assert "failed: backup" in line.done("job", "show", jobs[0]).out
    assert (download.code, f"{target}: " in download.out) == (0, True), download
    assert (restore.code, "failed: " in restore.out) == (1, True), restore
    refused = line.run("download", "latest:data", "--to", "b.tar", "--password", "env:A", "--detach")
    assert (refused.code, "a worker does not see" in refused.err) == (5, True)
    piped = line.run("dump", "latest:data", "/a", "--detach")
    assert (piped.code, "download latest:data --path /a --to FILE --detach" in piped.err) == (5, True)
    unknown = line.run("drill", "dada", "--detach")
    assert (unknown.code, "no source named dada" in unknown.err) == (2, True)
    assert len(line.json("jobs")["items"]) == 4


async def test_a_forget_has_its_turn_in_a_night_of_constant_backups(
    world: World, application: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wants the repository for itself alone, and no moment is free of backups by itself."""
    monkeypatch.setattr(turns, "SPANS", {**turns.SPANS, "patience": 300_000})
    names = [f"site{number}" for number in range(3)]
    for name in names:
        await world.add_files(name, application / "site")
    cleaned = asyncio.Event()

    async def back_up(name: str) -> None:
        while not cleaned.is_set():
            await _ended(world, "backup", BackupRequest((name,)))

    async with _worker(world), asyncio.TaskGroup() as group:
        backups = [group.create_task(back_up(name)) for name in names]
        await _ended(world, "backup", BackupRequest(("shop",)))
        forgotten = await _ended(world, "forget", ForgetRequest(KeepPolicy(last=1), storages=("first",)))
        cleaned.set()
        await asyncio.wait(backups)
    assert forgotten.attempts == 1
    assert not [each for each in await world.engine.job_log(forgotten.job_id) if "locked" in each.message]
