"""What a snapshot's tags say of the backup that it is, whoever wrote them."""

from __future__ import annotations

import datetime

import pytest

from engine.format.snapshot import Snapshot
from engine.jobs.snapshot_tags import backup_of
from engine.model.backup import Scope


@pytest.mark.parametrize(
    ("tags", "scope"),
    [
        ([], Scope.ALL),
        (["holdfast:only=schema"], Scope.SCHEMA),
        (["only=schema"], Scope.ALL),
        (["holdfast:only=all"], Scope.CONFIGURATION),
        (["holdfast:only=something new"], Scope.CONFIGURATION),
    ],
)
def test_a_part_is_known_from_its_snapshot_alone(tags: list[str], scope: Scope) -> None:
    """A catalog that was rebuilt must not take a part for the whole; what nobody here knows is taken for a part."""
    found = Snapshot(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), b"t" * 32, ("/",), "h", tags=tags)
    assert backup_of(found, []).scope is scope
