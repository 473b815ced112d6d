"""Hosts, sources and secrets: defined, tested, listed, removed."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from engine.errors import UsageError
from engine.events import Warned
from engine.hosts import registry as hosts
from engine.hosts.base import OpenHost
from engine.jobs import presence
from engine.model import masking
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source
from engine.model.objectives import objectives_of
from engine.model.results import HostReport
from engine.model.secret import Secret
from engine.model.status import Uncovered
from engine.service.parts import Methods
from engine.sources import registry as sources

MASKED_KINDS = ("postgres", "mariadb", "mysql", "sqlite")
LOG_LACKS = "log_lacks"
"""In what a test of a source found: lines that its server's configuration lacks before its log can be shipped, or why none is."""
THIS_MACHINE = Host(LOCAL_HOST, kind="local")


class DefinitionMethods(Methods):
    """Hosts, sources and secrets."""

    async def add_host(
        self, host: Host, *, accepted_key: str = "", typed: Mapping[str, Secret] | None = None
    ) -> Host:
        """Defines a host. `accepted_key` is a known_hosts line that a person has seen and accepted: kept with the host's options; secrets
        in `typed` are sealed under their REFs, `vault:NAME`.

        Raises: UsageError where the name is taken.
        """
        if accepted_key:
            host = dataclasses.replace(host, options={**host.options, "host_key": (accepted_key,)})
        if host.name == LOCAL_HOST:
            raise UsageError(f"{LOCAL_HOST} is this machine", hint="choose another name")
        async with self.sealing(typed):
            await self._parts.catalog.hosts.add(host)
            await self._parts.write_down("host add", host.name)
        return host

    async def host_key(self, host: Host, typed: Mapping[str, Secret] | None = None) -> tuple[str, str]:
        """The key that the host shows now: fingerprint, and the line for known_hosts. Trusts nothing. Secrets in `typed` are not kept yet."""
        from engine.hosts.ssh.host import fetch_host_key  # asyncssh is loaded for those who need it

        key = await fetch_host_key(host, resolve_secret=self.resolving(typed), environment=os.environ)
        return key.fingerprint, key.line

    async def connect_host(self, host: Host) -> None:
        """Connects to a host that need not be defined, and leaves. Raises: HostError, HostKeyUnknownError among them."""
        async with self._open_host(host):
            pass

    async def hosts(self) -> Sequence[Host]:
        """All hosts, this machine first."""
        return [THIS_MACHINE, *await self._parts.catalog.hosts.all()]

    async def show_host(self, name: str) -> Host:
        """One host. Raises: UnknownNameError."""
        return THIS_MACHINE if name == LOCAL_HOST else await self._parts.catalog.hosts.get(name)

    async def edit_host(
        self,
        name: str,
        address: str,
        options: Mapping[str, OptionValue],
        *,
        typed: Mapping[str, Secret] | None = None,
    ) -> Host:
        """Changes the address where one is given, and those options; None removes one. Raises: UnknownNameError."""
        old = await self._parts.catalog.hosts.get(name)
        new = dataclasses.replace(old, address=address or old.address, options=_merged(old.options, options))
        async with self.sealing(typed):
            await self._parts.catalog.hosts.replace(new)
            await self._parts.write_down("host edit", name)
        return new

    async def retire_host(self, name: str, reason: str) -> Host:
        """Takes a host out of use: nothing of it is backed up any more, or missed; its backups stay, and can be restored.

        Raises: UnknownNameError; UsageError for this machine, or without a reason.
        """
        if name == LOCAL_HOST:
            raise UsageError(
                f"{LOCAL_HOST} is this machine", hint="remove its sources instead: their backups stay"
            )
        if not reason.strip():
            raise UsageError("a host is retired for a reason", hint="say --reason TEXT")
        return await self._set_retired("host retire", name, reason.strip())

    async def unretire_host(self, name: str) -> Host:
        """Takes a retired host into use again. Raises: UnknownNameError."""
        return await self._set_retired("host unretire", name, None)

    async def _set_retired(self, verb: str, name: str, reason: str | None) -> Host:
        old = await self._parts.catalog.hosts.get(name)
        new = dataclasses.replace(old, options=_merged(old.options, {"retired": reason}))
        await self._parts.catalog.hosts.replace(new)
        await self._parts.write_down(verb, name, detail=reason or "")
        return new

    async def remove_host(self, name: str) -> None:
        """Forgets a host. Raises: UnknownNameError; UsageError where a source still names it."""
        await self._parts.catalog.hosts.remove(name)
        await presence.forget_host(self._parts.catalog, name)
        await self._parts.write_down("host remove", name)

    async def test_host(self, name: str) -> HostReport:
        """Connects; says what is there, what could be backed up, and what no source takes. Raises: HostError."""
        host = await self.show_host(name)
        known = [each for each in await self._parts.catalog.sources.all() if each.host == name]
        from engine.jobs import host_report, log_setup, uncovered  # for those who need it

        began = self._parts.clock.monotonic()
        async with self._reaching(host) as opened:
            report = await host_report.report(
                opened, known, lambda: self._parts.clock.monotonic() - began, self._own_folders()
            )
            logs = await log_setup.of_host(opened, known, self._parts.secrets)
        await uncovered.remember(self._parts.catalog, name, report.uncovered, self._parts.clock.now())
        return dataclasses.replace(report, logs=tuple(logs))

    def _own_folders(self) -> Sequence[str]:
        """The home, as it was named and as it is: a host that is reached by SSH may be this machine."""
        home = self._parts.home.directory
        return tuple({str(home), str(home.absolute()), str(home.resolve())})

    async def uncovered(self) -> Sequence[Uncovered]:
        """What the last test of each host found that no source takes; connects to nothing."""
        from engine.jobs import uncovered

        return await uncovered.known(self._parts.catalog)

    async def host_grants(self, name: str) -> str:
        """The least privilege that the host's sources need, ready to paste. Raises: HostError."""
        host = await self.show_host(name)
        known = [each for each in await self._parts.catalog.sources.all() if each.host == name]
        from engine.jobs import host_report  # for those who need it

        async with self._reaching(
            dataclasses.replace(host, options=_merged(host.options, {"as_user": None}))
        ) as opened:
            return await host_report.grants(host, opened, known)

    async def add_source(self, source: Source, *, typed: Mapping[str, Secret] | None = None) -> Source:
        """Defines a source; its options are checked, and secrets in `typed` are sealed under their REFs, `vault:NAME`. Raises: UsageError, UnknownNameError for its host, ConfigurationError."""
        await self._check_options(source)
        async with self.sealing(typed):
            await self._parts.catalog.sources.add(source)
            await self._parts.write_down("source add", source.name)
        return source

    async def sources(self) -> Sequence[Source]:
        """All sources."""
        return await self._parts.catalog.sources.all()

    async def show_source(self, name: str) -> Source:
        """One source. Raises: UnknownNameError."""
        return await self._parts.catalog.sources.get(name)

    async def test_source(self, name: str) -> Mapping[str, str]:
        """Proves that the source can be read now; of one with a log also what its server lacks for that. Raises: SourceError, HostError."""
        source = await self._parts.catalog.sources.get(name)
        secrets = await sources.secrets_of(source, self._parts.secrets)
        async with (
            self._reaching(await self.show_host(source.host)) as host,
            sources.open_source(source, host, secrets) as opened,
        ):
            found = await opened.check()
            from engine.jobs import log_setup

            lacks = await log_setup.lacking(source, opened)
            return (
                found
                if lacks is None
                else {**found, LOG_LACKS: "\n".join((*lacks.lines, *filter(None, (lacks.note,))))}
            )

    async def edit_source(
        self, name: str, options: Mapping[str, OptionValue], *, typed: Mapping[str, Secret] | None = None
    ) -> Source:
        """Changes those options; None removes one. Raises: UnknownNameError, ConfigurationError."""
        old = await self._parts.catalog.sources.get(name)
        new = dataclasses.replace(old, options=_merged(old.options, options))
        await self._check_options(new)
        async with self.sealing(typed):
            await self._parts.catalog.sources.replace(new)
            await self._parts.write_down("source edit", name)
        return new

    async def remove_source(self, name: str) -> None:
        """Forgets a source; its backups stay. Warns of a replication slot by which its server goes on keeping log. Raises: UnknownNameError."""
        slot = (await self._parts.catalog.sources.get(name)).options.get("log_slot")
        await self._parts.catalog.sources.remove(name)
        if slot:
            self._parts.emit(
                Warned(
                    f"the server of {name} keeps its log by the replication slot {slot} until its disk is full: "
                    f"`holdfast logs drop` drops it before a source is removed, and now `select pg_drop_replication_slot('{slot}')` on the server"
                )
            )
        await self._parts.write_down("source remove", name)
        await self.warn_of_schedules(name, "source")

    async def set_secret(self, name: str, secret: Secret) -> None:
        """Seals a secret under a name."""
        await self._parts.vault.set(name, secret)
        await self._parts.write_down("vault set", name)

    async def keep_secret(self, name: str, reference: str) -> None:
        """Seals under a name what a REF stands for now. Raises: as resolving the REF."""
        await self.set_secret(name, await self._parts.secrets(reference))

    async def secrets(self) -> Sequence[tuple[str, datetime.datetime]]:
        """The names of all sealed secrets, and when each was set."""
        return await self._parts.vault.names()

    async def remove_secret(self, name: str) -> None:
        """Forgets a secret. Raises: UnknownNameError."""
        await self._parts.vault.remove(name)
        await self._parts.write_down("vault remove", name)

    async def rotate_vault(self) -> int:
        """Seals all secrets anew under a fresh key; returns how many."""
        count = await self._parts.vault.rotate()
        await self._parts.write_down("vault rotate", str(count))
        return count

    def _open_host(self, host: Host) -> AbstractAsyncContextManager[OpenHost]:
        return hosts.open_host(host, resolve_secret=self._parts.secrets)

    def _reaching(self, host: Host) -> AbstractAsyncContextManager[OpenHost]:
        return presence.reaching(self._parts.catalog, self._parts.clock, host, self._open_host(host))

    async def _check_options(self, source: Source) -> None:
        objectives_of(source)
        if masking.joined(masking.stored(source)) and source.kind not in MASKED_KINDS:
            raise UsageError(f"columns of a source of kind {source.kind} cannot be masked")
        async with self._open_host(THIS_MACHINE) as here, sources.open_source(source, here):
            pass


def _merged(old: Mapping[str, OptionValue], new: Mapping[str, OptionValue]) -> Mapping[str, OptionValue]:
    return {name: value for name, value in {**old, **new}.items() if value is not None}
