"""The kinds of jobs: what a job's row names, so that whichever process takes it up knows what was asked for and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.catalog.catalog import Catalog
from engine.errors import CatalogDamagedError, RefusedError, UsageError
from engine.events import JobProgress
from engine.jobs import values
from engine.model.archives import DownloadResult, ShareResult
from engine.model.erasures import EraseResult
from engine.model.job import Job
from engine.model.plans import PlanRequest, PlanResult
from engine.model.reports import ReportResult
from engine.model.requests import (
    BackupRequest,
    CopyCatalogRequest,
    CopyRequest,
    DeleteRequest,
    DownloadRequest,
    DrillRequest,
    EraseRequest,
    ForgetRequest,
    MoveRequest,
    PruneRequest,
    RecoverRequest,
    ReportRequest,
    RestoreRequest,
    RollbackRequest,
    ShareRequest,
    ShipRequest,
    VerifyRequest,
)
from engine.model.results import (
    BackupResult,
    CopyCatalogResult,
    CopyResult,
    DrillResult,
    ForgetResult,
    MoveResult,
    PruneResult,
    Recovered,
    RestoreResult,
    RollbackResult,
    VerifyResult,
)
from engine.model.shipments import ShipResult


@dataclass(frozen=True, slots=True)
class JobKind:
    """One verb that runs as a job."""

    request: type[Any]
    result: type[Any]
    module: str
    """Of engine.jobs, whose `run(context, request)` does it."""
    is_repeatable: bool = False
    """Whether a second attempt does no more than the first one left undone. What changes a host is begun again by a person alone."""


KINDS: Final[Mapping[str, JobKind]] = {
    "backup": JobKind(BackupRequest, BackupResult, "backup", is_repeatable=True),
    "ship": JobKind(ShipRequest, ShipResult, "ship", is_repeatable=True),
    "restore": JobKind(RestoreRequest, RestoreResult, "restore"),
    "rollback": JobKind(RollbackRequest, RollbackResult, "rollback"),
    "plan": JobKind(PlanRequest, PlanResult, "plan"),
    "drill": JobKind(DrillRequest, DrillResult, "drill", is_repeatable=True),
    "verify": JobKind(VerifyRequest, VerifyResult, "verify", is_repeatable=True),
    "forget": JobKind(ForgetRequest, ForgetResult, "forget", is_repeatable=True),
    "delete": JobKind(DeleteRequest, ForgetResult, "delete"),
    "prune": JobKind(PruneRequest, PruneResult, "prune", is_repeatable=True),
    "copy": JobKind(CopyRequest, CopyResult, "copy", is_repeatable=True),
    "storage move": JobKind(MoveRequest, MoveResult, "move", is_repeatable=True),
    "erase": JobKind(EraseRequest, EraseResult, "erase"),
    "download": JobKind(DownloadRequest, DownloadResult, "download", is_repeatable=True),
    "share": JobKind(ShareRequest, ShareResult, "share"),
    "copy_catalog": JobKind(CopyCatalogRequest, CopyCatalogResult, "copy_catalog", is_repeatable=True),
    "recover": JobKind(RecoverRequest, Recovered, "recover", is_repeatable=True),
    "report": JobKind(ReportRequest, ReportResult, "report"),
}
"""By the verb that a job's row has."""

_SECRETS: Final = ("password", "vault_key")
"""Fields of requests that hold a REF."""


def kind_of(verb: str) -> JobKind:
    """Raises: UsageError where there is no such job."""
    if verb not in KINDS:
        raise UsageError(
            f"this holdfast knows no {verb}", hint="another version queued it: restart the worker"
        )
    return KINDS[verb]


def require_detachable(verb: str, request: object) -> None:
    """Raises: RefusedError where a worker has not what the request reads; UsageError where the verb is asked for something else."""
    wanted = kind_of(verb).request
    if not isinstance(request, wanted):
        raise UsageError(f"a {verb} is asked for by a {wanted.__name__}, not by a {type(request).__name__}")
    if isinstance(request, BackupRequest) and request.stdin_filename:
        raise RefusedError(
            "a backup of standard input cannot be handed to a worker", hint="leave --detach out"
        )
    for name in _SECRETS:
        given = str(getattr(request, name, ""))
        if given == "-" or given.startswith("env:"):
            where = "standard input" if given == "-" else "the environment"
            raise RefusedError(
                f"the {name.replace('_', ' ')} is read from {where} of this process, which a worker does not see",
                hint="say vault:NAME, file:PATH or command:CMD, or leave --detach out",
            )


def result_of(job: Job) -> object | None:
    """What the job gave, as the value that the verb gives; None where it gave nothing, or what this version does not understand."""
    if not job.result or job.verb not in KINDS:
        return None
    try:
        result: object = values.from_object(KINDS[job.verb].result, job.result)
    except CatalogDamagedError:
        return None
    return result


def request_again(job: Job) -> object:
    """What the job was asked for, to ask for it again. Raises: RefusedError where it is not over, or where a second time does more than the first
    one left undone; UsageError for what another version queued.
    """
    kind = kind_of(job.verb)
    if not job.status.is_final:
        raise RefusedError(f"job {job.job_id} is not over", hint=f"holdfast job cancel {job.job_id}")
    if not kind.is_repeatable:
        raise RefusedError(
            f"a {job.verb} is not begun again as it was: it changes what it was asked for, once",
            hint="ask for it anew, and see its plan first",
        )
    try:
        request: object = values.from_object(kind.request, job.request)
    except CatalogDamagedError:
        raise UsageError(
            f"another version of holdfast asked for job {job.job_id}", hint="ask for it anew"
        ) from None
    return request


def progress_of(job: Job) -> JobProgress:
    """What the row of a job tells of how far it is; empty where it tells nothing, or another version wrote it."""
    try:
        return values.from_object(JobProgress, job.progress)
    except CatalogDamagedError:
        return JobProgress()


async def require_known(catalog: Catalog, request: object) -> None:
    """Sees that what the request names is there: a mistake is told to whoever makes it. Raises: UnknownNameError, UsageError."""
    match request:
        case RecoverRequest():
            return
        case BackupRequest() | ShipRequest():
            for name in request.sources:
                await catalog.sources.get(name)
        case DrillRequest():
            await catalog.sources.get(request.source)
        case RestoreRequest() if request.source:
            await catalog.sources.get(request.source)
        case PlanRequest():
            await catalog.plans.get(request.plan)
        case RollbackRequest():
            await catalog.jobs.find(request.restore_job)
    for name in _named(request, "storages", "storage", "from_storage", "to_storage"):
        await catalog.storages.get(name)
    for name in _named(request, "backups", "backup"):
        await catalog.backups.find(name)


def _named(request: object, several: str, *one: str) -> list[str]:
    names = [*getattr(request, several, ()), *(getattr(request, each, "") for each in one)]
    return [each for each in names if each]
