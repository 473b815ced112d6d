"""A PostgreSQL server as a place for restores: create, load, compare, swap, drop."""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

import asyncio
import dataclasses
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from engine.errors import ConnectionLostError, SourceError, UnknownNameError, UsageError
from engine.hosts.base import Command, OpenHost
from engine.model.contents import Sampled
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.model.masking import MaskRule
from engine.sources.base import LoadStream, PartedLoad, RolesMade, Selection
from engine.sources.postgres import (
    dealing,
    facts,
    loading,
    masking,
    parted_loading,
    quoting,
    roles,
    sampling,
    session,
    swap,
    words,
)
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.facts import Locale
from engine.sources.postgres.loading import Loading
from engine.sources.postgres.session import Session
from engine.sources.postgres.swap import Properties

LONGEST_NAME_BYTES = 63
"""PostgreSQL's NAMEDATALEN less one: what is longer it cuts with no more than a notice."""
CHECK_TIMEOUT_S = 24 * 3600.0
QUERY_TIMEOUT_S = 600
_MOST_QUERY_BYTES = 16 << 20
_FREE_CONNECTIONS = """
select least(
current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - (select count(*) from pg_stat_activity),
(select nullif(rolconnlimit, -1) - (select count(*) from pg_stat_activity where usename = current_user) from pg_roles where rolname = current_user)
) as free"""
_SPARED = 4
"""Connections that a restore leaves to others, and has for its main part."""
_CHECK_SCHEMA = "holdfast_amcheck"
_NOT_FOUND = 69
"""EX_UNAVAILABLE of sysexits.h: of our own script."""
_FIND_AMCHECK = f"""\
for p in "$(command -v "$0")" /usr/lib/postgresql/*/bin/pg_amcheck /usr/pgsql-*/bin/pg_amcheck; do [ -x "$p" ] && found=$p; done
[ -n "${{found-}}" ] || exit {_NOT_FOUND}
exec "$found" "$@"
"""
_HAS_AMCHECK = "select count(*) as count from pg_extension where extname = 'amcheck'"
_NAMES = """
select datname as name from pg_database
where datallowconn and not datistemplate and has_database_privilege(oid, 'connect')
and (datname <> current_database() or exists (
select from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p') and c.relpersistence <> 't'
and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')) order by datname"""
"""The server's own database only where somebody keeps tables in it, as hosted ones do."""
_SPACES = "select spcname as name from pg_tablespace"
_INVALID_INDEXES = """
select n.nspname || '.' || c.relname as name from pg_index x join pg_class c on c.oid = x.indexrelid
join pg_namespace n on n.oid = c.relnamespace where not (x.indisvalid and x.indisready) and n.nspname !~ '^pg_' order by 1"""


