"""What a policy makes of the backups that one storage holds: by its snapshots, where they were read, or by the catalog alone.

A forget judges by the snapshots themselves. What stands in the catalog says the same beforehand, without a look at any storage.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine import retention
from engine.format.snapshot import Snapshot
from engine.jobs.snapshot_tags import BACKUP_TAG, SOURCE_TAG, backup_of, scope_of, tag_value
from engine.model.backup import SAFETY_TAG, Backup, BackupStatus, Scope
from engine.model.requests import KeepPolicy
from engine.model.results import Fate
from engine.retention import Candidate

Offset = Callable[[datetime.datetime], datetime.timezone]


@dataclass(frozen=True, slots=True)
class Held:
    """One backup in a storage, as far as retention looks at it."""

    snapshot_id: str
    backup_id: str
    source: str
    scope: Scope
    time: datetime.datetime
    """Aware; its own offset says which day it belongs to."""
    tags: Sequence[str] = ()
    size_bytes: int = 0
    is_whole: bool = True

    @property
    def group(self) -> tuple[str, Scope]:
        """Those that a policy chooses from: a backup of the schema alone takes no place from one of all."""
        return self.source, self.scope


@dataclass(slots=True)
class _Wishes:
    """What people said of one backup."""

    keep: list[str] = field(default_factory=list)
    """Why it is kept, whatever the rules say."""
    expired: str = ""
    """Since when it may go; empty where it may not, or nobody said."""


def of_snapshots(snapshots: Iterable[tuple[str, Snapshot]]) -> list[Held]:
    """Those that holdfast wrote."""
    found = []
    for snapshot_id, snapshot in snapshots:
        source = tag_value(snapshot, SOURCE_TAG)
        if source:
            backup = backup_of(snapshot, ())
            found.append(
                Held(
                    snapshot_id,
                    tag_value(snapshot, BACKUP_TAG),
                    source,
                    scope_of(snapshot),
                    snapshot.time,
                    snapshot.tags,
                    backup.size_bytes,
                    backup.status is BackupStatus.COMPLETED,
                )
            )
    return found


def of_backups(backups: Iterable[Backup], storage: str, offset_of: Offset) -> list[Held]:
    """Those that the storage holds. The catalog does not keep by which clock a snapshot's days are told: it is taken for this machine's."""
    found = []
    for each in backups:
        snapshot_id = next((copy.snapshot_id for copy in each.copies if copy.storage == storage), "")
        if snapshot_id:
            # One that a storage lacks is incomplete for that alone: the snapshots of it are whole.
            is_whole = each.status is BackupStatus.COMPLETED or any(
                not one.snapshot_id for one in each.copies
            )
            time = each.created_at.astimezone(offset_of(each.created_at))
            found.append(
                Held(
                    snapshot_id,
                    each.backup_id,
                    each.source,
                    each.scope,
                    time,
                    each.tags,
                    each.size_bytes,
                    is_whole,
                )
            )
    return found


def judge(
    storage: str,
    everything: Sequence[Held],
    policy: KeepPolicy,
    said: Mapping[str, Backup],
    now: datetime.datetime,
) -> list[Fate]:
    """What becomes of each, by source and newest first. `said` are the backups as the catalog has them: what people want of them."""
    wishes = {name: _wishes(backup, now) for name, backup in said.items()}
    groups: dict[tuple[str, Scope], dict[str, Held]] = {}
    for each in everything:
        groups.setdefault(each.group, {})[each.snapshot_id] = each
    fates: list[Fate] = []
    for _, group in sorted(groups.items()):
        candidates = [_candidate(each, wishes.get(each.backup_id, _Wishes())) for each in group.values()]
        fates += [
            Fate(
                backup_id=group[each.id].backup_id,
                snapshot_id=each.id,
                source=group[each.id].source,
                storage=storage,
                created_at=group[each.id].time,
                is_kept=each.is_kept,
                reasons=each.reasons,
                kept_by=each.kept_by,
            )
            for each in retention.decide(candidates, policy, now)
        ]
    return fates


def _candidate(held: Held, wishes: _Wishes) -> Candidate:
    return Candidate(
        held.snapshot_id,
        held.time,
        held.tags,
        size_bytes=held.size_bytes,
        is_whole=held.is_whole,
        is_safety=SAFETY_TAG in held.tags,
        wishes=wishes.keep,
        expired=wishes.expired,
    )


def _wishes(backup: Backup, now: datetime.datetime) -> _Wishes:
    wishes = _Wishes()
    if backup.is_protected:
        wishes.keep.append("protected")
    if backup.hold_reason:
        wishes.keep.append(f"held: {backup.hold_reason}")
    if backup.expires_at is not None and backup.expires_at > now:
        wishes.keep.append(f"expires {backup.expires_at:%Y-%m-%d %H:%M}")
    elif backup.expires_at is not None:
        wishes.expired = f"expired {backup.expires_at:%Y-%m-%d %H:%M}"
    return wishes
