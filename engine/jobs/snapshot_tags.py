"""What a snapshot's tags say of the backup that it is: enough to rebuild the catalog from a repository alone."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from engine.format.snapshot import Snapshot
from engine.model.backup import Backup, BackupStatus, Copy, Scope, labelled
from engine.model.definitions import LOCAL_HOST
from engine.model.logs import LogPosition
from engine.sources.logs import BasePosition

OWN = "holdfast:"
"""What the tags that holdfast writes begin with."""
BACKUP_TAG = "holdfast:backup="
SOURCE_TAG = "holdfast:source="
KIND_TAG = "holdfast:kind="
SOURCE_KIND_TAG = "holdfast:source-kind="
HOST_TAG = "holdfast:host="
JOB_TAG = "holdfast:job="
STATUS_TAG = "holdfast:status="
BEFORE_TAG = "holdfast:before="
SCOPE_TAG = "holdfast:only="
"""schema, content, roles or configuration; a backup of all has none."""
EXPIRES_TAG = "holdfast:expires="
POSITION_TAG = "holdfast:log-position="
"""IDENTITY/SERIES/NUMBER@INSTANT: the last segment of the source's log that the backup brings itself, and from when on it is consistent."""

_PARTS = frozenset(Scope) - {Scope.ALL}


def tag_value(snapshot: Snapshot, prefix: str) -> str:
    """What follows `prefix` in the first tag that begins so; empty where there is none."""
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), "")


def backup_of(snapshot: Snapshot, copies: Sequence[Copy]) -> Backup:
    """The backup that a snapshot is, as far as its tags and summary tell. Without its job, which another catalog may have had."""
    summary = snapshot.summary or {}
    return Backup(
        backup_id=tag_value(snapshot, BACKUP_TAG),
        source=tag_value(snapshot, SOURCE_TAG),
        host=tag_value(snapshot, HOST_TAG) or LOCAL_HOST,
        kind=tag_value(snapshot, KIND_TAG) or "incremental",
        status=_status(tag_value(snapshot, STATUS_TAG)),
        created_at=snapshot.time,
        completed_at=None,
        size_bytes=_number(summary.get("total_bytes_processed")),
        added_bytes=_number(summary.get("data_added_packed")),
        files_new=_number(summary.get("files_new")),
        files_changed=_number(summary.get("files_changed")),
        files_unmodified=_number(summary.get("files_unmodified")),
        copies=tuple(copies),
        tags=labelled(
            [tag for tag in snapshot.tags if not tag.startswith(OWN)], tag_value(snapshot, BEFORE_TAG)
        ),
        expires_at=_instant(tag_value(snapshot, EXPIRES_TAG)),
        scope=scope_of(snapshot),
    )


def scope_of(snapshot: Snapshot) -> Scope:
    """What it was asked to hold. What no program of ours writes is taken for a part: then nothing relies on it as on a whole."""
    text = tag_value(snapshot, SCOPE_TAG)
    if not text:
        return Scope.ALL
    return Scope(text) if text in _PARTS else Scope.CONFIGURATION


def position_text(base: BasePosition) -> str:
    """What follows POSITION_TAG."""
    place = base.position
    return f"{place.identity}/{place.series}/{place.number}@{base.consistent_at.isoformat()}"


def base_of(snapshot: Snapshot) -> BasePosition | None:
    """Where the log goes on from that backup; None where logs cannot be replayed onto it."""
    place, at, instant = tag_value(snapshot, POSITION_TAG).rpartition("@")
    parts = place.split("/")
    consistent_at = _instant(instant) if at else None
    if consistent_at is None or len(parts) != 3 or not parts[2].isdecimal():
        return None
    return BasePosition(LogPosition(parts[0], parts[1], int(parts[2])), consistent_at)


def _status(text: str) -> BackupStatus:
    """Completed is what carries no tag; what no program of ours writes is taken for the worse."""
    return BackupStatus.INCOMPLETE if text else BackupStatus.COMPLETED


def _number(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _instant(text: str) -> datetime.datetime | None:
    """An aware instant; None for what is none, since a tag is anybody's to write."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
