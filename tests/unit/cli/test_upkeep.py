"""What verify understands by a part of the packs, and show by a ladder."""

from __future__ import annotations

import argparse

import pytest

from engine.cli import upkeep
from engine.model import described
from engine.model.backup import Backup, BackupStatus, Proof, ProofRecord
from tests.fakes.clock import START


@pytest.mark.parametrize(
    ("written", "understood"),
    [("2/7", (2, 7)), ("10%", 10.0), ("0.5%", 0.5), ("5G", 5 << 30), ("1024", 1024), ("3k", 3072)],
)
def test_a_part_is_written_as_restic_writes_it(written: str, understood: object) -> None:
    """Scripts that call restic today must not have to be thought over."""
    assert upkeep._subset(written) == understood


@pytest.mark.parametrize("written", ["", "%", "0%", "101%", "8/7", "0/7", "5X", "-1", "0", "G", "1.5G"])
def test_what_is_no_part_is_refused(written: str) -> None:
    """A slip must not read everything, or nothing."""
    with pytest.raises(argparse.ArgumentTypeError):
        upkeep._subset(written)


def test_the_ladder_names_the_newest_attempt_at_each_rung() -> None:
    """A drill that failed yesterday must not hide behind one that passed last year."""
    backup = Backup(
        "1", "shop", "db1", "full", BackupStatus.COMPLETED, START, START, 1, 1, 1, 0, 0, (), proof=Proof.TAKEN
    )
    proofs = [
        ProofRecord("1", "near", Proof.DRILLED, START, False, "7c", verb="drill"),
        ProofRecord("1", "near", Proof.VERIFIED, START, True, "7b"),
        ProofRecord("1", "near", Proof.DRILLED, START, True, "7a", verb="drill"),
    ]
    lines = dict(described.ladder(backup, proofs))
    assert list(lines) == ["proof", "taken", "verified", "drilled"]
    assert "by verify, job 7b, in near" in lines["verified"]
    assert lines["drilled"].startswith("FAILED")


def test_a_failed_backup_stands_on_no_rung() -> None:
    """Nothing was taken: whoever reads `taken` beside it counts on it."""
    backup = Backup("1", "shop", "db1", "full", BackupStatus.FAILED, START, START, 0, 0, 0, 0, 0, ())
    assert described.proof(backup) == "-"
    assert dict(described.ladder(backup, ())).keys() == {"proof", "tried"}
