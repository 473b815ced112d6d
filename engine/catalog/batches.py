"""Jobs that run one after the other, found by their keys."""

from __future__ import annotations

from typing import Final

from engine.catalog.database import Database, to_object
from engine.model.batches import Batch, Member, key_of
from engine.model.job import JobStatus

_MOST: Final = 99_999
"""Jobs of a batch: its keys have so many digits."""


class Batches:
    """Read alone: a batch is what its jobs are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, batch_id: str) -> Batch:
        """Its jobs in their order; none where there is no such batch (any more)."""
        rows = await self._database.fetch_all(
            "list_batch", first=key_of(batch_id, 0), last=key_of(batch_id, _MOST)
        )
        return Batch(batch_id, tuple(_member(*row) for row in rows))


def _member(job_id: str, verb: str, status: str, about: str, result: str | bytes) -> Member:
    return Member(job_id, verb, about, JobStatus(status), str(to_object(result).get("status", "")))
