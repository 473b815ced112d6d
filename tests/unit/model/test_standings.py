"""What would be left if a storage were lost."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.model.standings import lag_s, loss_of

_DAY = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)


def _at(hours: int) -> datetime.datetime:
    return _DAY + datetime.timedelta(hours=hours)


def test_what_no_other_storage_has_is_lost() -> None:
    """The line that a person has to read."""
    newest = {"db": {"main": _at(3)}, "files": {"main": _at(3), "second": _at(2)}}
    found = loss_of("main", newest)
    assert (found.sources, found.lost, found.older, found.best) == (2, ["db"], [("files", _at(2))], "second")
    assert found.recoverable_to == _at(2)


def test_a_storage_that_holds_nothing_is_no_loss() -> None:
    """Nothing is said of what it never had."""
    found = loss_of("empty", {"db": {"main": _at(1)}})
    assert (found.sources, found.lost, found.recoverable_to) == (0, [], None)


def test_a_storage_is_as_late_as_its_latest_source() -> None:
    """One source that was forgotten is not hidden by the others."""
    newest = {"db": {"main": _at(9), "second": _at(9)}, "files": {"main": _at(9), "second": _at(4)}}
    assert (lag_s("main", newest), lag_s("second", newest), lag_s("other", newest)) == (0.0, 5 * 3600.0, 0.0)


_NEWEST = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(0, 50).map(_at), min_size=1),
)


@given(_NEWEST, st.sampled_from(["x", "y", "z"]))
def test_a_source_is_lost_or_can_be_brought_back_from_another(
    newest: dict[str, dict[str, datetime.datetime]], storage: str
) -> None:
    """Never both, never neither."""
    found = loss_of(storage, newest)
    held = {source for source, places in newest.items() if storage in places}
    assert set(found.lost) == {source for source in held if len(newest[source]) == 1}
    assert (found.recoverable_to is not None) == (len(found.lost) < len(held))
    assert (found.best == "") == (found.recoverable_to is None)
