"""A live server, for restores: see `base.Database`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from engine.errors import ConfigurationError, SourceError
from engine.hosts.base import Command
from engine.model.contents import Sampled
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.model.masking import MaskRule
from engine.sources.base import LoadStream, RolesMade, Selection
from engine.sources.mariadb import accounts, masking, roles, sampling, swapping
from engine.sources.mariadb import facts as reading
from engine.sources.mariadb.answers import Row, texts
from engine.sources.mariadb.connection import Connection, quote_name, quote_text
from engine.sources.mariadb.loading import loading
from engine.sources.mariadb.server import ask_server
from engine.sources.mariadb.sessions import LOCK_TIMEOUT_S, end_sessions

QUERY_TIMEOUT_S = 600.0
CHECK_TIMEOUT_S = 24 * 3600.0

_READS = re.compile(
    r"\s*\(*\s*(?:SELECT|WITH|SHOW|TABLE|VALUES|EXPLAIN|DESCRIBE|DESC|CHECKSUM)\b", re.IGNORECASE
)
_WRITES_FILE = re.compile(r"\bINTO\s+(?:OUTFILE|DUMPFILE)\b", re.IGNORECASE)
_WORD = re.compile(r"[0-9A-Za-z_]+\Z")


class MariadbDatabase:
    """See `base.Database`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def identity(self) -> str:
        """See `base.Database.identity`."""
        return (await ask_server(self._connection)).identity

    async def names(self) -> Sequence[str]:
        """See `base.Database.names`."""
        return await reading.database_names(self._connection)

    async def facts(self, name: str) -> DatabaseFacts:
        """See `base.Database.facts`."""
        return await reading.counted(self._connection, name)

    async def sample(self, name: str, rows: Mapping[str, int], seed: int) -> Sampled:
        """See `base.SamplingDatabase.sample`."""
        return await sampling.sample(self._connection, name, rows, seed)

    async def create(self, name: str, like: DatabaseFacts, *, is_owned: bool = True) -> None:
        """See `base.Database.create`. A database has no owner here: what its accounts may do lies with its name."""
        del is_owned
        settings = []
        for words, value in (("CHARACTER SET", like.encoding), ("COLLATE", like.collation)):
            if value and not _WORD.match(value):
                raise ConfigurationError(f"{value!a} cannot be the name of a character set or collation")
            settings += [f"{words} {value}"] if value else []
        await self._connection.run(f"CREATE DATABASE {quote_name(name)} {' '.join(settings)}")

    def load(self, name: str, selection: Selection) -> AbstractAsyncContextManager[LoadStream]:
        """See `base.Database.load`."""
        return loading(self._connection, name, selection)

    async def inspect(self, name: str) -> Sequence[CheckResult]:
        """See `base.Database.inspect`: `CHECK TABLE … EXTENDED` of every table, sequence and view."""
        facts = (await reading.look(self._connection, name)).facts
        objects = [*reading.stored_names(facts), *facts.views]
        if not objects:
            return []
        database = quote_name(name)
        statements = "".join(f"CHECK TABLE {database}.{quote_name(each)} EXTENDED;\n" for each in objects)
        results = await self._connection.results(statements, timeout_s=CHECK_TIMEOUT_S)
        return [_checked(each, rows) for each, rows in zip(objects, results, strict=True)]

    async def query(self, name: str, statement: str) -> str:
        """See `base.Database.query`. A field that is NULL is empty. Raises: SourceError, HostError."""
        if not _READS.match(statement) or _WRITES_FILE.search(statement):
            raise SourceError(
                "only a query can be asked: SELECT, WITH, SHOW, TABLE, VALUES, EXPLAIN or CHECKSUM"
            )
        # A prepared statement is one statement, whatever stands in its text.
        results = await self._connection.results(
            "SET SESSION TRANSACTION READ ONLY;\nSTART TRANSACTION READ ONLY;\n"
            f"SET @holdfast = {quote_text(statement)};\nPREPARE holdfast FROM @holdfast;\nEXECUTE holdfast;\nROLLBACK;\n",
            name,
            QUERY_TIMEOUT_S,
        )
        return "\n".join("|".join(texts(row)) for rows in results for row in rows)

    async def swap(self, fresh: str, live: str, aside: str) -> Sequence[str]:
        """See `base.Database.swap`. Raises: RefusedError, UnknownNameError, SourceError, HostError."""
        return await swapping.swap(self._connection, fresh, live, aside)

    async def missing_roles(self, script: bytes) -> Sequence[str]:
        """See `base.RoleKeeper.missing_roles`."""
        return [each.sql for each in (await accounts.missing(self._connection, script)).accounts]

    async def create_roles(self, script: bytes) -> RolesMade:
        """See `base.RoleKeeper.create_roles`."""
        return await accounts.create(self._connection, script)

    async def drop_roles(self, names: Sequence[str]) -> None:
        """See `base.RoleKeeper.drop_roles`."""
        await self._connection.run(roles.drop(names))

    async def mask(self, name: str, rules: Mapping[str, Sequence[MaskRule]], key: bytes) -> None:
        """See `base.MaskingDatabase.mask`."""
        await masking.mask(self._connection, name, rules, key)

    async def give_name(self, fresh: str, name: str, like: DatabaseFacts) -> Sequence[str]:
        """See `base.MaskingDatabase.give_name`: a database has no other name here, so it changes places with an empty one of that name."""
        empty = f"{fresh}_empty"
        await self.create(name, like)
        try:
            warnings = await self.swap(fresh, name, empty)
        except BaseException:
            await asyncio.shield(self.drop(name))
            raise
        await self.drop(empty)
        return warnings

    async def drop(self, name: str) -> None:
        """See `base.Database.drop`."""
        if name.lower() in reading.SERVERS_OWN:
            raise SourceError(f"{name!a} is the server's own database")
        if name not in await self.names():
            return
        await end_sessions(self._connection, name)
        await self._connection.run(
            f"SET SESSION lock_wait_timeout = {LOCK_TIMEOUT_S};\nDROP DATABASE IF EXISTS {quote_name(name)}",
            timeout_s=QUERY_TIMEOUT_S,
        )

    def connect_line(self, name: str) -> str:
        """See `base.Database.connect_line`."""
        return self._connection.connect_line(name)

    async def free_bytes(self) -> int | None:
        """See `base.Database.free_bytes`. None for a server that is not on the host."""
        if not self._connection.is_on_host:
            return None
        datadir = (await ask_server(self._connection)).datadir
        command = Command(("df", "-P", "-k", "--", datadir), as_user=self._connection.as_user)
        done = await self._connection.host.run(command)
        fields = done.stdout.decode(errors="replace").splitlines()[-1:]
        found = re.search(r"\s(\d+)\s+\d+%\s", fields[0]) if done.exit.is_success and fields else None
        return int(found[1]) * 1024 if found else None


def _checked(name: str, rows: Sequence[Row]) -> CheckResult:
    """What CHECK TABLE says of one table: lines of table, operation, kind of message, message."""
    said = [(kind.lower(), message) for _table, _operation, kind, message in map(texts, rows)]
    errors = [message for kind, message in said if kind == "error" or (kind == "status" and message != "OK")]
    return CheckResult(f"CHECK TABLE {name}", "OK", errors[0] if errors else "OK", not errors and bool(said))
