"""What each verb may do stands in one table, and none is forgotten."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

import pytest

from engine import guard
from engine.cli import dispatch, rights
from engine.cli.verbs import VERBS
from engine.errors import RefusedError
from engine.model.plans import PlanRequest
from engine.model.requests import (
    BackupRequest,
    DeleteRequest,
    MoveRequest,
    PruneRequest,
    RestoreRequest,
    RollbackRequest,
)


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
        (["delete", "0a", "--dry-run"], False),
        (["config", "apply", "f"], False),
        (["config", "apply", "f", "--prune"], True),
        (["storage", "rotate-password", "near"], True),
        (["prune", "near"], True),
        (["erase", "/a", "--source", "s"], True),
        (["plan", "run", "p"], True),
        (["backup", "a"], False),
        (["schedule", "remove", "nightly"], True),
        (["notify", "remove", "mail"], True),
        (["source", "remove", "a"], True),
        (["storage", "move", "near", "--kind", "local", "--path", "/x"], False),
        (["storage", "edit", "near", "--password", "file:/p"], True),
        (["host", "edit", "web", "--address", "web2"], False),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else str(each),
)
def test_the_guard_stands_before_what_cannot_be_undone(words: list[str], is_guarded: bool) -> None:
    """Not before everything: who is asked all day answers without thinking."""
    found = dispatch.take_apart(words)
    arguments = dispatch.build_parser(found.verb, dispatch.load(found.verb)).parse_args(found.options)
    assert rights.is_guarded(arguments.called_verb, arguments) == is_guarded


@pytest.mark.parametrize(
    "verb", ["delete", "erase", "forget", "prune", "discard", "rollback", "storage unlock"]
)
def test_every_verb_that_deletes_takes_a_yes(verb: str) -> None:
    """A script that says yes everywhere must not fail for it at one of them, whether that one has something to ask or not."""
    parser = dispatch.build_parser(verb, dispatch.load(verb))
    assert any("--yes" in each.option_strings for each in parser._actions)


def test_every_verb_that_forgets_something_by_its_name_is_guarded() -> None:
    """A schedule that is gone is missed by nothing."""
    assert {verb for verb in VERBS if verb.endswith(" remove")} - {"guard remove"} <= set(rights.GUARDED)


@pytest.mark.parametrize(
    ("request_", "is_guarded"),
    [
        (RestoreRequest("0a", is_in_place=True), True),
        (RestoreRequest("0a", is_in_place=True, is_dry_run=True), False),
        (RestoreRequest("0a", "/x"), False),
        (PlanRequest("p"), True),
        (PlanRequest("p", is_drill=True), False),
        (PruneRequest("near"), True),
        (PruneRequest("near", is_dry_run=True), False),
        (DeleteRequest(("0a",)), True),
        (RollbackRequest("0a"), True),
        (MoveRequest("near", "local", password="file:/p"), True),
        (BackupRequest(("a",)), False),
    ],
    ids=str,
)
def test_a_job_that_the_console_submits_is_guarded_as_its_verb_is(request_: object, is_guarded: bool) -> None:
    """By what it does, not by who started it."""
    assert guard.is_guarded(request_) == is_guarded
