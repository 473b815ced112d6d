"""Schedules that are due at the same instant, more than one look takes; `make bench ONLY=due-at-once` has ten thousand of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.due_at_once import LIMIT_MIB, require_whole, rush

pytestmark = pytest.mark.slow

SCHEDULES = 220


async def test_all_that_is_due_at_once_is_done_once_within_the_limits_and_in_bounded_memory(
    tmp_path: Path,
) -> None:
    """Everybody writes 02:00."""
    seen = await rush(tmp_path / "catalog.db", SCHEDULES)
    require_whole(seen, SCHEDULES)
    assert seen.grown_bytes < LIMIT_MIB * (1 << 20)
