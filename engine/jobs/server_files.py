"""restore, of a server's own files into a directory: made ready for a server to start from, where that is still to be done."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable

from engine.errors import HoldfastError, HostError
from engine.events import StepBegan, Warned
from engine.hosts.base import OpenHost
from engine.jobs.context import JobContext
from engine.jobs.database_backup import OpenCopy, read_manifest
from engine.model.backup import Backup
from engine.model.definitions import Source
from engine.model.requests import RestoreRequest
from engine.sources import registry as sources

_TIMEOUT_S = 6 * 3600.0

MakeReady = Callable[[JobContext, RestoreRequest, Backup, OpenCopy, OpenHost], Awaitable[str]]
"""What is done once a server's files are in their folder; gives what a person is told."""


async def make_ready(
    context: JobContext, request: RestoreRequest, backup: Backup, opened: OpenCopy, host: OpenHost
) -> str:
    """What a person is told of the files that now lie below `request.to` on that host; empty where the backup holds none of a server, or was
    not restored whole.

    That they could not be made ready is told too, and fails nothing: they are restored.
    """
    known = {each.name: each for each in await context.catalog.sources.all()}
    source = known.get(backup.source)
    if source is None or request.include or request.exclude or not sources.is_database(source.kind):
        return ""
    try:
        manifest = await read_manifest(source, opened.repository, opened.snapshot)
    except HoldfastError:
        return ""
    if not manifest.folder:
        return ""
    folder = posixpath.join(request.to, source.kind, source.name, manifest.folder)
    version = manifest.server_version.split()[0].partition("-")[0]
    starts = f"a server of version {version} starts from {folder}"
    why, words = await _prepared(context, source, manifest.server_version, folder, host)
    if not why:
        return starts
    context.emit(Warned(f"{folder} is as it was copied, because {why}"))
    return f"{starts} after this command, by the same version: {words}"


async def _prepared(
    context: JobContext, source: Source, version: str, folder: str, host: OpenHost
) -> tuple[str, str]:
    """Why it was not done, and the command by which a person does it; both empty where all is ready."""
    preparation = sources.preparation(source.kind, folder, version)
    if preparation is None:
        return "", ""
    context.emit(StepBegan("prepare the server's files"))
    try:
        done = await host.run(preparation.command, timeout_s=_TIMEOUT_S)
    except HostError as error:
        return error.message, preparation.words
    return preparation.explain(done.exit), preparation.words
