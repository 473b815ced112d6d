"""Throwaway PostgreSQL servers: a drill takes one, and nothing of it stays, whatever becomes of us."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.errors import HoldfastError, ToolMissingError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.manifest import compare
from engine.sources.base import Selection
from tests.families.hosts import cut_connections, opened, processes_with, ssh_definition, wait_until
from tests.families.postgres import back_up, failed, load, make_shop, opened_postgres
from tests.servers.postgres import Postgres
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


async def test_a_scratch_server_takes_a_dump_and_leaves_nothing(here: OpenHost, postgres: Postgres) -> None:
    """A drill needs no server but the host's own binaries; no port is opened, and no folder stays."""
    name = make_shop(postgres)
    read = await back_up(here, postgres, name)
    facts, dump = read.facts(name), read.dump(name)
    async with (
        opened_postgres(here, postgres.options(all=True)) as source,
        source.scratch(postgres.version) as scratch,
        source.database() as live,
    ):
        identity = await scratch.identity()
        assert identity.split()[0] != (await live.identity()).split()[0]
        await scratch.create(name, facts, is_owned=False)
        await load(scratch, name, dump, Selection(is_owned=False))
        assert failed(compare(facts, await scratch.facts(name))) == []
        assert failed(await scratch.inspect(name)) == []
        assert await scratch.query(name, "show listen_addresses") == ""
        assert name in await live.names()
        folder = Path(identity.split()[1]).parent
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert processes_with(str(folder)) == []


async def test_a_scratch_server_needs_no_root(sshd_with_guests: Sshd, postgres: Postgres) -> None:
    """Whoever logs in runs it himself."""
    async with (
        opened(ssh_definition(sshd_with_guests, "guest")) as host,
        opened_postgres(host, postgres.options(all=True)) as source,
        source.scratch(postgres.version) as scratch,
    ):
        folder = Path((await scratch.identity()).split()[1]).parent
        assert folder.stat().st_uid >= 1000
    assert not folder.exists()


async def test_a_scratch_server_dies_with_its_connection(
    start_sshd: Callable[..., Sshd],
    postgres: Postgres,
) -> None:
    """Nobody comes back to clean up after a drill whose machine was switched off."""
    server = start_sshd()
    with contextlib.suppress(HoldfastError):
        async with (
            opened(ssh_definition(server)) as host,
            opened_postgres(host, postgres.options(all=True)) as source,
            source.scratch(postgres.version) as scratch,
        ):
            folder = Path((await scratch.identity()).split()[1]).parent
            assert folder.exists()
            cut_connections(server)
            await scratch.names()
    await wait_until(lambda: not folder.exists() and processes_with(str(folder)) == [])


async def test_a_scratch_server_ends_when_its_task_is_cancelled(here: OpenHost, postgres: Postgres) -> None:
    """However long a drill takes, whoever presses ^C leaves nothing behind."""
    folders: list[Path] = []
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(60) as deadline,
            opened_postgres(here, postgres.options(all=True)) as source,
            source.scratch(postgres.version) as scratch,
        ):
            folders.append(Path((await scratch.identity()).split()[1]).parent)
            deadline.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
    await wait_until(lambda: not folders[0].exists() and processes_with(str(folders[0])) == [])


async def test_a_version_that_is_not_installed_is_named(here: OpenHost, postgres: Postgres) -> None:
    """With what to install."""
    async with opened_postgres(here, postgres.options(all=True)) as source:
        with pytest.raises(ToolMissingError, match=r"no server of PostgreSQL 10\b") as caught:
            async with source.scratch("10.23"):
                pass
    assert "postgresql-10" in str(caught.value.hint)
