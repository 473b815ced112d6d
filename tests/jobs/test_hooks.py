"""A person's own commands round a backup of a real SSH host, and what is told of one that fails or never ends."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from engine.errors import CommandFailedError
from engine.model.backup import BackupFilter
from engine.model.requests import BackupRequest
from engine.model.schedules import Hooks
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow

NEVER = "sleep 86417"


@pytest.fixture
async def site(world: World, sshd: Sshd) -> World:
    """A storage, and the source `site` of the host `server`."""
    root = world.directory / "site"
    root.mkdir()
    (root / "page").write_text("page\n", encoding="ascii")
    await world.add_storages("first")
    await world.add_host(sshd)
    await world.add_files("site", root, host="server")
    return world


async def test_what_was_frozen_before_a_backup_and_may_be_so_still_is_not_called_done(site: World) -> None:
    """The backup is whole, and the application stands still until somebody hears of it."""
    seen = site.directory / "seen"
    told = f'echo "$HOLDFAST_WHEN $HOLDFAST_OUTCOME ${{SSH_CONNECTION:+there}}" >> {seen}'
    hooks = Hooks(told, f"{told}; echo it does not thaw; exit 4")
    done = await site.engine.backup(BackupRequest(("site",), hooks=hooks))
    assert (done.status, done.backups[0].status) == ("incomplete", "completed")
    assert done.warnings == ("the hook after the backup ended with status 4: it does not thaw",)
    assert seen.read_text(encoding="ascii") == "before  there\nafter completed there\n"


async def test_a_hook_that_never_ends_is_ended_there_and_the_backup_does_not_begin(site: World) -> None:
    """It takes its own time, not the night's."""
    hooks = Hooks(f"echo frozen; {NEVER}", timeout_s=0.3)
    with pytest.raises(CommandFailedError, match=r"took longer than 0\.3 seconds and was ended; nothing was"):
        await site.engine.backup(BackupRequest(("site",), hooks=hooks))
    assert await site.engine.backups() == []
    left = [each for each in psutil.process_iter() if _words(each) == NEVER]
    assert (await asyncio.to_thread(psutil.wait_procs, left, 10))[1] == []


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


async def test_a_backup_before_a_change_is_found_by_the_name_of_the_change(site: World) -> None:
    """Who has to go back after the upgrade looks for the upgrade, and not for a time."""
    await site.engine.backup(BackupRequest(("site",), tags=("weekly",), label="upgrade to 3.1"))
    await site.one_backup("site")
    (found,) = await site.engine.backups(BackupFilter(tag="before=upgrade to 3.1"))
    assert (found.label, found.tags) == ("upgrade to 3.1", ("weekly", "before=upgrade to 3.1"))
    line = CommandLine(site.directory)
    listed, shown = [
        await asyncio.to_thread(line.done, *words) for words in (("backups",), ("show", found.backup_id))
    ]
    assert [row.rstrip().endswith("upgrade to 3.1") for row in listed.out.splitlines()] == [
        False,
        False,
        True,
    ]
    assert "\nbefore   upgrade to 3.1\n" in shown.out
    by_label = await asyncio.to_thread(line.json, "backups", "--before", "upgrade to 3.1")
    assert [each["backup_id"] for each in by_label["items"]] == [found.backup_id]
