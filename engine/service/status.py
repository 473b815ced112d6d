"""Status: what is at risk, over all sources and hosts."""

from __future__ import annotations

import datetime

from engine.catalog.backups import BackupFilter
from engine.errors import VaultError
from engine.model import status as judging
from engine.model.backup import SAFETY_TAG, Scope
from engine.model.definitions import LOCAL_HOST, Source
from engine.model.health import Health, HealthFacts, ProofAttempt, health
from engine.model.results import HostReport
from engine.service.parts import Methods, Parts

_LOOKED_AT = 100
"""Backups among which the newest one that did not fail is looked for."""
_UNCOVERED = "uncovered"
"""The setting that holds, by host, what its last test found: a count may be a month old, but a status must not connect anywhere."""


class StatusMethods(Methods):
    """How well everything is looked after."""

    async def source_health(self, name: str) -> Health:
        """How well a source is looked after, part by part. Raises: UnknownNameError."""
        await self._parts.catalog.sources.get(name)
        return (await self._source_facts(name)).health

    async def status(self) -> judging.Status:
        """What is at risk, and why. Connects to nothing."""
        now = self._parts.clock.now()
        concerns: list[judging.Concern] = []
        rows = []
        for source in await self._parts.catalog.sources.all():
            facts = await self._source_facts(source.name)
            concerns += judging.concerns(facts, now)
            rows.append(_row(source, facts))
        found = await self._uncovered()
        concerns += [concern for each in found for concern in judging.of_host(each)]
        concerns += await self._unkept()
        concerns.sort(key=lambda concern: not concern.is_risk)
        return judging.Status(now, concerns, rows, sum(len(each.what) for each in found))

    async def _unkept(self) -> list[judging.Concern]:
        """That what is defined would go with this machine. Nothing where copies are not wanted, or nothing was ever backed up."""
        parts = self._parts
        if not parts.settings.catalog.copies or not await parts.catalog.backups.count():
            return []
        from engine.jobs import catalog_state

        try:
            found = await catalog_state.fingerprint(parts.catalog, parts.vault, parts.home)
        except VaultError:
            return []  # whoever asks for a status may have no key
        if await catalog_state.is_kept(parts.catalog, found):
            return []
        return [
            judging.Concern(
                "catalog",
                False,
                "what was defined last is in no storage's copy of it",
                "holdfast catalog copy",
            )
        ]

    async def _uncovered(self) -> list[judging.Uncovered]:
        """Of those hosts that are still defined."""
        kept = await self._parts.catalog.settings.get(_UNCOVERED) or {}
        names = {host.name for host in await self._parts.catalog.hosts.all()} | {LOCAL_HOST}
        return [
            judging.Uncovered(name, datetime.datetime.fromisoformat(each["at"]), each["what"])
            for name, each in sorted(kept.items())
            if name in names
        ]

    async def _source_facts(self, name: str) -> judging.SourceFacts:
        # A backup of the schema alone keeps nobody's data, and a safety backup what a restore replaced, however new and well proved they are.
        whole = BackupFilter(source=name, scope=Scope.ALL)
        page = await self._parts.catalog.backups.page(whole, limit=_LOOKED_AT)
        backups = [each for each in page if SAFETY_TAG not in each.tags]
        attempts = [
            ProofAttempt(each.proof, each.proven_at, each.is_passed)
            for each in await self._parts.catalog.backups.source_proofs(name)
        ]
        restorable = judging.newest(backups)
        facts = HealthFacts(
            newest_at=restorable.created_at if restorable is not None else None,
            last_status=backups[0].status if backups else None,
            copies=sum(1 for copy in restorable.copies if copy.snapshot_id) if restorable is not None else 0,
            attempts=attempts,
        )
        return judging.SourceFacts(name, backups, attempts, health(facts, self._parts.clock.now()))


async def remember_uncovered(parts: Parts, report: HostReport) -> None:
    """Keeps what a test of a host found that no source takes, for `status`."""
    kept = await parts.catalog.settings.get(_UNCOVERED) or {}
    found = {"at": parts.clock.now().isoformat(), "what": list(report.uncovered)}
    await parts.catalog.settings.put(_UNCOVERED, {**kept, report.name: found})


def _row(source: Source, facts: judging.SourceFacts) -> judging.SourceStatus:
    restorable = judging.newest(facts.backups)
    return judging.SourceStatus(
        source=source.name,
        host=source.host,
        kind=source.kind,
        score=facts.health.score,
        recoverable_to=restorable.created_at if restorable is not None else None,
        last_status=facts.backups[0].status if facts.backups else None,
        proof=restorable.proof if restorable is not None else None,
        proven_at=restorable.proven_at if restorable is not None else None,
        copies=sum(1 for copy in restorable.copies if copy.snapshot_id) if restorable is not None else 0,
    )
