"""Work: every verb that runs as a job, in the foreground or handed to a worker."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar, cast

from engine.audit import Outcome
from engine.errors import HoldfastError, InterruptedJobError, RefusedError, UsageError
from engine.events import Emit, Event, Progress
from engine.jobs import values
from engine.jobs.context import JobContext
from engine.jobs.left_behind import end_dead_jobs
from engine.jobs.runner import Task
from engine.jobs.slots import slots_of
from engine.model import batches
from engine.model.archives import DownloadResult, Share, ShareResult
from engine.model.batches import Batch
from engine.model.definitions import LOCAL_HOST, Storage
from engine.model.erasures import EraseResult
from engine.model.job import Job, QueueRule
from engine.model.names import new_id
from engine.model.plans import Plan, PlanRequest, PlanResult
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
    Limits,
    MoveRequest,
    PruneRequest,
    RecoverRequest,
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
from engine.service.job_kinds import KINDS, kind_of, require_detachable, require_known
from engine.service.parts import Methods
from engine.worker import LINGER_S, Tick, Worker, WorkerOptions

Request = TypeVar("Request")
Result = TypeVar("Result")
Work = Callable[[JobContext, Any], Awaitable[Any]]


class WorkMethods(Methods):
    """Jobs."""

    async def backup(self, request: BackupRequest, *, idempotency_key: str = "") -> BackupResult:
        """Backs up sources. Raises: AlreadyRunningError, HostError, SourceError, StorageError, RepositoryError where nothing could be kept."""
        return await self._run("backup", request, BackupResult, idempotency_key)

    async def ship(self, request: ShipRequest, *, idempotency_key: str = "") -> ShipResult:
        """Brings logs of databases into storages. Raises: AlreadyRunningError, HostError, SourceError, StorageError, RepositoryError where nothing could be shipped."""
        return await self._run("ship", request, ShipResult, idempotency_key)

    async def restore(self, request: RestoreRequest, *, idempotency_key: str = "") -> RestoreResult:
        """Restores a backup's files into a directory, or its databases into a server.

        Raises: PathMissingError, RestoreError, RefusedError, SourceError, HostError, StorageError, RepositoryError.
        """
        return await self._run("restore", request, RestoreResult, idempotency_key)

    async def rollback(self, request: RollbackRequest) -> RollbackResult:
        """Brings back, or removes, what a restore in place put aside. Raises: UsageError where there is nothing; SourceError, HostError."""
        await end_dead_jobs(self._parts.catalog)
        return await self._run("rollback", request, RollbackResult, "")

    async def drill(self, request: DrillRequest, *, idempotency_key: str = "") -> DrillResult:
        """Restores into a scratch target, checks, times, and throws it away. What does not come back well is a result, not an error."""
        return await self._run("drill", request, DrillResult, idempotency_key)

    async def run_plan(self, request: PlanRequest, *, idempotency_key: str = "") -> PlanResult:
        """Runs a recovery plan, or rehearses it: each step a job of its own. What a step could not do is a result, not an error."""
        return await self._run("plan", request, PlanResult, idempotency_key)

    async def add_plan(self, plan: Plan) -> Plan:
        """Writes a plan down. Raises: UsageError where the name is taken or it has no step, UnknownNameError for a source or host."""
        await self._require_plan(plan)
        await self._parts.catalog.plans.add(plan)
        await self._parts.write_down("plan add", plan.name)
        return plan

    async def edit_plan(self, plan: Plan) -> Plan:
        """Puts this in place of the plan of its name. Raises: UnknownNameError, and as `add_plan`."""
        await self._parts.catalog.plans.get(plan.name)
        await self._require_plan(plan)
        await self._parts.catalog.plans.replace(plan)
        await self._parts.write_down("plan edit", plan.name)
        return plan

    async def _require_plan(self, plan: Plan) -> None:
        from engine.jobs import plan as plan_job

        if not plan.steps:
            raise UsageError(f"plan {plan.name} has no step", hint="--step 'SOURCE OPTIONS OF A RESTORE'")
        for step in plan.steps:
            await self._parts.catalog.sources.get(step.source)
            if step.restore.host:
                await self._parts.catalog.hosts.get(step.restore.host)
            if step.restore.target_source:
                await self._parts.catalog.sources.get(step.restore.target_source)
            if step.drill_host not in ("", LOCAL_HOST):
                await self._parts.catalog.hosts.get(step.drill_host)
            plan_job.require_known(step)

    async def plans(self) -> Sequence[Plan]:
        """All recovery plans."""
        return await self._parts.catalog.plans.all()

    async def show_plan(self, name: str) -> Plan:
        """One recovery plan. Raises: UnknownNameError."""
        return await self._parts.catalog.plans.get(name)

    async def remove_plan(self, name: str) -> None:
        """Forgets a recovery plan. Raises: UnknownNameError."""
        await self._parts.catalog.plans.remove(name)
        await self._parts.write_down("plan remove", name)

    async def verify(self, request: VerifyRequest, *, idempotency_key: str = "") -> VerifyResult:
        """Proves what a storage holds. Damage found is a result, not an error."""
        return await self._run("verify", request, VerifyResult, idempotency_key)

    async def forget(self, request: ForgetRequest, *, idempotency_key: str = "") -> ForgetResult:
        """Forgets backups by a policy. Raises: RefusedError where everything would go."""
        return await self._run("forget", request, ForgetResult, idempotency_key)

    async def prune(self, request: PruneRequest, *, idempotency_key: str = "") -> PruneResult:
        """Deletes what no snapshot needs. Raises: RepositoryLockedError, DamagedError: then nothing was deleted."""
        return await self._run("prune", request, PruneResult, idempotency_key)

    async def copy(self, request: CopyRequest, *, idempotency_key: str = "") -> CopyResult:
        """Copies backups between storages."""
        return await self._run("copy", request, CopyResult, idempotency_key)

    async def download(self, request: DownloadRequest, *, idempotency_key: str = "") -> DownloadResult:
        """Packs a backup, or a part of it, into a file of this machine. Raises: UsageError, PathMissingError, DamagedError, StorageError."""
        return await self._run("download", request, DownloadResult, idempotency_key)

    async def share(self, request: ShareRequest, *, idempotency_key: str = "") -> ShareResult:
        """Packs a backup, or a part of it, and puts it where a link leads to it; `share_link` makes the link.

        Raises: RefusedError where the storage hands out none, UsageError, PathMissingError, DamagedError, StorageError.
        """
        return await self._run("share", request, ShareResult, idempotency_key)

    async def share_link(self, storage: str, name: str) -> str:
        """The address of what is shared, valid until it expires; a secret. Raises: UnknownNameError, StorageError."""
        from engine.jobs import share

        return await share.link(self._parts.context(), storage, name)

    async def shares(self, storage: str) -> Sequence[Share]:
        """What a storage shares. Raises: RefusedError, StorageError."""
        from engine.jobs import share

        return await share.shares(self._parts.context(), storage)

    async def unshare(self, storage: str, name: str) -> None:
        """Ends what is shared under that name. Raises: UnknownNameError, StorageError."""
        from engine.jobs import share

        await share.unshare(self._parts.context(), storage, name)
        await self._parts.write_down("unshare", storage, detail=name)

    async def move_storage(self, new: Storage, limits: Limits | None = None) -> MoveResult:
        """Moves the storage of that name, with all that it holds, to where `new` says. The old place is left as it is.

        Raises: UnknownNameError, UsageError, RefusedError, DamagedError, StorageError, RepositoryError: then nothing is switched.
        """
        request = MoveRequest(new.name, new.kind, new.options, new.password, limits or Limits())
        return await self._run("storage move", request, MoveResult, "")

    async def copy_catalog(self, request: CopyCatalogRequest) -> CopyCatalogResult:
        """Seals a copy of the catalog into storages. Raises: UsageError; the first error where none could be written."""
        return await self._run("copy_catalog", request, CopyCatalogResult, "")

    async def erase(self, request: EraseRequest, *, idempotency_key: str = "") -> EraseResult:
        """Erases one path from all backups of a source. Raises: PathMissingError where none holds it; RefusedError where one is held."""
        return await self._run("erase", request, EraseResult, idempotency_key)

    async def delete_backups(self, backups: tuple[str, ...], *, is_dry_run: bool = False) -> ForgetResult:
        """Forgets these backups in every storage, or finds out what only they hold. Raises: RefusedError where one is protected or held: then
        none is deleted."""
        request = await self._named(DeleteRequest(backups, is_dry_run=is_dry_run))
        return await self._run("delete", request, ForgetResult, "")

    async def _named(self, request: DeleteRequest) -> DeleteRequest:
        """The same by whole ids, which mean the same whenever it runs. Raises: as `delete_backups`."""
        from engine.jobs import delete  # brings the repository engine

        try:
            found = await delete.chosen(self._parts.catalog, request)
        except RefusedError as error:
            await self._parts.write_down("delete", ", ".join(request.backups), "refused", error.message)
            raise
        return dataclasses.replace(request, backups=tuple(each.backup_id for each in found))

    async def recover(self, storage: Storage, vault_key: str = "") -> Recovered:
        """Brings a lost catalog back from a storage: from the copy of it that lies there, and from the backups' own snapshots.

        `vault_key` is the REF of the vault's key, as the recovery kit has it; without it no secret comes back. Raises: VaultError.
        """
        request = RecoverRequest(
            storage.name, storage.kind, storage.options, storage.password, vault_key, storage.is_default
        )
        return await self._run("recover", request, Recovered, "")

    async def submit(
        self, verb: str, request: object, *, idempotency_key: str = "", rule: QueueRule | None = None
    ) -> Job:
        """Queues a job of `job_kinds.KINDS` for a worker, and starts one where none lives. `follow_job` tells how far it is, `show_job` what
        came of it, `cancel_job` ends it. What it names by `latest:SOURCE` is looked up when it runs.

        Raises: RefusedError where it reads what only this process has; UsageError; as the verb refuses at once.
        """
        job = await self.enqueue(verb, request, idempotency_key=idempotency_key, rule=rule)
        await self.require_worker()
        return job

    async def submit_in_turn(self, verb: str, requests: Sequence[object]) -> Batch:
        """Queues jobs of which one runs at a time, in this order, whatever becomes of each, and starts a worker where none lives: nobody need
        stay for the next one to begin. `batch` tells how far they are. Raises: as `submit`; those before the one that is refused are queued.
        """
        batch_id = new_id(os.urandom)
        for number, request in enumerate(requests):
            await self.enqueue(
                verb,
                request,
                idempotency_key=batches.key_of(batch_id, number),
                more_slots=(batches.slot_of(batch_id),),
            )
        await self.require_worker()
        return await self._parts.catalog.batches.get(batch_id)

    async def enqueue(
        self,
        verb: str,
        request: object,
        *,
        idempotency_key: str = "",
        rule: QueueRule | None = None,
        more_slots: Sequence[str] = (),
    ) -> Job:
        """Queues a job for whichever worker there will be; what the rule leaves open the settings say. `more_slots`: what it takes a place at
        beside its own. Raises: RefusedError, UsageError.
        """
        require_detachable(verb, request)
        await require_known(self._parts.catalog, request)
        if isinstance(request, DeleteRequest):
            request = await self._named(request)
        settings = self._parts.settings.worker
        rule = rule or QueueRule()
        attempts = (rule.most_attempts or settings.attempts) if KINDS[verb].is_repeatable else 1
        retry_s = settings.retry_s if rule.retry_s is None else rule.retry_s
        rule = dataclasses.replace(rule, most_attempts=attempts, retry_s=retry_s)
        slots = (*await self._slots(request), *more_slots)
        return await self._parts.runner.enqueue(self._task(verb, request, idempotency_key, slots), rule)

    def worker(self, *, is_staying: bool, tick: Tick | None = None, linger_s: float = LINGER_S) -> Worker:
        """A worker on this home, whose `work` runs jobs until it is stopped or, where it does not stay, until there are none for a while."""
        settings = self._parts.settings
        options = WorkerOptions(
            None if is_staying else linger_s, settings.limits.jobs, settings.worker.grace_s
        )
        return Worker(
            self._parts.catalog,
            self._parts.clock,
            self._parts.slot_limits,
            self._run_queued,
            tick=tick if settings.worker.schedules else None,
            options=options,
        )

    async def refresh_reading_copy(self) -> bool:
        """Renews the copy of the catalog for the group that config.toml names; whether there was anything new. Cheap where there is not.

        Raises: ConfigurationError for a group that there is not.
        """
        from engine.jobs import reading_copy

        parts = self._parts
        group = parts.settings.readers.group
        return await reading_copy.refresh_reading_copy(parts.catalog, parts.home, group)

    async def _run_queued(self, job: Job) -> None:
        emit = self._parts.emit
        try:
            result = await self._parts.runner.run_claimed(
                job.job_id, self._queued_task(job), emit, is_unattended=True
            )
        except HoldfastError as error:
            await self._parts.write_down(job.verb, _target(job.request), _outcome_of(error), error.message)
        else:
            detail = _detail(result) or f"job {job.job_id}"
            await self._parts.write_down(job.verb, _target(job.request), detail=detail)

    def _queued_task(self, job: Job) -> Task[Any]:
        """The task that a row means; where it means none, one that says so."""
        try:
            kind = kind_of(job.verb)
            request = values.from_object(kind.request, job.request)
        except HoldfastError as error:
            return Task(job.verb, {}, object, _failing(error))
        limits = getattr(request, "limits", None)
        return Task(
            job.verb,
            request,
            kind.result,
            lambda job_id, emit: self._do(
                job.verb,
                dataclasses.replace(
                    self._parts.context(job_id, emit), attempt=job.attempts, is_unattended=True
                ),
                request,
            ),
            timeout_s=limits.timeout_s if limits is not None else None,
        )

    def _task(self, verb: str, request: object, idempotency_key: str, slots: Sequence[str] = ()) -> Task[Any]:
        limits = getattr(request, "limits", None)
        return Task(
            verb,
            request,
            kind_of(verb).result,
            lambda job_id, emit: self._do(verb, self._parts.context(job_id, emit), request),
            slots=slots,
            idempotency_key=idempotency_key,
            timeout_s=limits.timeout_s if limits is not None else None,
        )

    async def _do(self, verb: str, context: JobContext, request: object) -> Any:
        """A verb's work. A plan's steps come back here, each as a job of its own."""
        from engine.jobs import hooks, host_load

        await host_load.write_down_here(context)
        if not isinstance(request, PlanRequest):
            return await hooks.run_between(context, verb, request, _work(verb))

        async def perform(step: str, asked: object) -> object:
            task = self._task(step, asked, "", await self._slots(asked))
            return await self._job(task, lambda event: _told_of_step(event, context.emit, self._parts.emit))

        from engine.jobs import plan  # brings the repository engine

        return await plan.run(context, request, perform)

    async def _slots(self, request: object) -> Sequence[str]:
        hosts = {each.name: each.host for each in await self._parts.catalog.sources.all()}
        storages = await self._parts.catalog.storages.all()
        default = next((each.name for each in storages if each.is_default), "")
        return slots_of(request, hosts, default, [each.name for each in storages if each.is_enabled])

    async def _run(self, verb: str, request: object, kind: type[Result], idempotency_key: str) -> Result:
        task: Task[Result] = self._task(verb, request, idempotency_key, await self._slots(request))
        assert task.result_type is kind
        return await self._job(task)

    async def _job(self, task: Task[Result], emit: Emit | None = None) -> Result:
        target = _target(values.to_object(task.request))
        try:
            result = await self._parts.runner.run(task, emit or self._parts.emit)
        except HoldfastError as error:
            await self._parts.write_down(task.verb, target, _outcome_of(error), error.message)
            raise
        status = getattr(result, "status", "")
        outcome: Outcome = "incomplete" if status == "incomplete" else "done"
        await self._parts.write_down(task.verb, target, outcome, _detail(result))
        return result


def _work(verb: str) -> Work:
    """The function that does a verb. Its module is loaded on use: it brings the repository engine, which most verbs start faster without."""
    return cast("Work", import_module(f"engine.jobs.{KINDS[verb].module}").run)


def _told_of_step(event: Event, whole: Emit, part: Emit) -> None:
    """How far a step is, whoever follows the whole is told too; its own log has the rest."""
    (whole if isinstance(event, Progress) else part)(event)


def _failing(error: HoldfastError) -> Callable[[str, Emit], Awaitable[Any]]:
    async def fail(_job_id: str, _emit: Emit) -> Any:
        raise error

    return fail


def _target(request: Mapping[str, Any]) -> str:
    for name in (
        "sources",
        "report",
        "backups",
        "backup",
        "restore_job",
        "storage",
        "source",
        "from_storage",
        "plan",
    ):
        value = request.get(name)
        if value:
            return value if isinstance(value, str) else ", ".join(value)
    return ""


def _detail(result: object) -> str:
    """What the audit log says of it besides: of a drill its verdict, and the digest of its evidence; of a report the digests; of a repair what it
    made anew."""
    if isinstance(result, ReportResult):
        return result.claim
    if isinstance(result, VerifyResult):
        damage = f"; {len(result.damaged)} damaged still" if result.damaged else ""
        return f"{len(result.repaired)} repaired{damage}" if result.repaired else ""
    if isinstance(result, EraseResult):
        rewritten = sum(each.snapshots for each in result.storages)
        would = "would be " if result.is_dry_run else ""
        where = ", ".join(each.storage for each in result.storages)
        why = f": {result.reason}" if result.reason else ""
        return f"{result.path} {would}erased from {rewritten} snapshots in {where}{why}"
    if isinstance(result, PlanResult):
        from engine.jobs.plan import claim_of

        return result.status + claim_of(result)
    if not isinstance(result, DrillResult):
        is_dry_run = isinstance(result, ForgetResult) and result.is_dry_run
        return "a dry run: nothing was changed" if is_dry_run else ""
    from engine.jobs.drill_keeping import claims_of

    return result.status + claims_of(result)


def _outcome_of(error: HoldfastError) -> Outcome:
    if isinstance(error, RefusedError):
        return "refused"
    return "cancelled" if isinstance(error, InterruptedJobError) else "failed"
