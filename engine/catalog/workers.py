"""Workers: which processes claim jobs, each by a lease."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from engine.catalog.database import Database, to_instant
from engine.catalog.jobs import LEASE_S
from engine.process import Liveness, ProcessIdentity


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that claims jobs."""

    owner: str
    """Text of its ProcessIdentity."""
    version: str
    """Of the holdfast that it runs."""
    started_at: datetime.datetime
    lease_until: datetime.datetime
    is_stopping: bool = False
    """Whether it takes no more jobs: it was told to stop."""


class Workers:
    """The workers that the catalog knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, owner: ProcessIdentity, version: str, *, lease_s: float = LEASE_S) -> bool:
        """Says that this worker lives, for `lease_s` seconds from now. Whether it was told to stop."""
        now = self._database.now
        async with self._database.transaction(is_lasting=False) as transaction:
            row = await transaction.fetch_one(
                "renew_worker",
                owner=str(owner),
                version=version,
                now=now,
                lease_until=now + int(lease_s * 1_000_000),
            )
        return bool(row and row[0])

    async def stop(self, owner: str) -> bool:
        """Tells a worker to take no more jobs, and to end when those that it runs are over. False where it knew, or is none."""
        async with self._database.transaction() as transaction:
            return bool(await transaction.execute("stop_worker", owner=owner))

    async def is_stopping(self, owner: ProcessIdentity) -> bool:
        """Whether this worker was told to stop: one read."""
        row = await self._database.fetch_one("is_worker_stopping", owner=str(owner))
        return bool(row and row[0])

    async def remove_idle(self, owner: ProcessIdentity) -> bool:
        """Forgets a worker unless a job waits for one: whoever queues a job and then finds this worker may rely on it. Whether it is gone."""
        async with self._database.transaction(is_lasting=False) as transaction:
            return bool(await transaction.execute("remove_idle_worker", owner=str(owner)))

    async def remove(self, owner: str) -> None:
        """Forgets a worker: it ended, or was found dead. Idempotent."""
        async with self._database.transaction(is_lasting=False) as transaction:
            await transaction.execute("remove_worker", owner=owner)

    async def all(self) -> list[Worker]:
        """All that said they live, whether their leases ran out or not; oldest first."""
        return [
            Worker(owner, version, to_instant(started_at), to_instant(lease_until), bool(is_stopping))
            for owner, version, started_at, lease_until, is_stopping in await self._database.fetch_all(
                "list_workers"
            )
        ]

    async def alive(self) -> list[Worker]:
        """Those whose lease lives, that are not proved dead, and that take jobs. Before a one-shot worker is started, this says whether one is
        needed.
        """
        now = self._database.clock.now()
        return [
            worker
            for worker in await self.all()
            if worker.lease_until > now
            and not worker.is_stopping
            and not _is_dead(ProcessIdentity.parse(worker.owner))
        ]


def _is_dead(identity: ProcessIdentity | None) -> bool:
    return identity is not None and identity.liveness() is Liveness.DEAD
