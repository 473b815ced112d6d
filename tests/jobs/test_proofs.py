"""Packs that were proved are remembered: a slice a night proves everything."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.model.backup import Proof
from engine.model.requests import VerifyRequest
from engine.model.results import VerifyResult
from tests.jobs.world import open_world

pytestmark = pytest.mark.slow

DAY = datetime.timedelta(days=1)


class _ShiftedClock(SystemClock):
    """The machine's clock, set off by some days."""

    shift = datetime.timedelta()

    def now(self) -> datetime.datetime:
        """Off by the shift."""
        return super().now() + self.shift


async def test_a_slice_a_night_proves_everything(tmp_path: Path) -> None:
    """A storage that takes days to read is proved all the same, and what was not proved for long is read again."""
    clock = _ShiftedClock()
    async with open_world(tmp_path / "world", clock) as world:
        root = tmp_path / "tree"
        root.mkdir()
        await world.add_storages("first")
        await world.add_files("tree", root)
        for number in range(3):
            (root / "file").write_bytes(b"%d" % number)
            backup = await world.one_backup("tree")

        async def night(days: float) -> VerifyResult:
            clock.shift += days * DAY
            return await world.engine.verify(
                VerifyRequest(storage="first", is_reading_data=True, max_age_days=7, slice_percent=50)
            )

        nights = [await night(1) for _ in range(4)]
        assert nights[0].packs_unproved > 0
        assert (await world.engine.backup_proofs(backup.backup_id))[-1].proof is Proof.READABLE
        assert [each.packs_unproved for each in nights] == sorted(
            (each.packs_unproved for each in nights), reverse=True
        )
        assert (nights[-1].packs_read, nights[-1].packs_unproved) == (0, 0)
        proved = await world.engine.show_backup(backup.backup_id)
        assert (proved.proof, proved.proven_by) == (Proof.VERIFIED, f"verify {nights[-1].job_id}")
        again = await night(30)
        assert again.packs_read > 0
        assert again.packs_unproved > 0
