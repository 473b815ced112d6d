"""A dump read by redis-check-rdb, without a server. The tool wants a file it can move about in: a private one, gone with the command."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.errors import SourceError
from engine.hosts.base import Command, OpenHost, Process
from engine.model.manifest import CheckResult, DatabaseFacts
from engine.sources.base import ParseStream
from engine.sources.redis.client import find_tool
from engine.sources.redis.rdb import RdbCheck
from engine.sources.redis.scratch import unprivileged_account

_CHECK = (
    'umask 077; t=$(mktemp -d "${TMPDIR:-/var/tmp}/holdfast.XXXXXXXX") || exit 73; trap \'cd /; rm -rf "$t"\' EXIT; '
    'trap \'exit 143\' HUP INT PIPE TERM; cat >"$t/dump.rdb" || exit 74; "$1" "$t/dump.rdb" </dev/null 2>&1'
)
_KEYS = re.compile(r"(\d+) keys read")
_MOST_SAID_BYTES = 1 << 20


@asynccontextmanager
async def parsing(host: OpenHost, facts: DatabaseFacts) -> AsyncIterator[ParseStream]:
    """See `base.ParsingSource.parsing`."""
    known = await host.facts()
    tool = find_tool(host.name, known, ("redis-check-rdb", "valkey-check-rdb"), "redis-tools")
    user = await unprivileged_account(host) if known.user == "root" else None
    async with host.start(
        Command(("sh", "-c", _CHECK, "redis", tool), as_user=user, input="stream")
    ) as process:
        yield _Parse(tool, process, facts)


class _Parse:
    """See `base.ParseStream`. The checksum is looked at here as well."""

    def __init__(self, tool: str, process: Process, facts: DatabaseFacts) -> None:
        self._tool = tool
        self._process = process
        self._facts = facts
        self._check = RdbCheck(f"the dump {facts.name!r}")

    async def write(self, data: bytes) -> None:
        await self._send(self._check.take(data))

    async def finish(self) -> Sequence[CheckResult]:
        last, _is_vouched_for = self._check.finish()
        await self._send(last)
        await self._process.close_input()
        said = b""
        while data := await self._process.read():
            said = (said + data)[-_MOST_SAID_BYTES:]
        ended = await self._process.wait()
        text = said.decode(errors="backslashreplace")
        is_sound = ended.is_success and "RDB looks OK" in text
        actual = "sound" if is_sound else " ".join(text.split())[-200:] or "it said nothing"
        checks = [CheckResult(f"read by {self._tool}", "sound", actual, is_sound)]
        found = _KEYS.search(text)
        if found:
            keys = int(found[1])
            most = sum(each.rows for each in self._facts.tables)
            least = most - sum(each.expiring for each in self._facts.tables)
            is_exact = not any(each.is_estimated for each in self._facts.tables)
            wanted = str(most) if least == most else f"{least} to {most}"
            checks += [CheckResult("keys", wanted, str(keys), least <= keys <= most)] if is_exact else []
        return checks

    async def _send(self, data: bytes) -> None:
        try:
            if data:
                await self._process.write(data)
        except BrokenPipeError:
            ended = await self._process.wait()
            words = ended.stderr.decode(errors="backslashreplace").strip()[-300:]
            raise SourceError(f"the dump could not be laid down to be read: {words}") from None
