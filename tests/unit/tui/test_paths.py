"""Paths as they come into a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui import paths

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/a/b c", "/a/b c"), ("'/a/b c'", "/a/b c"), ('"/a/b c"', "/a/b c"), ("/a/b\\ c", "/a/b c"), ("file:///a/b%20c", "/a/b c"),
        ("  /a ", "/a"), ("'/a", "'/a"), ("'file:///a%20b'", "/a b"), ("", ""), ("'a' 'b'", "'a' 'b'"),
    ],
)  # fmt: skip
def test_a_path_is_what_was_meant(typed: str, meant: str) -> None:
    """Terminals quote what is dropped into them, each in its own way."""
    assert paths.plain(typed) == meant


@given(st.lists(texts.map("/{}".format), max_size=4))
def test_several_paths_are_dropped_at_once(names: list[str]) -> None:
    """A terminal quotes them for a shell, on one line."""
    found, is_more = paths.pasted(shlex.join(names).replace("/", "/"))
    bare = [each for each in names if shlex.quote(each) == each]
    assert not is_more
    if len(bare) == len(names) > 1:  # nothing is quoted: a line is one path, spaces and all
        assert found == [" ".join(names)]
    elif names and shlex.quote(names[0]) != names[0]:
        assert found == names


def test_a_paste_is_bounded() -> None:
    """In lines and in letters, and whoever pasted is told."""
    found, is_more = paths.pasted("/a\n" * 101)
    assert (len(found), is_more) == (100, True)
    found, is_more = paths.pasted("/" * 70_000)
    assert (len(found[0]), is_more) == (65_536, True)
    assert paths.pasted("\n\n  \n") == ([], False)


def test_a_path_is_completed_as_a_shell_does(tmp_path: Path) -> None:
    """Folders with a slash, what several share, and nothing that is hidden unless it is asked for."""
    for name in ("keys", "keyring", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "log").write_text("")
    assert paths.completed(f"{tmp_path}/ke") == f"{tmp_path}/key"
    assert paths.completed(f"{tmp_path}/keys") == f"{tmp_path}/keys/"
    assert paths.completed(f"{tmp_path}/l") == f"{tmp_path}/log"
    assert paths.completed(f"{tmp_path}/log") is None
    assert paths.completed(f"{tmp_path}/.h") == f"{tmp_path}/.hidden/"
    assert paths.completed(f"{tmp_path}/none/x") is None
    assert paths.completed("relative") is None
    assert paths.absolute("x") == str(Path.cwd() / "x")
