"""What a drill leaves: a JSON file in the home and a page for people, signed, whose digests go into the audit log with the drill's line.

It holds no secret: names, versions, figures.
"""

from __future__ import annotations

import asyncio
import dataclasses
import platform
import socket
from collections.abc import Mapping
from typing import Any

import engine
from engine import signature
from engine.export import drill_page
from engine.export.drill_page import DrillPage
from engine.jobs import evidence_files, values
from engine.jobs.context import JobContext
from engine.model.backup import Backup
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult

KIND = "holdfast-drill"
SCHEMA_VERSION = 1
_OF_THE_FILES = ("report", "report_sha256", "report_pdf", "report_pdf_sha256")
"""Fields of the result that say what became of the very file."""


def name_of(job_id: str) -> str:
    """What the evidence of a drill is called."""
    return f"drill-{job_id}.json"


async def write(
    context: JobContext, request: DrillRequest, backup: Backup, result: DrillResult, seed: int
) -> DrillResult:
    """Writes it; gives the result with the file's path and digest. Raises: CatalogError where the home takes no file; VaultError."""
    now = context.clock.now()
    public = signature.public_key(await evidence_files.signing_key(context))
    document = {
        **_document(request, backup, result, seed),
        "written_at": now.isoformat(),
        "signed_by": signature.fingerprint(public),
    }
    kept = await evidence_files.keep(context, name_of(result.job_id), evidence_files.encode(document))
    page = DrillPage(
        result,
        backup,
        now,
        socket.gethostname(),
        engine.__version__,
        kept.path.name,
        kept.sha256,
        document["signed_by"],
        request.by,
        request.note,
    )
    pdf = await asyncio.to_thread(drill_page.render, page)
    kept_page = await evidence_files.keep(context, kept.path.with_suffix(".pdf").name, pdf)
    return dataclasses.replace(
        result,
        report=str(kept.path),
        report_sha256=kept.sha256,
        report_pdf=str(kept_page.path),
        report_pdf_sha256=kept_page.sha256,
    )


def _document(request: DrillRequest, backup: Backup, result: DrillResult, seed: int) -> Mapping[str, Any]:
    drill = values.to_object(result)
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "verdict": result.status,
        "drill": {name: value for name, value in drill.items() if name not in _OF_THE_FILES},
        "backup": values.to_object(backup),
        "request": values.to_object(request),
        "seed": seed,
        "by": list(request.by),
        "note": request.note,
        "machine": socket.gethostname(),
        "versions": {
            "holdfast": engine.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
        },
    }
