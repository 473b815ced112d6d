"""Screens of the console on the fleet of `holdfast demo --fleet`, at one instant: for the pictures of the README and for golden snapshots.

The same on every machine: clock, zone and catalog are fixed, and nothing of the machine is shown.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.cli.demo.fleet import filling
from engine.service import open_engine
from tests.fakes.clock import FakeClock
from tests.tui.seat import Seat, open_console
from tui.preferences import Preferences

Step = tuple[tuple[str, ...], tuple[str, ...]]
"""Keys, and what is seen after them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """How a screen is come to."""

    title: str
    steps: tuple[Step, ...]


_FIRST: Final[Step] = ((), ("analytics-db", "incr"))
_ORDERS: Final[Step] = (("slash", *"orders", "enter"), ("/orders", "38.4G"))
SCENES: Final = {
    "backups": Scene("what is at risk, and how far back each source can be brought", (_FIRST,)),
    "schedules": Scene("what runs when, and what goes by it", (_FIRST, (("2",), ("in 6h24m",)), (("j",) * 5, ("databases  backup",)))),
    "restore": Scene("when each source was drilled last", (_FIRST, (("3",), ("4m27s",)))),
    "storage": Scene("what each storage holds, and what if it is lost", (_FIRST, (("4",), ("looked at 24m ago", "330G")))),
    "jobs": Scene("the job drawer over a pane", (_FIRST, (("9",), ("766 MiB added",)))),
    "drill": Scene("a drill, two keys away", (_FIRST, _ORDERS, (("D",), ("same as: holdfast drill orders-db", "LAST   Sun")))),
    "history": Scene("all backups of a source", (_FIRST, _ORDERS, (("enter",), ("2026-09-10", "audit")))),
    "wizard": Scene("a schedule is made, with what it amounts to", (
        _FIRST, (("2",), ("in 6h24m",)), (("n",), ("five fields of cron",)),
        ((*"daily", "space", "a", "t", "space", *"20", "colon", *"30", "enter"), ("daily at 20:30", "say which sources", "backup, free")),
    )),
}  # fmt: skip


@contextmanager
def fixed_zone() -> Iterator[None]:
    """The console shows the machine's time: that is UTC meanwhile."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def make_home(directory: Path) -> Path:
    """A home with the fleet, to be looked at."""
    asyncio.run(filling.fill(directory, FakeClock(), is_real=False))
    return directory


@asynccontextmanager
async def opened(
    home: Path, name: str, size: tuple[int, int], theme: str = "dark", *, is_ascii: bool = True
) -> AsyncIterator[Seat]:
    """The console, with that scene on the screen."""
    async with open_engine(str(home), clock=FakeClock(), environment={}) as engine:
        preferences = Preferences("prod", theme=theme, is_ascii=is_ascii)
        async with open_console(engine, size=size, preferences=preferences) as seat:
            for keys, texts in SCENES[name].steps:
                await seat.press(*keys)
                await seat.sees(*texts)
            await seat.settles()
            yield seat
