"""From words to verbs, and what every verb must have."""

from __future__ import annotations

import argparse

import pytest

from engine.cli import dispatch, options
from engine.cli.verbs import NOUNS, VERBS
from engine.errors import UsageError


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_table_can_be_loaded_and_explains_itself(verb: str) -> None:
    """What the help lists must be there."""
    command = dispatch.load(verb)
    help_text = dispatch.build_parser(verb, command).format_help()
    assert f"usage: holdfast {verb}" in help_text
    assert "--json" in help_text
    assert "--home" in help_text
    assert (command.run is None) != (command.run_alone is None)


@pytest.mark.parametrize(
    ("words", "verb", "options_"),
    [
        (["backup", "a", "--json"], "backup", ["a", "--json"]),
        (["--home", "/x", "--json", "host", "add", "n"], "host add", ["--home", "/x", "--json", "n"]),
        (["storage", "recovery-kit", "main"], "storage recovery-kit", ["main"]),
        (["help"], "", ["--help"]),
        (["host", "--help"], "", ["--help", "host"]),
        ([], "", []),
    ],
)
def test_options_may_stand_before_the_verb(words: list[str], verb: str, options_: list[str]) -> None:
    """`holdfast --home DIR` is put into aliases."""
    assert dispatch.take_apart(words) == (verb, options_)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["bakup"], "holdfast backup"),
        (["storage", "ad"], "holdfast storage add"),
        (["host"], "--help"),
        (["frobnicate"], "--help"),
    ],
)
def test_a_mistyped_verb_is_answered_with_the_nearest_one(words: list[str], hint: str) -> None:
    """The message should be enough to get it right."""
    with pytest.raises(UsageError) as caught:
        dispatch.take_apart(words)
    assert hint in (caught.value.hint or "")


def test_no_noun_is_a_verb() -> None:
    """`holdfast job` would be ambiguous."""
    assert not NOUNS & set(VERBS)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("5m", 300), ("2h", 7200), ("1d12h", 129_600)]
)
def test_spans_may_have_a_unit(text: str, seconds: float) -> None:
    """Nobody counts the seconds of a day."""
    assert options.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "5 parsecs", "h"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """A timeout of nan would never come."""
    with pytest.raises(argparse.ArgumentTypeError):
        options.seconds(text)
