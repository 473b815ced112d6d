"""The throwaway MariaDB server of a drill: it holds a restore, nobody reaches it, and it is gone whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import HoldfastError, SourceError, ToolMissingError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.manifest import compare
from engine.sources.base import Selection
from tests.families.hosts import cut_connections, opened, ssh_definition, wait_until
from tests.families.mariadb import back_up, make_shop, opened_mariadb
from tests.servers.mariadb import MariadbServer
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow
VERSION = "10.11.1-MariaDB"


@pytest.fixture(params=["local", "ssh"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for this test's scratch servers alone: with a short path, and open to the account that they run as."""
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def placed(place: Path) -> Host:
    """This machine, with the folder for what is temporary there."""
    return Host("this", kind="local", options={"environment": [f"TMPDIR={place}"]})


def servers_in(folder: str) -> list[psutil.Process]:
    """The servers whose data lies below that folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words and words[0].endswith("mariadbd") and any(f"={folder}" in word for word in words):
                found.append(process)
    return found


async def test_a_drill_restores_into_a_server_of_its_own(host: OpenHost, mariadb: MariadbServer) -> None:
    """The whole way, from a backup to a checked database, without touching any server that is there."""
    shop = make_shop(mariadb)
    async with opened_mariadb(host, mariadb, database=[shop]) as source:
        backup = await back_up(source)
        facts = backup.facts(shop)
        async with source.scratch(backup.manifest.server_version) as database:
            identity = await database.identity()
            folder = identity.rpartition(" ")[2].removesuffix("/s")
            (server,) = servers_in(folder)
            assert server.net_connections("tcp") == []
            assert server.username() != "root"
            assert Path(folder).stat().st_mode & 0o77 == 0
            await database.create(shop, facts, is_owned=False)
            async with database.load(shop, Selection(is_owned=False)) as stream:
                await stream.write(backup.data[facts.path])
                await stream.finish()
            assert [each for each in compare(facts, await database.facts(shop)) if not each.passed] == []
            assert all(each.passed for each in await database.inspect(shop))
            assert await database.query(shop, "SELECT four()") == "4"
    assert identity != backup.manifest.identity
    assert not Path(folder).exists()
    assert not server.is_running()


async def test_a_drill_that_is_cancelled_leaves_nothing(place: Path, mariadb: MariadbServer) -> None:
    """At any moment, also while the server is being made."""
    async with opened(placed(place)) as here, opened_mariadb(here, mariadb, all=True) as source:
        for delay in (0.1, 0.8, 2.5):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay), source.scratch(VERSION):
                    await asyncio.sleep(60)
            await wait_until(lambda: not list(place.iterdir()) and not servers_in(str(place)), 15)


async def test_a_connection_that_is_lost_takes_the_server_with_it(
    start_sshd: Callable[..., Sshd], mariadb: MariadbServer, place: Path
) -> None:
    """Nobody would come back for it."""
    sshd = start_sshd()
    definition = ssh_definition(sshd, environment=[f"TMPDIR={place}"])
    with contextlib.suppress(HoldfastError):
        async with (
            opened(definition) as host,
            opened_mariadb(host, mariadb, all=True) as source,
            source.scratch(VERSION),
        ):
            assert servers_in(str(place))
            cut_connections(sshd)
            await wait_until(lambda: not servers_in(str(place)), 15)
    await wait_until(lambda: not list(place.iterdir()), 15)


_PROGRAM = """
import asyncio, sys
from engine.model.definitions import Host
from tests.families.hosts import opened
from engine.sources.mariadb.scratch import scratch
async def main():
    async with opened(Host("this", kind="local", options={"environment": ["TMPDIR=" + sys.argv[1]]})) as host:
        async with scratch(host, "10.11", None):
            print("ready", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_drill_that_is_killed_leaves_nothing(place: Path, mariadb_template: Path) -> None:
    """The out-of-memory killer asks nobody."""
    words = [sys.executable, "-c", _PROGRAM, str(place)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as drill:
        assert drill.stdout is not None
        assert await asyncio.to_thread(drill.stdout.readline) == b"ready\n"
        assert servers_in(str(place))
        os.kill(drill.pid, signal.SIGKILL)
    await wait_until(lambda: not servers_in(str(place)) and not list(place.iterdir()), 15)


async def test_a_server_that_ends_by_itself_is_cleared_away(place: Path, mariadb: MariadbServer) -> None:
    """A crash while a damaged page is checked is a finding, and leaves nothing."""
    async with opened(placed(place)) as here, opened_mariadb(here, mariadb, all=True) as source:
        async with source.scratch(VERSION) as database:
            (server,) = servers_in(str(place))
            server.kill()
            with pytest.raises(SourceError):
                await database.names()
        assert not list(place.iterdir())


async def test_a_folder_that_the_servers_account_cannot_enter_is_told(
    tmp_path: Path, mariadb: MariadbServer
) -> None:
    """Root's own folders are closed to it, and the installer's last words explain nothing."""
    tmp_path.chmod(0o700)
    async with opened(placed(tmp_path)) as here, opened_mariadb(here, mariadb, all=True) as source:
        with pytest.raises(SourceError, match=r"status 70: .*(denied|Permission|Errcode: 13)"):
            async with source.scratch(VERSION):
                pass
    assert not list(tmp_path.iterdir())


async def test_what_is_missing_or_too_old_is_told(place: Path, mariadb: MariadbServer) -> None:
    """The drill says why it could not run, and is skipped and not passed."""
    async with opened(placed(place)) as here, opened_mariadb(here, mariadb, all=True) as source:
        with pytest.raises(SourceError, match="has an older one"):
            async with source.scratch("12.3.1-MariaDB"):
                pass
    assert not list(place.iterdir())
    tools = place / "bin"
    tools.mkdir()
    for tool in ("sh", "uname", "id", "cat", "sleep", "mktemp", "rm"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    definition = Host("this", kind="local", options={"environment": [f"PATH={tools}"]})
    async with opened(definition) as bare, opened_mariadb(bare, mariadb, all=True) as source:
        with pytest.raises(ToolMissingError, match="mariadb-install-db is missing"):
            async with source.scratch(VERSION):
                pass
