"""How much of a log bases need, and which instants go with what goes."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.model import log_keeping, log_words, logs
from engine.model.log_keeping import Window
from engine.model.logs import Base, LogFork, LogHoldings, LogPosition, LogSegment, Reach

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
SERVER = "7301"
FORKS = (LogFork("2", "1", 12), LogFork("3", "2", 20))


def at(minutes: float) -> datetime.datetime:
    """So many minutes after noon."""
    return NOON + datetime.timedelta(minutes=minutes)


def base(number: int, series: str = "1") -> Base:
    """A base that brings the segment of that minute."""
    return Base(f"{series}-{number}", LogPosition(SERVER, series, number), at(number), ("first",))


def holdings(numbers: set[tuple[str, int]]) -> LogHoldings:
    """What holds these segments."""
    segments = [
        LogSegment(f"{series}-{number}", series, number, 1, at(number), at(number + 0.9))
        for series, number in sorted(numbers)
    ]
    return LogHoldings("first", tuple(logs.add([], SERVER, segments)), FORKS)


SERIES = st.sampled_from("123")
NUMBERS = st.integers(0, 30)


@given(st.sets(st.tuples(SERIES, NUMBERS)), st.lists(st.tuples(SERIES, NUMBERS), min_size=1, max_size=4))
def test_what_is_cut_no_base_ever_needs(held: set[tuple[str, int]], places: list[tuple[str, int]]) -> None:
    """Each base reaches as far along each series after the cut as it did before."""
    bases = [base(number, series) for series, number in places]
    needed = log_keeping.first_needed(bases, [(SERVER, fork) for fork in FORKS])
    left = {(series, number) for series, number in held if number >= needed.get((SERVER, series), 31)}
    before, after = holdings(held), holdings(left)
    for each in bases:
        for series in ("", "1", "2", "3"):
            was = logs.path_from(before, each.position, series)
            now = logs.path_from(after, each.position, series)
            assert [(run.series, run.first, run.last) for run in was] == [
                (run.series, run.first, run.last) for run in now
            ]


def test_a_log_reaches_back_so_far_from_the_newest_base() -> None:
    """The span's first instants are reached from the base before it; the newest base counts always."""
    bases = [base(0), base(10), base(20), base(30)]
    for minutes, expected in (
        (0, [30]),
        (5, [20, 30]),
        (10, [20, 30]),
        (15, [10, 20, 30]),
        (60, [0, 10, 20, 30]),
    ):
        found = log_keeping.counting(bases, minutes * 60.0)
        assert sorted(each.position.number for each in found) == expected, minutes
    assert log_keeping.counting(bases, None) == bases
    assert log_keeping.counting([], 5.0) == []


SPANS = st.lists(st.tuples(NUMBERS, st.integers(0, 10)), max_size=6)


@given(SPANS, SPANS)
def test_lost_is_what_was_reached_and_is_no_more(
    first: list[tuple[int, int]], later: list[tuple[int, int]]
) -> None:
    """Between whole minutes each instant is lost, or it is not."""
    before, after = _reaches([*first, *later]), _reaches(later)
    found = log_keeping.lost("shop", before, after)
    for half in range(41):
        instant = at(half + 0.5)
        was, stays = (
            any(each.begins_at <= instant <= each.ends_at for each in one) for one in (before, after)
        )
        is_lost = found is not None and any(
            each.begins_at <= instant <= each.ends_at for each in found.windows
        )
        assert is_lost == (was and not stays)
    if found is not None:
        assert found.instead_of == min(each.begins_at for each in before)
        assert found.recoverable_from == min((each.begins_at for each in after), default=None)


def test_a_base_without_a_log_is_lost_with_its_one_instant() -> None:
    """And one that another storage has still is not lost."""
    known = ([base(3), base(5)], [LogHoldings("first")], None)
    found = log_keeping.lost_by("shop", known, {"1-3": ("first",)})
    assert found is not None
    assert (found.windows, found.recoverable_from) == ((Window(at(3), at(3)),), at(5))
    assert log_keeping.lost_by("shop", known, {"1-3": ("second",)}) is None


def _reaches(spans: list[tuple[int, int]]) -> list[Reach]:
    return [Reach(base(begin), "first", at(begin), at(begin + length)) for begin, length in spans]


def test_what_is_lost_is_told_in_one_line() -> None:
    """From which instant on, instead of which; or that some in between go."""
    gone = (Window(at(0), at(5)),)
    for since, words in (
        (at(7), f"recoverable from {at(7).astimezone():%Y-%m-%d %H:%M:%S} instead of "),
        (at(0), "recoverable no more in between"),
        (None, "recoverable to no instant"),
    ):
        line = log_words.lost(log_keeping.LostInstants("shop", gone, at(0), since), is_done=False)
        assert line.startswith(f"shop would be {words}")
        assert f"what goes: {at(0).astimezone():%Y-%m-%d %H:%M:%S} to " in line
