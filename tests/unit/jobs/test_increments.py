"""How long a chain of increments may grow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engine.jobs.increments import MOST_INCREMENTS, require_short
from engine.sources.incremental import NoIncrementError


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([100], ""),
        ([100, 20, 30], ""),
        ([100, 20, 31], "more than half of its size"),
        ([1000, *[1] * (MOST_INCREMENTS - 1)], ""),
        ([1000, *[1] * MOST_INCREMENTS], f"there are {MOST_INCREMENTS} increments"),
    ],
)
def test_a_full_copy_is_due_once_increments_are_many_or_large(sizes: Sequence[int], said: str) -> None:
    """Each is laid onto it when it is restored, which must not take for ever."""
    if not said:
        require_short(sizes)
        return
    with pytest.raises(NoIncrementError, match=said):
        require_short(sizes)
