"""Tab 1 at work: keys on the one side, catalog and file system on the other. Every job is done by a real worker."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import UnknownNameError
from engine.model.backup import Backup, BackupStatus, Proof
from engine.model.definitions import OptionValue, Storage
from engine.model.job import Job, JobStatus
from engine.model.secret import Secret
from engine.storages import registry
from tests.jobs.world import World
from tests.servers.ceph import Ceph
from tests.tui.seat import Seat, open_console
from tui.panes import contents
from tui.panes.compare import CompareView
from tui.panes.found import FoundView
from tui.widgets.row_source import Row

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World, tmp_path: Path) -> Path:
    """A source of files with two backups, the second with one file more."""
    place = tmp_path / "tree"
    (place / "etc").mkdir(parents=True)
    (place / "etc" / "secret").write_text("hunter2\nline two\n")
    await world.add_storages("main")
    await world.add_files("tree", place)
    await world.one_backup("tree")
    (place / "etc" / "more").write_text("more")
    await world.one_backup("tree")
    return place


@asynccontextmanager
async def _at(world: World, *keys: str, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seat]:
    async with open_console(world.engine, size=size) as seat:
        await seat.sees("tree")
        await seat.press(*keys)
        yield seat


async def _end(world: World, verb: str) -> Job:
    """The newest job of that verb, over and well."""
    job = (await world.engine.jobs(verb=verb, limit=1))[0]
    async for now in world.engine.follow_job(job.job_id):
        job = now
    assert job.status is JobStatus.COMPLETED, job.error
    return job


async def _newest(world: World) -> Backup:
    return await world.engine.latest_backup("tree")


async def test_what_is_at_risk_is_mended_by_the_key_that_its_row_names(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """At three in the morning: see it, go there, one key."""
    await world.add_files("bare", tree / "etc")
    async with _at(world) as seat:
        screen = await seat.sees(
            "! bare", "it was never backed up", "m back up", "> tree", "1 at risk, 1 to see to"
        )
        assert screen.index("! bare") < screen.index("- tree")
        await seat.press("0")
        await seat.sees("> ! bare")
        await seat.press("enter")
        await seat.sees("> bare")
        await seat.press("m")
        await seat.sees("backing up bare")
        await _end(world, "backup")
        await seat.misses("never backed up")
    assert (await world.engine.latest_backup("bare")).status == "completed"


async def test_a_source_s_backups_are_filtered_sorted_and_marked(world: World, tree: Path) -> None:
    """Of hundreds the one that is meant, and what people said of it."""
    newest = await _newest(world)
    async with _at(world, "enter", size=(140, 40)) as seat:
        await seat.sees("> tree", "CREATED", newest.backup_id, "job")
        await seat.press("p", "H")
        await seat.sees("held, because:")
        await seat.type("court order")
        await seat.press("enter")
        await seat.sees("PH", "court order")
        await seat.press("E")
        await seat.type("30d")
        await seat.press("enter")
        await seat.sees("PHE")
        await seat.press("slash")
        await seat.type("kept")
        await seat.press("enter")
        await seat.sees("/kept")
        await seat.misses("\n/kept")
        first = seat.app.main.pane.view
        await seat.press("d")
        await seat.sees(f"backup {newest.backup_id}", "protected", "expires")
        await seat.press("escape", "X")
        await seat.sees("is kept: court order")
        await seat.press("escape")
        assert seat.app.main.pane.view is first
        now = await _newest(world)
        assert now.is_protected
        assert now.hold_reason == "court order"
        assert now.expires_at is not None
        assert now.expires_at > world.engine.now() + datetime.timedelta(days=29)
        await seat.press("P")
        await seat.sees("End the protection", "court order")
        await seat.answer("y")
        await seat.sees("held no more", "no row holds kept")
    assert (await _newest(world)).hold_reason == ""
    assert not (await _newest(world)).is_protected


async def test_a_backup_is_deleted_after_its_source_s_name_was_typed(world: World, tree: Path) -> None:
    """What goes and what stays is on the screen before; the guard is passed like in a shell."""
    newest = await _newest(world)
    await world.engine.set_guard(Secret("correct horse"))
    async with _at(world, "enter") as seat:
        await seat.sees("CREATED")
        await seat.press("X")
        await seat.sees(
            "DELETE 1 BACKUP of tree", newest.backup_id, "Still recoverable: 1 point", "holdfast delete"
        )
        seat.hear()
        await seat.type("shop")
        await seat.press("enter")
        await seat.sees("that is not tree")
        await seat.press(*["backspace"] * 4)
        await seat.type("tree")
        await seat.press("enter")
        await seat.sees("passphrase of the guard")
        await seat.type("correct horse")
        await seat.press("enter")
        await seat.sees("deleting 1 backup")
        await _end(world, "delete")
    with pytest.raises(UnknownNameError):
        await world.engine.show_backup(newest.backup_id)
    assert (await _newest(world)).backup_id != newest.backup_id


async def test_a_backup_that_is_gone_by_now_is_a_sentence(world: World, tree: Path) -> None:
    """Somebody else's forget ran while the list stood there: no key may end the console."""
    async with _at(world, "enter", "z") as seat:
        await seat.sees("CREATED", "frozen")
        await world.engine.delete_backups(((await _newest(world)).backup_id,))
        await seat.press("enter")
        await seat.sees("That did not work", "there is no backup")
        await seat.press("escape", "z")
        await seat.misses("frozen")
        await _fail(world)
        await seat.press("ctrl+r")
        await seat.sees("FAILED")
        await seat.press("g", "enter")
        await seat.sees("status", "failed", "| / search")
        await seat.press("escape", "F")
        await seat.type("secret")
        await seat.press("enter")
        await seat.sees("1 found")
        await world.engine.delete_backups(((await _newest(world)).backup_id,))
        await seat.press("enter")
        await seat.sees("That did not work", "there is no backup")


