"""Backups with an expiry date: kept until then whatever the rules say, and gone after it."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.model.definitions import Storage
from engine.model.requests import BackupRequest, ForgetRequest, KeepPolicy
from tests.jobs.world import World, open_world

pytestmark = pytest.mark.slow

DAY = datetime.timedelta(days=1)


class _ShiftedClock(SystemClock):
    """The machine's clock, set off by some days."""

    shift = datetime.timedelta()

    def now(self) -> datetime.datetime:
        """Off by the shift."""
        return super().now() + self.shift


@pytest.fixture
def clock() -> _ShiftedClock:
    """Can be set forward."""
    return _ShiftedClock()


@pytest.fixture
async def world(tmp_path: Path, clock: _ShiftedClock) -> AsyncIterator[World]:
    """A storage and a source `tree` under that clock."""
    async with open_world(tmp_path / "world", clock) as opened:
        root = opened.directory / "tree"
        root.mkdir()
        (root / "file").write_bytes(b"content")
        await opened.add_storages("first")
        await opened.add_files("tree", root)
        yield opened


async def _expiring(world: World, clock: _ShiftedClock, days: int) -> str:
    """The id of a backup that expires so many days from now."""
    expires_at = clock.now() + days * DAY
    done = await world.engine.backup(BackupRequest(("tree",), expires_at=expires_at))
    return done.backups[0].backup_id


async def _fates(world: World, last: int) -> dict[str, tuple[bool, str]]:
    done = await world.engine.forget(ForgetRequest(KeepPolicy(last=last)))
    return {each.backup_id: (each.is_kept, each.reasons[0].split(" 20")[0]) for each in done.fates}


async def test_a_backup_stays_until_it_expires_and_goes_then(world: World, clock: _ShiftedClock) -> None:
    """The one taken before an upgrade is wanted for two weeks, and clutters from then on."""
    before = await _expiring(world, clock, 14)
    first, second = await world.one_backup("tree"), await world.one_backup("tree")
    assert await _fates(world, last=1) == {
        second.backup_id: (True, "last snapshot 1 of 1"),
        first.backup_id: (False, "no rule keeps it"),
        before: (True, "expires"),
    }
    clock.shift = 15 * DAY
    fates = await _fates(world, last=5)
    assert fates[before] == (False, "expired")
    assert {each.backup_id for each in await world.engine.backups()} == {second.backup_id}


async def test_an_expired_backup_takes_no_place_of_a_rule(world: World, clock: _ShiftedClock) -> None:
    """Two are to be kept: two that may stay."""
    first = await world.one_backup("tree")
    expired = await _expiring(world, clock, 1)
    second = await world.one_backup("tree")
    clock.shift = 2 * DAY
    fates = await _fates(world, last=2)
    assert [fates[each][0] for each in (first.backup_id, expired, second.backup_id)] == [True, False, True]


async def test_the_last_backup_of_a_source_never_expires(world: World, clock: _ShiftedClock) -> None:
    """A source whose backups stopped must not lose the one that is left, nor by a clock that ran ahead."""
    older, newer = await _expiring(world, clock, 1), await _expiring(world, clock, 1)
    clock.shift = 30 * DAY
    assert await _fates(world, last=1) == {
        newer: (True, "the last backup of its source"),
        older: (False, "expired"),
    }


async def test_a_protected_backup_does_not_expire(world: World, clock: _ShiftedClock) -> None:
    """Who protects a backup does so later than who gave it a date."""
    backup = await _expiring(world, clock, 1)
    await world.engine.protect_backup(backup, is_protected=True)
    await world.one_backup("tree")
    clock.shift = 2 * DAY
    assert (await _fates(world, last=1))[backup] == (True, "protected")


async def test_a_lost_catalog_comes_back_with_the_expiry(
    world: World, clock: _ShiftedClock, tmp_path: Path
) -> None:
    """A date that a person gave is no less a promise after a disaster."""
    backup = await _expiring(world, clock, 14)
    known = await world.engine.show_backup(backup)
    async with open_world(tmp_path / "fresh") as fresh:
        options = {"path": str(world.place("first"))}
        await fresh.engine.recover(Storage("first", "local", options, f"file:{world.directory}/password"))
        found = await fresh.engine.show_backup(backup)
    assert (found.expires_at, found.created_at) == (known.expires_at, known.created_at)
