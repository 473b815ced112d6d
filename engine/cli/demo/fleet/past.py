"""A year of the fleet: what its schedules did, what came of it, and which backups are left. Pure: a seed and an instant give the same year each time."""

from __future__ import annotations

import dataclasses
import datetime
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine import retention
from engine.catalog.bulk import Done, Proved
from engine.catalog.schedules import LEAST_RUNS, RECENT, SourcePlace
from engine.cli.demo.fleet import jobs, roster
from engine.cli.demo.fleet.roster import CLOUD, VAULT, Kept
from engine.jobs import scheduled
from engine.jobs.known import Known, chosen
from engine.model import names
from engine.model.backup import Backup, BackupStatus, Copy, Proof, ProofRecord
from engine.model.schedules import Action, RunOutcome, Schedule, ScheduledRun
from engine.schedule import due

YEAR: Final = datetime.timedelta(days=365)
OFF_AGO: Final = datetime.timedelta(days=41)
OFF_FOR: Final = datetime.timedelta(hours=30)
"""This machine was switched off for a day."""
_COPIES_MISSING: Final = datetime.timedelta(days=9)
_FAILED, _INCOMPLETE, _HALF = 1 / 140, 1 / 220, 1 / 260
"""How often a backup fails, leaves something out, misses one storage."""
_UNREACHED: Final = "host {} did not answer within 30 seconds"
_VANISHED: Final = ("/var/vmail/example.org/mira/cur/1700214.M3: vanished while it was read", "/var/vmail/example.org/tom/tmp/7: permission denied")  # fmt: skip
_NO_ROOM: Final = "storage vault: no space left on device"
_HELD: Final = {"orders-db": "the audit of last year", "mailboxes": "case 2217, until the lawyers say so"}
_PROTECTED: Final = ("shop-db", "repositories")


@dataclass(frozen=True, slots=True)
class Past:
    """What there is to be written."""

    done: Sequence[Done]
    """Oldest first."""
    skipped: Sequence[ScheduledRun]


def year(seed: int, now: datetime.datetime, *, is_real: bool) -> Past:
    """The year that ends at `now`; of what is real only where nothing is."""
    made = _Year(seed, now, roster.KEPT if is_real else (*roster.KEPT, *roster.DRAWN))
    done = [each for kept in made.kept for each in made.backups(kept)]
    left = made.left()
    done += made.proofs()
    done += made.upkeep()
    proved = {key: rung for key, rung in made.rungs.items() if key in left}
    whole = [_settled(each, left, proved) for each in done]
    return Past(sorted(whole, key=lambda each: (each.job.created_at, each.job.job_id)), made.skipped)


def _settled(done: Done, left: dict[str, Backup], rungs: dict[str, ProofRecord]) -> Done:
    """With those of its backups that retention left, as they stand now."""
    backups = tuple(_proved(left[each.backup_id], rungs) for each in done.backups if each.backup_id in left)
    proofs = tuple(each._replace(is_forgotten=each.record.backup_id not in left) for each in done.proofs)
    return dataclasses.replace(done, backups=backups, proofs=proofs)


def _proved(backup: Backup, rungs: dict[str, ProofRecord]) -> Backup:
    found = rungs.get(backup.backup_id)
    if found is None:
        return backup
    by = f"{found.verb} {found.job_id}"
    return dataclasses.replace(backup, proof=found.proof, proven_at=found.proven_at, proven_by=by)


def missed(schedule: Schedule, now: datetime.datetime) -> datetime.datetime:
    """The last start of a schedule that lies some hours back, and that nobody took up."""
    plan = due.plan_of(schedule.name, schedule.rhythm, schedule.timing)
    return max(plan.walk(now - datetime.timedelta(days=3), now - datetime.timedelta(hours=3)))


