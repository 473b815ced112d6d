"""Schedules, where each of them is, and what became of its instants; and how busy hosts were when jobs began on them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from engine.catalog import jobs
from engine.catalog.database import (
    Database,
    Row,
    Transaction,
    Value,
    to_instant,
    to_json,
    to_microseconds,
    to_object,
    to_optional_instant,
    to_optional_microseconds,
    to_text,
)
from engine.catalog.jobs import NewJob
from engine.errors import CatalogDamagedError, UnknownNameError, UsageError
from engine.model.job import JobStatus
from engine.model.names import check_name, nearest
from engine.model.schedules import (
    Pause,
    RunOutcome,
    Sample,
    Schedule,
    ScheduledRun,
    ScheduleState,
    ScheduleStatus,
)

if TYPE_CHECKING:
    from engine.model.timetables import RunRecord

KEPT = datetime.timedelta(days=400)
"""What became of instants is known for a year and a month …"""
RECENT = datetime.timedelta(days=90)
LEAST_RUNS = 200
"""… or, of schedules that run more often than that, for so many of its last runs, and at least for so long. The jobs stay."""
LOADS_KEPT = datetime.timedelta(days=60)
LOADS_APART = datetime.timedelta(minutes=15)
"""What was measured that near to another tells nothing new: a host with a hundred jobs an hour keeps no more than four of them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One instant, or a part of it, as it was decided: a skip, or a job to be."""

    run: ScheduledRun
    job: NewJob | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A schedule that was looked at: what was decided, and where it is from now on."""

    before: ScheduleStatus
    state: ScheduleState
    outcomes: Sequence[Outcome] = ()


@dataclass(frozen=True, slots=True)
class JobRun:
    """A run that is open, and where its job is."""

    run: ScheduledRun
    status: JobStatus
    error_class: str
    error: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a run that was open, and what comes after it."""

    run: ScheduledRun
    follow_up: Sequence[Outcome] = ()


@dataclass(frozen=True, slots=True)
class FollowedRun:
    """An instant of a schedule that another one follows, which that one has not decided yet."""

    schedule: str
    """The one that follows."""
    planned_at: datetime.datetime
    is_failed: bool
    is_skipped: bool


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """A source as schedules choose it."""

    name: str
    kind: str
    host: str
    retired: str = ""
    """Why its host is out of service; empty where it is not."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A schedule to be defined, with what past jobs tell of its best time."""

    definition: Schedule
    samples: Sequence[Sample] = ()


