"""recover: a lost catalog, rebuilt from a repository alone. The snapshots' tags say what each was."""

from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack

from engine.errors import UsageError
from engine.events import Warned
from engine.format.snapshot import Snapshot
from engine.jobs.context import JobContext
from engine.jobs.opening import open_unlocked
from engine.jobs.snapshot_tags import (
    BACKUP_TAG,
    HOST_TAG,
    SOURCE_KIND_TAG,
    SOURCE_TAG,
    backup_of,
    tag_value,
)
from engine.model.backup import Copy
from engine.model.definitions import LOCAL_HOST, Source, Storage
from engine.model.names import is_id_prefix
from engine.model.requests import Limits
from engine.model.results import Recovered


async def run(context: JobContext, storage: Storage) -> Recovered:
    """Defines the storage where it is not, and takes up every backup that it holds and the catalog does not know.

    Backups that the catalog knows gain the copy. Raises: StorageError, RepositoryError.
    """
    async with AsyncExitStack() as stack:
        repository = await open_unlocked(context, storage, Limits(), stack)
        snapshots = await repository.snapshots(
            on_damaged=lambda name, error: context.emit(
                Warned(f"snapshot {name[:8]} is passed over: {error.message}")
            )
        )
    known_storages = {each.name for each in await context.catalog.storages.all()}
    if storage.name not in known_storages:
        await context.catalog.storages.add(dataclasses.replace(storage, repository_id=repository.id))
    found = [(name, each) for name, each in snapshots if tag_value(each, SOURCE_TAG)]
    if not found:
        raise UsageError(
            f"the repository at {repository.location} holds no backup that holdfast made",
            hint="what restic wrote can be restored with restic",
        )
    known = {
        each.backup_id: each
        for each in await context.catalog.backups.get_many([tag_value(s, BACKUP_TAG) for _, s in found])
    }
    new = []
    for name, snapshot in found:
        backup = backup_of(snapshot, [Copy(storage.name, name)])
        if not is_id_prefix(backup.backup_id):
            context.emit(Warned(f"snapshot {name[:8]} has no backup id of ours and is passed over"))
        elif backup.backup_id in known:
            await context.catalog.backups.add_copy(backup.backup_id, Copy(storage.name, name))
        else:
            new.append(backup)
    await context.catalog.backups.add_many(new)
    sources = await _sources(context, [snapshot for _, snapshot in found])
    return Recovered(storage.name, tuple(new), sources)


async def _sources(context: JobContext, snapshots: list[Snapshot]) -> tuple[str, ...]:
    """Defines sources of files of this machine again; all else needs a host or a secret that no repository holds."""
    known = {each.name for each in await context.catalog.sources.all()}
    names = []
    for snapshot in reversed(snapshots):
        name = tag_value(snapshot, SOURCE_TAG)
        if name in known:
            continue
        known.add(name)
        names.append(name)
        kind = tag_value(snapshot, SOURCE_KIND_TAG)
        host = tag_value(snapshot, HOST_TAG)
        if kind == "files" and host == LOCAL_HOST:
            options = {"path": tuple(snapshot.paths), "exclude": tuple(snapshot.excludes)}
            await context.catalog.sources.add(Source(name, kind, host, options))
    return tuple(sorted(names))
