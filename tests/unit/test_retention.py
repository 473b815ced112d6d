"""Retention: what is kept, and the reason that a person is given."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from engine import retention
from engine.errors import UsageError
from engine.model.requests import KeepPolicy
from engine.retention import ALL, Candidate

UTC = datetime.UTC
NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(text: str, *tags: str) -> Candidate:
    """A snapshot of that time, which is its id as well."""
    return Candidate(text, datetime.datetime.fromisoformat(text).replace(tzinfo=UTC), tags, size_bytes=10)


DAYS = [at("2026-11-18T03:00"), at("2026-11-18T15:00"), at("2026-11-19T03:00"), at("2026-11-20T03:00")]


def kept(snapshots: list[Candidate], policy: KeepPolicy) -> list[str]:
    """The ids of those that are kept, newest first."""
    return [each.id for each in retention.decide(snapshots, policy, NOW) if each.is_kept]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (KeepPolicy(last=2), ["2026-11-20T03:00", "2026-11-19T03:00"]),
        (KeepPolicy(hourly=3), ["2026-11-20T03:00", "2026-11-19T03:00", "2026-11-18T15:00"]),
        (KeepPolicy(daily=2), ["2026-11-20T03:00", "2026-11-19T03:00"]),
        (KeepPolicy(weekly=1), ["2026-11-20T03:00"]),
        (KeepPolicy(monthly=1), ["2026-11-20T03:00"]),
        (KeepPolicy(yearly=2), ["2026-11-20T03:00", "2026-11-18T03:00"]),
        (KeepPolicy(within_s=86_400.5), ["2026-11-20T03:00", "2026-11-19T03:00"]),
        (KeepPolicy(within_s=86_400), ["2026-11-20T03:00"]),
        (KeepPolicy(within_daily_s=86_400 * 2), ["2026-11-20T03:00", "2026-11-19T03:00", "2026-11-18T15:00"]),
        (KeepPolicy(within_bytes=20), ["2026-11-20T03:00", "2026-11-19T03:00"]),
        (KeepPolicy(most=1), ["2026-11-20T03:00"]),
        (KeepPolicy(daily=3, most=2), ["2026-11-20T03:00", "2026-11-19T03:00"]),
        (KeepPolicy(last=4, most_bytes=39), ["2026-11-20T03:00", "2026-11-19T03:00", "2026-11-18T15:00"]),
        (KeepPolicy(daily=2, minimum=3), ["2026-11-20T03:00", "2026-11-19T03:00", "2026-11-18T15:00"]),
        (KeepPolicy(most=1, minimum=2), ["2026-11-20T03:00", "2026-11-19T03:00"]),
        (KeepPolicy(last=ALL), ["2026-11-20T03:00", "2026-11-19T03:00", "2026-11-18T15:00", "2026-11-18T03:00"]),
    ],
    ids=["last", "hourly", "daily", "weekly", "monthly", "yearly with the oldest", "within", "within is exclusive",
         "days within", "newest within a size", "at most", "at most of the daily ones", "at most in size", "minimum above a rule",
         "minimum above a bound", "all"],
)  # fmt: skip
def test_each_rule_keeps_the_newest_of_its_periods(policy: KeepPolicy, expected: list[str]) -> None:
    """A policy that moves over from restic keeps the same backups."""
    assert kept(DAYS, policy) == expected


def test_each_decision_comes_with_its_reason() -> None:
    """Nobody forgets a backup without knowing why."""
    decided = retention.decide(DAYS, KeepPolicy(last=1, daily=2, within_s=3600, tags=("x",)), NOW)
    assert [tuple(each.reasons) for each in decided] == [
        ("within 1 hours of the newest", "last snapshot 1 of 1", "daily snapshot 1 of 2"),
        ("daily snapshot 2 of 2",),
        ("no rule keeps it",),
        ("no rule keeps it",),
    ]


def test_the_oldest_is_kept_while_a_rule_has_some_left() -> None:
    """The history stays as long as it can be."""
    (_, *_, oldest) = retention.decide(DAYS, KeepPolicy(yearly=3, weekly=ALL), NOW)
    assert tuple(oldest.reasons) == ("oldest weekly snapshot", "oldest yearly snapshot 2 of 3")


def test_a_tag_keeps_whatever_bears_it() -> None:
    """What is marked stays."""
    tagged = [*DAYS, at("2020-01-01T00:00", "keep")]
    found = retention.decide(tagged, KeepPolicy(last=1, tags=("keep",)), NOW)
    assert [(each.id, tuple(each.reasons)) for each in found if each.is_kept] == [
        ("2026-11-20T03:00", ("last snapshot 1 of 1",)),
        ("2020-01-01T00:00", ("has the tag keep",)),
    ]


def test_an_empty_policy_keeps_all() -> None:
    """A forgotten option deletes nothing."""
    decided = retention.decide(DAYS, KeepPolicy(), NOW)
    assert {tuple(each.reasons) for each in decided if each.is_kept} == {("the policy is empty",)}
    assert len(decided) == 4


def test_a_policy_that_would_keep_nothing_keeps_the_newest() -> None:
    """No typing error in a tag empties a repository."""
    decided = retention.decide(DAYS, KeepPolicy(tags=("nobody's",)), NOW)
    assert [each.is_kept for each in decided] == [True, False, False, False]
    assert tuple(decided[0].reasons) == ("the last backup of its source",)
    assert [each.kept_by for each in decided] == ["minimum", "", "", ""]


def test_the_day_is_that_of_the_offset_in_the_snapshot() -> None:
    """One instant is in two days, depending on where the clock hangs."""
    there = datetime.timezone(datetime.timedelta(hours=2))
    evening = Candidate("evening", datetime.datetime(2026, 11, 18, 23, 30, tzinfo=UTC))
    night = Candidate("night", evening.time.astimezone(there) - datetime.timedelta(minutes=1))
    noon = Candidate("noon", datetime.datetime(2026, 11, 18, 12, tzinfo=UTC))
    old = Candidate("old", datetime.datetime(2026, 11, 1, 12, tzinfo=UTC))
    assert kept([old, noon, evening], KeepPolicy(daily=2)) == ["evening", "old"]
    assert kept([old, noon, night], KeepPolicy(daily=2)) == ["night", "noon"]


def test_a_span_counts_from_the_newest_that_is_not_in_the_future() -> None:
    """A clock that once ran ahead does not make today's backups old."""
    future = at("2027-11-21T12:00")
    assert kept([*DAYS, future], KeepPolicy(within_s=3600)) == ["2027-11-21T12:00", "2026-11-20T03:00"]
    assert kept([future], KeepPolicy(within_s=3600)) == ["2027-11-21T12:00"]


