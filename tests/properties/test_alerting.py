"""Sizes, and alerts that stand, over anything that may come."""

from __future__ import annotations

import datetime
import itertools
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerting import sizes, standing, telling
from engine.alerting.sizes import Sized
from engine.model.alerts import Alert, AlertSettings, Condition, Occasion, Silence
from engine.model.status import Concern

START = datetime.datetime(2026, 1, 1, 2, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
SETTINGS = AlertSettings()


def _year(seed: int, *, weekend: float, planted: dict[int, float]) -> list[Sized]:
    """A backup a day: a fifth more within the year, smaller at weekends, and some noise; `planted` factors by day."""
    draw = random.Random(seed)
    found = []
    for day in range(365):
        at = START + day * DAY + datetime.timedelta(minutes=draw.uniform(-20, 20))
        expected = 40e9 * 1.2 ** (day / 365) * (weekend if at.weekday() >= 5 else 1.0)
        noise = math.exp(draw.gauss(0, 0.05))
        found.append(Sized(at, round(expected * noise * planted.get(day, 1.0))))
    return found


def _odd_days(year: Sequence[Sized]) -> dict[int, sizes.Oddity]:
    found = {day: sizes.look(year[day], year[max(0, day - 99) : day]) for day in range(len(year))}
    return {day: odd for day, odd in found.items() if odd is not None}


@pytest.mark.parametrize(("seed", "weekend"), [(1, 1.0), (2, 1.0), (3, 0.25), (4, 0.25), (5, 4.0), (6, 0.6)])
def test_in_a_year_what_was_planted_is_found_and_hardly_anything_else(seed: int, weekend: float) -> None:
    """Sixty percent less, and four times as much, on a weekday and on a Sunday; weekends are understood."""
    odd = _odd_days(_year(seed, weekend=weekend, planted={150: 0.4, 255: 4.0}))
    assert {150, 255} <= odd.keys()
    assert len(odd) <= 3  # one false alarm at most
    assert odd[150].change == pytest.approx(-0.6, abs=0.1)
    assert odd[255].change == pytest.approx(3.0, abs=0.7)
    assert odd[150].is_weekly or weekend not in (0.25, 4.0)


def test_a_sunday_as_small_as_a_weekday_is_odd_where_sundays_are_four_times_as_large() -> None:
    """The size alone is that of every other day."""
    sunday = next(day for day in range(200, 207) if (START + day * DAY).weekday() == 6)
    odd = _odd_days(_year(7, weekend=4.0, planted={sunday: 0.25}))
    assert sunday in odd
    assert odd[sunday].is_weekly


@pytest.mark.parametrize(("seed", "weekend"), [(8, 1.0), (9, 0.25), (10, 0.6)])
def test_what_the_few_newest_call_nothing_special_is_odd_to_no_history(seed: int, weekend: float) -> None:
    """Else reading ten backups of each source, and more where they look odd, would miss something."""
    year = _year(seed, weekend=weekend, planted={150: 0.4, 255: 4.0, 200: 0.6, 300: 1.7})
    odd = _odd_days(year)
    suspected = {
        day for day in range(1, len(year)) if sizes.might_be_odd(year[day], year[max(0, day - 9) : day])
    }
    assert odd.keys() <= suspected
    assert weekend != 1.0 or len(suspected) < 20


HISTORY = st.lists(st.integers(0, 1 << 45), min_size=0, max_size=40)


@given(HISTORY, st.integers(0, 1 << 45))
def test_what_is_odd_lies_outside_of_what_it_says_is_usual(history: list[int], size: int) -> None:
    """And its words hold together; of a short history nothing is said."""
    past = [Sized(START + number * DAY, each) for number, each in enumerate(history)]
    odd = sizes.look(Sized(START + 50 * DAY, size), past)
    if odd is None:
        return
    assert len(history) >= sizes.LEAST_HISTORY
    assert odd.least_bytes <= odd.usual_bytes <= odd.most_bytes
    assert not odd.least_bytes < size < odd.most_bytes


@given(st.integers(1 << 20, 1 << 40), st.floats(0.7, 1.45), st.integers(8, 60))
def test_a_third_less_or_less_than_half_more_is_never_odd(usual: int, factor: float, count: int) -> None:
    """However steady it was."""
    past = [Sized(START + number * DAY, usual) for number in range(count)]
    assert sizes.look(Sized(START + count * DAY, round(usual * factor)), past) is None


@settings(max_examples=40)
@given(HISTORY.filter(lambda each: len(each) >= 8), st.integers(0, 1 << 40), st.integers(1, 1 << 40))
def test_what_is_larger_than_an_odd_large_one_is_odd_too(history: list[int], size: int, more: int) -> None:
    """Else a backup could hide by growing."""
    past = [Sized(START + number * DAY, each) for number, each in enumerate(history)]
    at = START + 50 * DAY
    odd = sizes.look(Sized(at, size), past)
    if odd is not None and odd.size_bytes > odd.usual_bytes:
        assert sizes.look(Sized(at, size + more), past) is not None


CONCERNS = st.lists(
    st.builds(
        Concern,
        subject=st.sampled_from(["source a", "source b", "storage near"]),
        is_risk=st.booleans(),
        reason=st.sampled_from(["one", "two"]),
        remedy=st.just("holdfast status"),
        condition=st.sampled_from([Condition.FAILED, Condition.OVERDUE]),
        host=st.sampled_from(["", "web"]),
        job_id=st.sampled_from(["", "5job"]),
    ),
    max_size=4,
)
SILENCES = st.lists(
    st.builds(
        lambda subject, hours: Silence("5s", subject, "", START, START + hours * HOUR, "why"),
        st.sampled_from(["*", "source a", "host web"]),
        st.integers(1, 60),
    ),
    max_size=1,
)


@settings(max_examples=40)
@given(st.lists(st.tuples(CONCERNS, SILENCES, st.integers(1, 30)), max_size=12))
def test_of_each_condition_and_subject_one_alert_stands_and_is_told_once(
    rounds: list[tuple[list[Concern], list[Silence], int]],
) -> None:
    """Whatever comes and goes: no key twice, none lost, none told within the time of quiet, and nothing told in silence."""
    numbers = itertools.count(1)
    rows: dict[str, Alert] = {}
    keys: list[str] = []
    told: dict[tuple[Condition, str], list[datetime.datetime]] = {}
    now = START
    for concerns, silences, hours in rounds:
        now += hours * HOUR
        stood = [each for each in rows.values() if each.recovered_at is None]
        last = {key: times[-1] for key, times in told.items() if now - times[-1] < HOUR}
        before = standing.Before(stood, silences, last)
        found = standing.evaluate(concerns, before, SETTINGS, now, lambda: f"5{next(numbers)}")
        rows |= {each.alert_id: each for each in (*found.raised, *found.changed)}
        keys += [each.key for each in found.tellings]
        wanted = {(each.condition, each.subject) for each in concerns}
        assert {(each.condition, each.subject) for each in found.standing} == wanted
        assert len(found.standing) == len(wanted)
        assert {each.alert_id for each in found.standing} == {
            each.alert_id for each in rows.values() if each.recovered_at is None
        }
        for alert in found.standing:
            if alert.told_at == now:
                assert alert.is_risk
                assert alert.silenced_until is None
                times = told.setdefault((alert.condition, alert.subject), [])
                assert not times or now - times[-1] >= HOUR
                times.append(now)
    assert len(keys) == len(set(keys))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 90)), max_size=20))