async def _fail(world: World) -> None:
    """A backup of the tree that no storage has."""
    failed = dataclasses.replace(
        await _newest(world),
        backup_id="9failed",
        status=BackupStatus.FAILED,
        copies=(),
        created_at=world.engine.now(),
    )
    await world.engine._parts.catalog.backups.add_many([failed])


async def test_a_newest_backup_is_verified_and_downloaded_by_few_keys(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V and one choice; o and no question."""
    monkeypatch.chdir(tmp_path)
    async with _at(world) as seat:
        await seat.press("V")
        await seat.sees("Verify 1 backup")
        await seat.press("down", "enter")
        await seat.sees("verifying")
        await _end(world, "verify")
        await seat.press("o")
        await seat.sees("downloaded, ")
        await _end(world, "download")
    assert (await _newest(world)).proof is Proof.VERIFIED
    (archive,) = tmp_path.glob("tree-*.tar.zst")
    assert archive.stat().st_size


async def test_a_backup_is_looked_into_down_to_a_file_and_a_file_is_written_out(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one file that somebody deleted."""
    monkeypatch.chdir(tmp_path)
    async with _at(world, "enter") as seat:
        await seat.sees("CREATED")
        await seat.press("enter")
        await seat.sees("more", "secret", " enter open  ")
        await seat.press("down", "enter")
        await seat.sees("hunter2", "line two")
        await seat.press("escape", "O")
        await seat.sees("write to file:")
        await seat.press("ctrl+u")
        await seat.type("out")
        await seat.press("enter")
        await seat.sees("written, 17 B: ")
        await seat.press("y")
        await seat.sees(f"holdfast dump {(await _newest(world)).backup_id}")
        await seat.press("G", "enter")
        await seat.sees("copied: holdfast dump")
    assert (tmp_path / "out").read_text() == "hunter2\nline two\n"


async def test_two_backups_are_compared_and_one_with_what_is_live(world: World, tree: Path) -> None:
    """What a change did, and what changed since."""
    (tree / "etc" / "more").unlink()
    async with _at(world, "enter") as seat:
        await seat.sees("CREATED")
        await seat.press("c")
        await seat.sees("1 added", "+ ", "etc/more")
        await seat.press("escape", "C")
        await seat.sees("1 removed", "- ", "etc/more", "live")
        await seat.press("x")
        await seat.sees("it is over")
        await seat.press("K")
        await seat.sees("1 removed")
        await seat.press("d")
        await seat.sees("compared: ")
        await seat.press("escape", "y")
        await seat.sees("--live --checksum")
        world.place("main").rename(world.directory / "gone")
        await seat.press("escape", "escape", "c")
        await seat.sees("That did not work")
        await seat.press("escape")
        await seat.sees("0 until it failed: ", "nobody knows: it was not read to its end")
        await seat.press("d")
        await seat.sees("0 until it failed: ")
        assert "nothing differs" not in seat.text


async def test_a_file_is_found_in_all_backups_and_erased_from_them(world: World, tree: Path) -> None:
    """A password that was committed to a folder: gone from everywhere, after a look at where it is."""
    async with _at(world, "F") as seat:
        await seat.sees("find in all backups of tree")
        await seat.type("secret")
        await seat.press("enter")
        await seat.sees("2 found")
        await seat.press("enter")
        await seat.sees("> secret")
        await seat.press("X")
        await seat.sees("because:")
        await seat.type("leaked")
        await seat.press("enter")
        await seat.sees("ERASE", "from 2 backups")
        seat.hear()
        await seat.type("tree")
        await seat.press("enter")
        await seat.sees("erasing")
        await _end(world, "erase")
    assert [each async for each in world.engine.find("secret", source="tree")] == []


async def test_a_backup_is_taken_as_a_form_says(world: World, tree: Path) -> None:
    """Full, tagged, to go in a month; the command line that does the same is on the screen."""
    async with _at(world, "B") as seat:
        await seat.sees("Back up tree", "holdfast backup tree")
        await seat.press("right", "tab", "tab", "tab")
        await seat.type("monthly")
        await seat.press("tab", "tab")
        await seat.type("30d")
        await seat.sees("--type full --tag monthly --expires 30d")
        await seat.press("ctrl+s")
        await seat.sees("backing up tree")
        await _end(world, "backup")
    newest = await _newest(world)
    assert newest.kind == "full"
    assert newest.tags == ("monthly",)
    assert newest.expires_at is not None


async def test_a_thousand_backups_are_read_as_they_are_seen(world: World, tree: Path) -> None:
    """Of a million too: the end is as near as the beginning."""
    template = await _newest(world)
    catalog = world.engine._parts.catalog
    await catalog.backups.add_many(
        dataclasses.replace(
            template,
            backup_id=f"{number:04d}",
            size_bytes=number,
            created_at=template.created_at - datetime.timedelta(days=number),
        )
        for number in range(1, 1001)
    )
    async with _at(world, "a") as seat:
        await seat.sees("SOURCE", "1/1002")
        await seat.press("G")
        await seat.sees("1002/1002")
        await seat.press("S")
        await seat.sees("Sort by")
        await seat.press("down", "down", "down", "down", "enter")
        view = seat.app.main.pane.view
        await seat.press("g")
        await seat.sees("1/1002", "   1B")
        await seat.press("slash")
        await seat.type("0777")
        await seat.press("enter")
        await seat.sees("777B", "/0777")
        assert seat.app.main.pane.view is view


async def test_a_source_is_forgotten_and_its_backups_stay(world: World, tree: Path) -> None:
    """Its history can be restored for years."""
    async with _at(world, "X") as seat:
        await seat.sees("FORGET SOURCE tree", "Its 2 backups stay")
        seat.hear()
        await seat.type("tree")
        await seat.press("enter")
        await seat.sees("its backups are kept")
    assert await world.engine.sources() == []
    assert await world.engine.count_backups_of("tree") == 2


async def test_pages_about_a_source_and_what_cannot_be_shared(world: World, tree: Path) -> None:
    """Details, log, trends, a test; and a storage that hands out no links says so."""
    async with _at(world, "d") as seat:
        await seat.sees("health", "kind")
        await seat.press("escape", "L")
        await seat.sees("backup: completed")
        await seat.press("escape", "T")
        await seat.sees("trends of tree", "duration")
        await seat.press("escape", "t")
        await seat.sees("source tree can be read")
        tree.rename(tree.with_name("moved"))
        await seat.press("escape", "t")
        await seat.sees("That did not work", "is not there")
        await seat.press("escape", "u")
        await seat.sees("nothing is shared", "main: ")


async def test_each_view_leads_to_the_pane_that_restores(world: World, tree: Path) -> None:
    """A source, a backup, a file: what was chosen here is not asked for again there."""
    first = min(await world.engine.backups(), key=lambda each: each.created_at)
    newest = await _newest(world)
    async with _at(world) as seat:
        for deeper, seen, wanted in (
            ((), "SOURCE", newest),
            (("enter", "down"), "CREATED", first),
            (("enter",), "secret", first),
        ):
            await seat.press(*deeper)
            await seat.sees(seen)
            for key in ("R",) if seen == "secret" else ("D", "R"):
                await seat.press(key)
                await seat.sees("[3 Restore]", f"{1 + (wanted is first)} of 2", wanted.backup_id[:8])
                await seat.press("1")
                await seat.sees("[1 Backups]", seen)
        await seat.press("R", "f")
        await seat.sees("only: ", "etc/secret")


async def test_what_is_said_of_one_backup_is_done_with_one(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified, its job's log, downloaded by a form; a storage that hands out no links says so."""
    monkeypatch.chdir(tmp_path)
    async with _at(world, "enter") as seat:
        await seat.sees("CREATED")
        await seat.press("V")
        await seat.sees("read everything again")
        await seat.press("enter")
        await seat.sees("verifying")
        await _end(world, "verify")
        await seat.press("L")
        await seat.sees(f"job {(await _newest(world)).job_id}, backup: completed")
        await seat.press("escape", "o")
        await seat.sees("holdfast download", "--format")
        await seat.press("tab", "right", "ctrl+s")
        await seat.sees("downloaded, ")
        await seat.press("u")
        await seat.sees("nothing is shared", "main: ")
        await seat.press("escape", "F")
        await seat.sees("find in all backups of tree")
        await seat.type("more")
        await seat.press("enter")
        await seat.sees("1 found")
        await seat.press("escape", "s")
        await seat.sees("holdfast share", "--on main --expires 2d")
        await seat.press("ctrl+s")
        await seat.sees("That did not work", "hands out")
    assert (await _newest(world)).proof is Proof.READABLE
    assert len(list(tmp_path.glob("tree-*.zip"))) == 1


async def test_a_part_of_a_backup_is_downloaded_and_a_large_folder_comes_in_parts(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder of a million files must not fill the memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contents, "PART_ROWS", 1)
    async with _at(world, "enter") as seat:
        await seat.sees("CREATED")
        await seat.press("enter")
        await seat.sees("more", "1 to 1, n shows more")
        await seat.press("n")
        await seat.sees("secret", "2 to 2, n begins again")
        await seat.press("o")
        await seat.sees("--path", "etc/secret")
        await seat.press("ctrl+s")
        await seat.sees("downloaded, ")
        await seat.press("F")
        await seat.sees("find in all backups of tree")
        await seat.type("secret")
        await seat.press("enter")
        await seat.sees("2 found")
    assert len(list(tmp_path.glob("tree-*.tar.zst"))) == 1


async def test_what_takes_long_is_stopped_and_what_came_stays(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison over a slow line, by a slip of the finger."""

    async def endless(view: CompareView) -> None:
        view.add(Row("1", ("+", "/first", "")))
        await asyncio.Event().wait()

    monkeypatch.setattr(CompareView, "read", endless)
    monkeypatch.setattr(FoundView, "read", endless)
    async with _at(world, "C") as seat:
        await seat.sees("reading")
        await seat.press("x")
        await seat.sees("1 until it was stopped", "/first")
        await seat.press("escape", "F")
        await seat.type("x")
        await seat.press("enter")
        await seat.sees("find x")
        await seat.press("x")
        await seat.sees("1 until it was stopped")


async def test_a_link_is_shown_once_and_what_it_leads_to_is_ended(
    world: World, tree: Path, ceph: Ceph
) -> None:
    """For the one outside who needs it; s shows it again, X ends it."""
    bucket = f"b-{uuid.uuid4().hex}"
    options: dict[str, OptionValue] = {"bucket": bucket, "endpoint": ceph.endpoint}
    secrets = {"access_key_id": Secret(ceph.access_key), "secret_key": Secret(ceph.secret_key)}
    async with registry.open_storage("s3", options, clock=SystemClock(), secrets=secrets) as storage:
        await storage.create()
    for name, secret in secrets.items():
        (world.directory / name).write_bytes(secret.reveal())
        options[f"{name}_ref"] = f"file:{world.directory}/{name}"
    await world.engine.add_storage(Storage("cloud", "s3", options, f"file:{world.directory}/password"))
    async with _at(world, "enter") as seat:
        await seat.sees("CREATED")
        await seat.press("s")
        await seat.sees("--on cloud --expires 2d")
        await seat.press("ctrl+s")
        await seat.sees("Link to", "http://127.0.0.1")
        await seat.press("y")
        await seat.sees("copied")
        await seat.press("escape", "u")
        await seat.sees("cloud", "UNTIL")
        (whole,) = await world.engine.shares("cloud")
        await seat.press("s")
        await seat.sees("http://127.0.0.1")
        await seat.press("escape", "X")
        await seat.sees("End the link")
        await seat.answer("y")
        await seat.sees("shared no more: ", "nothing is shared")
        assert await world.engine.shares("cloud") == []
        await seat.press("escape", "enter")
        await seat.sees("> more")
        await seat.press("s")
        await seat.sees("holdfast share", "--path", "etc/more")
        await seat.press("ctrl+s")
        await seat.sees("Link to", "http://127.0.0.1")
    (part,) = await world.engine.shares("cloud")
    assert part.name != whole.name
