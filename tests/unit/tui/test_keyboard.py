"""What comes from a terminal, in whatever pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.keyboard import MOST_PASTED, MOST_TYPED, Keyboard


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
