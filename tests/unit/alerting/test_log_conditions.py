"""What is said of a source's log: in numbers, with what becomes of its host meanwhile, and once."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from engine.alerting import log_conditions
from engine.model.alerts import Condition
from engine.model.health import HealthFacts, health
from engine.model.log_watch import LogFacts, OpenGap
from engine.model.logs import LogGap, LogState
from engine.model.status import Concern, Expectation, Silent, SourceFacts

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
STATE = LogState("shop", NOW - MINUTE, "1", waiting_segments=3, waiting_bytes=48 << 20, free_bytes=8 << 30, bytes_per_s=1 << 20)  # fmt: skip
EXPECTED = Expectation(is_log_shipped=True, log_within_s=900)


def _of(state: LogState | None = STATE, silent: Silent | None = None, **changes: object) -> list[Concern]:
    log = dataclasses.replace(LogFacts(state, has_base=True, is_shipped=True), **changes)  # type: ignore[arg-type]
    nothing = health(HealthFacts(None, None, 0), NOW)
    facts = SourceFacts(
        "shop", (), (), nothing, "db1", expectation=EXPECTED, log=log, silent=silent or Silent()
    )
    found = log_conditions.of_log(facts, NOW)
    assert all((each.subject, each.host) == ("source shop", "db1") for each in found)
    return found


def _seen(**changes: object) -> LogState:
    return dataclasses.replace(STATE, **changes)  # type: ignore[arg-type]


def test_a_log_that_comes_as_it_should_is_not_mentioned() -> None:
    """Nor one that nobody has looked at yet."""
    assert _of() == []
    assert _of(None, is_shipped=False, has_base=False) == []
    assert _of(_seen(clock_ahead_s=4.9, bytes_per_s=0.0)) == []


def test_a_full_storage_is_told_with_how_long_the_host_lasts() -> None:
    """The server's spool is left alone: what counts is when its disk is full."""
    stopped, room = _of(_seen(unshipped=("storage near: no space left on device",)))
    assert (stopped.condition, room.condition) == (Condition.LOG_STOPPED, Condition.LOG_ROOM)
    for words in ("storage near: no space left", "3 segments (48.0 MiB) wait on db1", "lasts for 2 h 15 min"):
        assert words in stopped.reason
    assert "none of it leaves" in room.reason
    assert stopped.remedy == "holdfast logs ship shop"


def test_a_gap_names_the_instants_that_cannot_be_reached() -> None:
    """And a base is what mends it."""
    gap = LogGap("1", "00000001", 7, 9, NOW - 5 * MINUTE, NOW)
    (found,) = _of(open_gaps=(OpenGap("near", gap),))
    assert "3 segments of its log missing in storage near (00000001/7 to 9)" in found.reason
    assert "no instant after 2026-11-20 11:55:00 UTC" in found.reason
    assert found.remedy == "holdfast backup shop"


def test_another_server_is_told_once_with_both_names() -> None:
    """That shipping failed for it is no other alert."""
    found, room = _of(_seen(identity="9", error="another server"), shipped_identity="1")
    assert (found.condition, room.condition) == (Condition.LOG_OTHER_SERVER, Condition.LOG_ROOM)
    assert "it is 9, and that was 1" in found.reason


@pytest.mark.parametrize(
    ("state", "silent", "covered_by"),
    [
        (_seen(error="no route"), Silent(NOW - 2 * MINUTE), "host db1"),
        (_seen(error="no route"), Silent(NOW), ""),
        (_seen(unshipped=("storage far: no route",)), Silent(storages={"far": NOW}), "storage far"),
        (_seen(unshipped=("storage far: no route", "a half")), Silent(storages={"far": NOW}), ""),
    ],
)
def test_what_follows_from_a_silent_host_or_storage_says_so(
    state: LogState, silent: Silent, covered_by: str
) -> None:
    """One that is away is told once, however much stops for it."""
    stopped = next(each for each in _of(state, silent) if each.condition is Condition.LOG_STOPPED)
    assert stopped.covered_by == covered_by


def test_a_small_disk_of_a_fast_server_is_advice_and_a_clock_far_off_a_risk() -> None:
    """While shipping goes on nothing is lost; by a wrong clock another instant is restored than was meant."""
    (found,) = _of(_seen(bytes_per_s=8 << 20))
    assert (found.condition, found.is_risk) == (Condition.LOG_ROOM, False)
    for ahead_s, is_risk, words in ((6.0, False, "6.0 s ahead of"), (-75.0, True, "1 min 15 s behind")):
        (found,) = _of(_seen(clock_ahead_s=ahead_s))
        assert (found.condition, found.is_risk) == (Condition.LOG_CLOCK, is_risk)
        assert words in found.reason


def test_the_room_of_a_host_that_is_away_shrinks_while_nobody_sees_it() -> None:
    """A look that fails says nothing of it."""
    away = _seen(polled_at=NOW, seen_at=NOW - 60 * MINUTE, error="no route")
    assert any("lasts for 1 h 16 min" in each.reason for each in _of(away))
