"""Which way a log went at an instant."""

from __future__ import annotations

import pytest

from engine.model import logs
from engine.model.log_branches import at_that_time, beyond, is_named, left
from engine.model.logs import LogFork, LogHoldings, LogPosition, LogRun, LogState
from tests.unit.model.test_logs import SERVER, at, base, runs_of

FORKS = (LogFork("2", "1", 5, SERVER), LogFork("3", "1", 7, SERVER))
"""Brought back in its own place to the fifth minute after the fourteenth, and once more, to the seventh, after the nineteenth."""


def _held() -> LogHoldings:
    """Segments of a series that follows are numbered from where it left: only their minutes are later ones."""
    runs = [*runs_of(range(2, 15), "1")]
    for series, first, minute in (("2", 5, 15), ("3", 7, 20)):
        length = 4
        runs += [LogRun(SERVER, series, first, first + length, at(minute), at(minute + length + 0.9), 500)]
    return LogHoldings("main", runs, FORKS)


@pytest.mark.parametrize(
    ("minute", "way", "left"),
    [
        (3, [("1", 2, 14)], "1"),
        (12, [("1", 2, 14)], "1"),
        (14.95, [("1", 2, 14)], "1"),
        (16, [("1", 2, 4), ("2", 5, 9)], "2"),
        (19.95, [("1", 2, 4), ("2", 5, 9)], "2"),
        (22, [("1", 2, 6), ("3", 7, 11)], ""),
    ],
)
def test_an_instant_lies_on_the_way_that_the_server_was_on_then(
    minute: float, way: list[tuple[str, int, int]], left: str
) -> None:
    """Also between the last transaction on one and the first on the next."""
    held, bases = _held(), [base(1)]
    reach, series = at_that_time(logs.reaches(bases, [held]), bases, [held], None, at(minute))
    assert reach is not None
    assert ([(run.series, run.first, run.last) for run in reach.path], series) == (way, left)


def test_a_restore_that_was_rolled_back_counts_for_its_own_time_alone() -> None:
    """The server goes on in series 1, which it had left for 2 for a while."""
    runs = [*runs_of(range(2, 15)), LogRun(SERVER, "2", 5, 6, at(9.95), at(10.95), 200)]
    held, bases = LogHoldings("main", runs, FORKS[:1]), [base(1)]
    state = LogState(
        "shop", at(16), SERVER, series="1", covered=LogPosition(SERVER, "1", 14), covered_until=at(16)
    )
    found = logs.reaches(bases, [held], state)
    assert [(reach.path[-1].series, reach.ends_at) for reach in found] == [("1", at(16))]
    for minute, series in ((9.5, ""), (10.5, "2"), (11, ""), (16, "")):
        reach, left = at_that_time(found, bases, [held], state, at(minute))
        assert reach is not None
        assert (reach.path[-1].series, left) == (series or "1", series)
    assert at_that_time(found, bases, [held], state, at(17)) == (None, "")


def test_a_fail_over_that_lost_nothing_has_one_way() -> None:
    """The old series ends where the new one left it."""
    held = LogHoldings("main", [*runs_of([2, 3, 4]), *runs_of([5, 6], "2")], (LogFork("2", "1", 5),))
    bases = [base(1)]
    found = logs.reaches(bases, [held])
    assert at_that_time(found, bases, [held], None, at(4)) == (found[0], "")
    assert at_that_time(found, bases, [held], None, at(9)) == (None, "")


def test_what_lies_on_series_that_were_left_is_told_apart_from_what_was_gone_on_from() -> None:
    """Each way to its end, and of each that alone which the newest one does not pass."""
    held = _held()
    (main,) = logs.reaches([base(1)], [held])
    first, second = left([main], [held])
    assert [(run.series, run.first, run.last) for run in second.path] == [("1", 2, 4), ("2", 5, 9)]
    assert [(run.series, run.first, run.last) for run in beyond(first.path, main.path)] == [("1", 7, 14)]
    assert [(run.series, run.first, run.last) for run in beyond(second.path, main.path)] == [("2", 5, 9)]
    assert left([second], [LogHoldings("main", second.path, FORKS)]) == []
    assert is_named("0000000A", "a")
    assert not is_named("0000000A", "A0")
