"""What a REST storage makes of a server's answers: pure functions at its edge."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.storages import registry
from engine.storages.rest import failures
from engine.storages.rest.listing import LONGEST_BYTES, Listing

NAMES = some.text("0123456789abcdef", min_size=64, max_size=64)
ENTRIES = some.lists(some.tuples(NAMES, some.integers(0, 1 << 40)), max_size=20)


def heard(text: bytes, cuts: list[int]) -> list[tuple[str, int]]:
    """What a listing says that arrives in pieces."""
    listing = Listing()
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    for begin, end in itertools.pairwise(places):
        listing.feed(text[begin:end])
    listing.end()
    return list(listing.objects())


@given(ENTRIES, some.lists(some.integers(0, 10_000), max_size=10), some.sampled_from([None, 1]))
def test_a_listing_is_the_same_however_it_arrives(
    entries: list[tuple[str, int]], cuts: list[int], indent: int | None
) -> None:
    """A name that is cut in two would be a pack that prune thinks gone."""
    text = json.dumps([{"name": name, "size": size} for name, size in entries], indent=indent).encode()
    assert heard(text, cuts) == entries


def test_what_is_no_object_is_passed_over() -> None:
    """Temporary files of the server, and whatever else lies there."""
    text = json.dumps([{"name": "tmp-1", "size": 1}, {"size": 2, "name": "a" * 64, "more": None}]).encode()
    assert heard(text, []) == [("a" * 64, 2)]
    assert heard(b"null", []) == []
    assert heard(b"[]\n", []) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b'["aa"]',
        b'[{"name":"' + b"a" * 64 + b'","size":-1}]',
        b'[{"name":"' + b"a" * 64 + b'","size":"1"}]',
        b'[{"name":"' + b"a" * 64 + b'","size":1}',
        b'[{"size":1}]',
        b"[" + b" " * LONGEST_BYTES,
    ],
)
def test_a_listing_that_is_cut_or_strange_is_an_error(text: bytes) -> None:
    """Half a listing must not look like a whole one."""
    with pytest.raises(errors.StorageError, match="cannot be understood"):
        heard(text, [])


@pytest.mark.parametrize(
    ("status", "log", "expected", "is_retryable"),
    [
        (401, "", errors.StorageDeniedError, False),
        (403, "", errors.StorageDeniedError, False),
        (507, "", errors.StorageFullError, False),
        (413, "", errors.StorageFullError, False),
        (302, "", errors.StorageError, False),
        (400, "", errors.StorageError, False),
        (429, "", errors.StorageUnreachableError, True),
        (500, "", errors.StorageUnreachableError, True),
        (503, "", errors.StorageUnreachableError, True),
        (500, "data/x: Put failed: googleapi: Error 403: quota exceeded", errors.StorageFullError, False),
        (500, "open /x: permission denied", errors.StorageDeniedError, False),
        (500, "open /x: read-only file system", errors.StorageReadOnlyError, False),
        (500, "connection reset by peer", errors.StorageUnreachableError, True),
    ],
)
def test_a_status_is_retried_only_where_it_passes(
    status: int, log: str, expected: type[errors.StorageError], is_retryable: bool
) -> None:
    """A quarter of an hour of tries against a missing right helps nobody."""
    error = failures.of_status(status, "x could not be written on y", log)
    assert (type(error), error.retryable) == (expected, is_retryable)
    assert error.message.startswith("x could not be written on y: ")


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        ("rest", {"url": "ftp://h/"}, "none of a REST server"),
        ("rest", {"url": "https://"}, "none of a REST server"),
        ("rest", {"url": "https://h:x/"}, "not understood|none of a REST server"),
        ("rest", {"url": "https://h/?a=b"}, "none of a REST server"),
        ("rest", {"url": "https://me:pw@h/"}, "holds a login"),
        ("rest", {"url": "http://h/", "user": "me"}, "for all to read"),
        ("rest", {"url": "https://h/", "user": "a:b"}, "no colon"),
        ("rest", {"url": "https://h/", "ca_file": "/nowhere"}, "cannot be read"),
        ("rclone", {"remote": "nothing"}, "is no remote"),
        ("rclone", {"remote": "--config=x:y"}, "is no remote"),
        ("rclone", {"remote": ":local:/x", "rclone_program": "/nowhere"}, "no program /nowhere"),
    ],
)
async def test_a_wrong_option_is_told_at_once(
    kind: str, options: dict[str, OptionValue], complaint: str
) -> None:
    """And no password is shown."""
    with pytest.raises(errors.ConfigurationError, match=complaint) as caught:
        async with registry.open_storage(kind, options, clock=SystemClock()):
            pass
    assert "pw" not in caught.value.message
