"""A dump on its way into a database: pg_restore, fed over its standard input."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.errors import ConnectionLostError, IncompleteDumpError, SourceError
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.sources.base import LoadStream, Selection
from engine.sources.postgres import selection, words
from engine.sources.postgres.archive import ArchiveReader
from engine.sources.postgres.connection import Connection

_WITH_LIST = """\
list=$1
shift
exec "$@" --use-list=/dev/fd/3 3<<END
$list
END
"""
"""The list of entries has a descriptor of its own: standard input is the dump. No file is left behind."""
MOST_LISTED = 15_000
"""Ids that fit one argument of a shell (`hosts.script.LIMIT_BYTES`)."""


@dataclass(frozen=True, slots=True)
class Loading:
    """What is loaded, and where to."""

    host: OpenHost
    connection: Connection
    database: str
    selection: Selection
    make_schemas: Callable[[Sequence[str]], Awaitable[None]]
    analyse: Callable[[], Awaitable[None]]
    spaces: Callable[[], Awaitable[AbstractSet[str]]]
    """The tablespaces of the server."""

    def command(self, picked: Sequence[int] | None, *more: str) -> Command:
        """pg_restore, of all or of the picked entries. Raises: SourceError where too many are picked."""
        flags = () if self.selection.is_owned else ("--no-owner", "--no-privileges")
        command = self.connection.command(
            "pg_restore", "--exit-on-error", *flags, *more, database=self.database, input="stream"
        )
        if picked is None:
            return command
        if len(picked) > MOST_LISTED:
            raise SourceError(
                f"the chosen tables are made of {len(picked)} objects, and at most {MOST_LISTED} can be chosen",
                hint="load the whole database beside the live one",
            )
        lines = "\n".join(f"{number};" for number in picked)
        return dataclasses.replace(command, words=("sh", "-c", _WITH_LIST, "sh", lines, *command.words))

    @property
    def place(self) -> str:
        """For messages."""
        return f"database {self.database!a} of {self.host.name}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What of an archive is loaded."""

    picked: Sequence[int] | None
    """Ids of its entries; None for all."""
    warnings: Sequence[str]
    flags: Sequence[str] = ()
    """For pg_restore."""


async def prepare(what: Loading, archive: ArchiveReader) -> Choice:
    """Chooses by the table of contents, and makes the schemas that the archive does not. Raises: SourceError, HostError."""
    chosen = what.selection.tables
    if chosen and not archive.is_known:
        raise SourceError("tables cannot be chosen from an archive of a version that is not known here")
    entries = archive.entries
    all_but_loose, loose = selection.without_loose_keys(entries)
    warnings = [
        f"foreign key {name} was left out: its other table is not in the dump" for name in loose if not chosen
    ]
    picked = selection.pick(entries, chosen) if chosen else all_but_loose if loose else None
    if schemas := selection.missing_schemas(entries, picked):
        await what.make_schemas(schemas)
    missing = await _missing_spaces(what, archive, picked)
    if not missing:
        return Choice(picked, warnings)
    said = f"the server has no tablespace {', '.join(missing)}: all of {what.database} lies in the tablespace of its own"
    return Choice(picked, [*warnings, *((said,) if what.selection.is_owned else ())], ("--no-tablespaces",))


async def _missing_spaces(
    what: Loading, archive: ArchiveReader, picked: Sequence[int] | None
) -> Sequence[str]:
    """Tablespaces that the archive wants something to lie in, and the server does not have: a throwaway one has none."""
    among = None if picked is None else set(picked)
    wanted = {each.tablespace for each in archive.entries if among is None or each.id in among} - {""}
    return sorted(wanted - await what.spaces()) if wanted else ()


class Restoring:
    """A pg_restore that is fed."""

    def __init__(self, what: Loading, process: Process, *, may_end_early: bool) -> None:
        """`may_end_early`: it needs no more than the beginning, and ends well without the rest."""
        self._what = what
        self._process = process
        self._may_end_early = may_end_early
        self._is_satisfied = False

    async def send(self, data: bytes) -> None:
        """More of the archive. Raises: SourceError, HostError."""
        if self._is_satisfied:
            return
        try:
            await self._process.write(data)
        except BrokenPipeError:
            await self._end()
            self._is_satisfied = self._may_end_early
            if not self._is_satisfied:
                raise SourceError(f"{self._what.place} took no more of the dump") from None

    async def finish(self) -> list[str]:
        """There is no more; its warnings. Raises: SourceError, HostError."""
        await self._process.close_input()
        return await self._end()

    async def _end(self) -> list[str]:
        ended = await self._process.wait()
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{self._what.host.name} never said how pg_restore ended")
        require_started(self._what.host.name, Command(("pg_restore",)), ended)
        if not ended.is_success:
            raise words.failure(ended, f"{self._what.place} did not take the dump")
        return words.warnings(ended.stderr)


@asynccontextmanager
async def loading(what: Loading) -> AsyncIterator[LoadStream]:
    """The stream to write to; leaving before `finish` ends pg_restore. Raises: SourceError, HostError."""
    async with AsyncExitStack() as stack:
        yield _RestoreStream(what, stack)


class _RestoreStream:
    """See `base.LoadStream`. Nothing starts before the table of contents is there: it says what to pick, and which schemas are missing."""

    def __init__(self, what: Loading, stack: AsyncExitStack) -> None:
        self._what = what
        self._stack = stack
        self._archive = ArchiveReader()
        self._held: list[bytes] = []
        self._restoring: Restoring | None = None
        self._warnings: Sequence[str] = ()

    async def write(self, data: bytes) -> None:
        """See `base.LoadStream.write`."""
        if self._restoring is not None:
            await self._restoring.send(data)
            return
        self._held.append(data)
        self._archive.feed(data)
        if self._archive.is_contents_read:
            self._restoring = await self._start()

    async def finish(self) -> Sequence[str]:
        """See `base.LoadStream.finish`: the server's statistics are made fresh, too."""
        if self._restoring is None:
            raise IncompleteDumpError("the dump ends in its table of contents")
        said = await self._restoring.finish()
        await self._stack.aclose()  # for the sake of a host with one channel
        await self._what.analyse()
        return [*self._warnings, *said]

    async def _start(self) -> Restoring:
        what = self._what
        choice = await prepare(what, self._archive)
        self._warnings = choice.warnings
        process = await self._stack.enter_async_context(
            what.host.start(what.command(choice.picked, *choice.flags))
        )
        restoring = Restoring(what, process, may_end_early=bool(what.selection.tables))
        held, self._held = self._held, []
        for piece in held:
            await restoring.send(piece)
        return restoring
