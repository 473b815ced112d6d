"""What each verb may do stands in one table, and none is forgotten."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

import pytest

from engine.cli import dispatch, rights
from engine.cli.verbs import VERBS
from engine.errors import RefusedError


def test_every_verb_is_in_one_table() -> None:
    """A new verb is thought about: does it change anything, and is it guarded?"""
    assert set(VERBS) == rights.READING | rights.CHANGING
    assert not rights.READING & rights.CHANGING
    assert rights.CHANGING >= rights.ANSWERING


def test_every_verb_that_asks_for_a_yes_is_thought_of_as_changing() -> None:
    """What is worth a question is no reading."""
    folder = Path(dispatch.__file__).parent
    asking = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"asking\.require_yes|removal\(", path.read_text("utf-8"))
    }
    verbs = {name for name, verb in VERBS.items() if verb.target.partition(":")[0] in asking}
    assert {
        name for name in verbs if name.endswith((" remove", "delete", "erase", "forget"))
    } <= rights.CHANGING


@pytest.mark.parametrize(
    ("read_only", "environment", "is_refused"),
    [(False, {}, False), (True, {}, True), (False, {"HOLDFAST_READ_ONLY": "1"}, True), (False, {"HOLDFAST_READ_ONLY": "0"}, False)],
)  # fmt: skip
def test_a_read_only_session_changes_nothing(
    read_only: bool, environment: dict[str, str], is_refused: bool
) -> None:
    """Somebody looks after the night shift, and nothing can go wrong."""
    arguments = Namespace(read_only=read_only)
    for verb in rights.READING:
        rights.require(verb, arguments, environment)
    for verb in [*rights.CHANGING, "a verb of tomorrow"]:
        if is_refused:
            with pytest.raises(RefusedError, match=f"`holdfast {verb}` changes something"):
                rights.require(verb, arguments, environment)
        else:
            rights.require(verb, arguments, environment)


@pytest.mark.parametrize(
    ("words", "is_guarded"),
    [
        (["restore", "latest:a", "--to", "/x"], False),
        (["restore", "latest:a", "--in-place"], True),
        (["restore", "latest:a", "--to", "/x", "--delete"], True),
        (["restore", "latest:a", "--in-place", "--dry-run"], False),
        (["forget", "--keep-last", "1"], True),
        (["forget", "--keep-last", "1", "--dry-run"], False),
        (["delete", "0a"], True),
        (["config", "apply", "f"], False),
        (["config", "apply", "f", "--prune"], True),
        (["storage", "rotate-password", "near"], True),
        (["prune", "near"], True),
        (["erase", "/a", "--source", "s"], True),
        (["plan", "run", "p"], True),
        (["backup", "a"], False),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else str(each),
)
def test_the_guard_stands_before_what_cannot_be_undone(words: list[str], is_guarded: bool) -> None:
    """Not before everything: who is asked all day answers without thinking."""
    found = dispatch.take_apart(words)
    arguments = dispatch.build_parser(found.verb, dispatch.load(found.verb)).parse_args(found.options)
    assert rights.is_guarded(arguments.called_verb, arguments) == is_guarded
