"""Restores, drills and steps of recovery plans as they are typed: a source or backup, and options."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Callable
from typing import Any, Final

from engine.errors import UsageError
from engine.model.definitions import LOCAL_HOST, OptionValue
from engine.model.names import check_name, nearest
from engine.model.options import Option, split
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
    "tablespaces": Option(
        "tablespace_mapping", "a server's files: its tablespace at OLD goes to NEW", "OLD=NEW", is_many=True
    ),
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
    words = [request.source, *_target_words(request)]
    for field, option in DRILLED.items():
        value = getattr(request, field)
        if value not in ("", (), None):
            words += _flagged(option, value)
    for each in request.checks:
        words += _flagged(Option("check", "", is_many=True), (check_text(each),))
    return words


def restored_words(request: RestoreRequest) -> list[str]:
    """All that `holdfast restore` takes: the backup, or the source and the instant that it is brought back to, and options."""
    if not request.source:
        return [request.backup, *restore_words(request)]
    words = ["--source", request.source, *_target_words(request)]
    words += ["--whole-server"] if request.is_whole_server else []
    return [*words, *restore_words(request)]


def _target_words(request: RestoreRequest | DrillRequest) -> list[str]:
    words = ["--at", instant_word(request.at)] if request.at is not None else []
    words += ["--at-transaction", request.at_transaction] if request.at_transaction else []
    words += ["--at-point", request.at_point] if request.at_point else []
    return [*words, *(["--just-before"] if request.is_before else [])]


def instant_word(at: datetime.datetime) -> str:
    """An instant as `--at` takes it, by this machine's clock, to the microsecond."""
    return at.astimezone().isoformat()


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


def read_step(given: str, absolute: Callable[[str], str] = str) -> PlanStep:
    """A step as it is typed; `absolute` makes a directory of this machine begin at its root. Raises: UsageError."""
    sources, said = _read(given)
    if len(sources) != 1:
        what = "names no source" if not sources else f"names more than one source: {' and '.join(sources)}"
        raise UsageError(f"the step {given!r} {what}", hint="--step 'SOURCE OPTIONS OF A RESTORE'")
    source = sources[0].removeprefix("latest:")
    check_name("source", source)
    fields = {
        name: _value(option, said[option.flag]) for name, option in _OF_A_STEP.items() if option.flag in said
    }
    checks = tuple(parse_check(str(each)) for each in fields.pop("checks", ()))
    own = {name: fields.pop(name) for name in ("goes_on", *DRILL) if name in fields}
    request = RestoreRequest("", **fields)
    if [bool(request.to), bool(request.into), request.is_in_place].count(True) != 1:
        raise UsageError(
            f"the step {given!r} goes nowhere, or to two places: --in-place, --into NAME or --to DIR"
        )
    require_fitting(request)
    if request.to and request.host in ("", LOCAL_HOST):
        request = dataclasses.replace(request, to=absolute(request.to))
    return PlanStep(source, request, checks, **own)


_OF_A_STEP: Final = {
    **RESTORE,
    **DRILL,
    "goes_on": Option("go_on", "the next step is taken also where this one failed", is_flag=True),
    "checks": Option("check", "of its drill", "SQL=EXPECTED", is_many=True),
}
"""Field of a step or of its restore -> its option."""


def _read(given: str) -> tuple[list[str], dict[str, list[str]]]:
    """The words that are no options, and by its flag what was given of each option. Raises: UsageError."""
    known = {each.flag: each for each in _OF_A_STEP.values()}
    others: list[str] = []
    said: dict[str, list[str]] = {}
    words = iter(split(given))
    for word in words:
        if not word.startswith("-"):
            others.append(word)
            continue
        flag, equals, value = word.partition("=")
        option = known.get(flag)
        if option is None:
            near = nearest(flag, known)
            raise UsageError(
                f"{flag} is no option of a step",
                hint=f"did you mean {near}?" if near else "they are those of holdfast restore",
            )
        if not option.is_flag and not equals:
            value = next(words, "")
            if not value or value.startswith("--"):
                raise UsageError(f"{flag} needs a value")
        said.setdefault(flag, []).append(value)
    return others, said


def _value(option: Option, given: list[str]) -> Any:
    if option.is_flag:
        return True
    return option.read(shlex.join(given)) if option.is_several else option.read(given[-1])


def require_fitting(request: RestoreRequest) -> None:
    """Raises: UsageError for options that mean nothing together."""
    for_files = [
        RESTORE[each].flag
        for each in ("include", "exclude", "is_deleting", "is_verified")
        if getattr(request, each)
    ]
    of_databases = ("databases", "tables", "target_source", "is_with_roles", "masks")
    for_databases = [RESTORE[each].flag for each in of_databases if getattr(request, each)]
    if request.to and for_databases:
        raise UsageError(
            f"{for_databases[0]} goes with --into or --in-place", hint="with --to, choose by --include"
        )
    if request.into and for_files:
        raise UsageError(f"{for_files[0]} goes with --to, and with files in place")
    if request.tablespaces and not (request.to or request.is_whole_server):
        raise UsageError(
            "--tablespace-mapping goes with --to DIR, or --whole-server",
            hint="--into NAME and --in-place load what is in tablespaces by their names",
        )
    if request.host and not request.to:
        raise UsageError(
            "--host goes with --to",
            hint="files in place go to their own host; a database's server is named by --on",
        )


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
