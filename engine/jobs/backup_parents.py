"""The backup that another one is decided against, as each storage holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.errors import DamagedError, ObjectMissingError
from engine.format.snapshot import Snapshot
from engine.jobs.opening import Opened
from engine.model.definitions import Source
from engine.repository import wholeness
from engine.repository.repository import Repository
from engine.repository.writer import Parent
from engine.sources.incremental import NoIncrementError

if TYPE_CHECKING:
    from engine.jobs.backup_source import Capture


async def find(job: Capture, opened: Sequence[Opened]) -> dict[str, tuple[str, Snapshot]]:
    """By repository: the snapshot to decide against. The catalog's last backup where it is still there, else what restic would take."""
    known = {copy.storage: copy.snapshot_id for copy in job.last.copies} if job.last is not None else {}
    found = {}
    for each in opened:
        snapshot_id = known.get(each.definition.name, "")
        parent = await _load(each.repository, snapshot_id) if snapshot_id else None
        if parent is None and job.source.kind == "files" and job.request.kind == "incremental":
            parent = await _newest_alike(job, each.repository)
        if parent is not None:
            found[each.repository.id] = parent
    return found


async def _load(repository: Repository, snapshot_id: str) -> tuple[str, Snapshot] | None:
    try:
        return snapshot_id, await repository.load_snapshot(snapshot_id)
    except (DamagedError, ObjectMissingError):
        return None


async def _newest_alike(job: Capture, repository: Repository) -> tuple[str, Snapshot] | None:
    """restic's rule: the newest snapshot of this host, not from the future, whose paths hold every path of ours."""
    hostname = (await job.host.facts()).hostname
    paths = set(option(job.source, "path"))
    alike = [
        (name, snapshot)
        for name, snapshot in await repository.snapshots(on_damaged=lambda _name, _error: None)
        if snapshot.hostname == hostname and paths <= set(snapshot.paths) and snapshot.time <= job.started_at
    ]
    return alike[-1] if alike else None


def parent(opened: Sequence[Opened], parents: Mapping[str, tuple[str, Snapshot]]) -> Parent | None:
    """What a tree is decided against; None where there is nothing."""
    having = [each.repository for each in opened if each.repository.id in parents]
    if not having:
        return None
    snapshot_id, snapshot = parents[having[0].id]
    # A storage that missed a backup has another parent, which proves nothing of this one's tree.
    is_whole = len(having) == len(opened) and all(
        parents[repository.id][1].tree == snapshot.tree
        and wholeness.is_whole(repository, parents[repository.id][0])
        for repository in having
    )
    return Parent(having[0], snapshot.tree, is_whole, snapshot_id)


def require(opened: Sequence[Opened], parents: Mapping[str, tuple[str, Snapshot]]) -> None:
    """Raises: NoIncrementError where a storage has no backup before to go on from."""
    if not parents:
        raise NoIncrementError("there is no backup before to go on from")
    for each in opened:
        if each.repository.id not in parents:
            raise NoIncrementError(f"storage {each.definition.name} does not hold the backup before")


def option(source: Source, name: str) -> tuple[str, ...]:
    """A source's option that may have several values; none where it has none."""
    value = source.options.get(name)
    if value is None or isinstance(value, bool | int):
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
