"""console: what `holdfast` alone opens, in this terminal or in a browser of this machine."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from importlib.util import find_spec
from typing import Final

from engine.cli.command import Command, Parser
from engine.cli.output import Output
from engine.errors import UsageError


def _declare(parser: Parser) -> None:
    parser.add_argument(
        "--theme", metavar="NAME", help="its colours; console.toml in the home sets them for good"
    )
    parser.add_argument("--ascii", action="store_true", help="send no character beyond ASCII")
    parser.add_argument(
        "--serve",
        action="store_true",
        help="to browsers of this machine, on 127.0.0.1; prints the address, which holds a token",
    )
    parser.add_argument(
        "--port", metavar="N", help="of the address, the same one each time where none is named; 0: any"
    )


def _run(arguments: Namespace, _output: Output) -> int:
    if arguments.json:
        raise UsageError(
            "the console is for people", hint="`holdfast status --json` prints what is at risk for scripts"
        )
    words = [
        word
        for name in ("home", "theme", "port")
        if getattr(arguments, name) is not None
        for word in (f"--{name}", getattr(arguments, name))
    ]
    words += [
        f"--{name.replace('_', '-')}" for name in ("ascii", "serve", "read_only") if getattr(arguments, name)
    ]
    become(words)
    raise UsageError("the console needs the package textual", hint="pip install 'holdfast[console]'")


def become(words: list[str]) -> None:
    """Becomes the console, where it is installed; comes back where it is not."""
    if find_spec("tui") is not None and find_spec("textual") is not None:
        os.execv(sys.executable, [sys.executable, "-m", "tui", *words])  # noqa: S606 -- this very program


CONSOLE: Final = Command(_declare, None, run_alone=_run)
