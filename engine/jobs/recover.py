"""recover: a lost catalog, rebuilt from a repository alone. The snapshots' tags say what each was."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack

from engine.errors import UsageError
from engine.events import Warned
from engine.format.snapshot import Snapshot
from engine.jobs import catalog_copies, log_adopting
from engine.jobs.catalog_copies import Taken
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
from engine.model.requests import Limits, RecoverRequest
from engine.model.results import Recovered
from engine.model.secret import Secret


async def run(context: JobContext, request: RecoverRequest) -> Recovered:
    """Brings the catalog back, and with the vault's key the secrets. Raises: as `rebuild`; as a secret that cannot be read."""
    key = await context.secrets(request.vault_key) if request.vault_key else None
    return await rebuild(context, request.place, key, limits=request.limits)


async def rebuild(
    context: JobContext,
    storage: Storage,
    vault_key: Secret | None = None,
    *,
    takes_copy: bool = True,
    limits: Limits | None = None,
) -> Recovered:
    """Takes over the newest copy of the lost catalog that the storage holds, then every backup that it holds and the catalog does not know.

    The storage is defined where it is not. Backups that the catalog knows gain the copy. With the vault's key the secrets come back, too.
    Without `takes_copy`, or the key where this home has definitions of its own, only what the backups themselves tell. Raises: StorageError, RepositoryError; VaultError where the key is another one.
    """
    taken: Taken | None = None
    async with AsyncExitStack() as stack:
        repository = await open_unlocked(context, storage, limits or Limits(), stack)
        snapshots = await repository.snapshots(
            on_damaged=lambda name, error: context.emit(
                Warned(f"snapshot {name[:8]} is passed over: {error.message}")
            )
        )
        found = [(name, each) for name, each in snapshots if tag_value(each, SOURCE_TAG)]
        ids = [tag_value(each, BACKUP_TAG) for _, each in found]
        before = {each.backup_id for each in await context.catalog.backups.get_many(ids)}
        copies = catalog_copies.copies_in(snapshots) if takes_copy else []
        if copies and vault_key is None and await _is_lived_in(context):
            # The storage may be another home's: its hosts and sources would come among those that are here.
            context.emit(
                Warned(
                    "this home has sources of its own: what the storage's copy of the catalog defines is left there"
                )
            )
            copies = []
        if copies:
            taken = await catalog_copies.take_over(context, repository, copies, storage, vault_key)
        if taken is not None:
            storage = dataclasses.replace(storage, name=taken.storage)
        if storage.name not in {each.name for each in await context.catalog.storages.all()}:
            await context.catalog.storages.add(dataclasses.replace(storage, repository_id=repository.id))
        await _take_up(context, storage.name, found)
        logs_of = await log_adopting.take_up(context, storage.name, repository, snapshots)
    if not found and not logs_of and taken is None:
        raise UsageError(
            f"the repository at {repository.location} holds no backup that holdfast made",
            hint="what restic wrote can be restored with restic",
        )
    sources = await _sources(context, [snapshot for _, snapshot in found])
    new = [each for each in await context.catalog.backups.get_many(ids) if each.backup_id not in before]
    return Recovered(
        storage=storage.name,
        backups=tuple(new),
        sources=sources,
        catalog_at=None if taken is None else taken.copied_at,
        has_secrets=taken is not None and vault_key is not None,
        logs=tuple(logs_of),
    )


async def _is_lived_in(context: JobContext) -> bool:
    """A host alone may be the one that the storage lies on."""
    return bool(await context.catalog.sources.all())


async def _take_up(context: JobContext, storage: str, found: Sequence[tuple[str, Snapshot]]) -> None:
    known = {
        each.backup_id
        for each in await context.catalog.backups.get_many([tag_value(each, BACKUP_TAG) for _, each in found])
    }
    new = []
    for name, snapshot in found:
        backup = backup_of(snapshot, [Copy(storage, name)])
        if not is_id_prefix(backup.backup_id):
            context.emit(Warned(f"snapshot {name[:8]} has no backup id of ours and is passed over"))
        elif backup.backup_id in known:
            await context.catalog.backups.add_copy(backup.backup_id, Copy(storage, name))
        else:
            new.append(backup)
    await context.catalog.backups.add_many(new)
    for _, snapshot in found:
        if is_id_prefix(tag_value(snapshot, BACKUP_TAG)):
            await log_adopting.take_up_base(context, snapshot)


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
