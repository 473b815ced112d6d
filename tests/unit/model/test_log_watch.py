"""A source's log at a glance: how far it reaches, and what is missing behind its newest base."""

from __future__ import annotations

import datetime

import pytest

from engine.model.log_watch import LogFacts, WatchedLog, facts_of, gaps_behind
from engine.model.logs import Base, LogFork, LogHoldings, LogPosition, LogRun, LogState

BEGAN = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)


def _at(minute: int) -> datetime.datetime:
    return BEGAN + datetime.timedelta(minutes=minute)


def _run(first: int, last: int, series: str = "1", identity: str = "a") -> LogRun:
    return LogRun(identity, series, first, last, _at(first), _at(last), (last - first + 1) * 100)


def _base(number: int, series: str = "1", identity: str = "a") -> Base:
    return Base(f"b{number}", LogPosition(identity, series, number), _at(number), ("near",))


@pytest.mark.parametrize(
    ("number", "runs", "forks", "missing"),
    [
        (4, [_run(1, 9)], [], []),
        (4, [_run(5, 9)], [], []),
        (4, [_run(6, 9)], [], [("1", 5, 5)]),
        (4, [_run(1, 2), _run(5, 9)], [], []),
        (4, [_run(1, 6), _run(9, 9)], [], [("1", 7, 8)]),
        (9, [_run(1, 6), _run(9, 9)], [], []),
        (4, [_run(1, 6), _run(7, 9, "2")], [LogFork("2", "1", 7)], []),
        (4, [_run(1, 5), _run(8, 9, "2")], [LogFork("2", "1", 7)], [("1", 6, 6), ("2", 7, 7)]),
        (4, [_run(1, 9, identity="b"), _run(12, 15, identity="b")], [], []),
    ],
)
def test_what_is_missing_behind_a_base_is_named(
    number: int, runs: list[LogRun], forks: list[LogFork], missing: list[tuple[str, int, int]]
) -> None:
    """What was lost before it is past mending, and no base would bring it back."""
    found = gaps_behind(_base(number), LogHoldings("near", runs, forks))
    assert [(each.series, each.first, each.last) for each in found] == missing


def test_a_gap_is_open_until_there_is_a_base_behind_it() -> None:
    """Then the newest instant can be reached again, and the gap stays as one that cannot."""
    held = LogHoldings("near", [_run(1, 6), _run(9, 12)])
    before = facts_of(WatchedLog("shop", [_base(2)], [held], None))
    after = facts_of(WatchedLog("shop", [_base(2), _base(9)], [held], None))
    assert (before.gaps, len(before.open_gaps), before.recoverable_to) == (1, 1, _at(6))
    assert (after.gaps, len(after.open_gaps), after.recoverable_to) == (1, 0, _at(12))
    assert (after.recoverable_from, after.replay_segments, after.replay_bytes) == (_at(2), 3, 300)


def test_another_server_is_one_that_was_neither_shipped_nor_backed_up() -> None:
    """A base of it says that it is meant."""
    held = [LogHoldings("near", [_run(1, 6)])]
    seen = LogState("shop", _at(7), identity="b")
    assert facts_of(WatchedLog("shop", [_base(2)], held, seen)).shipped_identity == "a"
    assert facts_of(WatchedLog("shop", [_base(3, identity="b")], held, seen)).shipped_identity == ""
    assert facts_of(WatchedLog("shop", [_base(2)], held, LogState("shop", _at(7)))).shipped_identity == ""


def test_what_would_be_lost_is_told_by_one_clock() -> None:
    """Instants of the log are by the host's clock, and now is by ours."""
    log = LogFacts(LogState("shop", _at(5), clock_ahead_s=60.0), recoverable_to=_at(4))
    assert log.lost_s(_at(5)) == 120
    assert log.lost_s(_at(2)) == 0
    assert LogFacts().lost_s(_at(5)) is None