class Schedules:
    """The schedules as they are defined, for those who define many things at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Schedule]:
        """All, by name."""
        return [_to_status(row).schedule for row in await self._database.fetch_all("list_schedules")]

    async def put_in(self, transaction: Transaction, judged: Judged) -> None:
        """Adds it, or puts it in place of the one of its name; with other times it counts from now on. Raises: UsageError for a wrong name."""
        from engine.schedule import due  # croniter and time zones

        definition, samples = judged.definition, judged.samples
        row = await transaction.fetch_one("get_schedule", name=definition.name)
        now = self._database.clock.now()
        if row is None:
            check_name("schedule", definition.name)
            await transaction.execute("add_schedule", **_row(definition, due.begin(definition, now, samples)))
            return
        old = _to_status(row)
        is_same = due.times(definition) == due.times(old.schedule)
        state = old.state if is_same else due.begin(definition, now, samples, old.state.pause)
        await transaction.execute("replace_schedule", **_row(definition, state))

    async def remove_in(self, transaction: Transaction, name: str) -> None:
        """Forgets it; what became of its instants stays. Raises: UnknownNameError."""
        if not await transaction.execute("remove_schedule", name=name):
            raise _unknown(name, [])


class Timetable:
    """The schedules with where each of them is, what became of their instants, and how busy hosts were."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[ScheduleStatus]:
        """All, by name."""
        return [_to_status(row) for row in await self._database.fetch_all("list_schedules")]

    async def get(self, name: str) -> ScheduleStatus:
        """The one of that name. Raises: UnknownNameError."""
        row = await self._database.fetch_one("get_schedule", name=name)
        if row is None:
            raise _unknown(name, [each.schedule.name for each in await self.all()])
        return _to_status(row)

    async def add(self, schedule: Schedule, state: ScheduleState) -> None:
        """Adds a schedule. Raises: UsageError where the name is taken or no name."""
        check_name("schedule", schedule.name)
        async with self._database.transaction() as transaction:
            if await transaction.fetch_one("get_schedule", name=schedule.name) is not None:
                raise UsageError(
                    f"there is a schedule named {schedule.name} already",
                    hint=f"`holdfast schedule edit {schedule.name}`",
                )
            await transaction.execute("add_schedule", **_row(schedule, state))

    async def replace(self, schedule: Schedule, state: ScheduleState) -> None:
        """Puts this in place of the schedule of the same name. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            if not await transaction.execute("replace_schedule", **_row(schedule, state)):
                raise _unknown(schedule.name, [])

    async def remove(self, name: str) -> None:
        """Forgets a schedule; what became of its instants stays. Raises: UnknownNameError; UsageError where another one follows it."""
        async with self._database.transaction() as transaction:
            followers = await transaction.fetch_all("list_schedules_after", name=name)
            if followers:
                raise UsageError(
                    f"schedule {followers[0][0]} runs after {name}", hint="remove that one first, or edit it"
                )
            if not await transaction.execute("remove_schedule", name=name):
                known = [row[0] for row in await transaction.fetch_all("list_schedules")]
                raise _unknown(name, known)

    async def set_pause(self, name: str, pause: Pause | None) -> None:
        """Pauses a schedule, or ends its pause. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            if not await transaction.execute("set_schedule_pause", name=name, pause=_pause_text(pause)):
                raise _unknown(name, [row[0] for row in await transaction.fetch_all("list_schedules")])

    async def due(self, now: datetime.datetime, ahead: datetime.datetime, limit: int) -> list[ScheduleStatus]:
        """At most so many that are due, the longest first, among them those that have decided beyond `ahead`."""
        rows = await self._database.fetch_all(
            "list_due_schedules", now=to_microseconds(now), ahead=to_microseconds(ahead), limit=limit
        )
        return [_to_status(row) for row in rows]

    async def states(self, names: Iterable[str]) -> dict[str, ScheduleStatus]:
        """Those of these names that are there."""
        rows = await self._database.fetch_all("list_schedule_states", names=to_json(sorted(set(names))))
        return {row[0]: _to_status(row) for row in rows}

    async def next_at(self) -> datetime.datetime | None:
        """When the next start is due; in the past where one is overdue. None: nothing is planned."""
        row = await self._database.fetch_one("next_schedule")
        return to_optional_instant(row[0]) if row is not None else None

    async def decide(self, decided: Sequence[Decided], now: datetime.datetime) -> list[str]:
        """Writes down what was decided, and queues the jobs of it, in one transaction; ids of the jobs that are new.

        A schedule that another process decided, edited or removed since is left as it is.
        """
        queued: list[str] = []
        async with self._database.transaction() as transaction:
            names = to_json([each.before.schedule.name for each in decided])
            rows = await transaction.fetch_all("list_schedule_states", names=names)
            present = {row[0]: _to_status(row) for row in rows}
            valid = [
                each for each in decided if _is_same(present.get(each.before.schedule.name), each.before)
            ]
            await transaction.execute_many(
                "move_schedule", [_moved(each.before.schedule.name, each.state) for each in valid]
            )
            queued += await _write(transaction, [each for one in valid for each in one.outcomes], now)
            await transaction.execute_many(
                "remove_old_runs",
                [
                    {
                        "schedule": each.before.schedule.name,
                        "before": to_microseconds(now - KEPT),
                        "recent": to_microseconds(now - RECENT),
                        "least": LEAST_RUNS,
                    }
                    for each in valid
                ],
            )
        return queued

    async def record(self, outcomes: Sequence[Outcome], now: datetime.datetime) -> list[str]:
        """Writes down runs that a person asked for, and queues their jobs; ids of those that are new."""
        async with self._database.transaction() as transaction:
            return await _write(transaction, outcomes, now)

    async def settle(self, settled: Sequence[Settled], now: datetime.datetime) -> list[str]:
        """Writes down what became of open runs, and queues what follows, in one transaction; ids of the jobs that are new.

        A run that another process settled since is left as it is.
        """
        queued: list[str] = []
        async with self._database.transaction() as transaction:
            for each in settled:
                is_ours = await transaction.execute(
                    "set_schedule_run",
                    schedule=each.run.schedule,
                    planned_at=to_microseconds(each.run.planned_at),
                    part=each.run.part,
                    outcome=each.run.outcome.value,
                    reason=to_text(each.run.reason),
                    job_id=each.run.job_id,
                )
                if is_ours:
                    queued += await _write(transaction, each.follow_up, now)
        return queued

    async def runs(self, name: str, limit: int = 50) -> list[ScheduledRun]:
        """What became of its newest instants, newest first."""
        rows = await self._database.fetch_all("list_schedule_runs", schedule=name, limit=limit)
        return [_to_run(row) for row in rows]

    async def records(self, name: str, instants: int) -> list[RunRecord]:
        """Its newest instants, part by part, newest first, with the times of their jobs."""
        from engine.model.timetables import RunRecord

        rows = await self._database.fetch_all("list_run_records", schedule=name, instants=instants)
        return [
            RunRecord(_to_run(row[:8]), to_optional_instant(row[8]), to_optional_instant(row[9]))
            for row in rows
        ]

    async def skipped(self, since: datetime.datetime, limit: int) -> list[ScheduledRun]:
        """What was planned since then and did not run, of schedules that are there; newest first."""
        rows = await self._database.fetch_all("list_skipped_runs", since=to_microseconds(since), limit=limit)
        return [_to_run(row) for row in rows]

    async def newest_runs(self) -> dict[str, list[ScheduledRun]]:
        """What became of the newest instant of each schedule, part by part."""
        found: dict[str, list[ScheduledRun]] = {}
        for row in await self._database.fetch_all("newest_schedule_runs"):
            found.setdefault(row[0], []).append(_to_run(row))
        return found

    async def last_ended_runs(self, parts: Iterable[tuple[str, str]]) -> list[ScheduledRun]:
        """Of each of these parts, by schedule and name, the last run that is over."""
        rows = await self._database.fetch_all("last_ended_runs", parts=to_json([*map(list, parts)]))
        return [_to_run(row) for row in rows]

    async def open_runs(self, names: Iterable[str]) -> list[JobRun]:
        """Those of these schedules whose job waits or runs, or is over and not settled."""
        rows = await self._database.fetch_all("list_open_runs", names=to_json(sorted(set(names))))
        return [_to_job_run(row) for row in rows]

    async def ended_runs(self, limit: int) -> list[JobRun]:
        """Open ones whose job is over."""
        return [_to_job_run(row) for row in await self._database.fetch_all("list_ended_runs", limit=limit)]

    async def followed(self, ahead: datetime.datetime, limit: int) -> list[FollowedRun]:
        """What those that follow others have not decided yet, up to `ahead`, oldest first for each of them, and none behind one that
        still runs."""
        rows = await self._database.fetch_all("list_followed_runs", ahead=to_microseconds(ahead), limit=limit)
        return [
            FollowedRun(name, to_instant(at), bool(is_failed), bool(is_skipped))
            for name, at, is_failed, is_skipped in rows
        ]

    async def source_places(self) -> list[SourcePlace]:
        """All sources, as schedules choose them."""
        return [SourcePlace(*row) for row in await self._database.fetch_all("list_source_hosts")]

    async def durations(self, name: str, limit: int = 60) -> list[Sample]:
        """How long its last runs took that ended well, from the first job's begin to the last one's end."""
        rows = await self._database.fetch_all("list_run_durations", schedule=name, limit=limit)
        return [
            Sample(to_instant(begin), "", (end - begin) / 1_000_000)
            for _, begin, end in rows
            if begin is not None
        ]

    async def loads(self, hosts: Iterable[str], since: datetime.datetime) -> list[Sample]:
        """How busy these hosts were when jobs began on them."""
        rows = await self._database.fetch_all(
            "list_host_loads", hosts=to_json(sorted(set(hosts))), since=to_microseconds(since)
        )
        return [Sample(to_instant(at), host, None, load) for host, at, load in rows]

    async def add_load(self, host: str, at: datetime.datetime, load: float) -> None:
        """Writes down how busy a host is, unless that is known of LOADS_APART, and drops what is older than LOADS_KEPT."""
        async with self._database.transaction(is_lasting=False) as transaction:
            await transaction.execute(
                "add_host_load",
                host=host,
                at=to_microseconds(at),
                load=load,
                apart=int(LOADS_APART.total_seconds() * 1_000_000),
            )
            before = to_microseconds(at - LOADS_KEPT)
            await transaction.execute("remove_host_loads", host=host, before=before)


