"""The guard: who passes, how often, and until when."""

from __future__ import annotations

import datetime

import pytest

from engine import guard
from engine.errors import UsageError

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
SALT = bytes(16)


@pytest.mark.slow
def test_a_passphrase_passes_always_and_a_code_once_in_its_time() -> None:
    """Whoever was given a code for tonight cannot use it tomorrow, nor twice."""
    code = guard.new_code(lambda count: bytes(range(count)))
    assert code == "0123-4567-89ab-cdef"
    kept = guard.Guard(
        guard.hashed("correct horse", SALT),
        NOW,
        (guard.hashed(code, SALT, NOW + HOUR), guard.hashed("0000", SALT, NOW)),
    )
    assert "correct" not in repr(kept)
    left = guard.passed(kept, "correct horse", NOW)
    assert left is not None
    assert left.codes == kept.codes[:1]
    used = guard.passed(kept, f" {code.upper()}\n", NOW)
    assert used is not None
    assert used.codes == ()
    assert guard.passed(used, code, NOW) is None
    assert guard.passed(kept, code, NOW + HOUR) is None


def test_a_passphrase_is_long_enough_to_be_one() -> None:
    """One letter guards nothing."""
    with pytest.raises(UsageError, match="shorter than 8"):
        guard.require_fit("horse")
    guard.require_fit("correct horse")
