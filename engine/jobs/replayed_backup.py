"""A source as it was at an instant, to be restored like a backup: a throwaway server replays the log, and is dumped from into its target.

So one database, or one table, of any instant comes beside the live one or in its place by the very way that a dump does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.errors import PathMissingError, UnknownNameError, UsageError
from engine.events import Progress, Warned
from engine.jobs import replay
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup
from engine.jobs.replay import ReplayPlan
from engine.jobs.replay_base import UNREADABLE, Choice
from engine.model.manifest import DatabaseFacts
from engine.model.requests import RestoreRequest
from engine.sources.base import Database, ItemStream, Selection
from engine.sources.logs import DumpingDatabase, Replayed

_OWN = "postgres"
"""The database that every server has; it is brought back where it is named."""


@dataclass(frozen=True, slots=True)
class ReplayedBackup(DatabaseBackup):
    """As `DatabaseBackup`, of what a throwaway server holds; of a dry run there is none, and the base says which databases there were."""

    scratch: DumpingDatabase | None = None

    async def read(
        self, path: str, write: Callable[[bytes], Awaitable[None]], ahead_bytes: int | None = None
    ) -> int:
        """Roles as the throwaway server has them. Raises: PathMissingError for anything else; SourceError, HostError."""
        del ahead_bytes
        if self.scratch is None or path != "globals.sql":
            raise PathMissingError(f"what was replayed holds no {path}")
        async with self.scratch.dumping_globals() as stream:
            return await _pump(self.context, stream, write, path)

    async def load(self, database: Database, facts: DatabaseFacts, name: str, selection: Selection) -> int:
        """Dumps from the throwaway server into a fresh database of that name; returns the dump's length. Raises: SourceError, HostError."""
        assert self.scratch is not None
        async with (
            self.scratch.dumping(facts.name, selection.tables) as stream,
            database.load(name, selection) as into,
        ):
            size_bytes = await _pump(self.context, stream, into.write, facts.name)
            for warning in await into.finish():
                self.context.emit(Warned(f"{facts.name}: {warning}"))
        return size_bytes


async def _pump(
    context: JobContext, stream: ItemStream, write: Callable[[bytes], Awaitable[None]], what: str
) -> int:
    """From the one to the other; a dump that is not whole raises before anything counts."""
    done_bytes = 0
    while piece := await stream.read():
        await write(piece)
        done_bytes += len(piece)
        context.emit(Progress("restore", done_bytes, current=what))
    for warning in await stream.judge():
        context.emit(Warned(f"{what}: {warning}"))
    return done_bytes


def is_to_instant(request: RestoreRequest) -> bool:
    """Whether the request names an instant of a source, and not a backup."""
    return bool(request.source)


@asynccontextmanager
async def opened(context: JobContext, request: RestoreRequest) -> AsyncIterator[ReplayedBackup]:
    """The source as it was then. Raises: RestoreError where that cannot be reached; UsageError, SourceError, HostError, StorageError."""
    choice = Choice(context, request)
    async with AsyncExitStack() as stack:
        planned, base, reached = await _reached(choice, stack)
        if reached is None:
            yield _as_then(base, _foreseen(base, request))
            return
        scratch = reached.database
        if not isinstance(scratch, DumpingDatabase):
            raise UsageError(f"a database of {request.source} cannot be carried over from a throwaway server")
        names = [name for name in await scratch.names() if name != _OWN or name in request.databases]
        for name in request.databases:
            if name not in names:
                raise UnknownNameError(
                    f"{request.source} had no database {name} at {planned.target.words}",
                    hint=f"it had {', '.join(sorted(names)) or 'none but its own'}",
                )
        facts = [
            await scratch.facts(name) for name in names if not request.databases or name in request.databases
        ]
        yield _as_then(base, facts, scratch)


async def _reached(
    choice: Choice, stack: AsyncExitStack
) -> tuple[ReplayPlan, DatabaseBackup, Replayed | None]:
    """A server that was brought there from the best base that can be read; none in a dry run. Removed with the stack."""
    while True:
        async with AsyncExitStack() as attempt:
            planned, base = await choice.open(attempt)
            try:
                reached = (
                    None
                    if choice.request.is_dry_run
                    else await attempt.enter_async_context(replay.server(choice.context, base, planned))
                )
            except UNREADABLE as error:
                await choice.pass_over(planned, error)
            else:
                stack.push_async_exit(attempt.pop_all())
                return planned, base, reached


def _foreseen(base: DatabaseBackup, request: RestoreRequest) -> list[DatabaseFacts]:
    """What the base tells of, and what is asked for and may have come after it."""
    told = base.manifest.databases
    later = set(request.databases) - {each.name for each in told}
    return [*told, *(DatabaseFacts(name) for name in request.databases if name in later)]


def _as_then(
    base: DatabaseBackup,
    databases: Sequence[DatabaseFacts],
    scratch: DumpingDatabase | None = None,
) -> ReplayedBackup:
    manifest = dataclasses.replace(base.manifest, folder="", databases=databases)
    return ReplayedBackup(
        base.context,
        base.backup,
        base.source,
        base.repository,
        base.snapshot,
        manifest,
        base.storage,
        scratch,
    )