class PostgresDatabase:
    """See `base.Database`."""

    def __init__(
        self,
        host: OpenHost,
        connection: Connection,
        maintenance: str,
        tasks: asyncio.TaskGroup | None = None,
    ) -> None:
        """`tasks`: statistics of what was loaded are gathered in it, beside what follows; without it loading waits for them."""
        self._host = host
        self._connection = connection
        self._maintenance = maintenance
        self._tasks = tasks
        self._analysing: dict[str, asyncio.Task[None]] = {}

    @property
    def host(self) -> OpenHost:
        """Where its clients run."""
        return self._host

    @property
    def connection(self) -> Connection:
        """How it is reached."""
        return self._connection

    async def identity(self) -> str:
        """See `base.Database.identity`."""
        async with self._asked() as asked:
            return (await facts.server(asked)).identity

    async def names(self) -> Sequence[str]:
        """See `base.Database.names`."""
        async with self._asked() as asked:
            return [row["name"] for row in await asked.rows(_NAMES)]

    async def facts(self, name: str) -> DatabaseFacts:
        """See `base.Database.facts`."""
        async with self._known(name) as asked:
            await asked.run("begin isolation level repeatable read, read only;")
            return await facts.gather(asked, name)

    async def sample(self, name: str, rows: Mapping[str, int], seed: int) -> Sampled:
        """See `base.SamplingDatabase.sample`."""
        async with self._asked(name) as asked:
            return await sampling.sample(asked, rows, seed)

    async def create(self, name: str, like: DatabaseFacts, *, is_owned: bool = True) -> None:
        """See `base.Database.create`. Where the host lacks the locale, what is not owned (a drill) sorts by the C locale."""
        if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME_BYTES:
            raise SourceError(
                f"the name {name!a} is longer than {LONGEST_NAME_BYTES} bytes: the server would cut it"
            )
        owner = f" owner {quoting.identifier(like.owner)}" if is_owned and like.owner else ""
        begin = f"create database {quoting.identifier(name)} template template0{owner}"
        encoding = f" encoding {quoting.literal(like.encoding)}" if like.encoding else ""
        async with self._asked() as asked:
            try:
                await asked.run(f"{begin}{encoding}{_locale(like.collation)};")
            except SourceError as error:
                if is_owned or "locale" not in error.message:
                    raise
            else:
                return
        async with self._asked() as asked:
            await asked.run(f"{begin}{encoding} lc_collate 'C' lc_ctype 'C';")

    def load(self, name: str, selection: Selection) -> AbstractAsyncContextManager[LoadStream]:
        """See `base.Database.load`."""
        return loading.loading(self._loading(name, selection))

    async def load_parts(self, name: str, selection: Selection) -> PartedLoad:
        """See `base.PartedDatabase.load_parts`."""
        async with self._asked() as asked:
            free = (await asked.row(_FREE_CONNECTIONS))["free"]
        most = min(max(1, free - _SPARED), dealing.MOST_JOBS)
        return parted_loading.parted_loading(self._loading(name, selection), most)

    def _loading(self, name: str, selection: Selection) -> Loading:
        async def make_schemas(schemas: Sequence[str]) -> None:
            async with self._asked(name) as asked:
                for schema in schemas:
                    await asked.run(f"create schema if not exists {quoting.identifier(schema)};")

        async def analyse() -> None:
            if self._tasks is None:
                await self._analyse(name)
            else:
                self._analysing[name] = self._tasks.create_task(self._analyse(name))

        async def spaces() -> frozenset[str]:
            async with self._asked() as asked:
                return frozenset(row["name"] for row in await asked.rows(_SPACES))

        return Loading(self._host, self._connection, name, selection, make_schemas, analyse, spaces)

    async def inspect(self, name: str) -> Sequence[CheckResult]:
        """See `base.Database.inspect`. pg_amcheck is run where the host has it and the server the extension; it leaves nothing behind."""
        async with self._known(name) as asked:
            invalid = [row["name"] for row in await asked.rows(_INVALID_INDEXES)]
            available = "select count(*) as count from pg_available_extensions where name = 'amcheck'"
            can_check = (await asked.row(available))["count"] > 0
        checks = [
            CheckResult("invalid indexes", "none", ", ".join(invalid[:5]) or "none", not invalid),
        ]
        return [*checks, *(await self._amcheck(name) if can_check else ())]

    async def query(self, name: str, statement: str) -> str:
        """See `base.Database.query`. One that psql itself would take (a backslash first) is refused: it could run a program on the host."""
        if statement.lstrip().startswith("\\") or "\0" in statement:
            raise UsageError("a query begins with a word of SQL, not with a backslash")
        await self._require(name)
        given = f"-c default_transaction_read_only=on -c statement_timeout={QUERY_TIMEOUT_S}s"
        command = self._connection.command(
            "psql",
            *("-AtXq", "--set=ON_ERROR_STOP=1"),
            *("-c", "begin transaction read only", "-c", f" {statement}", "-c", "rollback"),
            database=name,
            settings={"PGCLIENTENCODING": "UTF8", "PGOPTIONS": given},
        )
        done = await self._host.run(command, limit_bytes=_MOST_QUERY_BYTES, timeout_s=QUERY_TIMEOUT_S + 60)
        if not done.exit.is_success:
            raise words.failure(done.exit, f"the query on {name!a} of {self._host.name} failed")
        return done.stdout.decode("utf-8", "backslashreplace").removesuffix("\n")

    async def swap(self, fresh: str, live: str, aside: str) -> Sequence[str]:
        """See `base.Database.swap`."""
        names = swap.Names(fresh, live, aside)
        if len({fresh, live, aside}) < 3 or self._maintenance in (fresh, live, aside):
            raise SourceError(f"databases {fresh!a}, {live!a} and {aside!a} cannot be swapped")
        if analysing := self._analysing.pop(fresh, None):
            await analysing
        async with self._asked() as asked:
            kept = await _properties(asked, live)
            live_oid, fresh_oid = await _oid(asked, live), await _oid(asked, fresh)
            if await _oid(asked, aside) is not None:
                raise SourceError(f"{self._host.name} has a database {aside!a} already")
            if kept is None or live_oid is None or fresh_oid is None:
                raise SourceError(f"{self._host.name} has no database {live if kept is None else fresh!a}")
        psql = session.command(self._connection, self._maintenance)
        command = dataclasses.replace(psql, words=("sh", "-c", swap.TO_THE_END, "sh", *psql.words))
        text = swap.script(names, kept, (live_oid, fresh_oid))
        done = await self._host.run(
            command, input_bytes=text.encode("utf-8", "surrogateescape"), timeout_s=120
        )
        async with self._asked() as asked:
            if await _oid(asked, live) != fresh_oid:
                raise words.failure(
                    done.exit, f"{fresh!a} could not take the place of {live!a} on {self._host.name}"
                )
        return words.warnings(done.exit.stderr)

    async def mask(self, name: str, rules: Mapping[str, Sequence[MaskRule]], key: bytes) -> None:
        """See `base.MaskingDatabase.mask`."""
        async with self._asked(name) as asked:
            await masking.mask(asked, rules, key)

    async def give_name(self, fresh: str, name: str, like: DatabaseFacts) -> Sequence[str]:
        """See `base.MaskingDatabase.give_name`."""
        del like
        async with self._asked() as asked:
            await asked.run(
                f"alter database {quoting.identifier(fresh)} rename to {quoting.identifier(name)};"
            )
        return ()

    async def drop(self, name: str) -> None:
        """See `base.Database.drop`."""
        if name == self._maintenance:
            raise SourceError(f"database {name!a} is the server's own")
        if analysing := self._analysing.pop(name, None):
            analysing.cancel()
        async with self._asked() as asked:
            number = await _oid(asked, name)
            if number is None:
                return
            # Connections are forbidden first, so that nobody comes back between the end of the sessions and the drop.
            await asked.run(
                f"alter database {quoting.identifier(name)} with allow_connections false;\n"
                f"{swap.end_sessions([number])}"
                f"drop database if exists {quoting.identifier(name)};"
            )

    def connect_line(self, name: str) -> str:
        """See `base.Database.connect_line`."""
        return f"psql {shlex.quote(self._connection.uri(name))}"

    async def missing_roles(self, script: bytes) -> Sequence[str]:
        """See `base.RoleKeeper.missing_roles`."""
        async with self._asked() as asked:
            return roles.plan(script, await _roles(asked)).names

    async def create_roles(self, script: bytes) -> RolesMade:
        """See `base.RoleKeeper.create_roles`."""
        async with self._asked() as asked:
            planned = roles.plan(script, await _roles(asked))
            if planned.names:
                # Hashes of passwords are not for the server's log.
                quiet = "set log_statement = 'none';" if await _is_superuser(asked) else ""
                begin = [quiet, "set standard_conforming_strings = on;", "begin;"]
                await asked.run("\n".join([*begin, *planned.statements, "commit;"]))
        return RolesMade(planned.names)

    async def drop_roles(self, names: Sequence[str]) -> None:
        """See `base.RoleKeeper.drop_roles`."""
        async with self._asked() as asked:
            await asked.run(roles.drop(names))

    async def free_bytes(self) -> int | None:
        """See `base.Database.free_bytes`: only where the server runs on the host, and the account may know its folder."""
        if not self._connection.is_on_host:
            return None
        async with self._asked() as asked:
            rows = await asked.rows(facts.DATA_FOLDER)
        if not rows or not rows[0]["folder"]:
            return None
        command = session.command(self._connection, self._maintenance)
        done = await self._host.run(
            dataclasses.replace(
                command, words=("df", "-P", "-k", rows[0]["folder"]), secrets={}, settings={}, input="none"
            )
        )
        found = re.search(
            r"^\S.*?\s\d+\s+\d+\s+(\d+)\s+\d+%", done.stdout.decode(errors="replace"), re.MULTILINE
        )
        return int(found[1]) * 1024 if done.exit.is_success and found else None

    async def _amcheck(self, name: str) -> Sequence[CheckResult]:
        schema = quoting.identifier(_CHECK_SCHEMA)
        quiet = "set client_min_messages = error;"
        async with self._asked(name) as asked:
            has_it = (await asked.row(_HAS_AMCHECK))["count"] > 0
            if not has_it:
                made = f"create schema {schema}; create extension amcheck schema {schema};"
                await asked.run(f"{quiet} {made}")
        try:
            done = await self._host.run(self._amcheck_command(name), timeout_s=CHECK_TIMEOUT_S)
        finally:
            if not has_it:
                async with self._asked(name) as asked:
                    await asked.run(f"{quiet} drop schema {schema} cascade;")
        if done.exit.status is None:
            raise ConnectionLostError(f"{self._host.name} never said how pg_amcheck ended")
        if done.exit.status == _NOT_FOUND:
            return []
        found = "nothing" if done.exit.is_success else words.sentence(done.stdout + done.exit.stderr)
        return [CheckResult("damage that pg_amcheck finds", "nothing", found, done.exit.is_success)]

    def _amcheck_command(self, name: str) -> Command:
        """Debian links it into no folder of PATH."""
        command = self._connection.command("pg_amcheck", "--heapallindexed", "--on-error-stop")
        target = quoting.connection_string(name)
        return dataclasses.replace(command, words=("sh", "-c", _FIND_AMCHECK, *command.words, target))

    async def _analyse(self, name: str) -> None:
        async with self._asked(name) as asked:
            await asked.run("set client_min_messages = error; analyze;")

    @asynccontextmanager
    async def _known(self, name: str) -> AsyncIterator[Session]:
        """A session with that database. Raises: UnknownNameError where there is none; SourceError, HostError."""
        async with AsyncExitStack() as stack:
            try:
                asked = await stack.enter_async_context(self._asked(name))
            except SourceError:
                await self._require(name)
                raise
            yield asked

    async def _require(self, name: str) -> None:
        async with self._asked() as asked:
            if await _oid(asked, name) is None:
                raise UnknownNameError(f"{self._host.name} has no database {name!a}")

    @asynccontextmanager
    async def _asked(self, database: str = "") -> AsyncIterator[Session]:
        async with session.opened(self._host, self._connection, database or self._maintenance) as asked:
            yield asked


