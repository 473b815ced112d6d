"""From an empty home to the first backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.jobs import host_report
from tests.jobs.world import World
from tests.servers.sshd import Sshd
from tests.tui.seat import Seat, do, open_console
from tui.dialogs import base
from tui.dialogs.wizards import guide

pytestmark = pytest.mark.slow


class CountingSeat:
    """Counts the keys that are pressed."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.keys = seat, 0

    async def press(self, *keys: str) -> None:
        """As the seat's."""
        self.keys += len(keys)
        await self.seat.press(*keys)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person looks before answering a question; a test waits until it sees it."""
    monkeypatch.setattr(base, "DEAF_S", 0.0)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """All data that the host has, as far as anybody looks."""
    tree = tmp_path / "data"
    tree.mkdir()
    (tree / "file").write_text("content")
    monkeypatch.setattr(host_report, "_DATA_FOLDERS", (str(tree),))
    monkeypatch.setattr(guide, "proposed_folder", lambda _home: str(tmp_path / "backups"))
    return tree


async def test_ten_keys_lead_from_the_host_to_the_first_backup(
    world: World, sshd: Sshd, found: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever starts it for the first time has a backup before the coffee is cold."""
    (tmp_path / "ssh_config").write_text(
        f"Host here\n HostName {sshd.address}\n Port {sshd.port}\n User {sshd.user}\n IdentityFile {sshd.client_key}\n"
        f" UserKnownHostsFile {tmp_path}/none\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "ssh_config").rename(tmp_path / ".ssh" / "config")
    async with open_console(world.engine, is_guiding=True) as seat:
        await seat.sees("Welcome to holdfast")
        await seat.type("here")
        counted = CountingSeat(seat)
        await counted.press("enter")
        await seat.sees("Trust this key from now on?", sshd.fingerprint())
        await counted.press("y")
        await seat.sees("What of here is backed up?", "something else")
        await counted.press("G", "up")  # behind what else this machine has
        await seat.sees("> files")
        await counted.press("enter")
        await seat.sees("Where backups are kept", "writable")
        await counted.press("ctrl+s")
        await seat.sees("shown this once")
        await counted.press("escape")
        await seat.sees("the first backup of")
        assert counted.keys < 10
        (job,) = await world.engine.jobs(verb="backup")
        async for _ in world.engine.follow_job(job.job_id):
            pass
        await seat.sees("today")
    (source,) = await world.engine.sources()
    assert (source.kind, source.host, source.options) == ("files", "here", {"path": [str(found)]})
    backup = await world.engine.latest_backup(source.name)
    assert backup.status == "completed"
    assert (tmp_path / "backups" / "config").exists()


async def test_who_looks_around_first_finds_the_guide_again(world: World) -> None:
    """Escape is no dead end."""
    async with open_console(world.engine, is_guiding=True) as seat:
        await seat.sees("Welcome to holdfast")
        await seat.press("escape")
        await seat.sees("n defines a host or a source")
        await seat.press("2")
        await seat.sees("[2 Schedules]")
        await seat.press("1", "n")
        await seat.sees("Welcome to holdfast")
        await seat.press("escape")
        await seat.misses("Welcome to holdfast")


async def test_the_guide_leads_this_machine_to_a_backup_whenever_it_is_asked_for(
    world: World, found: Path
) -> None:
    """Enter for this machine; a storage that there is already is taken as it is."""
    await world.add_storages("main")
    async with open_console(world.engine) as seat:
        await do(seat, "step by step")
        await seat.sees("Welcome to holdfast")
        await seat.press("enter")
        await seat.sees("What of localhost is backed up?")
        await seat.press("G", "up")
        await seat.sees("> files")
        await seat.press("enter")
        await seat.sees("the first backup of")
        (job,) = await world.engine.jobs(verb="backup")
        async for _ in world.engine.follow_job(job.job_id):
            pass
        await seat.sees("today")
    (source,) = await world.engine.sources()
    assert source.options["path"] == [str(found)]
    assert (await world.engine.latest_backup(source.name)).status == "completed"


async def test_a_host_that_cannot_be_reached_opens_the_form_with_the_reason(world: World) -> None:
    """A key that is not in its usual place, a port: all of it can be said there, and nothing was defined."""
    async with open_console(world.engine, is_guiding=True) as seat:
        await seat.sees("Welcome to holdfast")
        await seat.type("nobody@127.0.0.1:1")
        await seat.press("enter")
        await seat.sees("could not log in", "nobody@127.0.0.1:1", "identity", "cannot be")
        await seat.press("escape")
    assert [each.name for each in await world.engine.hosts()] == ["localhost"]


@pytest.mark.parametrize("way", [("0", "m"), ("H", "c")], ids=["at what is at risk", "among the hosts"])
async def test_what_no_source_takes_is_covered_with_one_key(
    world: World, found: Path, way: tuple[str, str]
) -> None:
    """A folder that nobody thought of is at risk until somebody does."""
    await world.add_storages("main")
    await world.engine.test_host("localhost")
    async with open_console(world.engine) as seat:
        await seat.sees("no source takes", "m cover it")
        await seat.press(*way)
        await seat.sees("What of localhost is backed up?", "something else")
        await seat.press("G", "up")
        await seat.sees("> files")
        await seat.press("enter")
        await seat.misses("What of localhost")
        await seat.press("1", "minus")
        await seat.sees("never backed up")
    (source,) = await world.engine.sources()
    assert source.options["path"] == [str(found)]
    assert not source.name.startswith("localhost")


async def test_the_home_itself_is_no_source(
    world: World, monkeypatch: pytest.MonkeyPatch, found: Path
) -> None:
    """Its catalog is a database that no source takes, and copies of it lie in every storage."""
    home = world.engine.home.directory
    monkeypatch.setattr(host_report, "_DATA_FOLDERS", (str(home.parent), str(home), str(found)))
    report = await world.engine.test_host("localhost")
    assert str(found) in report.uncovered
    assert not [each for each in (*report.uncovered, *report.proposals) if str(home) in each]
