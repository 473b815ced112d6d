"""The drill of a server's own files: a throwaway server is made of them, recovers, and is looked at as a restored database is."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

from engine.errors import UsageError
from engine.events import Progress
from engine.jobs import drill_database
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_database_source
from engine.jobs.drill_database import Hold
from engine.jobs.drill_steps import TEAR_DOWN, DrillRecord, StepFailedError
from engine.model.manifest import CheckResult
from engine.model.requests import DrillRequest
from engine.model.results import KeptScratch
from engine.sources.server_files import PhysicalSource, Revival


async def drill(
    context: JobContext, request: DrillRequest, backup: DatabaseBackup, record: DrillRecord, hold: Hold
) -> None:
    """Restores the files, starts their server, looks at each database, and throws all of it away.

    `hold` is awaited before anything is thrown away. Raises: StepFailedError, which is written down; UsageError.
    """
    if request.level in ("database", "parse"):
        raise UsageError(
            f"backup {backup.backup.backup_id} holds the files of a whole server, and none of them can be loaded into another",
            hint="its levels are server and bytes",
        )
    manifest = backup.manifest
    async with AsyncExitStack() as stack:
        try:
            with record.step("prepare a throwaway server", is_proof=False):
                source = await stack.enter_async_context(open_database_source(context, backup.source))
                if not isinstance(source, PhysicalSource):
                    raise UsageError(f"{backup.source.name} takes no files of a server back")
                revival = await stack.enter_async_context(source.revive(manifest, backup.depth))
            record.level = "server"
            with record.step("restore the server's files") as detail:
                detail.append(f"{await _files(context, backup, revival)} bytes")
            with record.step("start and recover"):
                database = await revival.start()
            if not manifest.databases:
                record.checks.append(CheckResult("databases", "at least one", "none", False))
            for facts in manifest.databases:
                await drill_database.look_at(request, database, facts, facts.name, record, has_content=False)
            await hold(
                [KeptScratch(each.name, database.connect_line(each.name)) for each in manifest.databases]
            )
        finally:
            with suppress(StepFailedError), record.step(TEAR_DOWN, is_proof=False) as detail:
                await stack.aclose()
                detail.append("scratch gone: yes")


async def _files(context: JobContext, backup: DatabaseBackup, revival: Revival) -> int:
    done_bytes = 0

    async def write(data: bytes) -> None:
        nonlocal done_bytes
        await revival.write(data)
        done_bytes += len(data)
        context.emit(Progress("restore", done_bytes, current=backup.manifest.folder))

    return await backup.read(backup.files, write)
