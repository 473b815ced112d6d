"""Tab 2: schedules, their runs, what their rules let go."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.schedules import Action, RunOutcome, Schedule
from engine.service import Engine
from tests.jobs.world import World, open_world
from tests.tui.seat import Seat, open_console
from tests.tui.test_wizards import put

pytestmark = pytest.mark.slow
NIGHT = "daily at 02:00"


class _Later(SystemClock):
    """The machine's clock, two hours ahead."""

    def now(self) -> datetime.datetime:
        """Two hours from now."""
        return super().now() + datetime.timedelta(hours=2)


@pytest.fixture
async def world(world: World, tmp_path: Path) -> World:
    """A home with the source `tree` and the storage `main`."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    await world.add_storages("main")
    await world.add_files("tree", tmp_path / "tree")
    return world


@pytest.fixture
async def seat(world: World) -> AsyncIterator[Seat]:
    """At the first tab."""
    async with open_console(world.engine) as opened:
        yield opened


async def _over(engine: Engine, verb: str) -> str:
    """How the newest job of that verb ended."""
    job = (await engine.jobs(verb=verb))[0]
    async for now in engine.follow_job(job.job_id):
        job = now
    return job.status.value


async def _require_pause(world: World, lasts: datetime.timedelta) -> None:
    pause = (await world.engine.show_schedule("one")).state.pause
    assert pause is not None
    assert pause.until is not None
    assert pause.reason == "moving"
    assert abs(pause.until - pause.since - lasts) < datetime.timedelta(minutes=1)


async def _kept(world: World) -> set[str]:
    return {each.backup_id for each in await world.engine.backups()}


async def test_schedules_of_all_actions_stand_side_by_side_with_what_comes_and_what_meets(
    world: World, seat: Seat
) -> None:
    """Words for cron, the time until the next start, rules, the day ahead with overlaps, and why one is paused."""
    add = world.engine.add_schedule
    await add(
        Schedule("nightly", rhythm="30 2 * * *", sources=("tree",), options={"keep_daily": 7, "keep_last": 3})
    )
    await add(Schedule("again", rhythm="35 2 * * *", sources=("tree",)))
    await add(Schedule("proof", Action.DRILL, "0 5 * * sun", sources=("tree",)))
    await add(Schedule("copies", Action.COPY, after="nightly"))
    await world.engine.pause_schedule("again", "the disk is swapped")
    await seat.press("2")
    await seat.sees("daily 02:30", "sun 05:00", "after nightly", "3 last 7d", "PAUSED", "in ")
    await seat.sees("next 24 h", "overlaps: none", "! paused: the disk is swapped")
    await world.engine.resume_schedule("again")
    await seat.press("ctrl+r")
    await seat.sees(
        "! overlaps: 2 starts, busiest 02:35 (2 at localhost)",
        "! 1 of 1 start until tomorrow meet others at localhost",
    )
    await seat.press("f")
    await seat.sees("Next runs of again", "takes 15m00s  ! overlaps nightly 02:30 on localhost")
    await seat.press("escape", "d")
    await seat.sees("Schedule again", "catches up once", "cron")
    await seat.press("escape", "down", "K")
    await seat.sees("it lets nothing go: it has no keep rules")


async def test_a_run_by_hand_is_done_by_a_worker_and_found_among_the_runs(world: World, seat: Seat) -> None:
    """Of a paused one, too: what a person starts runs. Enter shows what became of it, Enter again its log."""
    await world.engine.add_schedule(Schedule("nightly", rhythm=NIGHT, sources=("tree",)))
    await world.engine.pause_schedule("nightly", "not tonight")
    await seat.press("2")
    await seat.sees("PAUSED")
    await seat.press("t")
    await seat.sees("nightly begins now, 1 job")
    assert await _over(world.engine, "backup") == "completed"
    await seat.press("T")
    await seat.sees(" ok ", "last 1: ok")
    assert (await world.engine.latest_backup("tree")).status == "completed"
    await seat.press("L")
    await seat.sees("backup: completed")
    await seat.press("escape", "enter")
    await seat.sees("> nightly", "completed", "localhost", "nothing is planned")
    await seat.press("enter")
    await seat.sees("backup: completed")
    await seat.press("escape", "t")
    await seat.sees("nightly begins now, 1 job")
    assert await _over(world.engine, "backup") == "completed"
    assert len(await _kept(world)) == 2


async def test_what_is_paused_does_not_start_and_what_was_held_is_told(tmp_path: Path) -> None:
    """One by its own pause, with an end, the other because everything is held; both go on when that ends."""
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("main")
        await world.add_files("tree", tmp_path)
        for name in ("one", "two"):
            await world.engine.add_schedule(Schedule(name, rhythm="hourly", sources=("tree",)))
    async with open_world(tmp_path / "world", _Later()) as world, open_console(world.engine) as seat:
        await seat.press("2")
        await seat.sees("one", "two", "due")
        await seat.press("P")
        await seat.sees("Pause one")
        await seat.press("ctrl+s")
        await seat.sees("is needed")
        await seat.type("moving")
        await seat.press("enter")
        await seat.type("2h")
        await seat.sees("holdfast schedule pause one --reason moving --until 2h")
        await seat.press("ctrl+s")
        await seat.sees("one paused; u resumes", "! paused until", "moving")
        await _require_pause(world, datetime.timedelta(hours=2))
        await seat.press("H")
        await seat.sees("Hold everything")
        await seat.type("audit")
        await seat.press("ctrl+s")
        await seat.sees("nothing starts by itself")
        await seat.press("T")
        await seat.sees("0 jobs queued, ", "skipped")
        assert await world.engine.jobs() == []
        runs = [*await world.engine.schedule_runs("one"), *await world.engine.schedule_runs("two")]
        assert {(each.schedule, each.outcome, each.reason) for each in runs} == {
            ("one", RunOutcome.SKIPPED, "paused: moving"),
            ("two", RunOutcome.SKIPPED, "paused: audit"),
        }
        await seat.press("m")
        await seat.sees("Not run in the last 24 hours", "one: paused: moving", "two: paused: audit")
        await seat.press("escape", "U")
        await seat.sees("everything goes on")
        await seat.press("u")
        await seat.sees("one goes on")
        assert await world.engine.present_pause() is None
        pause = (await world.engine.show_schedule("one")).state.pause
        assert pause is None or not pause.covers(world.engine.now())
        await seat.press("u")
        await seat.sees("it is not paused")


async def test_what_the_preview_lets_go_is_what_the_forget_removes(world: World, seat: Seat) -> None:
    """Judged by the catalog alone, then by a dry run, then done after the name was typed: three times the same."""
    for _ in range(4):
        await world.one_backup("tree")
    oldest = sorted(await world.engine.backups(), key=lambda each: each.created_at)
    await world.engine.protect_backup(oldest[0].backup_id, is_protected=True)
    rules = {"keep_last": 2}
    await world.engine.add_schedule(Schedule("nightly", rhythm=NIGHT, sources=("tree",), options=rules))
    await seat.press("2")
    await seat.sees("2 last", "2 ~", "after the next run keeps 2, lets 2 go")
    await seat.press("K")
    await seat.sees("nightly keeps 2 last", "after the next run", "keeps 2, lets 2 go", "protected")
    await seat.press("a")
    await seat.sees("as things are now: keeps 3, lets 1 go", "! go", "no rule keeps it")
    await seat.press("o")
    await seat.misses("protected")
    previewed = {
        each.backup_id for each in (await world.engine.keep_ahead("nightly", is_after_next=False)).going
    }
    assert previewed == {oldest[1].backup_id}
    await seat.press("F")
    await seat.sees("FORGET 1 BACKUP of tree", oldest[1].backup_id[:8], "--keep-last 2")
    await seat.type_name("nightly")
    await seat.sees("that is not tree")
    assert len(await _kept(world)) == 4
    await seat.type_name("tree")
    await seat.sees("forgetting by the rules of nightly")
    assert await _over(world.engine, "forget") == "completed"
    assert await _kept(world) == {each.backup_id for each in oldest} - previewed
    await seat.sees("keeps 3, lets 0 go")
    await seat.press("e")
    await seat.sees("Edit schedule nightly", "2")
    await put(seat, "keep_last", "1")
    await seat.press("ctrl+s")
    await seat.sees("nightly keeps 1 last", "lets 1 go")
    assert (await world.engine.show_schedule("nightly")).schedule.options["keep_last"] == 1


async def test_a_forget_that_looks_wrong_says_why_before_the_name_is_typed(world: World, seat: Seat) -> None:
    """A tag that no backup has keeps nothing but the last: no policy means that."""
    for _ in range(6):
        await world.one_backup("tree")
    options = {"keep_tag": ("gold",)}
    await world.engine.add_schedule(
        Schedule("tidy", Action.FORGET, NIGHT, sources=("tree",), options=options)
    )
    await seat.press("2")
    await seat.sees("tidy", "5 ~")
    await seat.press("K", "F")
    await seat.sees(
        "FORGET 5 BACKUPS of tree, WHICH LOOKS WRONG", "! emptying: no rule keeps any", "--despite emptying"
    )
    await seat.press("escape")
    assert len(await _kept(world)) == 6
    await seat.press("F")
    await seat.sees("WHICH LOOKS WRONG")
    await seat.type_name("tree")
    await seat.sees("forgetting by the rules of tidy")
    assert await _over(world.engine, "forget") == "completed"
    assert len(await _kept(world)) == 1


async def test_a_prune_of_a_schedule_is_planned_by_a_worker(world: World, seat: Seat) -> None:
    """What it would free stands in no catalog."""
    await world.one_backup("tree")
    await world.engine.delete_backups(((await world.engine.latest_backup("tree")).backup_id,))
    await world.engine.add_schedule(Schedule("space", Action.PRUNE, NIGHT))
    await seat.press("2")
    await seat.sees("space")
    await seat.press("K")
    await seat.sees("What space would free now", "main:", "packs deleted")
    assert list(world.place("main").glob("data/*/*"))


async def test_a_run_is_cancelled_after_a_yes(world: World, seat: Seat, tmp_path: Path) -> None:
    """From where it is seen to take too long."""
    slow = f"until [ -e {tmp_path / 'go'} ]; do echo; sleep 0.1; done"
    await world.engine.add_source(Source("slow", "command", LOCAL_HOST, {"run": slow, "filename": "stream"}))
    await world.engine.add_schedule(Schedule("slowly", rhythm=NIGHT, sources=("slow",)))
    await seat.press("2")
    await seat.sees("slowly")
    await seat.press("t")
    await seat.sees("slowly begins now")
    await seat.press("enter")
    await seat.sees("open", "next runs:")
    await seat.press("x")
    await seat.sees("Cancel job")
    await seat.answer("y")
    await seat.sees("was asked to end")
    assert await _over(world.engine, "backup") == "cancelled"