async def _write(transaction: Transaction, outcomes: Sequence[Outcome], now: datetime.datetime) -> list[str]:
    """Rows of instants, and the jobs of those that run; ids of the jobs that are new."""
    new = [each.job for each in outcomes if each.job is not None]
    known = await jobs.insert(transaction, new, to_microseconds(now))
    rows: list[Mapping[str, Value]] = []
    for each in outcomes:
        job_id = known.get(each.job.idempotency_key, each.job.job_id) if each.job is not None else ""
        rows.append(
            {
                "schedule": each.run.schedule,
                "planned_at": to_microseconds(each.run.planned_at),
                "part": each.run.part,
                "outcome": each.run.outcome.value,
                "reason": to_text(each.run.reason),
                "job_id": job_id,
                "decided_at": to_microseconds(now),
                "last_at": to_optional_microseconds(each.run.last_at),
            }
        )
    await transaction.execute_many("add_schedule_run", rows)
    return [each.job_id for each in new if each.idempotency_key not in known]


def _is_same(present: ScheduleStatus | None, before: ScheduleStatus) -> bool:
    if present is None or present.schedule != before.schedule:
        return False
    return present.state == before.state


def _unknown(name: str, known: Sequence[str]) -> UnknownNameError:
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else "`holdfast schedule list` names them all"
    return UnknownNameError(f"there is no schedule named {name}", hint=hint)