class _Year:
    """The year while it is made: each source has its own dice, so that one that is added changes no other."""

    def __init__(self, seed: int, now: datetime.datetime, kept: Sequence[Kept]) -> None:
        self.now = now
        self.kept = kept
        self.seed = seed
        self.skipped: list[ScheduledRun] = []
        self.rungs: dict[str, ProofRecord] = {}
        """The highest rung that each backup was proved at."""
        self._schedules = {each.name: each for each in roster.schedules()}
        self._instants: dict[str, list[datetime.datetime]] = {}
        self._taken: dict[str, list[Backup]] = {}
        """By source, oldest first; failed ones too."""
        self._known = Known(
            [SourcePlace(each.name, each.kind, each.host) for each in self.kept],
            (CLOUD, VAULT),
            CLOUD,
        )

    def dice(self, name: str) -> random.Random:
        """Those of a source, or of whatever else has some."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311 -- a demo

    def instants(self, schedule: Schedule) -> list[datetime.datetime]:
        """When it ran; when it could not is written down as skipped."""
        if schedule.name not in self._instants:
            self._instants[schedule.name] = self._walk(schedule)
        return self._instants[schedule.name]

    def _walk(self, schedule: Schedule) -> list[datetime.datetime]:
        plan = due.plan_of(schedule.name, schedule.rhythm, schedule.timing)
        until = self.now - datetime.timedelta(minutes=50)
        if schedule.name == roster.LATE:
            until = missed(schedule, self.now) - datetime.timedelta(minutes=1)
        found = []
        for planned in plan.walk(self.now - YEAR, until):
            off = self.now - OFF_AGO
            is_off = off <= planned < off + OFF_FOR
            is_paused = schedule.name == roster.PAUSED and planned > self.now - roster.PAUSED_FOR
            if not is_off and not is_paused:
                found.append(planned)
            else:
                why = "missed: nothing ran at that time" if is_off else f"paused: {roster.PAUSE_REASON}"
                self._skip(schedule, planned, why)
        return found

    def _skip(self, schedule: Schedule, planned: datetime.datetime, why: str) -> None:
        self.skipped.append(ScheduledRun(schedule.name, planned, "", RunOutcome.SKIPPED, why, "", planned))

    def backups(self, kept: Kept) -> Iterator[Done]:
        """All that became of a source."""
        schedule = next((each for each in self._schedules.values() if self._is_of(kept, each)), None)
        if schedule is None or "none" in kept.ends:
            return
        dice, taken = self.dice(kept.name), self._taken.setdefault(kept.name, [])
        planned = self.instants(schedule)
        retires = self.now - datetime.timedelta(days=190)
        for place, at in enumerate(planned):
            if kept.host == roster.RETIRED_HOST and at > retires:
                return
            is_newest = place == len(planned) - 1
            backup, error = self._backup(dice, kept, at, schedule.storages, is_newest=is_newest)
            taken.append(backup)
            yield jobs.backup(dice, schedule, at, kept, backup, error, is_run=self._is_recent(at, planned))

    def _is_of(self, kept: Kept, schedule: Schedule) -> bool:
        return schedule.action is Action.BACKUP and any(
            each.name == kept.name for each in chosen(schedule.sources, self._known)
        )

    def _is_recent(self, at: datetime.datetime, planned: Sequence[datetime.datetime]) -> bool:
        return self.now - at < RECENT or at in planned[-LEAST_RUNS:]

    def _backup(
        self,
        dice: random.Random,
        kept: Kept,
        at: datetime.datetime,
        storages: Sequence[str],
        *,
        is_newest: bool,
    ) -> tuple[Backup, str]:
        """A backup, and why it failed; empty where it did not."""
        share = 1 - (self.now - at) / YEAR
        week = 0.985 if at.weekday() > 4 else 1.0
        size = int(kept.size_bytes * (1 + kept.growth * (share - 1)) * week * dice.gauss(1, 0.004))
        chance, warnings, error = dice.random(), list[str](), ""
        status = BackupStatus.COMPLETED
        if self._is_unreached(kept, at) or (chance < _FAILED and not is_newest):
            status, error = BackupStatus.FAILED, _UNREACHED.format(kept.host)
        elif (is_newest and "incomplete" in kept.ends) or (chance > 1 - _INCOMPLETE and kept.kind == "files"):
            status, warnings = BackupStatus.INCOMPLETE, list(_VANISHED)
        if is_newest and "shrank" in kept.ends:
            size = int(size * 0.38)
        added = int(size * kept.churn * dice.uniform(0.7, 1.4)) if self._taken[kept.name] else size // 2
        copies = self._copies(dice, kept, at, storages)
        if error:
            size, added, copies = 0, 0, ()
        took = datetime.timedelta(
            seconds=4 + (size * 0.12 + added) / kept.rate_bytes_s * dice.uniform(0.9, 1.2)
        )
        if error:
            took = datetime.timedelta(seconds=30.2)
        began = at + datetime.timedelta(seconds=dice.uniform(1, 9))
        changed = int(kept.files * kept.churn * dice.uniform(0.2, 0.5))
        backup = Backup(
            names.new_id(dice.randbytes), kept.name, kept.host, "incremental", status, began, began + took, size, added,
            changed // 4, changed, 0 if error else kept.files - changed, copies, tuple(warnings), (), job_id=names.new_id(dice.randbytes),
        )  # fmt: skip
        return backup, error

    def _is_unreached(self, kept: Kept, at: datetime.datetime) -> bool:
        return kept.host == roster.DOWN_HOST and at > self.now - roster.DOWN_FOR

    def _copies(
        self, dice: random.Random, kept: Kept, at: datetime.datetime, storages: Sequence[str]
    ) -> tuple[Copy, ...]:
        first, second = storages
        is_missing = "copy-missing" in kept.ends and at > self.now - _COPIES_MISSING
        other = Copy(second, dice.randbytes(32).hex())
        if is_missing or dice.random() < _HALF:
            why = _NO_ROOM if is_missing else f"storage {second} did not answer within 60 seconds"
            other = Copy(second, "", BackupStatus.FAILED, why)
        return Copy(first, dice.randbytes(32).hex()), other

    def left(self) -> dict[str, Backup]:
        """Those that the schedules' rules keep, by id; what a person protects and holds is among them."""
        found: dict[str, Backup] = {}
        for kept in self.kept:
            schedule = next((each for each in self._schedules.values() if self._is_of(kept, each)), None)
            if schedule is None:
                continue
            wished = self._wished(kept)
            candidates = [
                retention.Candidate(
                    each.backup_id, each.created_at, (), each.size_bytes, each.status is BackupStatus.COMPLETED,
                    wishes=("a person",) if each.backup_id in wished else (),
                )
                for each in self._taken.get(kept.name, ())
                if each.status is not BackupStatus.FAILED
            ]  # fmt: skip
            policy = scheduled.policy_of(schedule.options)
            keeps = {each.id for each in retention.decide(candidates, policy, self.now) if each.is_kept}
            for each in self._taken.get(kept.name, ()):
                is_recent = self.now - each.created_at < datetime.timedelta(days=30)
                if each.backup_id in keeps or (each.status is BackupStatus.FAILED and is_recent):
                    found[each.backup_id] = wished.get(each.backup_id, each)
        return found

    def _wished(self, kept: Kept) -> dict[str, Backup]:
        """Those of a source that a person keeps, marked so."""
        taken = [each for each in self._taken.get(kept.name, ()) if each.status is BackupStatus.COMPLETED]
        if len(taken) < 100:
            return {}
        found = []
        if reason := _HELD.get(kept.name):
            found.append(dataclasses.replace(taken[-70], hold_reason=reason, tags=("audit",)))
        if kept.name in _PROTECTED:
            found.append(dataclasses.replace(taken[-45], is_protected=True, tags=("before=release 4.2",)))
        return {each.backup_id: each for each in found}

    def proofs(self) -> Iterator[Done]:
        """Drills of each source, and verifications of each storage."""
        for kept in self.kept:
            if kept.drills:
                yield from self._drills(kept, self._schedules[kept.drills])
        for storage in (CLOUD, VAULT):
            yield from self._verifications(storage)

    def _newest(self, source: str, at: datetime.datetime) -> Backup | None:
        """The newest backup of it then, that could be restored."""
        taken = self._taken.get(source, ())
        found = (each for each in reversed(taken) if each.created_at < at)
        return next((each for each in found if each.status is not BackupStatus.FAILED), None)

    def _drills(self, kept: Kept, schedule: Schedule) -> Iterator[Done]:
        dice, planned = self.dice(f"drill {kept.name}"), self.instants(schedule)
        for place, at in enumerate(planned):
            backup = self._newest(kept.name, at)
            if backup is None:
                continue
            is_newest = place == len(planned) - 1
            is_over = is_newest and "over-budget" in kept.ends
            is_passed = not (is_newest and "drill-failed" in kept.ends) and dice.random() > 0.01
            done = jobs.drill(dice, schedule, at, kept, backup, is_passed=is_passed, is_over=is_over)
            yield done
            self._remember(done.proofs)

    def _verifications(self, storage: str) -> Iterator[Done]:
        schedule = self._schedules["verify"]
        dice, planned = self.dice(f"verify {storage}"), self.instants(schedule)
        verified = [each for each in self.kept if each.is_verified]
        for place, at in enumerate(planned):
            slice_ = [each for number, each in enumerate(verified) if (number + place) % 7 == 0]
            newest = [backup for each in slice_ if (backup := self._newest(each.name, at)) is not None]
            held = [
                each
                for each in newest
                if any(copy.storage == storage and copy.snapshot_id for copy in each.copies)
            ]
            done = jobs.verify(dice, schedule, at, storage, held)
            yield done
            self._remember(done.proofs)

    def _remember(self, proofs: Sequence[Proved]) -> None:
        order = list(Proof)
        for _, record, _ in proofs:
            before = self.rungs.get(record.backup_id)
            if record.is_passed and (
                before is None or order.index(before.proof) <= order.index(record.proof)
            ):
                self.rungs[record.backup_id] = record

    def upkeep(self) -> Iterator[Done]:
        """Prunes, and copies of what a storage missed."""
        for storage in (CLOUD, VAULT):
            dice = self.dice(f"prune {storage}")
            for at in self.instants(self._schedules["prune"]):
                yield jobs.prune(dice, self._schedules["prune"], at, storage)
        dice = self.dice("restore")
        for kept in self.kept[:12]:
            backup = self._newest(kept.name, self.now - datetime.timedelta(days=dice.uniform(3, 80)))
            if backup is not None:
                yield jobs.restore(dice, backup)


def used_bytes(storage: str, backups: Sequence[Backup]) -> int:
    """About what a storage holds, packed: the first backup of each source, and what others added."""
    found = 0
    for each in backups:
        if any(copy.storage == storage and copy.snapshot_id for copy in each.copies):
            found += each.added_bytes
    return math.ceil(found * 0.71)
