"""The table of storages, and what is put round them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.storages import registry
from engine.storages.base import Key, Kind

PACK = Key(Kind.PACK, "ab" * 32)


@pytest.mark.parametrize("kind", registry.MEMBERS)
def test_every_kind_of_the_table_is_there(kind: str) -> None:
    """A slip in the table would show on the day of a restore."""
    assert callable(registry.load(kind))


def test_an_unknown_kind_is_answered_with_those_there_are() -> None:
    """A slip of the pen is put right fastest by the list."""
    with pytest.raises(errors.UnknownNameError, match="no kind of storage named lokal") as caught:
        registry.load("lokal")
    assert caught.value.hint == f"known kinds: {', '.join(registry.kinds())}"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": ""},
        {"path": 5},
        {"path": "not/absolute"},
        {"path": "/srv", "connections": 0},
        {"path": "/srv", "connections": True},
        {"path": "/srv", "limit_upload": "fast"},
        {"path": "/srv", "retry_limit": -1},
        {"path": "/srv", "limit_download": "²"},
    ],
    ids=str,
)
async def test_a_wrong_option_is_refused_before_anything_is_touched(options: dict[str, OptionValue]) -> None:
    """A limit that was misread would be found out by the bill."""
    with pytest.raises(errors.ConfigurationError):
        async with registry.open_storage("local", options, clock=SystemClock()):
            pass


async def test_the_options_of_every_kind_take_effect(tmp_path: Path) -> None:
    """They are the same for a directory and for a bucket."""
    waits: list[float] = []

    async def sleep(span_s: float) -> None:
        waits.append(span_s)
        await asyncio.sleep(0)

    options: dict[str, OptionValue] = {"path": str(tmp_path), "connections": "3", "limit_upload": 1}
    async with registry.open_storage("local", options, clock=SystemClock(), sleep=sleep) as storage:
        assert storage.traits.connections == 3
        await storage.put(PACK, [bytes(1 << 20)])
        await storage.put(PACK, [b""])
    assert waits == [pytest.approx(1024, rel=0.01)]
