"""From the words of a command line to the verb that they mean."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from engine.cli import diagnostics, output, rights
from engine.cli.command import Command, Parser, reference
from engine.cli.verbs import NOUNS, VERBS
from engine.errors import HoldfastError, UsageError

if TYPE_CHECKING:
    from engine.clock import Clock

_WITH_VALUE: Final = ("--home", "--theme")
"""Options that may stand before the verb, and take the next word."""
_CONSOLE: Final = ("--home", "--read-only", "--ascii", "--theme")
"""Options of the console; it refuses others by itself."""

_USAGE: Final = "usage: holdfast VERB [OPTIONS]; `holdfast --help` lists the verbs"


class Words(NamedTuple):
    """A command line taken apart."""

    verb: str
    """A name of the table; empty where there is none."""
    options: Sequence[str]
    """All other words, those before the verb too."""


def dispatch(words: Sequence[str], clock: Clock | None = None) -> int:
    """Does what the words say, by the machine's own clock unless another is given; returns the exit code. Every error is told here."""
    _fill_descriptors()
    is_json = "--json" in words
    try:
        return _dispatch(words, clock)
    except HoldfastError as error:
        return diagnostics.report(error, is_json=is_json)
    except KeyboardInterrupt:
        return diagnostics.report_interrupt(is_json=is_json)
    except Exception as error:  # noqa: BLE001 -- the outermost frame: scripts need the exit code and one sentence
        return diagnostics.report_surprise(error, is_json=is_json)


def _dispatch(words: Sequence[str], clock: Clock | None) -> int:
    if "--version" in words[:1] or "-V" in words[:1]:
        from engine import __version__

        sys.stdout.write(f"holdfast {__version__}\n")
        return diagnostics.DONE
    found = take_apart(words)
    if not found.verb:
        return _without_verb(found.options)
    command = load(found.verb)
    arguments = build_parser(found.verb, command).parse_args(found.options)
    rights.require(found.verb, arguments, os.environ)
    out = output.standard_output(is_json=arguments.json)
    try:
        return _run(command, arguments, out, clock)
    finally:
        with contextlib.suppress(HoldfastError):
            out.flush()


def _run(command: Command, arguments: Namespace, out: output.Output, clock: Clock | None) -> int:
    if command.run_alone is not None:
        code = command.run_alone(arguments, out)
    else:
        from engine.cli import running  # asyncio and the engine, for those verbs that need them

        code = running.run(command, arguments, out, clock)
    out.flush()
    return code


def take_apart(words: Sequence[str]) -> Words:
    """Finds the verb among the words. Raises: UsageError where there is no such verb."""
    rest = list(words)
    before: list[str] = []
    while rest and rest[0].startswith("-"):
        before.append(rest.pop(0))
        if before[-1] in _WITH_VALUE and rest:
            before.append(rest.pop(0))
    if not rest:
        return Words("", before)
    first = rest.pop(0)
    if first in VERBS:
        return Words(first, [*before, *rest])
    if first in NOUNS:
        if rest and f"{first} {rest[0]}" in VERBS:
            return Words(f"{first} {rest[0]}", [*before, *rest[1:]])
        return _noun(first, rest)
    if first == "help":
        return Words("", ["--help"])
    raise diagnostics.report_unknown("verb", first, _nearest(first))


def _noun(noun: str, rest: Sequence[str]) -> Words:
    """A noun without a verb: help where that is wanted, else an error that names the verbs."""
    if rest and rest[0] in ("-h", "--help"):
        return Words("", ["--help", noun])
    verbs = [name.partition(" ")[2] for name in VERBS if name.startswith(f"{noun} ")]
    said = f"`holdfast {noun}` needs one of: {', '.join(verbs)}"
    if rest and not rest[0].startswith("-"):
        near = _nearest(f"{noun} {rest[0]}")
        raise diagnostics.report_unknown("verb", f"{noun} {rest[0]}", near)
    raise UsageError(said, hint=f"holdfast {noun} --help")


def _nearest(name: str) -> str | None:
    import difflib  # only a mistake pays for it

    return next(iter(difflib.get_close_matches(name, list(VERBS), n=1, cutoff=0.6)), None)


def load(verb: str) -> Command:
    """The command of a verb of the table; its module is imported now."""
    module, _, name = VERBS[verb].target.partition(":")
    return cast("Command", getattr(importlib.import_module(f"engine.cli.{module}"), name))


def build_parser(verb: str, command: Command) -> Parser:
    """The parser of a verb."""
    parser = Parser(verb, VERBS[verb].summary)
    parser.set_defaults(called_verb=verb)
    if verb in rights.ANSWERING:
        # Before all others: secrets from standard input come in the order of the options, and this one is asked for first.
        parser.add_argument(
            "--guard",
            default="",
            type=reference,
            metavar="REF",
            help="passphrase of the guard, or a code, for scripts",
        )
    command.declare(parser)
    return parser


def _without_verb(options: Sequence[str]) -> int:
    if "--help" in options or "-h" in options:
        noun = options[-1] if options[-1] in NOUNS else ""
        sys.stdout.write(_help(noun))
        return diagnostics.DONE
    unknown = [
        each
        for each in options
        if each.startswith("-") and each.partition("=")[0] not in (*_CONSOLE, "--json")
    ]
    if unknown:
        raise UsageError(f"there is no option {unknown[0]}", hint="holdfast --help")
    if "--json" not in options and os.isatty(0) and os.isatty(1):
        from engine.cli import console

        console.become(list(options))
    raise UsageError("no verb was given", hint=_USAGE)


def _help(noun: str) -> str:
    shown = {name: verb for name, verb in VERBS.items() if not noun or name.startswith(f"{noun} ")}
    width = max(len(name) for name in shown)
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in shown.items()]
    head = "usage: holdfast VERB [OPTIONS]       `holdfast VERB --help` explains a verb\n\n"
    tail = (
        "\n\nFor all verbs: --home DIR (or HOLDFAST_HOME), --json, --read-only (or HOLDFAST_READ_ONLY=1). Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete,\n"
        "4 proof failed, 5 refused, 6 already running, 10 no repository, 11 locked, 12 wrong password, 130 interrupted.\n"
    )
    return head + "\n".join(lines) + tail


def _fill_descriptors() -> None:
    """Opens what was closed among the three standard descriptors: else the catalog's file would become one, and be written to."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python makes no file of a descriptor that was closed when it began.
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
