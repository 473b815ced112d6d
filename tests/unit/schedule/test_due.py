"""What becomes of each instant: on time, missed, paused, outside of its window, and under clocks that jump."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.model.schedules import CatchUp, Pause, Sample, Schedule, ScheduleState, Timing
from engine.schedule import due, quiet, windows
from engine.schedule.zones import zone_of

HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


def _at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def _schedule(rhythm: str = "hourly", **timing: object) -> Schedule:
    return Schedule("nightly", rhythm=rhythm, timing=dataclasses.replace(Timing(), **timing))  # type: ignore[arg-type]


class _Days:
    """A schedule as ticks see it: what was decided, tick by tick."""

    def __init__(self, schedule: Schedule, begin: str, samples: Sequence[Sample] = ()) -> None:
        self.schedule = schedule
        self.samples = samples
        self.state = due.begin(schedule, _at(begin), samples)
        self.dues: list[due.Due] = []

    def tick(self, now: datetime.datetime, *pauses: Pause) -> list[str]:
        """Looks once; what was decided, as `+HH:MM` for a run and `-HH:MM` for a skip."""
        decision = due.decide(self.schedule, self.state, now, pauses, self.samples)
        if decision is None:
            return []
        self.state = ScheduleState(
            decision.decided_until, decision.planned_at, decision.next_at, decision.moved
        )
        self.dues += decision.dues
        return [f"{'+' if each.is_run else '-'}{each.planned_at:%d %H:%M}" for each in decision.dues]


def test_each_instant_runs_once_however_often_one_looks() -> None:
    """A second look is no second backup."""
    days = _Days(_schedule(), "2026-11-20 14:05")
    looks = [days.tick(_at("2026-11-20 14:59:59")), days.tick(_at("2026-11-20 15:00")), days.tick(_at("2026-11-20 15:00")), days.tick(_at("2026-11-20 15:59"))]  # fmt: skip
    assert looks == [[], ["+20 15:00"], [], []]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.NONE, ["-20 15:00", "-20 16:00", "-20 17:00"]),
        (CatchUp.ONCE, ["-20 15:00", "-20 16:00", "+20 17:00"]),
        (CatchUp.ALL, ["-20 15:00", "+20 16:00", "+20 17:00"]),
    ],
)
def test_what_was_missed_is_caught_up_as_it_is_wanted_and_never_passed_over_silently(
    catch_up: CatchUp, expected: list[str]
) -> None:
    """After a week switched off a person wants to know what did not run."""
    days = _Days(_schedule(catch_up=catch_up, most_caught_up=2), "2026-11-20 14:05")
    assert days.tick(_at("2026-11-20 17:40")) == expected
    assert all(each.reason for each in days.dues)


def test_the_newest_is_on_time_where_only_the_others_were_missed() -> None:
    """A machine that comes back at five past runs what is due at the hour in any case."""
    days = _Days(_schedule(catch_up=CatchUp.NONE), "2026-11-20 14:05")
    assert days.tick(_at("2026-11-20 16:05")) == ["-20 15:00", "+20 16:00"]
    assert days.dues[-1].reason == ""


def test_an_instant_in_a_pause_is_skipped_with_its_reason_also_when_it_is_looked_at_later() -> None:
    """A maintenance window that is over by the time that anybody looks was one."""
    pause = Pause(_at("2026-11-20 14:30"), _at("2026-11-20 15:30"), "new disks")
    days = _Days(_schedule(), "2026-11-20 14:05")
    assert days.tick(_at("2026-11-20 16:01"), pause) == ["-20 15:00", "+20 16:00"]
    assert days.dues[0].reason == "paused: new disks"
    later = _Days(_schedule(), "2026-11-20 14:05")
    assert later.tick(_at("2026-11-20 15:01"), Pause(_at("2026-11-20 15:00:30"), None, "all stop")) == [
        "-20 15:00"
    ]


def test_what_is_late_waits_for_its_window() -> None:
    """A backup that was missed at night does not run into the day's work."""
    schedule = _schedule("daily at 02:00", window="22:00-06:00")
    days = _Days(schedule, "2026-11-20 14:05")
    assert days.tick(_at("2026-11-21 08:00")) == []
    assert days.state.next_at == _at("2026-11-21 22:00")
    assert days.tick(_at("2026-11-21 22:00")) == ["+21 02:00"]
    without = _Days(
        _schedule("daily at 02:00", window="22:00-06:00", catch_up=CatchUp.NONE), "2026-11-20 14:05"
    )
    assert without.tick(_at("2026-11-21 06:05")) == ["-21 02:00"]


