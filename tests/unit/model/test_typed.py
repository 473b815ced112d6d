"""Values as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.model import typed
from engine.model.options import TYPES, Option


@given(st.integers(0, 10**9))
def test_a_span_is_read_as_it_is_written(seconds: int) -> None:
    """What the console shows as a command line means the same there."""
    assert typed.duration(typed.span_word(seconds)) == seconds


@given(st.integers(1, 10**18 - 1))
def test_a_size_is_read_as_it_is_written(size_bytes: int) -> None:
    """To the byte."""
    assert typed.size(typed.size_word(size_bytes)) == size_bytes


@pytest.mark.parametrize("name", [name for name in TYPES if name not in ("text", "subset")])
@pytest.mark.parametrize("text", ["-5", "x", "9" * 5000, "1e999h", "\x00"])
def test_what_is_no_value_is_told_in_one_sentence(name: str, text: str) -> None:
    """A field takes whatever is pasted into it."""
    with pytest.raises(UsageError) as caught:
        TYPES[name](text)
    assert "\n" not in caught.value.message


def test_an_option_names_itself_where_its_value_is_wrong() -> None:
    """Of twenty fields one is wrong."""
    with pytest.raises(UsageError, match=r"--port: 'x' is no whole number"):
        Option("port", "", type="count").read("x")
    with pytest.raises(UsageError, match=r"--tls: 'x' is none of a, b"):
        Option("tls", "", choices=("a", "b")).read("x")


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), min_size=1))
def test_a_list_in_a_field_is_read_as_it_is_shown(values: list[str]) -> None:
    """Paths hold spaces and quotes."""
    option = Option("path", "", is_many=True)
    assert option.read(option.shown(tuple(values))) == tuple(values)


def test_half_a_quote_is_told() -> None:
    """It is typed so for a moment."""
    with pytest.raises(UsageError, match="cannot be read"):
        Option("path", "", is_many=True).read("'/a b")


@pytest.mark.parametrize(("value", "shown"), [(True, "yes"), (False, "no"), ("no", "no"), (None, "")])
def test_a_switch_that_is_off_is_shown_as_such(value: bool | str | None, shown: str) -> None:
    """It is on where nothing is said."""
    assert Option("nice", "", choices=("yes", "no")).shown(value) == shown
