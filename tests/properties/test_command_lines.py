"""A definition as a command line: what the verb reads out of it is the same definition."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.cli import definitions, plan, schedule_options
from engine.cli.command import Command, Parser
from engine.cli.host import ADD as ADD_HOST
from engine.cli.host import EDIT as EDIT_HOST
from engine.cli.notify import ADD as ADD_DESTINATION
from engine.cli.plan import ADD as ADD_PLAN
from engine.cli.plan import EDIT as EDIT_PLAN
from engine.cli.schedule import ADD as ADD_SCHEDULE
from engine.cli.schedule import EDIT as EDIT_SCHEDULE
from engine.cli.source import ADD as ADD_SOURCE
from engine.cli.storage import ADD as ADD_STORAGE
from engine.model import command_lines, destination_options, host_options, source_options, storage_options
from engine.model import schedule_options as options_of_schedules
from engine.model.alerts import Destination
from engine.model.definitions import Host, Source, Storage
from engine.model.options import Option
from engine.model.plans import Plan, PlanStep
from engine.model.requests import RestoreRequest
from engine.model.schedule_options import ALL, BOUNDS, HOOKS, KEEP, TIMING
from engine.model.schedules import Schedule
from tests.properties.test_fleet import references

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts, "count": st.integers(1, 2**40), "number": st.integers(0, 99), "kept": st.integers(-1, 99).filter(bool),
    "size": st.integers(1, 2**50), "hours": st.just("08:00-18:00"), "span": st.integers(0, 10**6).map(float),
    "whole span": st.integers(0, 10**6), "duration": st.integers(1, 10**6).map(float), "days": st.integers(0, 999),
    "subset": st.sampled_from(["1/7", "10%", "5000"]), "objective": st.just("success=95"),
}  # fmt: skip


def value(option: Option) -> st.SearchStrategy[Any]:
    """Of an option, as the catalog keeps it."""
    if option.is_flag:
        return st.just(True)
    if option.is_secret:
        return references
    one = st.sampled_from(option.choices) if option.choices else _VALUES[option.type]
    return st.lists(one, min_size=1, max_size=2).map(tuple) if option.is_several else one


def some(options: Sequence[Option]) -> st.SearchStrategy[dict[str, Any]]:
    """Values of some of the options."""
    return st.lists(st.sampled_from(options), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({each.kept_as: value(each) for each in chosen})
    )


def parsed(command: Command, words: Sequence[str], count: int = 3) -> argparse.Namespace:
    """As the command line reads it: through a shell first."""
    assert shlex.split(command_lines.line(words)) == list(words)
    parser = Parser("verb", "a verb")
    command.declare(parser)
    return parser.parse_args(words[count:])


@settings(max_examples=25)
@given(texts, some(host_options.OPTIONS))
def test_a_host(address: str, options: dict[str, Any]) -> None:
    """What the console shows can be pasted into a script."""
    found = [each for each in options.get("environment", ()) if "=" not in each]
    if len(found) > 1:
        return
    host = Host("web", "ssh", address, host_options.staged(options))
    arguments = parsed(ADD_HOST, command_lines.adding(host))
    assert arguments.address == address
    assert host_options.staged(definitions.given(arguments, host_options.KEPT)) == host.options


@settings(max_examples=25)
@given(some(source_options.ALL))
def test_a_source(options: dict[str, Any]) -> None:
    """Masks and objectives too."""
    source = Source("shop", "postgres", "db1", options)
    arguments = parsed(ADD_SOURCE, command_lines.adding(source))
    assert (arguments.kind, arguments.host) == ("postgres", "db1")
    assert definitions.given(arguments, source_options.KEPT) == options


@settings(max_examples=25)
@example({"bucket": "--"}, False)
@given(some(storage_options.OPTIONS), st.booleans())
def test_a_storage(options: dict[str, Any], is_default: bool) -> None:
    """Of all kinds at once."""
    storage = Storage("near", "s3", options, "vault:near", is_default=is_default)
    arguments = parsed(ADD_STORAGE, command_lines.adding(storage))
    kept = [each.kept_as for each in storage_options.OPTIONS]
    assert definitions.given(arguments, kept) == options
    assert (arguments.kind, arguments.password, arguments.default) == ("s3", "vault:near", is_default)


@settings(max_examples=25)
@given(some([each for each in ALL if each not in (*KEEP, *TIMING)]), some(KEEP), some(TIMING))
def test_a_schedule(what: dict[str, Any], keep: dict[str, Any], timing: dict[str, Any]) -> None:
    """Its rules, its hooks, its limits."""
    given = {**what, **keep, **timing}
    if given.get("after") and given.get("cron"):
        del given["after"]
    fresh = Schedule("nightly")
    schedule = options_of_schedules.applied(given, fresh)
    arguments = parsed(ADD_SCHEDULE, command_lines.adding(schedule))
    assert schedule_options.applied(arguments, fresh) == schedule


@settings(max_examples=25)
@given(some(HOOKS), some(BOUNDS))
def test_a_schedule_that_is_edited(before: dict[str, Any], after: dict[str, Any]) -> None:
    """What is set and what is unset."""
    applied = options_of_schedules.applied
    old, new = applied(before, Schedule("nightly")), applied(after, Schedule("nightly"))
    words = command_lines.editing(old, new)
    arguments = parsed(EDIT_SCHEDULE, words)
    edited = options_of_schedules.unset(old, arguments.unset)
    assert schedule_options.applied(arguments, edited) == new


@settings(max_examples=25)
@given(some(host_options.OPTIONS[:6]), some(host_options.OPTIONS[:6]), texts)
def test_a_host_that_is_edited(before: dict[str, Any], after: dict[str, Any], address: str) -> None:
    """The line names what changes, and nothing else."""
    old, new = Host("web", "ssh", "a", before), Host("web", "ssh", address, after)
    words = command_lines.editing(old, new)
    arguments = parsed(EDIT_HOST, words)
    if old == new:
        assert words == ["holdfast", "host", "edit", "web"]
        return
    changes = definitions.changes(arguments, host_options.KEPT, "host", arguments.address, "x")
    merged = {name: value for name, value in {**before, **changes}.items() if value is not None}
    assert (arguments.address or "a", merged) == (address, after)


@settings(max_examples=25)
@given(some([each for each in destination_options.OPTIONS if each.name != "kind"]))
def test_a_destination(options: dict[str, Any]) -> None:
    """Its address is a REF."""
    destination = destination_options.applied(
        {"kind": "ping", "url": "env:U", **options}, Destination("ops", "", "")
    )
    arguments = parsed(ADD_DESTINATION, command_lines.adding(destination))
    given = {name: getattr(arguments, name, None) for name in destination_options.FIELDS}
    assert destination_options.applied(given, Destination("ops", "", "")) == destination


@settings(max_examples=25)
@given(
    st.lists(texts.filter(lambda each: ": " not in each), max_size=2),
    texts,
    st.booleans(),
    st.integers(1, 10**6),
)
def test_a_plan(paths: list[str], note: str, goes_on: bool, budget: int) -> None:
    """Each step is a line of its own within the line."""
    restore = RestoreRequest("", "/srv/r", "web", include=tuple(paths), is_verified=True)
    database = RestoreRequest("", into="shop2", tables=("a",), hook_timeout_s=60.0)
    checks = (("", "SELECT 1", "1"), ("shop", "SELECT a", "b"))
    steps = (PlanStep("site", restore, goes_on=goes_on), PlanStep("shop", database, checks, level="database"))
    wanted = Plan("all", steps, float(budget), note)
    arguments = parsed(ADD_PLAN, command_lines.adding(wanted))
    found = tuple(plan.parse_step(each) for each in arguments.step)
    assert Plan("all", found, arguments.budget, arguments.note) == wanted
    fewer = Plan("all", steps[:1], None, "")
    words = command_lines.editing(wanted, fewer)
    edited = parsed(EDIT_PLAN, words)
    assert tuple(plan.parse_step(each) for each in edited.step) == steps[:1]
    assert edited.unset == ["budget", "note"]


def test_a_secret_that_was_typed_is_asked_for_again() -> None:
    """The line shows where a secret comes from, never what it is."""
    source = Source("shop", "redis", options={"secret": "vault:source.shop"})
    assert command_lines.adding(source, {"vault:source.shop"})[-2:] == ["--secret", "-"]
    assert command_lines.adding(source)[-2:] == ["--secret", "vault:source.shop"]


def test_a_key_that_was_accepted_is_named_by_its_fingerprint(tmp_path: Path) -> None:
    """Whoever runs the line elsewhere must not take another one."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kq8ZQh1Cq5S8uVNeBSJUmUq1Pl3vQyYcV7mUpvYxN"
    words = command_lines.adding(Host("web", address="web", options={"host_key": (key,)}))
    fingerprint = words[words.index("--accept-key") + 1]
    assert fingerprint.startswith("SHA256:")
    assert len(fingerprint) == len("SHA256:") + 43
    assert not command_lines.accepted_fingerprint(Host("web", options={"host_key": ("x AAAA",)})) or tmp_path


@pytest.mark.parametrize("word", ["-rf", "--to", "", "-"])
def test_a_value_that_looks_like_an_option_stays_a_value(word: str) -> None:
    """Paths and patterns may begin with a dash."""
    source = Source("a", "files", options={"path": ("/a",), "exclude": (word,)})
    arguments = parsed(ADD_SOURCE, command_lines.adding(source))
    assert arguments.exclude == [word]
