"""Tab 4: storages."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from engine.format import lock_file
from engine.format.lock_file import Lock
from engine.jobs.opening import open_unlocked
from engine.model.requests import Limits
from engine.process import ProcessIdentity
from engine.service import Engine
from engine.storages.base import Kind
from tests.jobs.world import World
from tests.tui.seat import Seat, do, open_console


@pytest.fixture
async def seat(world: World, tmp_path: Path) -> AsyncIterator[Seat]:
    """At the storages: `main`, the default, has a backup of `tree`; `second` has none."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    await world.add_storages("main", "second")
    await world.add_files("tree", tmp_path / "tree")
    await world.one_backup("tree")
    async with open_console(world.engine) as opened:
        await opened.press("4")
        await opened.sees("main", "second", "NEVER")
        yield opened


async def _over(engine: Engine, verb: str) -> str:
    """How the newest job of that verb ended."""
    job = (await engine.jobs(verb=verb))[0]
    async for now in engine.follow_job(job.job_id):
        job = now
    return job.status.value


async def test_what_would_be_lost_with_a_storage_is_said_before_it_is(seat: Seat) -> None:
    """The question that nobody asks in time."""
    assert "lost main?  1 of 1 sources are in no other storage: tree" in await seat.sees("lost main?")


async def test_all_of_a_storage_is_copied_to_another_one(seat: Seat, world: World) -> None:
    """Two keys and a choice; after it nothing is lost with the first."""
    await seat.press("down")
    await seat.sees("lost second?")
    await seat.press("m", "down", "enter")
    await seat.sees("copying to second")
    assert await _over(world.engine, "copy") == "completed"
    await seat.press("up")
    await seat.sees("second has most of the rest")
    assert len((await world.engine.latest_backup("tree")).copies) == 2


async def test_a_check_of_all_data_ends_with_its_verdict(seat: Seat, world: World) -> None:
    """And the storage is proved from then on."""
    await seat.press("c", "down", "down", "enter")
    await seat.sees("Check of main", "passed")
    assert await _over(world.engine, "verify") == "completed"
    await seat.press("escape")
    await seat.misses("Check of main")
    assert [
        each.proof.value
        for each in (await world.engine.backup_proofs((await world.engine.latest_backup("tree")).backup_id))
        if each.is_passed
    ]


async def test_a_damaged_pack_is_named(seat: Seat, world: World) -> None:
    """Nobody reads a log to learn what is broken."""
    (pack,) = [each for each in world.place("main").glob("data/*/*") if each.stat().st_size > 100][:1]
    pack.write_bytes(b"\0" * pack.stat().st_size)
    await seat.press("c", "down", "down", "enter")
    assert "damaged" in await seat.sees("Check of main", pack.name[:8])


async def test_a_prune_is_planned_shown_and_done_after_a_yes(seat: Seat, world: World) -> None:
    """Enter that was held down does not answer the question."""
    backup = await world.engine.latest_backup("tree")
    await world.engine.delete_backups((backup.backup_id,))
    packs = list(world.place("main").glob("data/*/*"))
    assert packs
    await seat.press("p")
    await seat.sees("Prune main?", "packs are deleted")
    await seat.press("enter", "enter")
    await seat.sees("Prune main?")
    await seat.answer("y")
    await seat.sees("pruning main")
    assert await _over(world.engine, "prune") == "completed"
    assert list(world.place("main").glob("data/*/*")) == []


async def test_the_recovery_kit_is_shown_and_may_be_written_down(seat: Seat, tmp_path: Path) -> None:
    """It is what a new machine begins with."""
    await seat.press("E")
    await seat.sees("Recovery kit of main", "restic")
    await seat.press("o")
    await seat.type(str(tmp_path / "kit"))
    await seat.press("enter")
    await seat.misses("write to file")
    assert "restic" in (tmp_path / "kit").read_text()


async def test_a_storage_is_tested_and_measured(seat: Seat, world: World) -> None:
    """Two questions that a person has about a disk: nothing of the first stays there, the answer of the second is kept."""
    place = world.place("main")
    before = {each for each in place.rglob("*") if each.is_file()}
    await seat.press("T")
    await seat.sees("main answers in")
    assert {each for each in place.rglob("*") if each.is_file()} == before
    await seat.press("u")
    await seat.sees("used,", "holds ")
    (main, _) = await world.engine.storage_standings()
    assert main.used_bytes == sum(each.stat().st_size for each in before)


