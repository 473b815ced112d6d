"""Runs of segments, gaps between them, and what bases and runs reach together."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from engine.model import log_report, log_words, logs
from engine.model.logs import Base, LogFork, LogHoldings, LogPosition, LogRun, LogSegment, LogState

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
SERVER = "7301"


def at(minutes: float) -> datetime.datetime:
    """So many minutes after noon."""
    return NOON + datetime.timedelta(minutes=minutes)


def segment(number: int, series: str = "1") -> LogSegment:
    """A segment of the minute of its number."""
    return LogSegment(f"{series}-{number}", series, number, 100, at(number), at(number + 0.9))


def runs_of(numbers: Sequence[int], series: str = "1") -> list[LogRun]:
    """The runs of these segments."""
    return logs.add([], SERVER, [segment(number, series) for number in numbers])


@given(st.lists(st.sets(st.integers(0, 40)), max_size=5))
def test_runs_hold_just_the_segments_that_came_in_whatever_order(batches: list[set[int]]) -> None:
    """And each is as long as it can be."""
    runs: list[LogRun] = []
    known: set[int] = set()
    for batch in batches:
        fresh = batch - known
        runs = logs.add(runs, SERVER, [segment(number) for number in fresh])
        known |= fresh
    assert {number for run in runs for number in range(run.first, run.last + 1)} == known
    assert all(after.first > before.last + 1 for before, after in itertools.pairwise(runs))
    assert sum(run.size_bytes for run in runs) == 100 * len(known)
    assert all((run.begins_at, run.ends_at) == (at(run.first), at(run.last + 0.9)) for run in runs)
    missing = {number for gap in logs.gaps(runs) for number in range(gap.first, gap.last + 1)}
    assert missing == (set(range(min(known), max(known) + 1)) - known if known else set())
    assert all(logs.holds(runs, SERVER, "1", number) == (number in known) for number in range(42))


def base(number: int, series: str = "1") -> Base:
    """One that ends in the segment of that number."""
    return Base(f"b{number}", LogPosition(SERVER, series, number), at(number + 0.5), ("main",))


def test_a_base_reaches_to_the_first_gap_behind_it() -> None:
    """And one behind the gap reaches on; between the gap and that one nothing is reached."""
    held = LogHoldings("main", runs_of([1, 2, 3, 4, 7, 8, 9]))
    first, second = logs.reaches([base(1), base(7)], [held])
    assert (first.begins_at, first.ends_at) == (at(1.5), at(4.9))
    assert [(run.first, run.last) for run in first.path] == [(2, 4)]
    assert (second.begins_at, second.ends_at) == (at(7.5), at(9.9))
    found = [first, second]
    assert logs.best(found, at(6)) is None
    assert logs.nearest_instant(found, at(6)) == at(4.9)
    assert logs.best(found, at(3)) is first
    assert logs.best(found, at(8)) is second
    (gap,) = logs.gaps(held.runs)
    assert (gap.first, gap.last, gap.after, gap.before) == (5, 6, at(4.9), at(7))


def test_what_was_seen_closed_is_reached_although_nothing_was_committed_since() -> None:
    """But only where the storage has the segment that was closed, and of that very server."""
    held = LogHoldings("main", runs_of([2, 3]))
    for covered, expected in (
        (LogPosition(SERVER, "1", 3), at(60)),
        (LogPosition(SERVER, "1", 4), at(3.9)),
        (LogPosition("other", "1", 3), at(3.9)),
    ):
        state = LogState("shop", at(61), SERVER, covered=covered, covered_until=at(60))
        (reach,) = logs.reaches([base(1)], [held], state)
        assert reach.ends_at == expected
    (alone,) = logs.reaches([base(1)], [LogHoldings("main")])
    assert (alone.ends_at, alone.path) == (at(1.5), ())
    assert logs.reaches([base(1)], [LogHoldings("other", runs_of([2]))]) == []


def test_a_fail_over_is_followed_and_what_the_old_server_wrote_behind_it_does_not_count() -> None:
    """Series 2 left series 1 in segment 5; 1 went on for a while."""
    forks = (LogFork("2", "1", 5),)
    held = LogHoldings("main", [*runs_of([2, 3, 4, 5, 6]), *runs_of([5, 6, 7], "2")], forks)
    (reach,) = logs.reaches([base(1)], [held])
    assert [(run.series, run.first, run.last) for run in reach.path] == [("1", 2, 4), ("2", 5, 7)]
    assert logs.gaps(held.runs, forks) == []
    other = (LogFork("2", "1", 3, "another"), LogFork("2", "1", 5, SERVER))
    assert logs.reaches([base(1)], [LogHoldings("main", held.runs, other)]) == [reach]
    old = logs.path_from(held, LogPosition(SERVER, "1", 1), "1")
    assert [(run.series, run.first, run.last) for run in old] == [("1", 2, 6)]
    broken = LogHoldings("main", [*runs_of([2, 3]), *runs_of([6, 7], "2")], forks)
    assert [(gap.series, gap.first, gap.last) for gap in logs.gaps(broken.runs, forks)] == [
        ("1", 4, 4),
        ("2", 5, 5),
    ]
    (short,) = logs.reaches([base(1)], [broken])
    assert [(run.series, run.first, run.last) for run in short.path] == [("1", 2, 3)]


@given(st.sets(st.integers(2, 30)), st.integers(1, 10))
def test_a_path_never_leads_over_a_gap(numbers: set[int], begin: int) -> None:
    """It begins right behind the base, and every segment up to its end is there."""
    held = LogHoldings("main", runs_of(sorted(numbers)))
    path = logs.path_from(held, LogPosition(SERVER, "1", begin))
    replayed = [number for run in path for number in range(run.first, run.last + 1)]
    expected = []
    number = begin + 1
    while number in numbers:
        expected.append(number)
        number += 1
    assert replayed == expected
    assert logs.segments_in(path) == len(expected)


def tail(number: int, size_bytes: int, series: str = "1") -> LogSegment:
    """So much of a segment that is being written."""
    return LogSegment(
        f"{series}-{number}.partial", series, number, size_bytes, at(number), at(number + 0.5), True
    )


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.sampled_from("12")), max_size=20))
def test_a_tail_stands_until_more_of_it_comes(steps: list[tuple[int, bool, str]]) -> None:
    """One of each series at most, the newest, and none that is kept whole."""
    tails: list[LogRun] = []
    expected: dict[str, int] = {}
    for number, is_whole, series in steps:
        if is_whole:
            tails = logs.add_tails(tails, SERVER, [segment(number, series)], [])
            if expected.get(series, 99) <= number:
                del expected[series]
        else:
            tails = logs.add_tails(tails, SERVER, [], [tail(number, number, series)])
            expected[series] = number
        assert {each.series: each.first for each in tails} == expected
        assert all(each.is_tail and each.identity == SERVER for each in tails)
    assert logs.add_tails(tails, "another", [segment(9), segment(9, "2")], []) == tails


def test_a_tail_is_reached_where_it_follows_what_is_whole() -> None:
    """To its last transaction, or to the instant up to which so much of it is known to be all."""
    (here,) = logs.add_tails([], SERVER, [], [tail(4, 50)])
    held = LogHoldings("main", runs_of([2, 3]), tails=(here,))
    (reach,) = logs.reaches([base(1)], [held])
    assert ([run.is_tail for run in reach.path], reach.ends_at) == ([False, True], at(4.5))
    for covered_bytes, ends_at in ((50, at(60)), (49, at(60)), (51, at(4.5)), (0, at(4.5))):
        state = LogState(
            "shop",
            at(61),
            SERVER,
            covered=LogPosition(SERVER, "1", 4),
            covered_bytes=covered_bytes,
            covered_until=at(60),
        )
        (reach,) = logs.reaches([base(1)], [held], state)
        assert reach.ends_at == ends_at
    assert logs.path_from(held, LogPosition(SERVER, "1", 3)) == [here]
    broken = LogHoldings("main", runs_of([2]), tails=(here,))
    assert [run.is_tail for run in logs.path_from(broken, LogPosition(SERVER, "1", 1))] == [False]
    gone_on = LogHoldings("main", [*runs_of([2, 3]), *runs_of([4], "2")], (LogFork("2", "1", 4),), (here,))
    assert [run.series for run in logs.path_from(gone_on, LogPosition(SERVER, "1", 1))] == ["1", "2"]
    assert logs.holds_tail([here], LogPosition(SERVER, "1", 4), 50)
    assert not logs.holds_tail([here], LogPosition(SERVER, "1", 4), 51)


def test_a_server_that_went_back_is_seen() -> None:
    """What it writes now would be taken for what it wrote then."""
    held = LogHoldings("main", runs_of([2, 3]), tails=tuple(logs.add_tails([], SERVER, [], [tail(4, 50)])))
    for number, size_bytes, expected in (
        (4, 50, False),
        (4, 51, False),
        (5, 1, False),
        (4, 49, True),
        (3, 90, True),
    ):
        assert logs.is_beyond(held, LogPosition(SERVER, "1", number), size_bytes) is expected
    assert not logs.is_beyond(held, LogPosition(SERVER, "2", 1), 1)
    assert not logs.is_beyond(held, LogPosition("another", "1", 1), 1)


def test_a_report_is_told_with_its_newest_bases_and_the_number_of_the_others() -> None:
    """Beside a list there is no room for a base of each hour; what is missing is always told."""
    held = LogHoldings("main", runs_of([1, 2, 3, 4, 7, 8, 9]))
    report = log_report.report("shop", [base(1), base(2), base(7)], [held], None)
    told = log_words.lines(report, 1)
    assert [each.strip().split()[0] for each in told] == ["shop:", "base", "and", "gap:"]
    assert "base b7 on main" in told[1]
    assert told[2] == "  and 2 older"
    assert len(log_words.lines(report)) == 5
