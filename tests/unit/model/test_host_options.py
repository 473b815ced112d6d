"""The options of hosts."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from engine.model.host_options import is_number, name_of, staged, unstaged


def test_an_environment_without_a_value_is_what_the_host_is_for() -> None:
    """One option on the command line, two in the catalog."""
    kept = staged({"environment": ("LANG=C", "staging"), "nice": "no"})
    assert kept == {"environment": ("LANG=C",), "stage": "staging", "nice": "no"}
    assert unstaged(kept) == {"environment": ("staging", "LANG=C"), "nice": "no"}
    assert unstaged({"stage": "staging"}) == {"environment": ("staging",)}
    assert staged({}) == unstaged({}) == {}


def test_a_host_is_for_one_thing() -> None:
    """Of two nobody would know which counts."""
    with pytest.raises(UsageError, match="one environment, not a and b"):
        staged({"environment": ("a", "b")})


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("db1", "db1"), ("backup@db1.example.org:2222", "db1"), ("10.0.0.7", "host-10-0-0-7"), ("a@::1", "host-1"),
        ("root@Web_1.x", "Web_1"), ("@", ""), ("", ""), ("ö", ""),
    ],
)  # fmt: skip
def test_a_host_is_called_as_its_machine(address: str, name: str) -> None:
    """A name that nobody has to think of."""
    assert name_of(address) == name


@pytest.mark.parametrize(
    ("address", "is_one"),
    [("10.0.0.7", True), ("root@10.0.0.7:22", True), ("a@::1", True), ("[fe80::1]", True), ("db1", False), ("a@10.example.org", False), ("", False)],
)  # fmt: skip
def test_an_address_may_be_a_number(address: str, is_one: bool) -> None:
    """Then the machine itself is asked for its name."""
    assert is_number(address) is is_one
