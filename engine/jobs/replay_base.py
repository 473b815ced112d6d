"""The base that an instant is restored from, open: the best one, or where that cannot be read the next one, and what is said of it.

A damaged base, or a storage that is away, ends no restore that an older base or another storage can do.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from engine.errors import HoldfastError, RepositoryError, StorageError
from engine.events import Noted, Warned
from engine.jobs import replay
from engine.jobs.context import JobContext
from engine.jobs.database_backup import DatabaseBackup, open_backup
from engine.jobs.replay import ReplayPlan
from engine.model import instants
from engine.model.requests import RestoreRequest

UNREADABLE = (StorageError, RepositoryError)
"""What is raised where a base or its log cannot be read."""


@dataclass(slots=True)
class Choice:
    """The bases of one restore, from the best one on."""

    context: JobContext
    request: RestoreRequest
    gone: dict[str, set[str]] = field(default_factory=dict)
    """Backups that could not be read, and in which storages."""

    async def open(self, stack: AsyncExitStack) -> tuple[ReplayPlan, DatabaseBackup]:
        """The best one that opens; closed with the stack. Says what it takes. Raises: RestoreError where the target cannot be reached;
        UsageError, StorageError, RepositoryError."""
        while True:
            planned = await self._plan()
            await tell(self.context, planned)
            reach = planned.reach
            backup = await self.context.catalog.backups.get(reach.base.backup_id)
            try:
                opening = open_backup(self.context, backup, reach.storage, self.request.limits)
                return planned, await stack.enter_async_context(opening)
            except UNREADABLE as error:
                await self.pass_over(planned, error)

    async def pass_over(self, planned: ReplayPlan, error: HoldfastError) -> None:
        """Goes on without that one. Raises: the error, where there is no other."""
        base, storage = planned.reach.base, planned.reach.storage
        # The second time it is more than a base.
        is_storage = any(storage in each for each in self.gone.values())
        self.gone.setdefault(base.backup_id, set()).add(storage)
        if is_storage:
            for each in await self.context.catalog.logs.bases(planned.source):
                self.gone.setdefault(each.backup_id, set()).add(storage)
        try:
            other = await self._plan()
        except HoldfastError:
            raise error from None
        self.context.emit(
            Warned(
                f"base {base.backup_id} in {storage} cannot be read: {error.message}; base {other.reach.base.backup_id} in {other.reach.storage} is taken in its place"
            )
        )

    async def _plan(self) -> ReplayPlan:
        request = self.request
        return await replay.plan(
            self.context, request.source, replay.target_of(request), request.storage, self.gone
        )


async def tell(context: JobContext, planned: ReplayPlan) -> None:
    """What it takes, before any of it begins."""
    for line in instants.lines(await replay.described(context, planned)):
        context.emit(Noted(line))
