"""Storages whose service sees to it that of several writers of one name the first alone is heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine import errors
from tests.families.test_storages import CONFIG, STORAGES, Place

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["s3", "azure"])
async def test_of_many_that_put_a_new_config_at_once_the_first_is_heard(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two repositories made at one place at once would mix, and neither could be opened."""
    contents = {bytes([number]) * 100 for number in range(4)}
    async with STORAGES[kind](Place(tmp_path, request)) as storage:
        await storage.create()
        put_new = storage.traits.put_new
        assert put_new is not None
        refused = set()

        async def try_to_put(content: bytes) -> None:
            try:
                await put_new(CONFIG, [content])
            except errors.ObjectExistsError:
                refused.add(content)

        async with asyncio.TaskGroup() as group:
            for content in contents:
                group.create_task(try_to_put(content))
        assert {await storage.get(CONFIG)} == contents - refused
