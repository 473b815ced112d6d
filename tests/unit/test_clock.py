"""Whoever sleeps until something is to be renewed wakes when the clock is set."""

from __future__ import annotations

import asyncio

import pytest

from engine.clock import sleep_until_set
from tests.fakes.loop_clock import LoopClock


@pytest.mark.looptime
@pytest.mark.parametrize(("by_s", "sleeps_s"), [(0, 15), (3_600, 4), (-3_600, 4), (365 * 86_400, 4), (2, 15)])
async def test_a_clock_that_is_set_ends_the_sleep(by_s: float, sleeps_s: float) -> None:
    """After a jump all leases look as if they had run out, or as if they never did."""
    clock = LoopClock()
    loop = asyncio.get_running_loop()
    loop.call_later(3.5, clock.jump, by_s)
    began = loop.time()
    await sleep_until_set(clock, 15.0)
    assert loop.time() - began == pytest.approx(sleeps_s, abs=0.01)
