"""Logs that the catalog does not know, or not as they are: their job was killed before it could write them down, or the catalog was lost."""

from __future__ import annotations

from collections.abc import Container

from engine.errors import DamagedError
from engine.events import Warned
from engine.format.snapshot import Snapshot
from engine.jobs import log_merge, log_store
from engine.jobs.context import JobContext
from engine.jobs.log_merge import Snapshots
from engine.jobs.log_store import LOGS_TAG, LogTree
from engine.jobs.opening import Opened
from engine.jobs.snapshot_tags import BACKUP_TAG, SOURCE_TAG, base_of, tag_value
from engine.model.definitions import Source
from engine.model.logs import Base, LogHead, LogRun
from engine.repository.repository import Repository


async def take_up(
    context: JobContext,
    storage: str,
    repository: Repository,
    snapshots: Snapshots,
    *,
    only: Container[str] | None = None,
) -> list[str]:
    """Writes down what the storage has of the logs of these sources, or of all, where a newer log snapshot is there than the catalog says, or none
    of which it knows; of which sources. `snapshots` are all of the repository. Idempotent. Raises: StorageError.
    """
    heads = {
        each.source: each.snapshot_id
        for each in await context.catalog.logs.heads()
        if each.storage == storage
    }
    taken: list[str] = []
    for name, tips in log_store.tips(snapshots).items():
        if heads.get(name, "") in dict(tips) or (only is not None and name not in only):
            continue
        if not taken:
            await repository.load_index()
        found = [each for each in snapshots if tag_value(each[1], LOGS_TAG) == name]
        try:
            log = await log_merge.load(repository, found, tips[-1:], "")
            await log_merge.put(context, repository, log, storage)
        except DamagedError as error:
            context.emit(Warned(f"the log of {name} in {storage} is passed over: {error.message}"))
        else:
            taken.append(name)
    return taken


async def take_up_head(
    context: JobContext, opened: Opened, source: Source, snapshot_id: str, held: LogTree
) -> tuple[list[LogRun], list[LogRun]]:
    """Writes down what that log snapshot has, empty where there is none; gives its runs and tails. Raises: DamagedError, StorageError."""
    runs, tails = await log_store.runs(opened.repository, held)
    if snapshot_id:
        forks = await log_store.forks(opened.repository, source, held)
        head = LogHead(source.name, opened.definition.name, snapshot_id, context.clock.now())
        await context.catalog.logs.put(head, runs, forks, tails)
    return runs, tails


async def take_up_base(context: JobContext, snapshot: Snapshot) -> None:
    """Writes down that the backup, which the catalog knows, is a base, where it is one."""
    at = base_of(snapshot)
    if at is not None:
        base = Base(tag_value(snapshot, BACKUP_TAG), at.position, at.consistent_at)
        await context.catalog.logs.put_base(tag_value(snapshot, SOURCE_TAG), base)
