"""What a PostgreSQL source needs to be allowed: the commands that it runs, and what it grants itself in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from engine.hosts.base import Command, Completed, OpenHost, Process
from engine.model.backup import Scope
from engine.model.definitions import Host, OptionValue
from engine.model.manifest import compare
from engine.model.masking import MaskRule
from engine.sources.base import (
    GrantingSource,
    MaskingDatabase,
    OccasionalSource,
    PartialSource,
    SamplingDatabase,
)
from tests.families.hosts import opened
from tests.families.postgres import (
    failed,
    load,
    make_shop,
    new_name,
    opened_postgres,
    quoted,
    read_backup,
)
from tests.families.sources import Equipped, drain
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
        grant, *further = await source.grants()
        assert (grant.kind, [each.purpose for each in further]) == ("sql", ["part", "restore"])
        postgres.psql(grant.text)
        assert (await read_backup(source)).errors == {}


async def test_a_backup_of_a_part_runs_what_it_says_and_nothing_else(
    here: OpenHost, postgres: Postgres
) -> None:
    """`backup --only` through sudo, by rules that name each command."""
    host = _Recording(here)
    options = {**postgres.options(as_user=postgres.account), "database": [make_shop(postgres)]}
    async with opened_postgres(host, options, "x") as source:
        assert isinstance(source, OccasionalSource)
        assert isinstance(source, PartialSource)
        (part, _diff) = await source.occasions()
        said = {_shape(command) for command in [*await source.commands(), *part.commands]}
        host.commands.clear()
        for scope in (Scope.SCHEMA, Scope.CONTENT, Scope.ROLES, Scope.CONFIGURATION):
            for item in await source.partial_items(scope):
                async with item.open() as stream:
                    await drain(stream)
                    await stream.judge()
    assert (part.more, {_shape(command) for command in host.commands} - said) == ("", set())


async def test_a_comparison_with_what_is_live_runs_what_a_backup_does(
    here: OpenHost, postgres: Postgres
) -> None:
    """`diff --live` needs no rule of its own."""
    host = _Recording(here)
    name = make_shop(postgres)
    options = {**postgres.options(as_user=postgres.account), "database": [name]}
    async with opened_postgres(host, options, "x") as source:
        said = {_shape(command) for command in await source.commands()}
        host.commands.clear()
        async with source.database() as database:
            facts = await database.facts(name)
            assert isinstance(database, SamplingDatabase)
            await database.sample(name, {each.name: 10 for each in facts.tables}, 1)
    assert {_shape(command) for command in host.commands} - said == set()


async def test_the_grants_for_restores_are_enough(here: OpenHost, postgres: Postgres) -> None:
    """In place and masked, everything owned by whom it was; and the account is no superuser, nor may it become one."""
    name, role, owner = new_name("sh'op $$ $holdfast$"), new_name('ro"le'), new_name("ow'ner")
    postgres.psql(f"create role {quoted(owner)}")
    postgres.psql(f"create database {quoted(name)} owner {quoted(owner)}")
    postgres.psql(f"alter database {quoted(name)} set work_mem = '8MB'")
    postgres.psql(
        f"set role {quoted(owner)}; create schema ours; create table ours.people (id serial primary key, mail text not null); "
        "insert into ours.people (mail) select 'm' || i from generate_series(1, 50) i; grant select on ours.people to public;"
        " reset role; create table of_superuser (id int)",
        name,
    )
    options = postgres.options(database=[name]) | {"user": role}
    async with opened_postgres(here, options) as source:
        assert isinstance(source, GrantingSource)
        for grant in await source.grants():
            postgres.psql(grant.text)
        assert postgres.psql(f"select count(*) from pg_auth_members where member = '{role}'::regrole") == "4"
        postgres.psql("drop table of_superuser", name)
        read = await read_backup(source)
        assert read.errors == {}
        facts = read.facts(name)
        async with source.database() as database:
            assert isinstance(database, MaskingDatabase)
            fresh, aside = new_name("fresh"), new_name("aside")
            await database.create(fresh, facts)
            await load(database, fresh, read.dump(name))
            assert failed(compare(facts, await database.facts(fresh))) == []
            await database.mask(
                fresh, {"ours.people": [MaskRule("ours.people", "mail", "replace", "x")]}, b"key"
            )
            await database.swap(fresh, name, aside)
            await database.drop(aside)
    assert postgres.psql("select distinct mail from ours.people", name) == "x"
    assert postgres.psql("select tableowner from pg_tables where tablename = 'people'", name) == owner
    postgres.psql(f"drop database {quoted(name)}")
