"""A throwaway folder on the host for SQLite files: private, without privileges, and gone when we are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.errors import HostError, IncompleteDumpError, SourceError, ToolMissingError
from engine.hosts.base import Command, OpenHost, Process, require_success
from engine.model.manifest import CheckResult, DatabaseFacts, compare
from engine.sources.base import Database, LoadStream, ParseStream, Selection
from engine.sources.sqlite.folder import Folder, SqliteFolder

_ACCOUNT = "nobody"
_PARSED = "parsed.db"
_MAGIC = b"SQLite format 3\0"
# Has no input of ours, so that the host's life line ends it when we go away, are killed or lose the connection.
_KEEPER = "; ".join(
    line
    for line in """
umask 077
t=$(mktemp -d "${TMPDIR:-/var/tmp}/holdfast.XXXXXXXX") || exit 73
clean() { trap "" HUP INT PIPE TERM; cd /; rm -rf "$t"; }
trap clean EXIT
trap 'clean; exit 143' HUP INT PIPE TERM
echo "$t"
while :; do sleep 3600 & wait $!; done
""".splitlines()
    if line
)
_ABSENT = 'n=0; while [ -e "$1" ]; do [ $n -lt 50 ] || exit 1; n=$((n + 1)); sleep 0.2; done'


@asynccontextmanager
async def opened(host: OpenHost) -> AsyncIterator[Database]:
    """See `base.DatabaseSource.scratch`. Raises: ToolMissingError, SourceError, HostError."""
    facts = await host.facts()
    if "sqlite3" not in facts.tools:
        raise ToolMissingError(
            f"{host.name} has no sqlite3, so a restored database cannot be checked there",
            hint="install it there (Debian: `apt install sqlite3`)",
        )
    keeper = Command(("sh", "-c", _KEEPER, "sqlite"), as_user=_ACCOUNT if facts.user == "root" else None)
    async with host.start(keeper) as process:
        path = await _line(process)
        if not path:
            require_success(host.name, keeper, await process.wait())
            raise SourceError(f"{host.name} made no private folder")
        yield SqliteFolder(Folder(host, path, keeper.as_user))
    try:
        done = await host.run(Command(("sh", "-c", _ABSENT, "sqlite", path), as_user=keeper.as_user))
    except HostError:
        return
    if not done.exit.is_success:
        raise SourceError(f"the scratch folder {path} on {host.name} could not be removed")


@asynccontextmanager
async def parsing(host: OpenHost, facts: DatabaseFacts) -> AsyncIterator[ParseStream]:
    """See `base.ParsingSource.parsing`."""
    async with opened(host) as folder:
        await folder.create(_PARSED, facts, is_owned=False)
        async with folder.load(_PARSED, Selection(is_owned=False)) as stream:
            yield _Parse(folder, stream, facts)


class _Parse:
    """See `base.ParseStream`."""

    def __init__(self, folder: Database, stream: LoadStream, facts: DatabaseFacts) -> None:
        self._folder = folder
        self._stream = stream
        self._facts = facts
        self._head = b""

    async def write(self, data: bytes) -> None:
        self._head = (self._head + data[: len(_MAGIC)])[: len(_MAGIC)]
        await self._stream.write(data)

    async def finish(self) -> Sequence[CheckResult]:
        if self._head != _MAGIC:
            # A file without a byte is a database to sqlite3, and an empty one.
            raise IncompleteDumpError(f"the file of {self._facts.name} does not begin as SQLite's do")
        await self._stream.finish()
        found = compare(self._facts, await self._folder.facts(_PARSED))
        return [*found, *await self._folder.inspect(_PARSED)]


async def _line(process: Process) -> str:
    """The first line of what it writes; empty where it ends before."""
    held = b""
    while b"\n" not in held:
        data = await process.read()
        if not data:
            return ""
        held += data
    return held.partition(b"\n")[0].decode("utf-8", "surrogateescape")
