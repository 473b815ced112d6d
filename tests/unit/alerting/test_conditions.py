"""What is called wrong with a source, a storage and the home, each with the command that mends it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import pytest

from engine.alerting import conditions, standing
from engine.alerting.conditions import HomeFacts, StorageFacts
from engine.errors import UsageError
from engine.model import objectives
from engine.model.alerts import Alert, AlertSettings, Condition, Occasion, Silence
from engine.model.backup import Backup, BackupStatus, Copy, Proof
from engine.model.health import HealthFacts, ProofAttempt, health
from engine.model.log_watch import LogFacts, OpenGap
from engine.model.logs import LogGap, LogState
from engine.model.status import (
    Absence,
    Concern,
    Expectation,
    FailedJob,
    LastDrill,
    Objectives,
    Paused,
    Silent,
    SourceFacts,
    Uncovered,
    of_host,
)

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR
SETTINGS = AlertSettings()
SHIPPED = Expectation(is_log_shipped=True, log_within_s=3600)
DRILLED = ProofAttempt(Proof.DRILLED, NOW - HOUR, is_passed=True)


def _backup(
    age: datetime.timedelta, size: int = 1 << 30, status: BackupStatus = BackupStatus.COMPLETED
) -> Backup:
    at = NOW - age
    return Backup(
        f"5b{age // HOUR}", "shop", "db1", "full", status, at, at + HOUR, size, 1, 1, 0, 0,
        (Copy("near", "ab" * 32),), proof=Proof.DRILLED, job_id="5job",
    )  # fmt: skip


def _facts(backups: Sequence[Backup] = (), **more: object) -> SourceFacts:
    found = backups or [_backup(2 * HOUR + day * DAY) for day in range(20)]
    facts = SourceFacts("shop", found, [DRILLED], health(HealthFacts(None, None, 0), NOW), "db1")
    return dataclasses.replace(facts, **more)  # type: ignore[arg-type]


def _of(facts: SourceFacts) -> list[tuple[Condition, str]]:
    found = conditions.of_source(facts, NOW, SETTINGS)
    assert all((each.subject, each.host) == ("source shop", "db1") for each in found)
    return [(each.condition, each.reason) for each in found]


def test_a_size_out_of_the_ordinary_is_said_in_numbers() -> None:
    """With a comparison of both as the way on."""
    odd = [_backup(2 * HOUR, 300 << 20), *(_backup(2 * HOUR + day * DAY) for day in range(1, 20))]
    (found,) = conditions.of_source(_facts(odd), NOW, SETTINGS)
    assert found.condition is Condition.SIZE_ANOMALY
    assert found.reason == (
        "the newest backup holds 300 MiB, 71 % less than usual: of late it held about 1.0 GiB, "
        "and 683 MiB to 1.5 GiB would be nothing special"
    )
    assert found.remedy == "holdfast diff 5b26 5b2"


@pytest.mark.parametrize(
    ("facts", "condition", "reason"),
    [
        (_facts(failed_job=FailedJob("5j", NOW, "host db1 does not answer")), Condition.FAILED, "the last backup failed: host db1 does not answer"),
        (_facts(expectation=Expectation(NOW - HOUR)), Condition.OVERDUE, "the newest backup is 2 hours old, and its schedule wanted one since"),
        (_facts(attempts=[dataclasses.replace(DRILLED, at=NOW - 40 * DAY)]), Condition.UNPROVEN, "nothing of it was proved for 40.0 days"),
        (_facts(attempts=[], known_since=NOW - 50 * DAY), Condition.UNPROVEN, "nothing of it was proved for 50.0 days"),
        (_facts(last_drill=LastDrill("5d", 700, 600)), Condition.DRILL_OVER_BUDGET, "the last drill took 11 min 40 s, over its budget of 10 min 00 s"),
        (_facts(objectives=Objectives(duration_s=1800)), Condition.OBJECTIVE_MISSED, "the newest backup took 1 h 00 min, where 30 min 00 s is the objective"),
        (_facts(objectives=Objectives(recovery_point_s=3600)), Condition.OBJECTIVE_MISSED, "2 h 00 min of changes would be lost now, where 1 h 00 min is the objective"),
        (
            _facts(objectives=Objectives(recovery_time_s=60), last_drill=LastDrill("5d", 90, None)),
            Condition.OBJECTIVE_MISSED,
            "the last drill took 1 min 30 s, where 1 min 00 s is the objective",
        ),
        (
            _facts([*(_backup(2 * HOUR + day * DAY) for day in range(6)), *(_backup(6 * DAY + day * DAY, status=BackupStatus.FAILED) for day in range(4))], objectives=Objectives(success_percent=95)),
            Condition.OBJECTIVE_MISSED,
            "60 % of the last 10 backups succeeded, where 95 % is the objective",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_source_is_said(facts: SourceFacts, condition: Condition, reason: str) -> None:
    """Each by itself."""
    assert _of(facts) == [(condition, reason)]


UNPLUGGED = dataclasses.replace(
    _backup(HOUR, status=BackupStatus.INCOMPLETE), copies=(Copy("far", "", BackupStatus.FAILED, "gone"),)
)
REFUSED = FailedJob("5j", NOW - HOUR, "far does not answer", ("near", "far"))


@pytest.mark.parametrize(
    ("facts", "covered_by"),
    [
        (_facts(failed_job=FailedJob("5j", NOW, "no"), silent=Silent(NOW - HOUR)), "host db1"),
        (_facts([_backup(HOUR, status=BackupStatus.FAILED)], silent=Silent(NOW - HOUR)), "host db1"),
        (
            _facts([_backup(HOUR, status=BackupStatus.FAILED), _backup(DAY)], silent=Silent(NOW - DAY)),
            "host db1",
        ),
        (_facts(failed_job=FailedJob("5j", NOW - DAY / 24, "no"), silent=Silent(NOW)), ""),
        (_facts(failed_job=REFUSED), ""),
        (_facts(failed_job=REFUSED, silent=Silent(storages={"far": NOW - HOUR})), "storage far"),
        (_facts(failed_job=REFUSED, silent=Silent(storages={"far": NOW})), ""),
        (_facts(failed_job=REFUSED, silent=Silent(storages={"other": NOW - DAY})), ""),
        (_facts([UNPLUGGED], silent=Silent(storages={"far": NOW - DAY})), "storage far"),
        (_facts([UNPLUGGED], silent=Silent(storages={"far": NOW + HOUR})), ""),
    ],
)
def test_what_follows_from_a_silent_host_or_storage_says_so(facts: SourceFacts, covered_by: str) -> None:
    """Fifty sources on a host that is off are one alert; what failed before that, and for another reason, is its own."""
    found = [
        each.covered_by
        for each in conditions.of_source(facts, NOW, SETTINGS)
        if each.condition in (Condition.FAILED, Condition.COPY_MISSING)
    ]
    assert found == [covered_by]


AWAY = Absence(NOW - 2 * HOUR, NOW - HOUR / 2)
SOON = Expectation(next_at=NOW + DAY)


@pytest.mark.parametrize(
    ("failed_at", "silent", "expectation", "while_"),
    [
        (NOW - HOUR, Silent(host_was=AWAY), SOON, "host db1"),
        (NOW - HOUR, Silent(storages_were={"far": AWAY}), SOON, "storage far"),
        (NOW - HOUR, Silent(storages_were={"other": AWAY}), SOON, ""),
        (NOW - HOUR, Silent(host_was=AWAY), Expectation(), ""),
        (NOW - HOUR, Silent(host_was=AWAY), Expectation(next_at=NOW - 2 * HOUR), ""),
        (NOW - 3 * HOUR, Silent(host_was=AWAY), SOON, ""),
        (NOW, Silent(host_was=AWAY), SOON, ""),
    ],
    ids=[
        "host",
        "storage",
        "another storage",
        "no schedule",
        "its start is late",
        "failed before",
        "failed again",
    ],
)
def test_what_was_missed_while_its_host_was_away_is_no_risk_as_long_as_a_schedule_makes_it_good(
    failed_at: datetime.datetime, silent: Silent, expectation: Expectation, while_: str
) -> None:
    """A host that is well again calls nobody; what nothing makes good does."""
    failed = dataclasses.replace(REFUSED, at=failed_at)
    facts = _facts([_backup(DAY)], failed_job=failed, silent=silent, expectation=expectation)
    (found,) = [
        each for each in conditions.of_source(facts, NOW, SETTINGS) if each.condition is Condition.FAILED
    ]
    said = (
        f"it was missed while {while_} could not be reached, from 2026-11-20 10:00 to 2026-11-20 11:30 UTC; "
        "its next run is at 2026-11-21 12:00 UTC"
    )
    assert (found.is_risk, found.reason) == (
        (False, said) if while_ else (True, "the last backup failed: far does not answer")
    )


def test_a_host_that_cannot_be_reached_is_one_alert_and_ends_no_other() -> None:
    """What stood before it stands on; what follows from it is not raised."""
    host = conditions.HostFacts("db1", NOW - HOUR, NOW, "no route", "is it on?", "5job", waiting=50)
    concern = conditions.of_host(host)
    assert (concern.subject, concern.condition, concern.job_id) == ("host db1", Condition.UNREACHABLE, "5job")
    assert (
        concern.reason
        == "it cannot be reached since 2026-11-20 11:00 UTC, and 50 of its sources wait: no route; is it on?"
    )
    assert conditions.host_from_object("db1", conditions.host_to_object(host)) == dataclasses.replace(
        host, waiting=0
    )
    covered = dataclasses.replace(RISK, covered_by="host db1")
    found = _evaluate(
        standing.Before(), concern, covered, dataclasses.replace(covered, subject="source site")
    )
    assert [each.subject for each in found.raised] == ["host db1"]
    found = _evaluate(standing.Before([_stood()]), concern, covered)
    assert ([each.subject for each in found.raised], found.recovered) == (["host db1"], [])
    assert [each.subject for each in _evaluate(standing.Before(), covered, RISK).raised] == ["source shop"]


def test_a_backup_that_failed_is_not_missed_too() -> None:
    """One night that went wrong is one message; a start that nobody made after it is another."""
    failed = FailedJob("5j", NOW - HOUR, "host db1 does not answer")
    same = _facts(failed_job=failed, expectation=Expectation(NOW - 1.5 * HOUR))
    assert [condition for condition, _ in _of(same)] == [Condition.FAILED]
    later = _facts(failed_job=failed, expectation=Expectation(NOW - 0.5 * HOUR))
    assert [condition for condition, _ in _of(later)] == [Condition.FAILED, Condition.OVERDUE]


def test_what_keeps_to_its_objectives_and_schedule_is_not_mentioned() -> None:
    """One that is retired may be as old as it is."""
    good = Objectives(2 * 3600, 99, 86_400, 60)
    assert (
        _of(
            _facts(
                objectives=good, last_drill=LastDrill("5d", 50, 60), expectation=Expectation(NOW - 3 * HOUR)
            )
        )
        == []
    )
    old = [_backup(90 * DAY + day * DAY) for day in range(20)]
    assert _of(_facts(old, expectation=Expectation(is_retired=True))) == []


@pytest.mark.parametrize(
    ("changes", "condition", "reason"),
    [
        (
            {"error": "connection refused"},
            Condition.UNREACHABLE,
            "it could not be opened: connection refused",
        ),
        (
            {"free_bytes": 5 << 30, "total_bytes": 100 << 30},
            Condition.STORAGE_LOW,
            "only 5 % of it is free (5.0 GiB)",
        ),
        ({"days_until_full": 12.0}, Condition.STORAGE_LOW, "it will be full on 2026-12-02, as it grows now"),
        (
            {"locks": (("root@web, process 7", NOW - 3 * DAY), ("root@db, process 8", NOW - HOUR))},
            Condition.LOCK_HELD,
            "it has been locked for 3.0 days by root@web, process 7",
        ),
        ({"free_bytes": 50 << 30, "total_bytes": 100 << 30, "days_until_full": 400.0}, None, ""),
    ],
)
def test_what_is_wrong_with_a_storage_is_said(
    changes: dict[str, object], condition: Condition | None, reason: str
) -> None:
    """As it was when it was looked at; and it comes back from the catalog as it was."""
    facts = StorageFacts("near", NOW, **changes)  # type: ignore[arg-type]
    found = conditions.of_storage(facts, NOW, SETTINGS)
    assert [(each.condition, each.reason) for each in found] == ([(condition, reason)] if condition else [])
    assert conditions.from_object("near", conditions.to_object(facts)) == facts


@pytest.mark.parametrize(
    ("facts", "subject", "is_risk"),
    [
        (HomeFacts(), None, False),
        (HomeFacts(is_catalog_kept=False), None, False),
        (HomeFacts(is_catalog_kept=False, first_backup_at=NOW), "catalog", False),
        (
            HomeFacts(is_catalog_kept=False, first_backup_at=NOW, catalog_copied_at=NOW - 8 * DAY),
            "catalog",
            True,
        ),
        (HomeFacts(first_backup_at=NOW - 40 * DAY), "recovery kit", False),
        (HomeFacts(first_backup_at=NOW - 40 * DAY, kit_tried_at=NOW - DAY), None, False),
        (HomeFacts(first_backup_at=NOW - 800 * DAY, kit_tried_at=NOW - 400 * DAY), "recovery kit", False),
        (HomeFacts(is_worker_wanted=True), "worker", True),
        (HomeFacts(is_worker_wanted=True, is_worker_alive=True), None, False),
        (HomeFacts(undelivered=[("ops", 2, "500")]), None, False),
        (HomeFacts(undelivered=[("ops", 3, "500")]), "destination ops", True),
    ],
)
def test_what_is_wrong_with_the_home_is_said(facts: HomeFacts, subject: str | None, is_risk: bool) -> None:
    """The catalog, its keys, and whoever is to run things and tell people."""
    found = conditions.of_home(facts, NOW, SETTINGS)
    assert [(each.subject, each.is_risk) for each in found] == ([(subject, is_risk)] if subject else [])
    assert all(each.remedy.startswith("holdfast ") for each in found)


def test_objectives_are_read_and_mistakes_named() -> None:
    """At the moment that they are given."""
    assert objectives.parse(["duration=7200", "success=95", "recovery-point=86400"]) == Objectives(
        7200, 95, 86_400
    )
    with pytest.raises(UsageError, match="no objective 'recovery-pont'") as caught:
        objectives.parse(["recovery-pont=1"])
    assert caught.value.hint == "did you mean recovery-point?"
    for bad in ("success=101", "duration=", "duration=-1", "duration=nan"):
        with pytest.raises(UsageError, match="no such value"):
            objectives.parse([bad])


RISK = Concern("source shop", True, "no room", "holdfast backup shop", Condition.FAILED, "db1")


def _evaluate(
    before: standing.Before, *concerns: Concern, at: datetime.datetime = NOW
) -> standing.Evaluation:
    return standing.evaluate(concerns, before, SETTINGS, at, lambda: "5a")


def _stood(**changes: object) -> Alert:
    alert = Alert(
        "5a",
        Condition.FAILED,
        "source shop",
        True,
        "no room",
        "r",
        NOW - DAY,
        NOW - DAY,
        told_at=NOW - 2 * HOUR,
        host="db1",
    )
    return dataclasses.replace(alert, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "concerns", "keys"),
    [
        (standing.Before(), [RISK], ["alert:5a:raised"]),
        (standing.Before(), [dataclasses.replace(RISK, is_risk=False)], []),
        (standing.Before([_stood()]), [RISK], []),
        (standing.Before([_stood(told_at=NOW - DAY)]), [RISK], [f"alert:5a:still:{(NOW - DAY).isoformat()}"]),
        (standing.Before([_stood(told_at=NOW - DAY, acknowledged_at=NOW)]), [RISK], []),
        (standing.Before([_stood()]), [], ["alert:5a:over"]),
        (standing.Before([_stood(told_at=None)]), [], []),
        (standing.Before([_stood(told_at=None, job_id="5job")]), [], ["alert:5a:over"]),
        (standing.Before([_stood(told_at=None)]), [RISK], ["alert:5a:raised"]),
        (standing.Before(silences=[Silence("5s", "host db*", "", NOW, NOW + HOUR, "x")]), [RISK], []),
        (standing.Before(silences=[Silence("5s", "host db*", "", NOW + HOUR, NOW + DAY, "x")]), [RISK], ["alert:5a:raised"]),
        (standing.Before(silences=[Silence("5s", "*", "overdue", NOW, NOW + HOUR, "x")]), [RISK], ["alert:5a:raised"]),
        (standing.Before(last_told={(Condition.FAILED, "source shop"): NOW - HOUR / 2}), [RISK], []),
        (standing.Before(last_told={(Condition.FAILED, "source shop"): NOW - HOUR}), [RISK], ["alert:5a:raised"]),
        (standing.Before(running={"5job"}), [dataclasses.replace(RISK, job_id="5job")], []),
    ],
    ids=[
        "raised", "advice", "stands", "reminder", "acknowledged", "over", "over untold", "over, its job told", "untold, silence ended", "silenced by host",
        "window to come", "silence of another", "flapping", "quiet is over", "its job still runs",
    ],
)  # fmt: skip
def test_people_are_told_when_there_is_something_to_tell(
    before: standing.Before, concerns: list[Concern], keys: list[str]
) -> None:
    """Once, and again only where it helps."""
    assert [each.key for each in _evaluate(before, *concerns).tellings] == keys


def test_several_findings_of_one_kind_are_one_alert() -> None:
    """Two storages that lack the newest backup of a source."""
    one = Concern("source shop", True, "near lacks it", "r", Condition.COPY_MISSING)
    found = _evaluate(standing.Before(), one, dataclasses.replace(one, reason="far lacks it"))
    assert [each.reason for each in found.raised] == ["near lacks it; far lacks it"]


def test_an_alert_that_stands_unchanged_is_written_down_once_an_hour() -> None:
    """Two thousand of them cost nothing in between."""
    before = standing.Before([_stood(seen_at=NOW - HOUR / 2)])
    assert _evaluate(before, RISK).changed == []
    assert [each.seen_at for each in _evaluate(before, RISK, at=NOW + HOUR / 2).changed] == [NOW + HOUR / 2]


Facts = SourceFacts | StorageFacts | HomeFacts | conditions.HostFacts | Uncovered | None
"""Of anything; None where there is nothing to say of it."""


def _found(facts: Facts) -> list[Concern]:
    match facts:
        case SourceFacts():
            return conditions.of_source(facts, NOW, SETTINGS)
        case StorageFacts():
            return conditions.of_storage(facts, NOW, SETTINGS)
        case HomeFacts():
            return conditions.of_home(facts, NOW, SETTINGS)
        case conditions.HostFacts():
            return [conditions.of_host(facts)]
        case Uncovered():
            return of_host(facts)
    return []


def _status(status: BackupStatus) -> SourceFacts:
    return _facts(
        [_backup(2 * HOUR, status=status), *(_backup(2 * HOUR + day * DAY) for day in range(1, 20))]
    )


def _missed(wanted: Objectives, backups: Sequence[Backup] = (), **more: object) -> SourceFacts:
    return _facts(backups, objectives=wanted, **more)


def _storage(**changes: object) -> StorageFacts:
    return dataclasses.replace(StorageFacts("near", NOW), **changes)  # type: ignore[arg-type]


def _logged(
    expectation: Expectation = SHIPPED, objectives: Objectives | None = None, **changes: object
) -> SourceFacts:
    log = LogFacts(
        LogState("shop", NOW, "1", bytes_per_s=1.0, free_bytes=1 << 40), has_base=True, is_shipped=True
    )
    found = dataclasses.replace(log, **changes)  # type: ignore[arg-type]
    return _facts(expectation=expectation, log=found, objectives=objectives or Objectives())


def _seen(**changes: object) -> SourceFacts:
    """As the last look at its log left it."""
    state = LogState("shop", NOW, "1", bytes_per_s=1.0, free_bytes=1 << 40)
    return _logged(state=dataclasses.replace(state, **changes))  # type: ignore[arg-type]


WELL = _facts()
COPIED = HomeFacts(is_catalog_kept=True, first_backup_at=NOW - DAY)
HALF_FAILED = [
    _backup(2 * HOUR + day * DAY, status=BackupStatus.FAILED if day % 2 else BackupStatus.COMPLETED)
    for day in range(10)
]
FAILED_PROOF = ProofAttempt(Proof.DRILLED, NOW, is_passed=False)
PROVED_LONG_AGO = dataclasses.replace(DRILLED, at=NOW - 40 * DAY)
WITHOUT_COPY = dataclasses.replace(_backup(2 * HOUR), copies=(Copy("far", "", BackupStatus.FAILED),))
TWICE = [_backup(2 * HOUR, 2 << 30), *(_backup(2 * HOUR + day * DAY) for day in range(1, 20))]
FORGOTTEN = Paused("", NOW - 8 * DAY, None, "move")
LIFE: list[tuple[str, Condition, Facts, Facts]] = [
    ("failed", Condition.FAILED, _status(BackupStatus.FAILED), WELL),
    ("failed before it began", Condition.FAILED, _facts(failed_job=FailedJob("5j", NOW, "no")), WELL),
    ("incomplete", Condition.INCOMPLETE, _status(BackupStatus.INCOMPLETE), WELL),
    ("a storage lacks it", Condition.COPY_MISSING, _facts([WITHOUT_COPY]), WELL),
    ("overdue", Condition.OVERDUE, _facts(expectation=Expectation(NOW - HOUR)), WELL),
    ("missing", Condition.OVERDUE, SourceFacts("shop", (), (), WELL.health, "db1"), WELL),
    ("larger", Condition.SIZE_ANOMALY, _facts(TWICE), WELL),
    ("not proved for days", Condition.UNPROVEN, _facts(attempts=[PROVED_LONG_AGO]), WELL),
    ("drill failed", Condition.PROOF_FAILED, _facts(attempts=[DRILLED, FAILED_PROOF]), WELL),
    ("over budget", Condition.DRILL_OVER_BUDGET, _facts(last_drill=LastDrill("5d", 9, 5)), _facts(last_drill=LastDrill("5e", 5, 5))),
    ("takes too long", Condition.OBJECTIVE_MISSED, _missed(Objectives(60)), _missed(Objectives(3600))),
    ("fails too often", Condition.OBJECTIVE_MISSED, _missed(Objectives(success_percent=95), backups=HALF_FAILED), _missed(Objectives(success_percent=95))),
    ("recovery point", Condition.OBJECTIVE_MISSED, _missed(Objectives(recovery_point_s=60)), _missed(Objectives(recovery_point_s=7200))),
    ("recovery time", Condition.OBJECTIVE_MISSED, _missed(Objectives(recovery_time_s=5), last_drill=LastDrill("5d", 9, None)), _missed(Objectives(recovery_time_s=5), last_drill=LastDrill("5e", 5, None))),
    ("left out", Condition.UNCOVERED, Uncovered("db1", NOW, ["a database"]), Uncovered("db1", NOW, [])),
    ("storage low", Condition.STORAGE_LOW, _storage(free_bytes=9, total_bytes=100), _storage(free_bytes=10, total_bytes=100)),
    ("full on a date", Condition.STORAGE_LOW, _storage(days_until_full=29.0), _storage(days_until_full=30.0)),
    ("storage away", Condition.UNREACHABLE, _storage(error="no route"), _storage()),
    ("host away", Condition.UNREACHABLE, conditions.HostFacts("db1", NOW, NOW, "no route", waiting=1), None),
    ("locked", Condition.LOCK_HELD, _storage(locks=(("root@web", NOW - 2 * DAY),)), _storage(locks=(("root@web", NOW),))),
    ("catalog not kept", Condition.CATALOG_COPY_OLD, dataclasses.replace(COPIED, is_catalog_kept=False, catalog_copied_at=NOW - 8 * DAY), COPIED),
    ("no worker", Condition.WORKER_GONE, HomeFacts(is_worker_wanted=True), HomeFacts(is_worker_wanted=True, is_worker_alive=True)),
    ("kit never tried", Condition.KIT_UNTESTED, HomeFacts(first_backup_at=NOW - 40 * DAY), HomeFacts(first_backup_at=NOW - 40 * DAY, kit_tried_at=NOW)),
    ("all paused", Condition.PAUSED_LONG, HomeFacts(pauses=[FORGOTTEN]), HomeFacts(pauses=[dataclasses.replace(FORGOTTEN, until=NOW + DAY)])),
    ("one paused", Condition.PAUSED_LONG, HomeFacts(pauses=[dataclasses.replace(FORGOTTEN, schedule="nightly")]), HomeFacts(pauses=[dataclasses.replace(FORGOTTEN, since=NOW)])),
    ("home full", Condition.HOME_FULL, HomeFacts(unwritable="the disk is full"), HomeFacts()),
    ("a restore left half-way", Condition.RESTORE_LEFT, HomeFacts(left=[conditions.LeftRestore("shop", "7r", "it is aside", "holdfast rollback 7r")]), HomeFacts()),
    ("a gap in its log", Condition.LOG_GAP, _logged(open_gaps=(OpenGap("near", LogGap("1", "a", 3, 4, NOW, NOW)),)), _logged()),
    ("a log without a base", Condition.LOG_GAP, _logged(has_base=False), _logged()),
    ("shipping fails", Condition.LOG_STOPPED, _seen(error="no such folder"), _seen()),
    ("a storage takes no more", Condition.LOG_STOPPED, _seen(unshipped=("storage near: it is full",)), _seen()),
    ("shipping stopped", Condition.LOG_STOPPED, _seen(polled_at=NOW - 2 * HOUR), _seen(polled_at=NOW - HOUR / 2)),
    ("another server", Condition.LOG_OTHER_SERVER, _logged(shipped_identity="2"), _logged()),
    ("its host fills", Condition.LOG_ROOM, _seen(free_bytes=1 << 20), _seen()),
    ("archiving fails", Condition.LOG_WARNED, _seen(warnings=("the archive_command of db1 fails",)), _seen()),
    ("another clock", Condition.LOG_CLOCK, _seen(clock_ahead_s=-90.0), _seen(clock_ahead_s=-4.0)),
    ("nobody ships it", Condition.LOG_UNSCHEDULED, _logged(expectation=Expectation()), _logged()),
    ("long to replay", Condition.LOG_LONG, _logged(replay_bytes=5 << 30), _logged(replay_bytes=3 << 30)),
    ("loses too much", Condition.OBJECTIVE_MISSED, _logged(objectives=Objectives(recovery_point_s=300), recoverable_to=NOW - HOUR), _logged(objectives=Objectives(recovery_point_s=300), recoverable_to=NOW)),
    ("not delivered", Condition.DELIVERY_FAILED, HomeFacts(undelivered=[("ops", 3, "500")]), HomeFacts()),
]  # fmt: skip


ADVICE = (Condition.UNCOVERED, Condition.KIT_UNTESTED, Condition.PAUSED_LONG, Condition.LOG_UNSCHEDULED, Condition.LOG_LONG)  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "wrong", "well"), [each[1:] for each in LIFE], ids=[each[0] for each in LIFE]
)
def test_each_condition_is_raised_and_told_stands_and_is_over(
    condition: Condition, wrong: Facts, well: Facts
) -> None:
    """What nobody hears of is found out on the worst day, and what is never over is soon not read."""
    begun = _evaluate(standing.Before(), *_found(wrong))
    assert [each.condition for each in begun.raised] == [condition]
    is_told = condition not in ADVICE
    assert [each.message.occasion for each in begun.tellings] == [Occasion.ALERT] * is_told
    still = _evaluate(standing.Before(begun.standing), *_found(wrong), at=NOW + HOUR)
    assert (still.raised, still.recovered, still.tellings) == ([], [], [])
    over = _evaluate(standing.Before(still.standing), *_found(well), at=NOW + 2 * HOUR)
    assert [(each.condition, each.recovered_at) for each in over.recovered] == [(condition, NOW + 2 * HOUR)]
    assert (over.standing, [each.message.occasion for each in over.tellings]) == (
        [],
        [Occasion.RECOVERY] * is_told,
    )


def test_no_condition_is_left_out() -> None:
    """A new one comes with what raises and what lifts it."""
    assert {each[1] for each in LIFE} == set(Condition)
