"""Patterns of find, include and exclude."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.repository.patterns import Pattern, Selection, escape, split

_names = st.binary(min_size=1, max_size=8).filter(
    lambda name: b"/" not in name and b"\0" not in name and name != b"."  # no file is named so
)
_paths = st.lists(_names, min_size=1, max_size=5).map(tuple)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (b"*.sql", b"a/b/dump.sql", True),
        (b"*.sql", b"a/b/dump.sql.gz", False),
        (b"b", b"a/b", True),
        (b"b", b"a/b/c", False),
        (b"a/b", b"x/a/b", True),
        (b"/a/b", b"x/a/b", False),
        (b"/a/b", b"a/b", True),
        (b"/a/*/c", b"a/b/c", True),
        (b"/a/*/c", b"a/b/b/c", False),
        (b"/a/**/c", b"a/b/b/c", True),
        (b"/a/**/c", b"a/c", True),
        (b"/**", b"a", True),
        (b"?", "\u00e9".encode(), True),
        (b"?", b"\xff", True),
        (b"??", b"a", False),
        (b"[a-c]x", b"bx", True),
        (b"[^a-c]x", b"bx", False),
        (b"[!a-c]x", b"dx", True),
        (b"[]]", b"]", True),
        (rb"\*", b"*", True),
        (rb"\*", b"a", False),
        (b"a*b", b"a\nb", True),
        (b"./a/", b"a", True),
        (b"$HOME(x)+", b"$HOME(x)+", True),
    ],
)
def test_a_pattern_matches_as_restic_says(pattern: bytes, path: bytes, expected: bool) -> None:
    """People type the patterns that they know from restic."""
    assert Pattern.parse(pattern).matches(split(path)) is expected


@pytest.mark.parametrize("pattern", [b"", b"/", b"a[b", b"a\\", b"[z-a]"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: bytes) -> None:
    """A silent mismatch would look like an empty backup."""
    with pytest.raises(UsageError):
        Pattern.parse(pattern)


@given(_paths, _paths)
def test_an_escaped_path_matches_itself_alone(path: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    """Paths picked from a list are no patterns, whatever they hold."""
    pattern = Pattern.parse(escape(b"/".join(path)))
    assert pattern.matches(path)
    assert pattern.matches(other) is (path == other)


@given(_paths)
def test_every_directory_above_a_match_may_hold_it(path: tuple[bytes, ...]) -> None:
    """Else a restore would not go down to what was asked for."""
    pattern = Pattern.parse(escape(b"/".join(path)))
    assert all(pattern.may_match_below(path[:length]) for length in range(len(path)))


def test_an_excluded_directory_takes_its_contents_along() -> None:
    """Excluding a folder is the usual wish."""
    selection = Selection.parse(excludes=["cache"])
    assert not selection.selects(split(b"home/cache/x"))
    assert selection.selects(split(b"home/data"))


def test_an_exclude_wins_over_an_include() -> None:
    """What a person said not to restore is never written."""
    selection = Selection.parse(includes=["/home"], excludes=["*.tmp"])
    assert [selection.selects(split(path)) for path in (b"home/a", b"home/a.tmp", b"etc")] == [
        True,
        False,
        False,
    ]


def test_case_can_be_ignored() -> None:
    """find -i, in restic's words."""
    assert Pattern.parse(b"README*", ignores_case=True).matches((b"readme.md",))
