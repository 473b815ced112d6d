"""Which proofs still hold when a storage's bytes are others than those that were proved."""

from __future__ import annotations

import datetime

import pytest

from engine.catalog import proofs
from engine.model.backup import Proof, ProofRecord, void

START = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
BY_LETTER = {"t": Proof.TAKEN, "r": Proof.READABLE, "v": Proof.VERIFIED, "d": Proof.DRILLED}


def records(text: str) -> list[ProofRecord]:
    """`v1 d2 t1 v1-`: verified in storage 1, drilled in 2, others in 1, a failure there; one an hour."""
    return [
        ProofRecord(
            "b", word[1], BY_LETTER[word[0]], START + datetime.timedelta(hours=at), not word.endswith("-")
        )
        for at, word in enumerate(text.split())
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("v1 r1", "v1"),
        ("v1 t1", None),
        ("d1 v2 t1", "v2"),
        ("v1 t1 r1", "r1"),
        ("t1 v1", "v1"),
        ("d1 v2 v2-", None),
        ("d1 v2- r2", "r2"),
        ("d2 t1 t2", None),
    ],
)
def test_what_was_proved_elsewhere_or_since_still_holds(text: str, expected: str | None) -> None:
    """A proof is of bytes that were read."""
    found = proofs.standing(reversed(records(text)))
    assert (None if found is None else f"{found.proof.value[0]}{found.storage}") == expected


def test_what_is_void_is_told_from_what_holds() -> None:
    """`show` names the rungs that count."""
    told = records("v1 d2 t1 r1")
    assert void(told) == told[:1]
