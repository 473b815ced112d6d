"""A source as it was at an instant, as a folder: the base's files as a restore lays them, and the log beside, which a server replays when a
person starts one there."""

from __future__ import annotations

import contextlib
import dataclasses
import posixpath
from contextlib import AsyncExitStack
from dataclasses import dataclass

from engine.errors import CommandFailedError, RestoreError, SourceError, UsageError
from engine.events import StepBegan
from engine.hosts import registry as hosts
from engine.hosts.base import OpenHost, require_success
from engine.jobs import replay, server_files
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, OpenCopy, read_manifest
from engine.jobs.replay import ReplayPlan
from engine.jobs.replay_base import Choice
from engine.model.backup import Backup
from engine.model.definitions import LOCAL_HOST, Host
from engine.model.requests import RestoreRequest
from engine.sources import registry as sources
from engine.sources.logs import Laying
from engine.sources.server_files import Placing


@dataclass(frozen=True, slots=True)
class LaidInstant:
    """A restore of the base, and what is done behind it."""

    request: RestoreRequest
    backup: Backup
    planned: ReplayPlan
    laying: Laying
    placing: Placing | None

    async def make_ready(
        self, context: JobContext, request: RestoreRequest, backup: Backup, opened: OpenCopy, host: OpenHost
    ) -> str:
        """See `server_files.MakeReady`. Raises: RestoreError where the log could not be laid beside the base; StorageError, DamagedError."""
        source = await context.catalog.sources.get(self.planned.source)
        manifest = await read_manifest(source, opened.repository, opened.snapshot)
        base = DatabaseBackup(
            context, backup, source, opened.repository, opened.snapshot, manifest, opened.copy.storage
        )
        await server_files.place_spaces(context, host, self.placing, request.to)
        context.emit(StepBegan("lay the log beside the base"))
        try:
            async with host.start(self.laying.lay) as process:
                with contextlib.suppress(BrokenPipeError):  # it says itself why it reads no more
                    await replay.pass_on(base, self.planned, self.laying.passing, process.write)
                await process.close_input()
                require_success(host.name, self.laying.lay, await process.wait())
            if (finish := self.laying.finish()) is not None:
                require_success(host.name, finish, (await host.run(finish)).exit)
        except (CommandFailedError, SourceError) as error:
            raise RestoreError(
                f"the log could not be laid beside the base below {request.to}: {error.message}",
                hint="remove what is there, and restore again",
            ) from error
        return "; ".join((self.laying.tell(self.planned.target.words), *self.laying.passing.said))


async def prepare(context: JobContext, request: RestoreRequest) -> LaidInstant:
    """Chooses the base, and sees that all of it can go there. Nothing is begun.

    Raises: RestoreError where the target cannot be reached, or the folder is not free; UsageError, HostError, StorageError, RepositoryError.
    """
    _require_whole(request)
    async with AsyncExitStack() as stack:
        planned, base = await Choice(context, request).open(stack)
        backup = base.backup
        length = await replay.segment_bytes(context, base, planned)
        manifest, kind, place = base.manifest, base.source.kind, base.place(base.manifest.folder).decode()
    folder = posixpath.join(request.to, place.lstrip("/"))
    needed_bytes = backup.size_bytes + planned.size_bytes
    laying = sources.log_laying(
        kind, replay.replay_of(planned, length), folder, manifest.server_version, needed_bytes
    )
    if laying is None:
        raise UsageError(
            f"{request.source} is of kind {kind}, whose log is not laid beside its base in a folder",
            hint="restore one of its databases: --into NAME",
        )
    placing = server_files.placing(kind, manifest, folder, request.tablespaces)
    await _look(context, request, laying)
    inner = dataclasses.replace(
        request,
        backup=backup.backup_id,
        storage=planned.reach.storage,
        source="",
        at=None,
        at_transaction="",
        at_point="",
        is_before=False,
    )
    return LaidInstant(inner, backup, planned, laying, placing)


async def _look(context: JobContext, request: RestoreRequest, laying: Laying) -> None:
    is_here = request.host in ("", LOCAL_HOST)
    definition = Host(LOCAL_HOST, "local") if is_here else await context.catalog.hosts.get(request.host)
    async with hosts.open_host(definition, resolve_secret=context.secrets) as host:
        looked = await host.run(laying.look)
    if not looked.exit.is_success:
        said = looked.exit.stderr.decode(errors="replace").strip()
        raise RestoreError(
            f"{request.source} cannot be restored to {request.to}: {said}",
            hint="name another folder with --to, or make room",
        )


def _require_whole(request: RestoreRequest) -> None:
    """Raises: UsageError for what asks for a part of a server's files, or mixes them with what is there."""
    if request.include or request.exclude or request.is_deleting:
        raise UsageError(
            "to an instant a server's files are restored whole: leave --include, --exclude and --delete out"
        )
    if request.databases or request.tables or request.masks or request.target_source:
        raise UsageError(
            "--database, --table, --mask and --on go with --into NAME or --in-place",
            hint="with --to DIR the whole server is restored",
        )
