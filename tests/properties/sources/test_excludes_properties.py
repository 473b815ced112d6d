"""Excludes mean what restic means by them, and find is never told to pass over more than that."""

from __future__ import annotations

import os
import posixpath
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.model.entry import Entry
from engine.sources.files.excludes import Excludes, find_words
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

LETTERS = "ab.é-]^!\n"
NAMES = st.text(st.sampled_from(LETTERS), min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
SETS = st.builds(
    lambda negation, low, high: f"[{negation}{low}-{high}]",
    st.sampled_from(["", "^"]),
    st.sampled_from("abé"),
    st.sampled_from("abé"),
)
PARTS = st.lists(NAMES | st.sampled_from(["*", "?", "\\a", "\\*", "**"]) | SETS, min_size=1, max_size=3).map(
    "".join
)
PATTERNS = st.builds(
    lambda negation, slash, parts, end: f"{negation}{slash}{'/'.join(parts)}{end}",
    st.sampled_from(["", "", "", "!"]), st.sampled_from(["", "/"]), st.lists(PARTS | st.just("**"), min_size=1, max_size=3), st.sampled_from(["", "/"]),
)  # fmt: skip


# The reference: restic's internal/filter/filter.go and Go's filepath.Match, written again as they stand there.


def go_match(pattern: str, name: bytes) -> bool:
    """Go's filepath.Match; ValueError for a malformed pattern. As in Go, `*` takes bytes, and all else characters."""
    if not pattern:
        return not name
    head = pattern[0]
    if head == "*":
        return any(go_match(pattern[1:], name[skip:]) for skip in range(len(name) + 1))
    letter, size = go_decode(name)
    if head == "?":
        return bool(name) and go_match(pattern[1:], name[size:])
    if head == "[":
        is_in, rest = _go_set(pattern[1:], letter)
        return bool(name) and is_in and go_match(rest, name[size:])
    if head == "\\":
        pattern = pattern[1:]
        if not pattern:
            raise ValueError("escape at the end")
    literal = pattern[0].encode()
    return name.startswith(literal) and go_match(pattern[1:], name[len(literal) :])


def go_decode(name: bytes) -> tuple[str, int]:
    """Go's utf8.DecodeRune."""
    for size in range(1, 5):
        try:
            return name[:size].decode(), size
        except UnicodeDecodeError:
            continue
    return "\ufffd", 1


def _go_set(rest: str, letter: str) -> tuple[bool, str]:
    is_negated = rest.startswith("^")
    rest = rest[is_negated:]
    is_in = False
    count = 0
    while True:
        if rest.startswith("]") and count:
            return is_in != is_negated, rest[1:]
        low, rest = _go_escape(rest)
        high = low
        if rest.startswith("-"):
            high, rest = _go_escape(rest[1:])
        is_in |= bool(letter) and low <= letter <= high
        count += 1


def _go_escape(rest: str) -> tuple[str, str]:
    if not rest or rest[0] in "-]":
        raise ValueError("malformed set")
    if rest[0] == "\\":
        rest = rest[1:]
    if len(rest) < 2:
        raise ValueError("malformed set")
    return rest[0], rest[1:]


def split(path: str) -> list[str]:
    """restic's splitPath."""
    parts = path.split("/")
    return ["/", *parts[1:]] if parts[0] == "" else parts


def restic_match(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """restic's match: a part that was `**` is the empty text."""
    if "" in pattern:
        place = list(pattern).index("")
        return any(
            restic_match([*pattern[:place], *["*"] * count, *pattern[place + 1 :]], path)
            for count in range(len(path) - len(pattern) + 2)
        )
    if not pattern:
        return not path
    offsets = range(len(path) - len(pattern) + 1)
    if pattern[0] == "/":
        offsets = offsets[:1]
    return any(
        all(_part_matches(*pair) for pair in zip(pattern, path[offset:], strict=False)) for offset in offsets
    )


def _part_matches(pattern: str, name: str) -> bool:
    if not set(pattern) & set("\\[]*?"):
        return pattern == name
    # Go lets `[^a]` match the slash that stands for the root, so that restic leaves out everything; that we do not.
    return name != "/" and go_match(pattern, os.fsencode(name))


def restic_leaves_out(patterns: Sequence[str], path: str) -> bool:
    """restic's List, asked for every directory on the way, since it enters none that is left out."""
    parts = split(path)
    for count in range(2, len(parts) + 1):
        is_out = False
        for pattern in patterns:
            is_negated = pattern.startswith("!")
            cleaned = posixpath.normpath(pattern.removeprefix("!") if is_negated else pattern)
            prepared = [
                "" if part == "**" else part
                for part in split("/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned)
            ]
            matches = restic_match(prepared, parts[:count])
            is_out = is_out and not matches if is_negated else is_out or matches
        if is_out:
            return True
    return False


def is_well_formed(pattern: str) -> bool:
    """Whether Go takes it, and there is anything in it."""
    if not pattern.removeprefix("!"):
        return False
    try:
        for part in posixpath.normpath(pattern.removeprefix("!")).split("/"):
            for name in ("", "a", "ab", "é"):
                go_match(part, name.encode())
            Excludes([part or "x"])
    except (ValueError, ConfigurationError):
        return False
    return True


GOOD_PATTERNS = st.lists(PATTERNS.filter(is_well_formed), max_size=3)


def entry(path: str, type_: str = "f") -> Entry:
    """An entry of which only path and type matter."""
    return Entry(os.fsencode(path.lstrip("/")), type_, 0, 0, 0, b"", b"", 0, b"", b"", 0, 0, 1, b"")


@settings(max_examples=600)
@given(GOOD_PATTERNS, PATHS)
@example(["a/**"], "/a")
@example(["/a/**/b"], "/a/b")
@example(["**"], "/a")
@example(["/"], "/a")
@example(["*", "!a"], "/a/b")
@example(["a", "!a/b"], "/a/b")
@example(["[^a]"], "/é")
@example(["a"], "/a\n")
@example(["??"], "/é")
@example(["*[^a-é]]"], "/é]")
def test_excludes_mean_what_restic_means(patterns: list[str], path: str) -> None:
    """A list of excludes that served restic for years must keep and leave out the same files here."""
    expected = restic_leaves_out(patterns, path)
    assert Excludes(patterns).leaves_out(os.fsencode(path.lstrip("/"))) == expected
    parts = path.lstrip("/").split("/")
    walk = [
        entry("/".join(parts[:count]), "d" if count < len(parts) else "f")
        for count in range(1, len(parts) + 1)
    ]
    kept = {each.path for each in Excludes(patterns).keep(walk)}
    assert (os.fsencode(path.lstrip("/")) not in kept) == expected


@settings(max_examples=25)
@given(GOOD_PATTERNS, st.lists(PATHS, min_size=1, max_size=8))
@example(["a*.b", "/x", "é"], ["/a.b/c", "/ab", "/a\nb.b/a"])
def test_find_is_never_told_to_pass_over_more(patterns: list[str], paths: list[str]) -> None:
    """What find passes over nobody can look at any more."""
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            target = Path(folder + path)
            if not any(parent.is_file() for parent in target.parents) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
        words = [require_tool("find"), folder, *find_words(patterns), "-print0"]
        found = subprocess.run(words, check=True, capture_output=True, env={"LC_ALL": "C"}).stdout.split(
            b"\0"
        )
        everything = subprocess.run(
            [words[0], folder, "-print0"], check=True, capture_output=True, env={"LC_ALL": "C"}
        ).stdout
    for path_ in set(everything.split(b"\0")) - set(found):
        assert restic_leaves_out(patterns, os.fsdecode(path_))


@pytest.mark.parametrize("pattern", ["", "[", "[]", "[a", "[-a]", "[a-]", "a\\", "x\0y", "[^]"], ids=repr)
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    """The user learns of it when he writes it, not by a backup that holds too much."""
    with pytest.raises(ConfigurationError, match="exclude"):
        Excludes([pattern])


def test_most_patterns_are_said_to_find() -> None:
    """A folder of a million files that nobody wants should not be walked."""
    assert find_words(["node_modules", "*.tmp", "/var/cache/*"])[-2:] == ["-prune", "-o"]
    assert find_words(["!kept", "node_modules"]) == []
