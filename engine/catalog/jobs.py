"""Jobs: the queue, and what is known of each execution. A lease says who runs a job; a slot is a place at a host or storage."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from engine.catalog import shortening, turns
from engine.catalog.database import (
    Database,
    Row,
    Transaction,
    Value,
    to_instant,
    to_json,
    to_microseconds,
    to_optional_instant,
    to_optional_microseconds,
    to_text,
)
from engine.catalog.job_rows import job_of, packed
from engine.errors import UnknownNameError, UsageError
from engine.model.job import LOG_KEPT, Job, JobStatus, QueueRule
from engine.model.names import is_id_prefix
from engine.model.status import LastDrill
from engine.process import ProcessIdentity

LEASE_S = 60.0
"""How long a lease lives without being renewed."""
RENEW_S = 15.0
"""How often its holder renews it: three failures in a row do not lose it."""
LOG_LINES = 1_000
"""Lines of log that the catalog keeps of a job, the newest: everything else lies in the log files."""
_LOGS_FORGOTTEN = "logs-forgotten-until"
"""The setting that holds when the newest job was queued whose log was looked at for that."""
_FORGET_EACH, _FORGET_MOST = 3_600_000_000, 5_000
"""Microseconds between two looks, and jobs at one: an older catalog's are forgotten in turns."""
LONGEST_RETRY_S = 3_600
_RETRY_S = 60
_OVERDUE = "its deadline passed before it could begin"
_LONGEST = datetime.timedelta(days=7)
_LATEST = to_microseconds(datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC))

Level = Literal["person", "expert"]


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be."""

    job_id: str
    verb: str
    request: Mapping[str, Any]
    slots: Sequence[str] = ()
    """What it needs a place at: host:NAME, storage:NAME."""
    idempotency_key: str = ""
    owner: str = ""
    """The process that will run it, by its identity; empty for any worker."""
    rule: QueueRule = field(default_factory=QueueRule)


@dataclass(frozen=True, slots=True)
class Queue:
    """What workers have before them."""

    waiting: int
    """Jobs."""
    ready: int
    """Of those the ones that wait for a place only, and for no time."""
    next_at: datetime.datetime | None
    """When the next one is ready, or its deadline passes."""


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """How many jobs may hold a place at once."""

    default: int = 1
    each: Mapping[str, int] = field(default_factory=dict)
    """Slot -> limit, where it is not the default; `KIND:*` is the limit of all slots of a kind that are not named."""
    overall: int = -1
    """Jobs that may run at once for a worker to take another; below 0 for no limit. A job that is claimed by its id waits for none."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log."""

    number: int
    at: datetime.datetime
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    status: JobStatus
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    error_class: str = ""


async def insert(transaction: Transaction, jobs: Sequence[NewJob], now: int) -> dict[str, str]:
    """Queues those of them whose idempotency key no job has. Returns the ids of the jobs that are there already, by key."""
    keys = [each.idempotency_key for each in jobs if each.idempotency_key]
    rows = await transaction.fetch_all("list_jobs_by_key", keys=to_json(keys)) if keys else []
    known: dict[str, str] = {row[0]: row[1] for row in rows}
    fresh = [each for each in jobs if each.idempotency_key not in known]
    await transaction.execute_many(
        "add_job",
        [
            {
                "job_id": each.job_id,
                "verb": each.verb,
                "request": to_json(dict(each.request)),
                "created_at": now,
                "idempotency_key": each.idempotency_key,
                "owner": each.owner,
                "priority": each.rule.priority,
                "not_before": to_optional_microseconds(each.rule.not_before),
                "deadline": to_optional_microseconds(each.rule.deadline),
                "most_attempts": each.rule.most_attempts or 1,
                "retry_s": _RETRY_S if each.rule.retry_s is None else each.rule.retry_s,
            }
            for each in fresh
        ],
    )
    await transaction.execute_many(
        "add_slot", [{"job_id": each.job_id, "resource": slot} for each in fresh for slot in each.slots]
    )
    return known


