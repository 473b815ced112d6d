"""restore, of a server's own files into a directory: made ready for a server to start from, where that is still to be done."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Awaitable, Callable, Sequence

from engine.errors import HoldfastError, HostError, RestoreError, UsageError
from engine.events import StepBegan, Warned
from engine.hosts.base import OpenHost
from engine.jobs.context import JobContext
from engine.jobs.database_backup import OpenCopy, read_manifest
from engine.model.backup import Backup
from engine.model.manifest import Manifest
from engine.model.requests import RestoreRequest
from engine.sources import registry as sources
from engine.sources.server_files import Placing, Preparation

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
    root = posixpath.join(request.to, source.kind, source.name)
    folder = posixpath.join(root, manifest.folder)
    await place_spaces(context, host, placing(source.kind, manifest, folder, request.tablespaces), request.to)
    version = manifest.server_version.split()[0].partition("-")[0]
    starts = f"a server of version {version} starts from {folder}"
    preparation = sources.preparation(
        source.kind,
        folder,
        manifest.server_version,
        [posixpath.join(root, each) for each in manifest.increments],
    )
    why, words = await _prepared(context, preparation, host)
    if not why:
        return starts
    context.emit(Warned(f"{folder} is as it was copied, because {why}"))
    return f"{starts} after this command, by the same version: {words}"


async def look(
    context: JobContext, request: RestoreRequest, backup: Backup, opened: OpenCopy, host: OpenHost
) -> str:
    """Before anything is restored: where the tablespaces of a server's files go, once it is seen that they can; empty where there are none.

    Raises: UsageError for a mapping that means nothing; RestoreError where a place is taken; DamagedError, HostError.
    """
    known = {each.name: each for each in await context.catalog.sources.all()}
    source = known.get(backup.source)
    manifest: Manifest | None = None
    if source is not None and sources.is_database(source.kind):
        with contextlib.suppress(HoldfastError):
            manifest = await read_manifest(source, opened.repository, opened.snapshot)
    if source is None or manifest is None or not manifest.tablespaces:
        if request.tablespaces:
            raise UsageError(
                f"backup {backup.backup_id} has no tablespaces", hint="leave --tablespace-mapping out"
            )
        return ""
    if request.include or request.exclude:
        if request.tablespaces:
            raise UsageError(
                "a part of a server's files stays as it was copied: leave --tablespace-mapping out"
            )
        return ""
    folder = posixpath.join(request.to, source.kind, source.name, manifest.folder)
    placed = placing(source.kind, manifest, folder, request.tablespaces)
    if placed is None:
        return ""
    looked = await host.run(placed.look)
    if not looked.exit.is_success:
        said = looked.exit.stderr.decode(errors="replace").strip()
        raise RestoreError(
            f"nothing was restored to {request.to}: {said}",
            hint="name an empty place for it: --tablespace-mapping OLD=NEW",
        )
    return "; ".join(placed.lines)


def placing(kind: str, manifest: Manifest, folder: str, mapping: Sequence[str]) -> Placing | None:
    """How the tablespaces of a data folder get their places; None where it has none. Raises: UsageError, DamagedError."""
    if not manifest.tablespaces and not mapping:
        return None
    return sources.placing(kind, manifest.tablespaces, folder, mapping)


async def place_spaces(context: JobContext, host: OpenHost, placed: Placing | None, target: str) -> None:
    """Puts them there. Raises: RestoreError in the host's words; HostError."""
    if placed is None:
        return
    context.emit(StepBegan("put the tablespaces in their places"))
    done = await host.run(placed.place, timeout_s=_TIMEOUT_S)
    if not done.exit.is_success:
        said = done.exit.stderr.decode(errors="replace").strip()
        raise RestoreError(
            f"the files of a server below {target} are not ready to start from: {said}",
            hint="remove what is there, and restore again",
        )


async def _prepared(context: JobContext, preparation: Preparation | None, host: OpenHost) -> tuple[str, str]:
    """Why it was not done, and the command by which a person does it; both empty where all is ready."""
    if preparation is None:
        return "", ""
    context.emit(StepBegan("prepare the server's files"))
    try:
        done = await host.run(preparation.command, timeout_s=_TIMEOUT_S)
    except HostError as error:
        return error.message, preparation.words
    return preparation.explain(done.exit), preparation.words
