"""What a drill leaves: one JSON file in the home, whose digest goes into the audit log with the drill's line.

Written whole to a temporary name first, so that a file of evidence is never half there. It holds no secret: names, versions, figures.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import platform
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

import engine
from engine.audit import Finding
from engine.errors import CatalogError
from engine.jobs import values
from engine.jobs.context import JobContext
from engine.model.backup import Backup
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult

SCHEMA_VERSION = 1


async def write(
    context: JobContext, request: DrillRequest, backup: Backup, result: DrillResult, seed: int
) -> DrillResult:
    """Writes it; gives the result with the file's path and digest. Raises: CatalogError where the home takes no file."""
    data = orjson.dumps(_document(context, request, backup, result, seed), option=orjson.OPT_INDENT_2) + b"\n"
    path = context.home.evidence / f"drill-{result.job_id}.json"
    try:
        await asyncio.to_thread(_write, path, data)
    except OSError as error:
        raise CatalogError(f"the evidence {path} cannot be written: {error.strerror}") from error
    return dataclasses.replace(result, report=str(path), report_sha256=hashlib.sha256(data).hexdigest())


class Claim(NamedTuple):
    """What a line of the audit log says of a file of evidence."""

    sequence: int
    name: str
    digest: str


def findings(folder: Path, claims: Iterable[Claim]) -> list[Finding]:
    """Which files are not what they were when the audit log spoke of them."""
    found = []
    for sequence, name, digest in claims:
        try:
            actual = hashlib.sha256((folder / Path(name).name).read_bytes()).hexdigest()
        except OSError:
            found.append(Finding("deleted", sequence, f"the evidence {name} is not there any more"))
            continue
        if actual != digest:
            found.append(Finding("edited", sequence, f"the evidence {name} was changed since it was written"))
    return found


def _document(
    context: JobContext, request: DrillRequest, backup: Backup, result: DrillResult, seed: int
) -> Mapping[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": result.status,
        "written_at": context.clock.now().isoformat(),
        "drill": values.to_object(result),
        "backup": values.to_object(backup),
        "request": values.to_object(request),
        "seed": seed,
        "operators": list(request.operators),
        "note": request.note,
        "machine": socket.gethostname(),
        "versions": {
            "holdfast": engine.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
        },
    }


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f"{path.name}.partial")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
