"""The paths that a backup begins at."""

from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from engine.sources.files.roots import ancestors, normalise


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/srv//a/", "/srv/./b/../c"], (b"/srv/a", b"/srv/c")),
        (["/srv/a", "/srv/a/b", "/srv/a-b", "/srv"], (b"/srv",)),
        (["/srv/a/x", "/srv/a-b", "/srv/a/y"], (b"/srv/a/x", b"/srv/a/y", b"/srv/a-b")),
        (["//srv", "/srv"], (b"/srv",)),
        (["/", "/srv"], (b"/",)),
        (["/..", "/srv"], (b"/",)),
        (["/ü\udcff"], b"/\xc3\xbc\xff".split(b"\0")),
    ],
    ids=str,
)
def test_roots_are_normal_sorted_and_apart(paths: list[str], expected: tuple[bytes, ...]) -> None:
    """A file under two of them would be read twice."""
    assert normalise(paths) == tuple(expected)


@pytest.mark.parametrize("paths", [[], ["a"], [""], ["./a"], ["/a\0b"]], ids=str)
def test_paths_that_are_none_are_refused(paths: list[str]) -> None:
    """A relative path means something else on each host and for each user."""
    with pytest.raises(ConfigurationError, match="path"):
        normalise(paths)


def test_each_ancestor_comes_once_and_outermost_first() -> None:
    """The tree from `/` on is built in one go."""
    assert ancestors([b"/a/b/c", b"/a/b/d", b"/a/x", b"/top"]) == {
        b"/a/b/c": (b"/a", b"/a/b"),
        b"/a/b/d": (),
        b"/a/x": (),
        b"/top": (),
    }
