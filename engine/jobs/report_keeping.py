"""Reports kept as evidence, as drills are: written once, signed, their digests in the audit log."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from engine.export import reports
from engine.export.reports import Report
from engine.jobs import evidence_files
from engine.jobs.context import JobContext
from engine.model.reports import ComplianceReport, KeptReport

_KEPT_AS: Final = ("json", "pdf")


async def keep(context: JobContext, report: Report) -> tuple[tuple[KeptReport, ...], str]:
    """Writes both files; gives them, and what the audit log is to say of them. Raises: CatalogError where the home takes no file; VaultError."""
    kind = "compliance" if isinstance(report, ComplianceReport) else "trends"
    # Two of one day are two.
    stem = f"report-{kind}-{report.since:%Y%m%d}-{report.until:%Y%m%d}-{secrets.token_hex(3)}"
    kept = [
        await evidence_files.keep(
            context, f"{stem}.{form}", await asyncio.to_thread(reports.render, report, form)
        )
        for form in _KEPT_AS
    ]
    named = tuple(KeptReport(each.path.name, str(each.path), each.sha256) for each in kept)
    return named, evidence_files.claim_of(kept)