def test_a_rhythm_runs_only_inside_of_its_window() -> None:
    """Hourly at night is two words, not a cron expression."""
    days = _Days(_schedule("hourly", window="22:00-00:30,05:00-06:00"), "2026-11-20 14:05")
    walked = [
        each[1].at
        for each in itertools.islice(due.upcoming(days.schedule, days.state, _at("2026-11-20 14:05")), 5)
    ]
    assert [f"{each:%H:%M}" for each in walked] == ["22:00", "23:00", "00:00", "05:00", "22:00"]


def test_a_clock_set_back_an_hour_runs_nothing_twice() -> None:
    """The hour that comes again has its backups already."""
    days = _Days(_schedule("every 30 minutes"), "2026-11-20 14:05")
    assert days.tick(_at("2026-11-20 14:30")) == ["+20 14:30"]
    assert [days.tick(_at("2026-11-20 13:31")), days.tick(_at("2026-11-20 14:30")), days.tick(_at("2026-11-20 15:00"))] == [[], [], ["+20 15:00"]]  # fmt: skip


def test_a_clock_set_forward_a_year_and_back_is_no_flood_and_no_year_of_silence() -> None:
    """A time server that was wrong for a minute must not stop backups until its time comes."""
    days = _Days(_schedule("every minute"), "2026-11-20 14:05")
    looked = days.tick(_at("2027-11-20 14:05"))
    assert sum(each.startswith("+") for each in looked) == 1
    assert len(looked) == due.MOST_TOLD_APART + 1
    assert days.dues[0].last_at == _at("2027-11-20 12:25")
    assert days.tick(_at("2026-11-20 14:07")) == []
    assert days.tick(_at("2026-11-20 14:08")) == ["+20 14:08"]


def test_jitter_is_the_same_each_time_and_never_reaches_the_next_start() -> None:
    """A start that moved at each look would never come, or come twice."""
    schedule = _schedule("hourly", jitter_s=7200.0)
    state = due.begin(schedule, _at("2026-11-20 14:05"))
    found = list(itertools.islice(due.upcoming(schedule, state, _at("2026-11-20 14:05")), 30))
    again = list(itertools.islice(due.upcoming(schedule, state, _at("2026-11-20 14:05")), 30))
    assert found == again
    assert all(datetime.timedelta() <= choice.at - planned < HOUR for planned, choice in found)
    assert len({choice.at - planned for planned, choice in found}) > 20


def test_a_schedule_that_could_never_run_is_refused() -> None:
    """It would look well, and do nothing."""
    now = _at("2026-11-20 14:05")
    for schedule, said in (
        (_schedule("daily at 12:00", window="22:00-06:00"), "never falls into its window"),
        (_schedule(is_smart=True), "needs a window"),
        (_schedule(window="25:00-26:00"), "no hours of the day"),
        (_schedule(window="01:00-01:00"), "no hours of the day"),
        (_schedule(jitter_s=-1.0), "below 0"),
        (_schedule(timezone="Europe/Berln"), "no time zone"),
    ):
        with pytest.raises(UsageError, match=said):
            due.check(schedule, now)
    due.check(_schedule("daily at 02:00", window="22:00-06:00", is_smart=True), now)


def test_a_window_in_the_gap_opens_at_its_end() -> None:
    """Berlin has no 02:30 on 29 March 2026."""
    berlin = zone_of("Europe/Berlin")
    found = windows.next_open(windows.parse("02:30-04:00"), _at("2026-03-29 00:30"), berlin)
    assert (found, windows.closing(windows.parse("02:30-04:00"), found, berlin)) == (
        _at("2026-03-29 01:00"),
        _at("2026-03-29 02:00"),
    )
    passed = windows.next_open(windows.parse("02:10-02:50"), _at("2026-03-29 00:30"), berlin)
    assert passed == _at("2026-03-30 00:10")


