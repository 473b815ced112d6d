"""What comes from a terminal, in whatever pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual._xterm_parser import XTermParser
from textual.events import Key

from tui.keyboard import MOST_PASTED, MOST_TYPED, Keyboard, without_alt


def _fed(*pieces: bytes) -> str:
    keyboard = Keyboard()
    return "".join(map(keyboard.feed, pieces))


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (b"j\x1b[A\x1bOP", "j\x1b[A\x1bOP"),
        ("grün ✓".encode(), "grün ✓"),
        ("grün".encode("latin-1") + b"!", "gr\ufffdn!"),
        (b"\x1b[M \x21\x21", "\x1b[<0;1;1M"),
        (b"\x1b[M\x23\xa0\x28q", "\x1b[<0;128;8mq"),
        (b"\x1b[M\x60\x21\x21", "\x1b[<64;1;1M"),
        (b"\x1b[<0;7;9M", "\x1b[<0;7;9M"),
        (b"\x1b[200~two\nlines\x1b[201~q", "\x1b[200~two\nlines\x1b[201~q"),
        (b"\x1b1", "\x1b[27u1"),
        (b"\x1b\x1b[A\x1b:q\x1b\xc3\xa9", "\x1b[27u\x1b[A\x1b[27u:q\x1b[27ué"),
        (b"\x1bb\x1b\x7f\x1b\t", "\x1bb\x1b\x7f\x1b\t"),
        (b"\x1b[200~a\x1b[20b\x1bq\x03\x1b[201~", "\x1b[200~a[20bq\x1b[201~"),
    ],
)
def test_bytes_become_the_same_text_in_whatever_pieces_they_come(sent: bytes, taken: str) -> None:
    """A slow line cuts anywhere."""
    assert _fed(sent) == taken
    assert _fed(*(sent[place : place + 1] for place in range(len(sent)))) == taken
    for place in range(len(sent)):
        assert _fed(sent[:place], sent[place:]) == taken


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_are_too_much_for_it(pieces: list[bytes]) -> None:
    """Noise of a line, a file sent by mistake."""
    _fed(*pieces).encode()


@pytest.mark.parametrize("size", [4096, 1000])
def test_a_paste_is_cut_and_the_keys_after_it_are_keys_again(size: int) -> None:
    """Megabytes by one click of the mouse's middle button."""
    keyboard = Keyboard()
    sent = b"\x1b[200~" + b"x" * 3_000_000 + b"\x1b[201~q"
    taken = "".join(keyboard.feed(sent[place : place + size]) for place in range(0, len(sent), size))
    assert taken == "\x1b[200~" + "x" * MOST_PASTED + "\x1b[201~q"
    assert keyboard.was_cut()
    assert not keyboard.was_cut()


def test_a_paste_of_a_terminal_that_does_not_say_so_is_no_keys() -> None:
    """Else `b` in a text that was meant for another window would back up."""
    keyboard = Keyboard()
    assert keyboard.feed(b"b\r" * MOST_TYPED) == "\x1b[200~" + "b\r" * MOST_TYPED + "\x1b[201~"
    assert keyboard.feed(b"b") == "b"
    flood = [keyboard.feed(b"y" * 4096) for _ in range(100)]
    assert sum(map(len, flood)) < 2 * MOST_PASTED
    assert keyboard.was_cut()


def test_an_escape_alone_is_the_key_when_nothing_follows_it() -> None:
    """It may begin an arrow, of which a slow line brings the rest later."""
    keyboard = Keyboard(0.25)
    assert (keyboard.feed(b"\x1b"), keyboard.rest(0.1), keyboard.rest(0.1)) == ("", "", "")
    assert (keyboard.rest(0.1), keyboard.rest(0.1)) == ("\x1b[27u", "")
    assert keyboard.feed(b"\x1b") + keyboard.rest(0.1) + keyboard.feed(b"[A") == "\x1b[A"


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"\x1b1", ["escape", "1"]),
        (b"\x1b-\x1b=", ["escape", "minus", "escape", "equals_sign"]),
        (b"\x1bq\x1b[A", ["escape", "q", "up"]),
        (b"\x1b[49;3u", ["escape", "1"]),
        (b"\x1b[1;3A", ["alt+up"]),
    ],
)
def test_what_textual_would_take_for_alt_is_escape_and_the_key(sent: bytes, keys: list[str]) -> None:
    """Back, and on to the storages: `esc 4`, typed fast, was the sign for cents."""
    parser, keyboard = XTermParser(), Keyboard()
    found = [key for each in parser.feed(keyboard.feed(sent)) for key in without_alt(each)]
    assert [each.key for each in found if isinstance(each, Key)] == keys
    assert [each.character for each in without_alt(Key("alt+at", None)) if isinstance(each, Key)] == [
        "\x1b",
        "@",
    ]
