"""What is told to others: figures for a monitoring system, and reports on a period. What makes them is loaded on use."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from engine.errors import UsageError
from engine.model.metrics import Metrics
from engine.model.reports import ComplianceReport, KeptReport, ToldLine, TrendReport
from engine.service.parts import Methods
from engine.service.status import overview

if TYPE_CHECKING:
    from engine.jobs.compliance import Period


class ReportMethods(Methods):
    """Metrics and reports."""

    async def metrics(self, *, is_measuring: bool = False) -> Metrics:
        """Figures of everything at this instant. Connects to nothing, unless `is_measuring`: then each storage is asked what it holds."""
        from engine.jobs import expectations
        from engine.service import measured, metrics

        parts = self._parts
        if is_measuring:
            await measured.ask_all(parts)
        wanted = await expectations.expected(parts.catalog, parts.clock.now())
        status, known = await overview(parts, wanted.sources)
        return await metrics.collect(parts, status, [facts for _, facts in known.sources])

    async def compliance(
        self,
        since: datetime.datetime,
        until: datetime.datetime,
        *,
        told: Sequence[ToldLine] = (),
    ) -> ComplianceReport:
        """What was protected from `since` up to `until`, proven when and by whom. `told` is who was told what, besides those whom holdfast told.

        Raises: UsageError where the period ends before it begins.
        """
        from engine.jobs import report

        return await report.of_compliance(self._parts.context(), _period(since, until), told)

    async def trends(
        self,
        since: datetime.datetime,
        until: datetime.datetime,
        *,
        by: Literal["day", "week"] | None = None,
        source: str = "",
    ) -> TrendReport:
        """How durations, throughput, sizes and recovery times developed, by day or week: as fits the period where none is said.

        Raises: UsageError; UnknownNameError.
        """
        from engine.jobs import trends

        if source:
            await self._parts.catalog.sources.get(source)
        period = _period(since, until)
        return await trends.compile_report(
            self._parts.context(), period, by=by or trends.usual_by(period), source=source
        )

    async def write_report(self, report: ComplianceReport | TrendReport, form: str) -> bytes:
        """A report as a file: pdf, csv or json."""
        from engine.export import reports

        return await asyncio.to_thread(reports.render, report, form)

    async def keep_report(self, report: ComplianceReport | TrendReport) -> tuple[KeptReport, ...]:
        """Keeps a report as evidence, JSON and PDF: signed, in the home, its digests in the audit log. Raises: CatalogError, VaultError."""
        from engine.jobs import report_keeping

        kept, claim = await report_keeping.keep(self._parts.context(), report)
        await self._parts.write_down("report", kept[0].name, detail="kept" + claim)
        return kept


def _period(since: datetime.datetime, until: datetime.datetime) -> Period:
    from engine.jobs.compliance import Period

    if since >= until:
        raise UsageError(
            "the period ends before it begins", hint="--from says when it begins, --to when it ends"
        )
    return Period(since, until)