async def test_a_storage_is_switched_off_and_made_the_default(seat: Seat, world: World) -> None:
    """Without a question: it is switched back by the same key."""
    await seat.press("o")
    await seat.sees("main is switched off")
    assert not (await world.engine.show_storage("main")).is_enabled
    await seat.press("o", "down", "asterisk")
    await seat.sees("second is used where")
    assert (await world.engine.show_storage("second")).is_default


async def test_a_lock_of_a_dead_process_is_removed_after_a_yes(seat: Seat, world: World) -> None:
    """What restic's users do with `unlock`, seen before it is done."""
    await seat.press("U")
    await seat.sees("nobody locks main")
    dead = await _lock_as_a_process_that_ended(world)
    await seat.press("W")
    await seat.sees("Locks of main", str(dead), "ended")
    await seat.press("escape", "U")
    await seat.sees("Remove 1 of 1 locks of main?", str(dead))
    assert list(world.place("main").glob("locks/*"))
    await seat.answer("y")
    await seat.sees("1 locks of main removed")
    assert list(world.place("main").glob("locks/*")) == []


async def _lock_as_a_process_that_ended(world: World) -> int:
    """Leaves a lock in `main` behind; gives the process id."""
    context = world.engine._parts.context()
    ended = subprocess.Popen(["true"])
    ended.wait()
    here = ProcessIdentity.current()
    left = Lock(
        world.engine.now(), False, here.host, "root", ended.pid, boot_id=here.boot, started=here.started
    )
    async with AsyncExitStack() as stack:
        repository = await open_unlocked(context, await world.engine.show_storage("main"), Limits(), stack)
        await repository.save_unpacked(Kind.LOCK, lock_file.encode(left))
    return ended.pid


async def test_a_password_is_changed_after_the_name_was_typed(seat: Seat, world: World) -> None:
    """The new one is shown this once, with the new kit; the old kit would not open it."""
    await seat.press("P")
    await seat.sees("CHANGE THE PASSWORD OF main")
    await seat.type_name("second")
    await seat.sees("that is not main")
    await seat.type_name("main")
    await seat.sees("shown this once", "The new recovery kit")
    assert (await world.engine.show_storage("main")).password.startswith("vault:")


async def test_a_storage_is_forgotten_after_its_name_was_typed(seat: Seat, world: World) -> None:
    """And its repository stays."""
    await seat.press("X")
    await seat.sees("FORGET STORAGE main", "in no other storage")
    await seat.type_name("main")
    await seat.sees("is forgotten")
    assert [each.name for each in await world.engine.storages()] == ["second"]
    assert (world.place("main") / "config").exists()


async def test_the_catalog_is_copied_into_the_storages(seat: Seat, world: World) -> None:
    """Whatever becomes of this machine."""
    await seat.press("C")
    await seat.sees("copying the catalog")
    assert await _over(world.engine, "copy_catalog") == "completed"
    assert [len(list(world.place(each).glob("snapshots/*"))) for each in ("main", "second")] == [2, 1]


async def test_a_storage_that_does_not_answer_is_a_sentence(seat: Seat, world: World) -> None:
    """No traceback, and the console goes on."""
    shutil.rmtree(world.place("main"))
    await seat.press("T")
    await seat.sees("That did not work")
    await seat.press("escape")
    await seat.misses("That did not work")


async def test_readers_get_a_copy_once_a_group_is_named(seat: Seat, world: World) -> None:
    """By the palette: the verb has no key."""
    await do(seat, "renew the copy")
    await seat.sees("no group is named")
    world.engine.home.settings.write_text(
        f'[readers]\ngroup = "{grp.getgrgid(os.getgid()).gr_name}"\n', encoding="ascii"
    )
    async with world.again() as later, open_console(later.engine) as seat:
        await do(seat, "renew the copy")
        await seat.sees("the copy for readers is renewed")
    assert world.engine.home.reading_copy.exists()
