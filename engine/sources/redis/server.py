"""A running Redis server as a `Database`: what it holds, and what it can say. Nothing is loaded beside what it holds; `refill` loads in its place."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from engine.errors import SourceError, UnknownNameError
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.sources.base import LoadStream, Selection
from engine.sources.redis.client import Client

NAME = "dump"
"""The whole server, by the name of its file."""
_SAMPLED_KEYS = 100
_NUMBERED = re.compile(r"db(\d+)\Z")
_COMMAND = re.compile(r"[A-Za-z][A-Za-z._-]*\Z")
# Runs inside the server, so that no key leaves it: `sampled typeless past`.
_SAMPLE = (
    "local keys, typeless, past = 0, 0, 0 "
    f"for _ = 1, {_SAMPLED_KEYS} do local key = redis.call('RANDOMKEY') if not key then break end "
    "keys = keys + 1 local left = redis.call('PTTL', key) "
    "if left == -2 then past = past + 1 elseif redis.call('TYPE', key).ok == 'none' then typeless = typeless + 1 end end "
    "return keys .. ' ' .. typeless .. ' ' .. past"
)
BY_HAND = (
    "restore in place (--in-place), which empties it and fills it again; or restore into a directory (--to DIR), stop the server, set `appendonly no`, put the file in its `dir` under its `dbfilename`, start it; "
    "or copy single keys from a scratch server by DUMP and RESTORE"
)
"""What a person does, for nothing can be loaded beside what a server holds."""


class LiveServer:
    """See `base.Database`."""

    def __init__(self, client: Client, name: str = NAME) -> None:
        self._client = client
        self._name = name

    async def identity(self) -> str:
        """The server's run id: drawn anew at each start, and never the same for two."""
        return (await self._client.info()).run_id

    async def names(self) -> Sequence[str]:
        """The one database, where it holds any key."""
        return [self._name] if (await self._client.info()).tables else []

    async def facts(self, name: str) -> DatabaseFacts:
        """See `base.Database.facts`."""
        self._require(name)
        info = await self._client.info()
        return DatabaseFacts(name, size_bytes=info.used_bytes, tables=info.tables)

    async def create(self, name: str, like: DatabaseFacts, *, is_owned: bool = True) -> None:
        """It cannot be done. Raises: SourceError."""
        raise self._no_load(f"database {name!r} cannot be made beside the others")

    def load(self, name: str, selection: Selection) -> AbstractAsyncContextManager[LoadStream]:
        """It cannot be done. Raises: SourceError."""
        raise self._no_load(f"a dump cannot be loaded as {name!r}")

    async def inspect(self, name: str) -> Sequence[CheckResult]:
        """Looks at keys at random in each numbered database: each has a type, and none is past its time."""
        results = []
        for table in (await self.facts(name)).tables:
            answer = await self._client.answer("-n", table.name.removeprefix("db"), "EVAL", _SAMPLE, "0")
            sampled, typeless, past = map(int, answer.split())
            # A key may go between RANDOMKEY and PTTL only by its own time, which a script sees stand still.
            results.append(
                CheckResult(
                    f"types and times of keys of {table.name}",
                    "0 of them wrong",
                    f"{typeless + past} of {sampled} wrong",
                    not typeless + past,
                )
            )
        return results

    async def query(self, name: str, statement: str) -> str:
        """A command that the server itself calls read-only, as redis-cli prints its answer to a pipe. `db3 GET KEY` asks database 3.

        Raises: SourceError.
        """
        self._require(name)
        try:
            words = shlex.split(statement)
        except ValueError as error:
            raise SourceError(f"the command {statement!r} cannot be read: {error}") from error
        numbered = _NUMBERED.match(words[0]) if words else None
        words = words[1:] if numbered else words
        if not words or not _COMMAND.match(words[0]):
            raise SourceError(f"{statement!r} is no command of Redis")
        if "readonly" not in (await self._client.answer("COMMAND", "INFO", words[0])).split("\n"):
            raise SourceError(
                f"the command {words[0]} is refused: the server does not call it read-only",
                hint="GET, EXISTS, DBSIZE, TYPE, HGET, LLEN, SCARD and their like are",
            )
        return await self._client.answer("-n", numbered[1] if numbered else "0", *words)

    async def swap(self, fresh: str, live: str, aside: str) -> Sequence[str]:
        """It cannot be done. Raises: SourceError."""
        raise self._no_load(f"{fresh!r} cannot take the place of {live!r}")

    async def drop(self, name: str) -> None:
        """It is never done to a live server. Raises: SourceError."""
        raise self._no_load(f"{name!r} is not dropped")

    def connect_line(self, name: str) -> str:
        """See `base.Database.connect_line`."""
        del name
        return self._client.connect_line()

    async def free_bytes(self) -> int | None:
        """It cannot be known: the server keeps its data in memory."""
        return None

    def _require(self, name: str) -> None:
        if name != self._name:
            raise UnknownNameError(
                f"{self._client.where} has no database {name!r}",
                hint=f"its whole content is named {self._name}",
            )

    def _no_load(self, what: str) -> SourceError:
        return SourceError(
            f"{what}: {self._client.where} has no place beside what it holds",
            hint=BY_HAND,
        )
