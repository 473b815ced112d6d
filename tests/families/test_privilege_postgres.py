"""What a PostgreSQL source needs to be allowed: the commands that it runs, and what it grants itself in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from engine.hosts.base import Command, Completed, OpenHost, Process
from engine.model.definitions import Host, OptionValue
from engine.sources.base import GrantingSource
from tests.families.hosts import opened
from tests.families.postgres import make_shop, new_name, opened_postgres, read_backup
from tests.families.sources import Equipped
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


class _Recording(Equipped):
    """The host, but that it keeps every command that it was given."""

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


@pytest.mark.parametrize("chosen", [{"all": True}, {}, {"table": ["shipping.orders"]}])
async def test_a_backup_runs_what_it_says_and_nothing_else(
    here: OpenHost, postgres: Postgres, chosen: dict[str, OptionValue]
) -> None:
    """A rule of sudoers allows exactly the commands that were printed."""
    host = _Recording(here)
    of = {} if "all" in chosen else {"database": [make_shop(postgres)]}
    options = {**postgres.options(as_user=postgres.account), **of, **chosen}
    async with opened_postgres(host, options, "x") as source:
        said = {_shape(command) for command in await source.commands()}
        host.commands.clear()
        await source.check()
        assert (await read_backup(source)).errors == {}
    assert {_shape(command) for command in host.commands} - said == set()


def _shape(command: Command) -> tuple[object, ...]:
    settings = tuple(sorted(command.settings.items()))
    return command.words, settings, tuple(command.secrets), command.as_user, command.input


async def test_the_printed_grants_are_enough(here: OpenHost, postgres: Postgres) -> None:
    """A person pastes them, sets a password, and has a backup; row security included."""
    name, role = make_shop(postgres), new_name('ro"le')
    postgres.psql(
        "alter table customers enable row level security; alter table customers force row level security",
        name,
    )
    postgres.psql(f"revoke connect on database {name} from public")
    options = postgres.options(database=[name]) | {"user": role}
    async with opened_postgres(here, options) as source:
        assert isinstance(source, GrantingSource)
        (grant,) = await source.grants()
        assert grant.kind == "sql"
        postgres.psql(grant.text)
        assert (await read_backup(source)).errors == {}
