"""Logs between backups: what they reach, and what a server needs before they can be shipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from engine.errors import UsageError
from engine.model import log_report
from engine.model.instants import ChangeQuery, FoundChanges, InstantPlan, Target
from engine.model.log_keeping import LostInstants
from engine.model.log_report import LogReport
from engine.service.parts import Methods
from engine.sources import registry as sources


class LogMethods(Methods):
    """What is known of logs."""

    async def log_report(self, source: str) -> LogReport:
        """Which instants the source can be brought back to, and what is missing. Asks the catalog alone. Raises: UnknownNameError."""
        from engine.jobs import log_rule

        catalog = self._parts.catalog
        await catalog.sources.get(source)
        found = log_report.report(
            source,
            await catalog.logs.bases(source),
            await catalog.logs.holdings(source),
            await catalog.logs.state(source),
        )
        return dataclasses.replace(found, baseless=await log_rule.sentences(catalog, source))

    async def log_storages(self, source: str) -> tuple[str, ...]:
        """The storages that schedules ship its log to, all of which must have a segment before its host forgets it; none where none says."""
        from engine.jobs import log_release

        return await log_release.demanded(self._parts.catalog, source)

    async def log_schedules(self, source: str) -> Sequence[str]:
        """The names of the schedules that ship its log."""
        from engine.jobs import log_release

        return [each.name for each in await log_release.shipping(self._parts.catalog, source)]

    async def log_reports(self) -> Sequence[LogReport]:
        """Of every source whose log was looked at, by name."""
        catalog = self._parts.catalog
        known = {each.name for each in await catalog.sources.all()}
        return [await self.log_report(name) for name in await catalog.logs.sources() if name in known]

    async def plan_instant(self, source: str, target: Target, *, storage: str = "") -> InstantPlan:
        """What bringing the source back to the target takes; for an instant it asks the catalog alone, for a transaction or a point it reads the log.

        Raises: UnknownNameError; RestoreError where it cannot be reached, with the nearest that can; StorageError, DamagedError.
        """
        from engine.jobs import replay

        context = self._parts.context()
        return await replay.described(context, await replay.plan(context, source, target, storage))

    async def lost_without(self, backups: tuple[str, ...]) -> Sequence[LostInstants]:
        """What sources could no longer be brought back to, were these backups deleted in every storage. Asks the catalog alone.

        Raises: UnknownNameError.
        """
        from engine.jobs import delete

        catalog = self._parts.catalog
        return await delete.unreachable(catalog, [await catalog.backups.find(each) for each in backups])

    async def find_changes(self, query: ChangeQuery) -> FoundChanges:
        """Which transactions dropped or emptied a table, or deleted many of its rows, by the log that is kept; a throwaway server tells the names.

        Raises: UnknownNameError where there is no log, or no base; UsageError where such a log does not tell it; StorageError, DamagedError,
        SourceError, HostError.
        """
        from engine.jobs import log_assistant

        return await log_assistant.run(self._parts.context(), query)

    async def log_setup(self, source: str) -> Sequence[str]:
        """Lines that the server's configuration lacks before its log can be shipped; none where all is well.

        Raises: UnknownNameError; UsageError where sources of that kind have no log; SourceError, HostError.
        """
        from engine.jobs.database_backup import open_on_host
        from engine.sources.logs import LogSource

        found = await self._parts.catalog.sources.get(source)
        sources.require_log(found)
        async with open_on_host(self._parts.context(), found) as (opened, _host):
            if not isinstance(opened, LogSource):
                raise sources.no_log(found)
            return await opened.setup()

    async def without_log(self, source: str) -> str:
        """To what it can be brought back where nothing of its log is shipped, and what to do about it; empty where it is. Raises: UnknownNameError."""
        return sources.without_log(await self._parts.catalog.sources.get(source))

    async def require_log(self, source: str) -> None:
        """Raises: UsageError where sources of that kind have no log, with what to do instead; UnknownNameError."""
        sources.require_log(await self._parts.catalog.sources.get(source))

    async def drop_log(self, source: str) -> str:
        """Has the source's server keep no log for us any more: its replication slot is dropped; what it was kept by, or empty where by nothing.

        What is in storages stays. Raises: UnknownNameError; UsageError where servers of that kind keep none; SourceError, HostError.
        """
        from engine.jobs.database_backup import open_on_host
        from engine.sources.logs import HeldLogSource

        found = await self._parts.catalog.sources.get(source)
        async with open_on_host(self._parts.context(), found) as (opened, _host):
            if not isinstance(opened, HeldLogSource):
                raise UsageError(f"the server of {source} keeps no log for us")
            dropped = await opened.let_go()
        await self._parts.write_down("logs drop", source)
        return dropped
