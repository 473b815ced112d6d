"""Results of backup jobs as they are stored: without their own id, and without the snapshot ids that the copies of their backups tell.

Such an id is 32 random bytes for each storage, which no packing makes smaller, and would be in the catalog twice. Where a copy moved since, its id
is the one that holds now; of a backup that is gone there is no snapshot either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from engine.model.job import Job

AS_COPIED: Final = "="
"""In place of the job's own id, and of a snapshot's that the copy of the same backup in the same storage has."""
Ids = Mapping[tuple[str, str], str]
"""By backup and storage; empty for a copy that is missing."""


def backups_of(verb: str, result: Mapping[str, Any]) -> list[str]:
    """Ids of the backups that a result tells of."""
    if verb != "backup":
        return []
    return [each["backup_id"] for each in result.get("backups", ()) if each.get("storages")]


def shorten(job_id: str, result: Mapping[str, Any], known: Ids) -> dict[str, Any]:
    """The result of that job without its own id, and without what `known` tells as well."""

    def shortened(backup_id: str, copy: Mapping[str, Any]) -> Mapping[str, Any]:
        is_known = copy["snapshot_id"] and known.get((backup_id, copy["storage"])) == copy["snapshot_id"]
        return {**copy, "snapshot_id": AS_COPIED} if is_known else copy

    backups = [
        {**each, "storages": [shortened(each["backup_id"], copy) for copy in each["storages"]]}
        if each.get("storages")
        else each
        for each in result["backups"]
    ]
    own = {"job_id": AS_COPIED} if result.get("job_id") == job_id else {}
    return {**result, **own, "backups": backups}


def fill_own(job: Job) -> Job:
    """The job with its id in its result, where that was left out. The result is changed."""
    if job.result.get("job_id") == AS_COPIED:
        cast("dict[str, Any]", job.result)["job_id"] = job.job_id
    return job


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