class Jobs:
    """The jobs that wait, run and ran."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, new: NewJob) -> tuple[Job, bool]:
        """Queues a job. Where a job of the same idempotency key is there, that one is returned, and False: the same key twice is one job.

        Raises: UsageError where the key was used for another verb.
        """
        async with self._database.transaction() as transaction:
            existing = (
                await transaction.fetch_one("get_job_by_key", idempotency_key=new.idempotency_key)
                if new.idempotency_key
                else None
            )
            if existing is None:
                await insert(transaction, [new], self._database.now)
        job_id, verb = existing or (new.job_id, new.verb)
        if verb != new.verb:
            raise UsageError(
                f"the idempotency key {new.idempotency_key!r} was used for {verb} job {job_id}",
                hint="a key stands for one job: choose another",
            )
        return await self.get(job_id), existing is None

    async def claim(
        self, owner: ProcessIdentity, limits: SlotLimits, *, job_id: str = "", lease_s: float = LEASE_S
    ) -> Job | None:
        """Takes the most urgent queued job whose slots are all free (or `job_id`, if it is so), and its slots, in one transaction.

        None where there is none. Of two that are as urgent the older one goes first. A worker, which names no `job_id`, keeps what wants a
        storage for itself alone and everything else there apart, and gives each its turn: see the query.
        """
        now = self._database.now
        lease_until = now + int(lease_s * 1_000_000)
        async with self._database.transaction() as transaction:
            found = await transaction.fetch_one(
                "find_claimable",
                now=now,
                limits=to_json(dict(limits.each)),
                default_limit=limits.default,
                job_id=job_id,
                owner=str(owner),
                overall=limits.overall,
                **turns.SPANS,
            )
            if found is None:
                return None
            await transaction.execute(
                "claim_job", job_id=found[0], owner=str(owner), lease_until=lease_until, now=now
            )
            await transaction.execute("hold_slots", job_id=found[0], lease_until=lease_until)
            await transaction.execute("add_job_notice", job_id=found[0], what="began", now=now)
        return await self.get(found[0])

    async def renew(
        self, job_id: str, owner: ProcessIdentity, *, lease_s: float = LEASE_S
    ) -> Literal["held", "cancelled", "lost"]:
        """Renews the lease. `cancelled`: a person asked for its end. `lost`: the job is not ours any more, stop at once."""
        lease_until = self._database.now + int(lease_s * 1_000_000)
        async with self._database.transaction(is_lasting=False) as transaction:
            row = await transaction.fetch_one(
                "renew_job", job_id=job_id, owner=str(owner), lease_until=lease_until
            )
            if row is None:
                return "lost"
            await transaction.execute("hold_slots", job_id=job_id, lease_until=lease_until)
        return "cancelled" if row[0] else "held"

    async def set_progress(self, job_id: str, owner: ProcessIdentity, progress: Mapping[str, Any]) -> bool:
        """Writes how far a running job is; the caller sees to it that this is at most a few times a second. Whether it was asked to end."""
        async with self._database.transaction(is_lasting=False) as transaction:
            row = await transaction.fetch_one(
                "set_progress", job_id=job_id, owner=str(owner), progress=to_json(dict(progress))
            )
        return bool(row and row[0])

    async def finish(self, job_id: str, owner: ProcessIdentity, outcome: Outcome) -> bool:
        """Ends a job that this process runs, and frees its slots. False where it was not ours (any more): then nothing is changed."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one("verb_and_request", job_id=job_id)
            verb, request = row or ("", "{}")
            result = await _shortened(transaction, verb, job_id, outcome.result)
            is_ours = await transaction.execute(
                "finish_job",
                job_id=job_id,
                owner=str(owner),
                status=outcome.status.value,
                completed_at=self._database.now,
                request=packed(verb, request),
                result=packed(verb, to_json(result)),
                error=to_text(outcome.error),
                error_class=outcome.error_class,
            )
            if is_ours:
                await transaction.execute("free_slots", job_id=job_id)
                await self._tell_end(transaction, job_id)
        return bool(is_ours)

    async def queue(self) -> Queue:
        """What waits for a worker: one read."""
        row = await self._database.fetch_one("queue", now=self._database.now)
        waiting, ready, not_before, deadline = row or (0, 0, None, None)
        return Queue(
            waiting, ready, to_optional_instant(min(filter(None, (not_before, deadline)), default=None))
        )

    async def try_again(
        self, job: Job, outcome: Outcome, *, is_counted: bool = True, is_ours: bool = True
    ) -> bool:
        """Ends an attempt and queues the job for the next one, by its rule. False, and nothing changed, where none is left, where a
        person wanted its end, or where it is not that owner's any more.

        With `is_counted` False the attempt counts as none, and the next may follow at once. `is_ours` says that the owner itself
        asks; else a lease that was renewed since `job` was read says that the owner lives.
        """
        async with self._database.transaction() as transaction:
            is_done = await transaction.execute(
                "requeue_job",
                job_id=job.job_id,
                owner=job.owner,
                lease_until=None if is_ours else to_optional_microseconds(job.lease_until),
                uncounted=int(not is_counted),
                now=self._database.now,
                longest=LONGEST_RETRY_S * 1_000_000,
                error=to_text(outcome.error),
                error_class=outcome.error_class,
            )
            if is_done:
                await transaction.execute("wait_again", job_id=job.job_id)
        return bool(is_done)

    async def interrupt(self, job: Job, reason: str) -> bool:
        """Marks a job that a process ran, or was about to, interrupted, and frees its slots, unless it was renewed or ended since `job` was
        read. Whether it was so.
        """
        async with self._database.transaction() as transaction:
            is_done = await transaction.execute(
                "interrupt_job",
                job_id=job.job_id,
                owner=job.owner,
                lease_until=to_optional_microseconds(job.lease_until),
                completed_at=self._database.now,
                error=to_text(reason),
            )
            if is_done:
                await transaction.execute("free_slots", job_id=job.job_id)
                await self._tell_end(transaction, job.job_id)
        return bool(is_done)

    async def has_overdue(self) -> bool:
        """Whether `end_overdue` has something to do: one read."""
        return bool(await self._database.fetch_one("has_overdue_jobs", now=self._database.now))

    async def end_overdue(self) -> int:
        """Ends the jobs whose deadline passed while they waited; how many."""
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all("end_overdue_jobs", now=self._database.now, reason=_OVERDUE)
            await transaction.execute_many("free_slots", [{"job_id": row[0]} for row in rows])
            for (job_id,) in rows:
                await self._tell_end(transaction, job_id)
        return len(rows)

    async def _tell_end(self, transaction: Transaction, job_id: str) -> None:
        """Into the outbox, with the end itself: whatever happens next, people will be told."""
        await transaction.execute("add_job_notice", job_id=job_id, what="ended", now=self._database.now)

    async def give_up(self, job_id: str, reason: str) -> bool:
        """Ends a job that waits for its next attempt as its last one ended, which people are told of. False where it waits no more: then
        nothing is changed."""
        async with self._database.transaction() as transaction:
            is_done = await transaction.execute(
                "give_up_job", job_id=job_id, completed_at=self._database.now, error=to_text(reason)
            )
            if is_done:
                await transaction.execute("free_slots", job_id=job_id)
                await self._tell_end(transaction, job_id)
        return bool(is_done)

    async def request_cancel(self, job_id: str) -> bool:
        """Ends a queued job at once, and asks a running one to end: its holder sees it at the next renewal. False where it is over already.

        Raises: UnknownNameError.
        """
        async with self._database.transaction() as transaction:
            changed = await transaction.execute(
                "cancel_queued_job", job_id=job_id, completed_at=self._database.now
            )
            if changed:
                await transaction.execute("free_slots", job_id=job_id)
            else:
                changed = await transaction.execute("request_cancel", job_id=job_id)
        if not changed:
            await self.get(job_id)
        return bool(changed)

    async def get(self, job_id: str) -> Job:
        """The job of exactly this id. Raises: UnknownNameError."""
        rows = await self._database.fetch_all("get_job", job_id=job_id)
        if not rows:
            raise UnknownNameError(f"there is no job {job_id}", hint="`holdfast jobs` lists what there is")
        return (await self._to_jobs(rows))[0]

    async def find(self, text: str) -> Job:
        """The job of an id or an unambiguous beginning of one. Raises: UnknownNameError, UsageError."""
        if not is_id_prefix(text):
            raise UsageError(f"{text!r} is no id of a job", hint="`holdfast jobs` lists what there is")
        rows = await self._database.fetch_all("jobs_by_prefix", prefix=text)
        if len(rows) > 1 and rows[0][0] != text:
            raise UsageError(
                f"several jobs begin with {text}: {rows[0][0]}, {rows[1][0]}, …", hint="add more letters"
            )
        return await self.get(rows[0][0] if rows else text)

    async def page(
        self,
        *,
        status: JobStatus | None = None,
        verb: str = "",
        since: datetime.datetime | None = None,
        until: datetime.datetime | None = None,
        limit: int = 100,
        before: Job | None = None,
    ) -> list[Job]:
        """A page of at most `limit` jobs, newest first, from behind `before` on; of those queued at `since` or later, and before `until`.

        A negative limit gives all.
        """
        parameters: dict[str, Value] = {"limit": limit}
        conditions = []
        for name, value, condition in (
            ("status", status.value if status else None, "status = :status"),
            ("verb", verb or None, "verb = :verb"),
            ("since", to_optional_microseconds(since), "created_at >= :since"),
            ("until", to_optional_microseconds(until), "created_at < :until"),
        ):
            if value is not None:
                parameters[name] = value
                conditions.append(condition)
        if before is not None:
            parameters |= {"place": to_microseconds(before.created_at), "place_id": before.job_id}
            conditions.append("(created_at, job_id) < (:place, :place_id)")
        # These say to SQLite that an index of a few will do; the rest is most of all jobs, and is read along the time.
        if status not in (None, JobStatus.COMPLETED):
            conditions.append("status <> 'completed'")
        elif verb not in ("", "backup"):
            conditions.append("verb <> 'backup'")
        where = " WHERE " + " AND ".join(conditions) if conditions else ""
        order = " ORDER BY created_at DESC, job_id DESC LIMIT :limit"
        sql = self._database.query("select_jobs") + where + order
        return await self._to_jobs(await self._database.fetch_sql(sql, parameters))

    async def _to_jobs(self, rows: Sequence[Row]) -> list[Job]:
        """With the snapshot ids that `finish` left to the copies."""
        jobs = [shortening.fill_own(job_of(row)) for row in rows]
        if lacking := shortening.shortened_in(jobs):
            ids = to_json(sorted({backup_id for backup_id, _ in lacking}))
            copies = await self._database.fetch_all("copies_of_backups", backup_ids=ids)
            known = {(row[0], row[1]): row[2] for row in copies}
            for backup_id, copy in lacking:
                copy["snapshot_id"] = known.get((backup_id, copy["storage"]), "")
        return jobs

    async def ended_since(self, since: datetime.datetime, limit: int = 10_000) -> list[Job]:
        """Jobs that ended since then, of those that were begun at most a week before it; newest first."""
        rows = await self._database.fetch_all(
            "list_jobs_ended",
            since=to_microseconds(since),
            begun=to_microseconds(since - _LONGEST),
            limit=limit,
        )
        return await self._to_jobs(rows)

    async def last_drill(self, source: str) -> Job | None:
        """The newest drill of a source that came to an end, whatever its verdict."""
        row = await self._database.fetch_one("last_drill", source=source)
        return None if row is None else await self.get(row[0])

    async def drills(self) -> dict[str, LastDrill]:
        """The newest drill of each source that came to an end."""
        return {
            source: LastDrill(job_id, rto_s or 0.0, budget_s)
            for source, job_id, rto_s, budget_s, _ in await self._database.fetch_all("newest_drills")
        }

    async def kit_tried_at(self) -> datetime.datetime | None:
        """When a drill last did with a recovery kit alone, and passed."""
        row = await self._database.fetch_one("last_kit_drill")
        return None if row is None else to_optional_instant(row[0])

    async def running(self) -> list[Job]:
        """All jobs that some process says it runs. Whoever judges them looks at the lease *and* at the owner's liveness."""
        return await self.page(status=JobStatus.RUNNING, limit=-1)

    async def retried(self) -> set[str]:
        """Ids of jobs of which an attempt failed and another one follows: they have not failed yet."""
        return {row[0] for row in await self._database.fetch_all("list_retried_jobs")}

    async def held(self) -> list[Job]:
        """All jobs that are some process's: those that it runs, and those that wait for it alone."""
        return [await self.get(row[0]) for row in await self._database.fetch_all("list_held_jobs")]

    async def find_lapsed(self) -> list[Job]:
        """Running jobs whose lease ran out. That alone proves nothing: see `ProcessIdentity.liveness`."""
        now = self._database.clock.now()
        return [job for job in await self.running() if job.lease_until is None or job.lease_until <= now]

    async def remove_older(self, before: datetime.datetime) -> int:
        """Forgets jobs that ended before that instant, with their logs; how many."""
        async with self._database.transaction() as transaction:
            return await transaction.execute("remove_old_jobs", before=to_microseconds(before))

    async def add_log(self, job_id: str, level: Level, message: str) -> None:
        """Adds a line to a job's log, and drops its oldest beyond LOG_LINES."""
        await self.add_log_lines(job_id, [(level, message)])

    async def add_log_lines(self, job_id: str, lines: Sequence[tuple[Level, str]]) -> None:
        """Adds lines to a job's log, the newest LOG_LINES of them, in one transaction; drops the oldest beyond LOG_LINES."""
        if not lines:
            return
        async with self._database.transaction(is_lasting=False) as transaction:
            at, row = self._database.now, None
            for level, message in lines[-LOG_LINES:]:
                row = await transaction.fetch_one(
                    "add_log_line", job_id=job_id, at=at, level=level, message=to_text(message)
                )
            if row and row[0] > LOG_LINES:
                await transaction.execute("trim_log", job_id=job_id, number=row[0] - LOG_LINES)

    async def forget_logs(self, now: datetime.datetime) -> None:
        """Drops the log lines of jobs that completed LOG_KEPT ago, and the keys by which schedules knew them; all others stay."""
        before = to_microseconds(now - LOG_KEPT)
        row = await self._database.fetch_one("get_setting", name=_LOGS_FORGOTTEN)
        since = int(row[0]) if row else 0
        if before - since < _FORGET_EACH:
            return
        async with self._database.transaction(is_lasting=False) as transaction:
            last = await transaction.fetch_one(
                "last_to_forget", since=since, before=before, limit=_FORGET_MOST
            )
            until = before if last is None else min(before, last[0] + 1)
            await transaction.execute("forget_logs", since=since, until=until)
            await transaction.execute("forget_keys", since=since, until=until)
            await transaction.execute("put_setting", name=_LOGS_FORGOTTEN, value=str(until))

    async def log(self, job_id: str, *, after: int = 0, limit: int = LOG_LINES) -> list[LogLine]:
        """Lines of a job's log from behind number `after` on, oldest first."""
        rows = await self._database.fetch_all("list_log", job_id=job_id, after=after, limit=limit)
        return [
            LogLine(number, to_instant(at), cast("Level", level), message)
            for number, at, level, message in rows
        ]


async def _shortened(within: Transaction, verb: str, job: str, result: Mapping[str, Any]) -> dict[str, Any]:
    ids = shortening.backups_of(verb, result)
    if not ids:
        return dict(result)
    rows = await within.fetch_all("copies_of_backups", backup_ids=to_json(ids))
    return shortening.shorten(job, result, {(row[0], row[1]): row[2] for row in rows})