def test_a_span_of_days_is_told_in_days() -> None:
    """Seconds are no unit for people."""
    (first, *_) = retention.decide(DAYS, KeepPolicy(within_s=172_800), NOW)
    assert tuple(first.reasons) == ("within 2 days of the newest",)


def test_no_snapshots_need_no_decision() -> None:
    """A new storage is no error."""
    assert retention.decide([], KeepPolicy(last=1), NOW) == []


def changed(place: int, **fields: Any) -> list[Candidate]:
    """DAYS, one of them otherwise."""
    return [replace(each, **fields) if number == place else each for number, each in enumerate(DAYS)]


@pytest.mark.parametrize(
    ("snapshots", "policy", "expected"),
    [
        (changed(0, wishes=("protected",)), KeepPolicy(last=1), {0: "protected", 3: "last snapshot 1 of 1"}),
        (changed(0, wishes=("protected",)), KeepPolicy(last=4, most=2), {0: "protected", 3: "last snapshot 1 of 4"}),
        (changed(0, tags=("a",)), KeepPolicy(last=4, tags=("a",), most=1), {0: "has the tag a", 3: "the last backup of its source"}),
        (changed(3, expired="expired"), KeepPolicy(last=1), {2: "last snapshot 1 of 1"}),
        (changed(3, expired="expired", wishes=("held: court",)), KeepPolicy(last=1), {3: "held: court"}),
        (changed(3, is_safety=True), KeepPolicy(last=1), {2: "last snapshot 1 of 1", 3: "a safety backup"}),
        (changed(3, is_whole=False), KeepPolicy(last=1), {2: "the last backup of its source", 3: "last snapshot 1 of 1"}),
        ([replace(each, expired="expired") for each in DAYS], KeepPolicy(last=9, minimum=2),
         {2: "one of the last 2 of its source", 3: "one of the last 2 of its source"}),
    ],
    ids=["protected", "protected counts for a bound", "a tag is above a bound", "expired takes no place", "held is above expired",
         "safety takes no place", "an incomplete one drives no complete one out", "expired ones make up the minimum"],
)  # fmt: skip
def test_what_people_said_comes_before_the_rules(
    snapshots: list[Candidate], policy: KeepPolicy, expected: dict[int, str]
) -> None:
    """Whoever protected a backup relies on it."""
    found = {each.id: each.reasons[0] for each in retention.decide(snapshots, policy, NOW) if each.is_kept}
    assert found == {DAYS[place].id: reason for place, reason in expected.items()}


def test_why_one_goes_is_told() -> None:
    """A person who misses a backup wants to know what took it."""
    decided = retention.decide(DAYS, KeepPolicy(last=3, most_bytes=20), NOW)
    assert [each.reasons[0] for each in decided[2:]] == ["beyond 20 bytes in all", "no rule keeps it"]


def test_a_preset_gives_way_to_what_is_said_besides() -> None:
    """gfs with a week more of daily ones is still said in one line."""
    found = retention.preset("gfs", KeepPolicy(daily=14, minimum=3, most_bytes=5 << 40))
    assert retention.in_words(found) == "14 daily, 5 weekly, 12 monthly, 3 yearly, at most 5T, at least 3"
    with pytest.raises(UsageError, match="no keep preset gsf") as caught:
        retention.preset("gsf", KeepPolicy())
    assert caught.value.hint == "did you mean gfs?"


def test_a_policy_is_told_in_one_line() -> None:
    """A schedule shows what it will keep."""
    policy = KeepPolicy(
        last=ALL, within_s=7_200, within_weekly_s=864_000, within_bytes=1000, tags=("a",), most=9
    )
    words = "all last, within 2 hours, weekly within 10 days, the newest within 1000 bytes, tag a, at most 9"
    assert (retention.in_words(policy), retention.in_words(KeepPolicy())) == (words, "all")
