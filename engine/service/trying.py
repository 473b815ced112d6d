"""What is about to be defined, tried before it is: nothing is kept, nothing is written down.

Secrets that a person has typed and that are not sealed yet come in as `typed`, by the REF under which they will be.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from engine.hosts import registry as hosts
from engine.model.command_lines import Definition, adding, editing, line
from engine.model.definitions import LOCAL_HOST, Host, Source, Storage
from engine.model.schedules import PlannedRun, Schedule
from engine.model.secret import Secret
from engine.model.trials import DefinitionText, HostTrial, StorageTrial
from engine.service.definitions import THIS_MACHINE
from engine.service.schedules import ScheduleMethods
from engine.sources import registry as sources

_PATIENCE_S = 20.0
"""So long a host or a storage is asked while a person types."""


class TryingMethods(ScheduleMethods):
    """Definitions that are none yet."""

    def definition_text(
        self, definition: Definition, old: Definition | None = None, *, typed: Sequence[str] = ()
    ) -> DefinitionText:
        """A definition as the command line that would make it, or make it of the old one, and as it stands in the fleet's file.

        The command line asks for the secrets of those REFs in `typed`.
        """
        from engine.fleet import writing

        words = adding(definition, typed) if old is None else editing(old, definition, typed)
        return DefinitionText(line(words), writing.write_one(definition))

    async def try_host(self, host: Host, typed: Mapping[str, Secret] | None = None) -> HostTrial:
        """Logs in, and looks for tools. Raises: HostError, HostKeyUnknownError among them."""
        from engine.hosts import facts as host_facts

        began = self._parts.clock.monotonic()
        async with hosts.open_host(host, resolve_secret=self.resolving(typed)) as opened:
            login_s = self._parts.clock.monotonic() - began
            facts = await opened.facts()
            done = await opened.run(host_facts.VERSIONS)
        versions = host_facts.parse(host.name, done.stdout).tools
        tools = tuple(sorted({**facts.tools, **versions}.items()))
        return HostTrial(host.name, login_s, facts.user, facts.hostname, tools)

    async def try_source(
        self, source: Source, typed: Mapping[str, Secret] | None = None
    ) -> Mapping[str, str]:
        """Proves that it could be read now. Raises: SourceError, HostError, ConfigurationError, UnknownNameError."""
        resolve = self.resolving(typed)
        secrets = await sources.secrets_of(source, resolve)
        host = await self._host_named(source.host)
        async with (
            hosts.open_host(host, resolve_secret=resolve) as opened,
            sources.open_source(source, opened, secrets) as bound,
        ):
            return await bound.check()

    async def try_log(self, source: Source, typed: Mapping[str, Secret] | None = None) -> Sequence[str]:
        """Lines that its server's configuration lacks before its log can be shipped; none where all is well, or it has no log.

        Raises: as `try_source`.
        """
        from engine.sources.logs import LogSource

        resolve = self.resolving(typed)
        secrets = await sources.secrets_of(source, resolve)
        host = await self._host_named(source.host)
        async with (
            hosts.open_host(host, resolve_secret=resolve) as opened,
            sources.open_source(source, opened, secrets) as bound,
        ):
            return await bound.setup() if isinstance(bound, LogSource) and bound.is_logged else ()

    async def try_storage(
        self, storage: Storage, typed: Mapping[str, Secret] | None = None, *, is_writing: bool = False
    ) -> StorageTrial:
        """Reaches it, and looks whether a repository is there. With `is_writing` something small is written and deleted again.

        Raises: StorageError, VaultError, ConfigurationError.
        """
        from engine.jobs import storage_trial
        from engine.jobs.opening import open_storage
        from engine.model.requests import Limits
        from engine.service import repositories

        context = dataclasses.replace(self._parts.context(), secrets=self.resolving(typed))
        async with AsyncExitStack() as stack, asyncio.timeout(_PATIENCE_S):
            opened = await open_storage(context, repositories.watched(storage), Limits(), stack)
            return await storage_trial.trial(storage, opened, self._parts.clock, is_writing=is_writing)

    async def preview_schedule(self, schedule: Schedule, *, count: int = 5) -> Sequence[PlannedRun]:
        """The next runs of a schedule that need not be defined, with what overlaps them. Raises: as `add_schedule`."""
        from engine.jobs import preview, ticking
        from engine.jobs.known import known_of
        from engine.model.schedules import ScheduleStatus
        from engine.schedule import due

        await self._require_sound(schedule)
        now = self._parts.clock.now()
        known = await known_of(self._parts.catalog)
        samples = await ticking.samples_of(self._parts.catalog, schedule, known, now)
        ahead = await preview.look_ahead(self._parts.catalog, now)
        return ahead.runs_of(ScheduleStatus(schedule, due.begin(schedule, now, samples)), count)

    def keep_presets(self) -> Mapping[str, str]:
        """The presets of retention, in words, by name."""
        from engine import retention

        return {name: retention.in_words(policy) for name, policy in retention.PRESETS.items()}

    def machine_timezone(self) -> str:
        """The IANA name of this machine's zone; UTC where it has none."""
        from engine.schedule.zones import machine_zone

        return machine_zone(os.environ)

    async def _host_named(self, name: str) -> Host:
        return THIS_MACHINE if name == LOCAL_HOST else await self._parts.catalog.hosts.get(name)
