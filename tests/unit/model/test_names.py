"""Names and ids are never taken for each other."""

from __future__ import annotations

import os

import pytest

from engine.errors import UsageError
from engine.model.names import ID_LENGTH, check_name, is_id_prefix, nearest, new_id


def test_an_id_is_an_id_and_no_name() -> None:
    """`holdfast show 3f9c` must mean one thing."""
    for _ in range(200):
        text = new_id(os.urandom)
        assert len(text) == ID_LENGTH
        assert is_id_prefix(text)
        with pytest.raises(UsageError, match="cannot be the name of a source"):
            check_name("source", text)


def test_ids_come_from_the_randomness_that_is_handed_in() -> None:
    """A test can foresee them, and nobody else can."""
    assert new_id(lambda count: bytes(range(count))) == "0123456789abcdef"


@pytest.mark.parametrize("name", ["a", "Web-1.example_x", "x" * 64])
def test_a_usual_name_is_taken(name: str) -> None:
    """People name things after host names."""
    check_name("host", name)
    assert not is_id_prefix(name)


def test_the_nearest_name_is_named_and_a_far_one_is_not() -> None:
    """A wrong guess is worse than none."""
    assert (nearest("wbe1", ["web1", "db"]), nearest("zzz", ["web1"])) == ("web1", None)
