"""report, as a schedule does it: the days that are over, compiled and kept as evidence."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from engine.jobs import compliance, report_keeping, rhythms, trends
from engine.jobs.compliance import Period
from engine.jobs.context import JobContext
from engine.model.reports import ComplianceReport, ReportResult, ToldLine
from engine.model.requests import ReportRequest


async def run(context: JobContext, request: ReportRequest) -> ReportResult:
    """Compiles and keeps it. Raises: CatalogError, VaultError, DamagedError where the audit log cannot be read."""
    until = context.clock.now()
    period = Period(until - datetime.timedelta(days=request.days), until)
    if request.report == "trends":
        by = trends.usual_by(period)
        kept, claim = await report_keeping.keep(context, await trends.compile_report(context, period, by=by))
    else:
        kept, claim = await report_keeping.keep(context, await of_compliance(context, period))
    return ReportResult(context.job_id, "completed", kept, f"kept{claim}")


async def of_compliance(
    context: JobContext, period: Period, told: Sequence[ToldLine] = ()
) -> ComplianceReport:
    """With whom holdfast told, besides those of `told`, and how often each source is to be taken. Raises: as `run`."""
    sent = await context.catalog.notices.told(period.since, period.until)
    known = await rhythms.known(context.catalog, context.clock.now())
    return await compliance.compile_report(context, period, told=[*told, *sent], rhythms=known)