def test_who_heard_of_a_failure_hears_that_it_is_over(rounds: list[tuple[bool, bool, int]]) -> None:
    """However fast it comes and goes, by the message of its job or by its alert: nobody is left with one that is long over."""
    numbers, now = itertools.count(1), START
    standing_now: list[Alert] = []
    last: dict[tuple[Condition, str], datetime.datetime] = {}
    has_heard = False
    for is_failing, is_new_job, minutes in rounds:
        now += datetime.timedelta(minutes=minutes)
        job_id = f"5job{now.isoformat()}" if is_new_job or not standing_now else standing_now[0].job_id
        concern = Concern("source a", True, "no room", "r", Condition.FAILED, job_id=job_id)
        has_heard = has_heard or is_failing  # the end of a job that failed is told to whoever wants it
        told = {"ops": Occasion.FAILURE} if has_heard else {}
        recent = {key: at for key, at in last.items() if now - at < HOUR}
        before = standing.Before(standing_now, (), recent)
        found = standing.evaluate(
            [concern] if is_failing else [], before, SETTINGS, now, lambda: f"5{next(numbers)}"
        )
        last |= {(each.condition, each.subject): now for each in found.standing if each.told_at == now}
        ends = [each for each in found.tellings if each.message.occasion is Occasion.RECOVERY]
        heard = [each for each in ends if not each.job_id or telling.hears("ops", each.message, told)]
        assert len(heard) == (1 if standing_now and not is_failing else 0)
        has_heard = has_heard and is_failing
        standing_now = list(found.standing)


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.integers(0, 40),
    st.booleans(),
)
def test_every_message_that_is_due_is_in_exactly_one_parcel_or_all_wait(
    hours: list[int], sent: int, is_signal: bool
) -> None:
    """No message is lost by being put together with others."""
    from tests.unit.alerting.test_telling import delivery

    due = [delivery(number) for number, _ in enumerate(hours)]
    parcels, until = telling.parcels(
        due, telling.Sent(sent, START), SETTINGS, START + HOUR / 2, is_signal=is_signal
    )
    ids = [each.notice_id for parcel in parcels for each in parcel.deliveries]
    if until is not None:
        assert (ids, is_signal) == ([], False)
        assert until == START + HOUR
    else:
        assert ids == [each.notice_id for each in due]
    if not is_signal:
        assert len(parcels) <= max(0, SETTINGS.messages_an_hour - sent)
