"""How a MariaDB server is reached, against real servers: logins, TLS, containers, other users, and what must be granted for it."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from engine.errors import (
    SourceError,
    ToolMissingError,
)
from engine.hosts import script
from engine.hosts.base import Command, Completed, OpenHost, Process
from engine.model.definitions import Host
from engine.model.manifest import compare
from engine.model.masking import MaskRule
from engine.sources.base import MaskingDatabase, Selection
from tests.fakes import container_tools
from tests.families.hosts import Watcher, opened, ssh_definition
from tests.families.mariadb import back_up, fresh_name, make_shop, opened_mariadb
from tests.families.sources import Equipped
from tests.servers.mariadb import PASSWORD, MariadbServer
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow


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
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


async def test_a_wrong_password_is_told_and_never_asked_for(host: OpenHost, mariadb: MariadbServer) -> None:
    """A client that waits for a password would wait all night."""
    async with opened_mariadb(host, mariadb, database=["mysql"], password="wrong") as source:
        async with asyncio.timeout(60):
            with pytest.raises(SourceError, match="refused the login of keeper"):
                await source.check()
            with pytest.raises(SourceError, match="refused the login"):
                await source.items()


async def test_the_password_is_seen_by_nobody_else(host: OpenHost, mariadb: MariadbServer) -> None:
    """It stands in no command line, and in the environment of the client alone."""
    shop = make_shop(mariadb)
    word = "5ecret-word-that-is-nowhere-else"
    user = fresh_name("u")
    mariadb.sql(
        f"CREATE USER {user}@localhost IDENTIFIED BY '{word}'; GRANT SELECT, RELOAD, SHOW VIEW, TRIGGER, EVENT, BINLOG MONITOR ON *.* TO {user}@localhost"
    )
    mariadb.sql("INSERT INTO log SELECT REPEAT('x', 10000) FROM seq_1_to_3000", shop)
    with Watcher(word) as watcher:
        async with opened_mariadb(host, mariadb, database=[shop], user=user, password=word) as source:
            assert (await back_up(source)).failures == {}
    mariadb.sql(f"DROP USER {user}@localhost")
    assert watcher.command_lines == set()
    assert {line.split(b"\0")[0] for line in watcher.environments} <= {
        b"",  # between the shell and the client, and at the end
        b"mariadb",
        b"mariadb-dump",
        b"/bin/sh",
        b"sh",
    }


async def test_a_port_leads_to_the_server_that_listens_there(
    here: OpenHost, mariadb: MariadbServer, other_mariadb: MariadbServer
) -> None:
    """With two servers on one machine, the socket that a client takes by itself would be the wrong one."""
    shop = make_shop(other_mariadb)
    async with opened_mariadb(here, mariadb, socket=None, port=other_mariadb.port, database=[shop]) as source:
        assert (await source.check())["databases"] == shop


async def test_tls_that_is_asked_for_is_required(here: OpenHost, mariadb: MariadbServer) -> None:
    """A server without TLS is not talked to in the clear."""
    for tls in ("require", "verify-ca", "verify-full"):
        async with opened_mariadb(
            here, mariadb, tls=tls, socket=None, port=mariadb.port, database=["x"]
        ) as source:
            with pytest.raises(SourceError, match="TLS"):
                await source.check()


class _Recorder(Equipped):
    """The host, but that it remembers what it was asked to run."""

    def __init__(self, host: OpenHost) -> None:
        super().__init__(host)
        self.commands: list[Command] = []

    async def run(
        self,
        command: Command,
        *,
        input_bytes: bytes = b"",
        limit_bytes: int = 1 << 20,
        timeout_s: float = 60.0,
    ) -> Completed:
        """See `base.OpenHost.run`."""
        self.commands.append(command)
        return await super().run(
            command, input_bytes=input_bytes, limit_bytes=limit_bytes, timeout_s=timeout_s
        )

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """See `base.OpenHost.start`."""
        self.commands.append(command)
        return super().start(command)


async def test_as_another_user_no_other_command_is_run_than_those_that_are_granted(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """A rule of sudoers names each command word for word."""
    shop = make_shop(mariadb)
    recorder = _Recorder(here)
    async with opened_mariadb(recorder, mariadb, database=[shop], as_user="nobody") as source:
        assert (await back_up(source)).failures == {}
        run = {script.privileged(command) for command in recorder.commands if command.as_user}
        assert run <= {script.privileged(command) for command in await source.commands()}
    assert len(run) == 3


async def test_what_must_be_granted_is_told_before_anything_is_allowed(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """`host grants` is asked first, and must not need what it asks for."""
    async with opened_mariadb(here, mariadb, database=["shop"], user="nobody_yet") as source:
        commands = await source.commands()
    assert [command.words[-1] for command in commands if "--routines" in command.words] == ["shop", "shop"]


async def test_a_server_that_must_prove_itself_does(
    here: OpenHost, start_mariadb: Callable[..., MariadbServer], certificates: Path
) -> None:
    """Somebody in the middle has a certificate too, but none of our authority."""
    server = start_mariadb(f"--ssl-cert={certificates}/server.pem", f"--ssl-key={certificates}/server.key")
    place = {"socket": None, "db_host": "localhost", "port": server.port, "all": True}
    for tls, authority in (("require", None), ("verify-ca", "ca.pem"), ("verify-full", "ca.pem")):
        path = f"{certificates}/{authority}" if authority else None
        async with opened_mariadb(here, server, tls=tls, tls_ca=path, **place) as source:  # type: ignore[arg-type]
            assert "MariaDB" in (await source.check())["version"]
    path = f"{certificates}/other.pem"
    async with opened_mariadb(here, server, tls="verify-full", tls_ca=path, **place) as source:  # type: ignore[arg-type]
        with pytest.raises(SourceError, match="certificate"):
            await source.check()


@pytest.fixture
def certificates() -> Iterator[Path]:
    """A folder with `ca.pem`, a certificate of it for localhost, and `other.pem`, an authority that signed nothing."""
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as name:
        for authority in ("ca", "other"):
            _openssl(name, "req", "-x509", "-newkey", "ec:p256", "-nodes", "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}")  # fmt: skip
        _openssl(name, "req", "-newkey", "ec:p256", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")  # fmt: skip
        _openssl(name, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "server.pem", "-set_serial", "1")  # fmt: skip
        Path(name).chmod(0o755)
        Path(name, "server.key").chmod(0o644)
        yield Path(name)


def _openssl(folder: str, *words: str) -> None:
    parameters = folder + "/p256"
    if not Path(parameters).exists():
        subprocess.run(
            ["openssl", "ecparam", "-name", "prime256v1", "-out", parameters], check=True, capture_output=True
        )
    given = [f"ec:{parameters}" if word == "ec:p256" else word for word in words]
    subprocess.run([str(require_tool("openssl")), *given], check=True, capture_output=True, cwd=folder)


@pytest.mark.parametrize("place", ["docker:db-1", "podman:db-1", "kubectl:prod/db-1"])
async def test_a_server_in_a_container_is_backed_up_and_restored(
    place: str, mariadb: MariadbServer, tmp_path: Path
) -> None:
    """Through stand-ins that check how they are called, and run the real clients with what was passed on to them alone."""
    log = container_tools.install(tmp_path)
    shop, fresh = make_shop(mariadb), fresh_name()
    definition = Host(
        "this", kind="local", options={"environment": [f"PATH={tmp_path}:/usr/bin:/bin:/usr/sbin"]}
    )
    async with (
        opened(definition) as host,
        opened_mariadb(host, mariadb, database=[shop], in_container=place) as source,
    ):
        backup = await back_up(source)
        commands = await source.commands()
    assert backup.failures == {}
    facts = backup.facts(shop)
    async with (
        opened(definition) as host,
        opened_mariadb(host, mariadb, user="root", password=None, all=True, in_container=place) as source,
        source.database() as database,
    ):
        await database.create(fresh, facts)
        async with database.load(fresh, Selection()) as stream:
            await stream.write(backup.data[facts.path])
            await stream.finish()
        assert [each for each in compare(facts, await database.facts(fresh)) if not each.passed] == []
        await database.swap(fresh, shop, f"{shop}_before")
        assert (await database.free_bytes() or 0) > 0
    assert {command.program for command in commands} == {place.partition(":")[0]}
    assert not [word for word in container_tools.words(log) if PASSWORD in word]


async def test_what_the_grants_allow_is_enough_for_a_backup(here: OpenHost, mariadb: MariadbServer) -> None:
    """`host grants` prints the least; less than a backup needs would be found out at night."""
    shop = make_shop(mariadb)
    user = fresh_name("u")
    async with opened_mariadb(here, mariadb, database=[shop], user=user, password="x") as source:
        printed = await source.grants()  # type: ignore[attr-defined]
        mariadb.sql("\n".join(grant.text for grant in printed))
        mariadb.sql(f"SET PASSWORD FOR {user}@localhost = PASSWORD('x')")
        backup = await back_up(source)
    mariadb.sql(f"DROP USER {user}@localhost")
    assert (backup.failures, backup.warnings) == ({}, [])
    assert len(backup.facts(shop).routines) == 2


async def test_what_the_grants_for_restores_allow_is_enough(here: OpenHost, mariadb: MariadbServer) -> None:
    """In place and masked, with triggers, views, routines and events of somebody else; and rolled back."""
    shop, fresh, aside = make_shop(mariadb), fresh_name("fresh"), fresh_name("aside")
    user = fresh_name("u")
    async with opened_mariadb(here, mariadb, database=[shop], user=user, password="x") as source:
        printed = await source.grants()  # type: ignore[attr-defined]
        assert {grant.purpose for grant in printed} == {"backup", "restore"}
        mariadb.sql("\n".join(grant.text for grant in printed))
        mariadb.sql(f"SET PASSWORD FOR {user}@localhost = PASSWORD('x')")
        backup = await back_up(source)
        facts = backup.facts(shop)
        async with source.database() as database:
            assert isinstance(database, MaskingDatabase)
            await database.create(fresh, facts)
            async with database.load(fresh, Selection()) as stream:
                await stream.write(backup.data[facts.path])
                await stream.finish()
            assert [each for each in compare(facts, await database.facts(fresh)) if not each.passed] == []
            await database.mask(fresh, {"parents": [MaskRule("parents", "name", "replace", "x")]}, b"key")
            await database.swap(fresh, shop, aside)
            assert mariadb.sql("SELECT DISTINCT name FROM parents", shop) == [["x"]]
            await database.swap(aside, shop, fresh)
            await database.drop(fresh)
    mariadb.sql(f"DROP USER {user}@localhost")
    assert mariadb.sql("SELECT COUNT(DISTINCT name) FROM parents", shop) == [["4"]]


async def test_a_host_without_clients_says_what_to_install(mariadb: MariadbServer, tmp_path: Path) -> None:
    """The reason is in the first error, not in a shell's `not found`."""
    for tool in ("sh", "uname", "id", "cat", "sleep"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    definition = Host("this", kind="local", options={"environment": [f"PATH={tmp_path}"]})
    async with opened(definition) as host, opened_mariadb(host, mariadb, database=["x"]) as source:
        with pytest.raises(ToolMissingError, match="mariadb is missing on this") as caught:
            await source.check()
    assert "apt install mariadb-client" in (caught.value.hint or "")
