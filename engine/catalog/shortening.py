"""Results of backup jobs as they are stored: without the snapshot ids that the copies of their backups tell.

Such an id is 32 random bytes for each storage, which no packing makes smaller, and would be in the catalog twice. Where a copy moved since, its id
is the one that holds now; of a backup that is gone there is no snapshot either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.model.job import Job

AS_COPIED: Final = "="
"""In place of an id that the copy of the same backup in the same storage has."""
Ids = Mapping[tuple[str, str], str]
"""By backup and storage; empty for a copy that is missing."""


def backups_of(verb: str, result: Mapping[str, Any]) -> list[str]:
    """Ids of the backups that a result tells of."""
    if verb != "backup":
        return []
    return [each["backup_id"] for each in result.get("backups", ()) if each.get("storages")]


def shorten(result: Mapping[str, Any], known: Ids) -> dict[str, Any]:
    """The result without what `known` tells as well."""

    def shortened(backup_id: str, copy: Mapping[str, Any]) -> Mapping[str, Any]:
        is_known = copy["snapshot_id"] and known.get((backup_id, copy["storage"])) == copy["snapshot_id"]
        return {**copy, "snapshot_id": AS_COPIED} if is_known else copy

    backups = [
        {**each, "storages": [shortened(each["backup_id"], copy) for copy in each["storages"]]}
        if each.get("storages")
        else each
        for each in result["backups"]
    ]
    return {**result, "backups": backups}


def shortened_in(jobs: Iterable[Job]) -> list[tuple[str, dict[str, Any]]]:
    """The copies in these jobs' results that lack their ids, each behind the id of its backup."""
    return [
        (backup["backup_id"], copy)
        for job in jobs
        if job.verb == "backup"
        for backup in job.result.get("backups", ())
        for copy in backup.get("storages", ())
        if copy["snapshot_id"] == AS_COPIED
    ]