def _nights(count: int, *, busy: int) -> list[Sample]:
    """So many nights of samples at 00:00, 02:00 and 04:00; the hour `busy` has a load of 9 instead of 1, and takes twice as long."""
    return [
        Sample(_at("2026-11-01 00:00") + DAY * night + HOUR * hour, "db", 2400.0 if hour == busy else 1200.0, 9.0 if hour == busy else 1.0)
        for night in range(count)
        for hour in (0, 2, 4)
    ]  # fmt: skip


def test_a_smart_start_leaves_a_busy_hour_and_says_why() -> None:
    """The nightly reports of the database and its backup are better not at the same time."""
    schedule = _schedule("daily at 02:00", window="00:00-06:00", is_smart=True)
    days = _Days(schedule, "2026-11-20 14:05", _nights(7, busy=2))
    assert (days.state.planned_at, days.state.next_at) == (_at("2026-11-21 02:00"), _at("2026-11-21 01:30"))
    assert days.state.moved == "moved from 02:00 to 01:30: 19% as busy there, by 21 past jobs"
    assert days.tick(_at("2026-11-21 01:30")) == ["+21 02:00"]
    assert days.tick(_at("2026-11-21 02:00")) == []
    late = _Days(
        schedule,
        "2026-11-20 14:05",
        [dataclasses.replace(each, at=each.at + HOUR) for each in _nights(7, busy=0)],
    )
    assert late.tick(late.state.next_at or _at("2026-11-21 02:00"))[0].startswith("+")
    assert late.dues[0].reason == ""


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (_nights(4, busy=2), "not moved: 12 of 14 past jobs"),
        (_nights(7, busy=4), "not moved: no time of its window is much quieter"),
        ([Sample(_at("2026-11-01 02:00"), "db", None, 0.0)] * 20, "not moved: no time"),
        ([Sample(_at("2026-11-01 02:00"), "db", 40_000.0, None)] * 20, "not moved: no time"),
    ],
    ids=["too few", "well where it is", "all alike", "longer than its window"],
)
def test_a_smart_start_stays_where_nothing_shows_a_better_time(samples: list[Sample], said: str) -> None:
    """A start that wanders about is worse than one that is known."""
    schedule = _schedule("daily at 02:00", window="00:00-06:00", is_smart=True)
    state = due.begin(schedule, _at("2026-11-20 14:05"), samples)
    assert state.next_at == _at("2026-11-21 02:00")
    assert state.moved.startswith(said)


def test_the_quietest_time_is_judged_by_the_clock_on_the_wall() -> None:
    """An office opens by its own clock."""
    berlin = zone_of("Europe/Berlin")
    planned = _at("2026-11-21 01:00")
    choice = quiet.quietest(planned, (planned - 2 * HOUR, planned + 4 * HOUR), _nights(7, busy=2), berlin)
    assert choice.at == planned  # two o'clock of Berlin is one of UTC, where nothing is busy


_TICKS = st.lists(st.integers(1, 90 * 60), min_size=1, max_size=40)
_TIMINGS = st.builds(
    Timing,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    jitter_s=st.sampled_from([0.0, 600.0]),
    window=st.sampled_from(["", "22:00-06:00"]),
    catch_up=st.sampled_from(CatchUp),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(timing=_TIMINGS, rhythm=st.sampled_from(["hourly", "every 20 minutes", "0 1,2,3,23 * * *", "daily at 02:30"]), ticks=_TICKS, begin=st.sampled_from(["2026-03-28 20:00", "2026-10-24 20:00", "2026-11-20 00:00"]))  # fmt: skip
def test_every_instant_is_decided_exactly_once_whenever_one_looks(
    timing: Timing, rhythm: str, ticks: list[int], begin: str
) -> None:
    """No schedule is skipped silently, none is run twice."""
    schedule = Schedule("nightly", rhythm=rhythm, timing=timing)
    days = _Days(schedule, begin)
    now = _at(begin)
    for passed in ticks:
        now += datetime.timedelta(seconds=passed)
        days.tick(now)
    plan = due.plan_of(schedule.name, rhythm, timing)
    assert [each.planned_at for each in days.dues] == list(plan.walk(_at(begin), days.state.decided_until))
    assert days.state.next_at is not None
    assert days.state.next_at > now
