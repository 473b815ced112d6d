"""Restores, drills and steps of recovery plans as they are typed: a source or backup, and options."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Final

from engine.errors import UsageError
from engine.model.definitions import OptionValue
from engine.model.options import Option
from engine.model.plans import PlanStep
from engine.model.requests import DrillRequest, RestoreRequest

TARGET: Final = {
    "to": Option("to", "/srv/a becomes DIR/srv/a; a database a native file", "DIR"),
    "host": Option("host", "with --to: a directory of that host, this machine else", "HOST"),
    "into": Option("into", "databases: beside the live ones, under this name", "NAME"),
    "is_in_place": Option("in_place", "in place of what is live, which is kept or saved first", is_flag=True),
    "is_safety_left_out": Option("no_safety_backup", "keep nothing of what is replaced", is_flag=True),
    "target_source": Option("on", "with --into or --in-place: that source's server", "SOURCE"),
}
REST: Final = {
    "databases": Option("database", "this database alone", "D", is_many=True),
    "tables": Option("table", "with --into: this table alone", "T", is_many=True),
    "is_with_roles": Option("roles", "make roles that the server lacks first", is_flag=True),
    "masks": Option("mask", "hash, null or replace:TEXT", "TABLE.COLUMN=RULE", is_many=True),
    "include": Option("include", "this alone", "PATH", is_many=True),
    "exclude": Option("exclude", "but for this", "PATTERN", is_many=True),
    "overwrite": Option("overwrite", "files that are there", choices=("always", "if-changed", "never")),
    "is_deleting": Option("delete", "delete files of DIR that the backup does not hold", is_flag=True),
    "is_verified": Option("verify", "read back what was written, and compare", is_flag=True),
    "storage": Option("storage", "from this storage", "STORAGE"),
    "before_hook": Option("before_hook", "first; where it fails, nothing is changed", "COMMAND"),
    "after_hook": Option("after_hook", "at the end, however it ended", "COMMAND"),
    "hook_timeout_s": Option("hook_timeout", "for each; 300", "SECONDS", "span"),
}
RESTORE: Final = {**TARGET, **REST}
"""Field of a RestoreRequest -> its option."""
DRILL: Final = {
    "level": Option("level", "of its drill: bytes, parse, files, database or server", "LEVEL"),
    "scenario": Option("scenario", "of its drill: what is supposed to have happened", "SCENARIO"),
    "drill_host": Option("drill_host", "of its drill: where the throwaway server is started", "HOST"),
}


DRILLED: Final = {
    "backup": Option("backup", "this one, not the newest", "BACKUP"),
    "level": DRILL["level"],
    "host": Option("host", "start the throwaway server there", "HOST"),
    "storage": REST["storage"],
    "scenario": DRILL["scenario"],
    "budget_s": Option("budget", "the restore must take no longer", "SECONDS", "span"),
    "keep_s": Option("keep", "keep what was restored for so long", "DURATION", "duration"),
    "seed": Option("seed", "of the random choice", "N", "count"),
    "by": Option("by", "who takes part", "NAME", is_many=True),
    "note": Option("note", "goes into the evidence", "TEXT"),
}
"""Field of a DrillRequest -> its option, but for its checks."""


def drill_words(request: DrillRequest) -> list[str]:
    """Source and options of a drill, as `holdfast drill` takes them; what is as by default is left out."""
    words = [request.source]
    for field, option in DRILLED.items():
        value = getattr(request, field)
        if value not in ("", (), None):
            words += _flagged(option, value)
    for each in request.checks:
        words += _flagged(Option("check", "", is_many=True), (check_text(each),))
    return words


def restore_words(request: RestoreRequest) -> list[str]:
    """The options of a restore, as `holdfast restore BACKUP` takes them; what is as by default is left out."""
    fresh = {each.name: each.default for each in dataclasses.fields(RestoreRequest)}
    return [
        word
        for field, option in RESTORE.items()
        if (value := getattr(request, field)) != fresh[field]
        for word in _flagged(option, value)
    ]


def step_text(step: PlanStep) -> str:
    """A step as `holdfast plan add --step` takes it."""
    words = [step.source, *restore_words(step.restore)]
    words += ["--go-on"] if step.goes_on else []
    for each in step.checks:
        words += _flagged(Option("check", "", is_many=True), (check_text(each),))
    for field, option in DRILL.items():
        if value := getattr(step, field):
            words += _flagged(option, value)
    return shlex.join(words)


def check_text(check: tuple[str, str, str]) -> str:
    """`DATABASE: SQL=EXPECTED`."""
    database, statement, expected = check
    return f"{database + ': ' if database else ''}{statement}={expected}"


def parse_check(given: str) -> tuple[str, str, str]:
    """Database (empty: each), statement and expected value. Raises: UsageError where there is no `=`."""
    statement, equals, expected = given.rpartition("=")
    if not equals or not statement.strip():
        raise UsageError(f"{given!r} is no check", hint="say --check 'SELECT count(*) FROM t=42'")
    database, colon, rest = statement.partition(": ")
    if colon and database and " " not in database:
        return database, rest, expected
    return "", statement, expected


def _flagged(option: Option, value: OptionValue) -> list[str]:
    if option.is_flag:
        return [option.flag]
    words: list[str] = []
    for each in option.words(value):
        words += [f"{option.flag}={each}"] if each.startswith("-") else [option.flag, each]
    return words
