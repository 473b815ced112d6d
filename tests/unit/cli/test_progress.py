"""The progress bar's line, and the rate in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.cli.progress import Rate, bar_line
from engine.events import Progress
from engine.model import text

GIB = 2**30


def test_a_bar_says_how_far_how_fast_and_how_long_still() -> None:
    """Whoever waits wants to know for how long."""
    line = bar_line(Progress("read", GIB, 4 * GIB, current="/srv/a"), GIB / 60, 0.0, width=80)
    assert line == "[#####...............]  25%  1.0 GiB  17.1 MiB/s  3 min 00 s left  /srv/a"


def test_files_are_counted_where_nobody_knows_the_bytes() -> None:
    """A tree of many small files has no size before it is read."""
    line = bar_line(Progress("read", done_files=50, total_files=100), 0.0, 10.0, width=80)
    assert line == "[##########..........]  50%  0 B  50 files  5.0 s left"


@given(
    st.integers(0, 2**60),
    st.none() | st.integers(0, 2**60),
    st.text(max_size=200),
    st.integers(20, 200),
)
def test_a_bar_never_takes_a_second_line(done: int, total: int | None, current: str, width: int) -> None:
    """A line that wraps cannot be cleared, and the screen fills with bars."""
    line = bar_line(Progress("x", done, total, current=current), 1.0, 0.0, width=width)
    assert line.isprintable()
    assert text.columns(line) < width


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """An average since the beginning hides that nothing moves any more."""
    rate = Rate()
    for second in range(100):
        rate.mark(second, 1000 * second if second < 50 else 50_000)
    assert rate.per_second == 0.0


def test_the_rate_begins_anew_with_a_new_step() -> None:
    """A step that counts from nothing again does not go backwards."""
    rate = Rate()
    for now, done in ((0.0, 0), (1.0, 1000), (2.0, 0), (3.0, 10)):
        rate.mark(now, done)
    assert rate.per_second == 10.0
