"""What the console writes where a terminal takes ASCII alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.text import in_ascii


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\x1b[1mplain\x1b[0m", "\x1b[1mplain\x1b[0m"),
        ("a lo…", "a lo~"),
        ("▁▂▃▄▅▆▇█", "__.--=+#"),
        ("grüße", "gr??e"),
        ("日本", "????"),
        ("e\u0301", "e"),
    ],
)
def test_what_is_not_ascii_is_seen_to_be_replaced(text: str, written: str) -> None:
    """A name that is shown otherwise than it is must not look like another one."""
    assert in_ascii(text) == written


@given(st.text(st.characters(exclude_characters="\u200d\ufe0f")))
def test_what_is_written_is_ascii_of_the_same_width(text: str) -> None:
    """Else all that stands right of it would move."""
    assert in_ascii(text).isascii()
    assert cell_len(in_ascii(text)) == cell_len(text)