def _row(schedule: Schedule, state: ScheduleState) -> Mapping[str, Value]:
    return {
        **_moved(schedule.name, state),
        "definition": msgspec.json.encode(schedule).decode(),
        "after": "" if schedule.is_template else schedule.after,
        "pause": _pause_text(state.pause),
    }


def _moved(name: str, state: ScheduleState) -> Mapping[str, Value]:
    return {
        "name": name,
        "decided_until": to_microseconds(state.decided_until),
        "planned_at": to_optional_microseconds(state.planned_at),
        "next_at": to_optional_microseconds(state.next_at),
        "moved": state.moved,
    }


def _pause_text(pause: Pause | None) -> str:
    return "" if pause is None else msgspec.json.encode(pause).decode()


def _to_status(row: Row) -> ScheduleStatus:
    """Raises: CatalogDamagedError."""
    name, definition, decided_until, planned_at, next_at, moved, pause = row
    try:
        schedule = msgspec.json.decode(definition, type=Schedule)
        paused = msgspec.json.decode(pause, type=Pause) if pause else None
    except msgspec.MsgspecError as error:
        raise CatalogDamagedError(
            f"the catalog holds a schedule {name} that cannot be understood: {error}"
        ) from error
    state = ScheduleState(
        to_instant(decided_until),
        to_optional_instant(planned_at),
        to_optional_instant(next_at),
        moved,
        paused,
    )
    return ScheduleStatus(schedule, state)


def _to_run(row: Row) -> ScheduledRun:
    schedule, planned_at, part, outcome, reason, job_id, decided_at, last_at = row
    return ScheduledRun(
        schedule,
        to_instant(planned_at),
        part,
        RunOutcome(outcome),
        reason,
        job_id,
        to_instant(decided_at),
        to_optional_instant(last_at),
    )


def _to_job_run(row: Row) -> JobRun:
    status, error_class, error, result = row[8:]
    return JobRun(_to_run(row[:8]), JobStatus(status), error_class, error, to_object(result))
