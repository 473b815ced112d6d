"""Each kind of storage takes its own options, and says so of others."""

from __future__ import annotations

import pytest

from engine.cli import storage_options
from engine.errors import UsageError


@pytest.mark.parametrize("kind", storage_options.KINDS)
def test_every_option_of_a_kind_is_declared(kind: str) -> None:
    """A name in the table of kinds that nobody can type is a dead one."""
    declared = {each.name for each in storage_options.OPTIONS}
    assert set(storage_options.KINDS[kind].names) <= declared


def test_an_option_of_another_kind_is_refused() -> None:
    """What is ignored quietly is believed to hold."""
    with pytest.raises(UsageError, match="--bucket means nothing to a storage of kind local"):
        storage_options.check("local", {"path": "/a", "bucket": "b"})


def test_options_of_every_kind_are_taken() -> None:
    """Limits and connections."""
    storage_options.check(
        "local", {"path": "/a", "connections": 2, "limit_upload": 1, "limit_download": None}
    )