async def _roles(asked: Session) -> frozenset[str]:
    return frozenset(row["name"] for row in await asked.rows("select rolname as name from pg_roles"))


async def _is_superuser(asked: Session) -> bool:
    row = await asked.row("select rolsuper as may from pg_roles where rolname = current_user")
    return bool(row["may"])


async def _oid(asked: Session, name: str) -> int | None:
    rows = await asked.rows(
        f"select oid::bigint as oid from pg_database where datname = {quoting.literal(name)}"
    )
    return rows[0]["oid"] if rows else None


async def _properties(asked: Session, name: str) -> Properties | None:
    value = quoting.literal(name)
    rows = await asked.rows(swap.PROPERTIES.format(value))
    if not rows:
        return None
    return Properties(
        owner=rows[0]["owner"],
        most_connections=rows[0]["most"],
        is_open=rows[0]["open"],
        comment=rows[0]["comment"],
        has_grants=rows[0]["has_grants"],
        grants=await asked.rows(swap.GRANTS.format(value)),
        settings=await asked.rows(swap.SETTINGS.format(value)),
    )


def _locale(collation: str) -> str:
    if not collation:
        return ""
    locale = Locale.parse(collation)
    text = f" lc_collate {quoting.literal(locale.collate)} lc_ctype {quoting.literal(locale.ctype)}"
    if locale.provider == "i":
        text += f" locale_provider icu icu_locale {quoting.literal(locale.locale)}"
    elif locale.provider == "b":
        text += f" locale_provider builtin builtin_locale {quoting.literal(locale.locale)}"
    return text
