"""Who is let in to a console in a browser, and what its options are."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from tui.browser.door import Door
from tui.browser.session import cells, environment
from tui.start import PORT, read_options


@pytest.mark.parametrize("host", ["127.0.0.1:8722", "localhost:9000", "LOCALHOST", "[::1]:8722", "[::1]"])
def test_this_machine_is_this_machine_by_any_port(host: str) -> None:
    """ssh leads to ours from a port of its own."""
    door = Door()
    assert door.why_refused(host, f"http://{host}", door.pass_, needs_origin=True) == ""


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8722", "http://evil.example:8722"),
        ("127.0.0.1.evil.example", None),
        ("", None),
        ("127.0.0.1:8722", "null"),
        ("127.0.0.1:8722", "https://127.0.0.1:8722"),
        ("127.0.0.1:8722", "http://localhost:8722"),
        ("127.0.0.1:8722", ""),
    ],
)
def test_another_name_and_another_page_are_refused(host: str, origin: str | None) -> None:
    """Though the browser sends the cookie along."""
    door = Door()
    assert door.why_refused(host, origin, door.pass_, needs_origin=False)


def test_the_secrets_are_two_and_are_shown_by_accident_nowhere() -> None:
    """Each server has its own."""
    door = Door()
    assert len({door.token, door.pass_, Door().token, Door().pass_}) == 4
    assert not door.is_token(door.pass_)
    assert not door.is_token("é")
    assert door.why_refused("localhost", None, door.token, needs_origin=False)
    assert door.token not in repr(door)


def test_words_of_a_server_are_those_of_its_consoles() -> None:
    """Read-only stays read-only."""
    options = read_options(
        ["--serve", "--home=/h", "--theme", "dark", "--ascii"], {"HOLDFAST_READ_ONLY": "1"}
    )
    assert options.port == PORT
    assert options.words() == ["--home", "/h", "--theme", "dark", "--ascii", "--read-only"]
    assert read_options(["--port", "0", "--serve"], {}).port == 0
    assert read_options([], {}).port is None


@pytest.mark.parametrize("words", [["--port", "1"], ["--serve", "--port", "65536"], ["--serve", "--port=x"]])
def test_a_port_that_is_none_is_named(words: list[str]) -> None:
    """Before anything is opened."""
    with pytest.raises(UsageError, match="--port"):
        read_options(words, {})


def test_a_child_has_the_pages_terminal_and_not_the_servers() -> None:
    """What is copied must not be wrapped for a tmux that the page is not in."""
    made = environment({"TMUX": "x", "TERM": "screen", "HOME": "/root"}, 100, 40)
    assert (made["COLUMNS"], made["ROWS"], made["TERM"], made["HOME"]) == (
        "100",
        "40",
        "xterm-256color",
        "/root",
    )
    assert "TMUX" not in made


@pytest.mark.parametrize(
    ("given", "taken"), [("100", 100), (0, 1), ("99999999", 1000), ("x", 80), (None, 80)]
)
def test_a_page_has_a_size_that_can_be_drawn(given: object, taken: int) -> None:
    """Whatever it asks for."""
    assert cells(given, 80) == taken
