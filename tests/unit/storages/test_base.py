"""Names, paths and ranges: the rules that all storages share."""

from __future__ import annotations

import inspect

import pytest

from engine import errors
from engine.storages.base import Key, Kind, OpenStorage, Wrapper, check_range, count_bytes, is_name

NAME = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (Key(Kind.CONFIG), "config"),
        (Key(Kind.KEY, NAME), f"keys/{NAME}"),
        (Key(Kind.LOCK, NAME), f"locks/{NAME}"),
        (Key(Kind.SNAPSHOT, NAME), f"snapshots/{NAME}"),
        (Key(Kind.INDEX, NAME), f"index/{NAME}"),
        (Key(Kind.PACK, NAME), f"data/01/{NAME}"),
    ],
)
def test_objects_lie_where_restic_looks_for_them(key: Key, path: str) -> None:
    """Without us, the backups are read with restic."""
    assert key.path() == path


def test_the_config_has_no_name() -> None:
    """There is one config, so a name is a mistake."""
    with pytest.raises(ValueError, match="has no name"):
        Key(Kind.CONFIG, NAME).path()


@pytest.mark.parametrize(
    "text", ["", NAME[1:], NAME + "0", NAME.upper(), NAME[:-1] + "\n", NAME[:-1] + "٣", NAME + "-tmp-1"]
)
def test_nothing_but_64_hex_digits_is_a_name(text: str) -> None:
    """Leftovers and strangers' files are no objects."""
    assert not is_name(text)


def test_a_negative_range_is_a_mistake() -> None:
    """Python would take it for a range from the end."""
    for offset, length in ((-1, None), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            check_range(Key(Kind.CONFIG), 10, offset, length)


def test_a_short_read_names_the_object() -> None:
    """Someone has to find it."""
    with pytest.raises(errors.ShortReadError, match="config ends after 10 bytes, but 3 bytes from offset 8"):
        check_range(Key(Kind.CONFIG), 10, 8, 3)


def test_views_count_in_bytes() -> None:
    """A view of numbers has fewer items than bytes."""
    assert count_bytes([b"ab", bytearray(3), memoryview(b"abcdefgh").cast("I")]) == 13


def test_a_wrapper_passes_on_all_that_the_contract_has() -> None:
    """A method added to the contract and forgotten here would fail at its first call."""
    for name, member in inspect.getmembers(
        OpenStorage, lambda member: inspect.isfunction(member) or isinstance(member, property)
    ):
        if not name.startswith("_"):
            assert type(inspect.getattr_static(Wrapper, name)) is type(member)
