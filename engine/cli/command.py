"""What a verb is made of: how it declares its options, and what it is given when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.cli.output import Output
    from engine.cli.progress import Listener
    from engine.clock import Clock
    from engine.errors import CatalogError
    from engine.service import Engine


class Parser(argparse.ArgumentParser):
    """argparse's, but for errors: those become a UsageError, which is told as all others are."""

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(
            prog=f"holdfast {name}", description=summary[:1].upper() + summary[1:] + ".", allow_abbrev=False
        )
        self.add_argument(
            "--home", metavar="DIR", help="where catalog, vault key, cache and logs lie (or HOLDFAST_HOME)"
        )
        self.add_argument("--json", action="store_true", help="print one JSON object a line")
        self.add_argument(
            "--read-only",
            action="store_true",
            help="refuse whatever changes something (or HOLDFAST_READ_ONLY=1)",
        )

    def error(self, message: str) -> NoReturn:
        """Raises: UsageError."""
        raise UsageError(message, hint=f"{self.prog} --help")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """`--option=--` has a value, which argparse of Python 3.11 throws away."""
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            return self._get_value(action, arg_strings[0])
        return super()._get_values(action, arg_strings)


@dataclass(frozen=True, slots=True)
class Call:
    """A verb that was called."""

    arguments: argparse.Namespace
    output: Output
    engine: Engine
    clock: Clock
    listener: Listener
    """Where the engine's events go, and what draws the bar."""


@dataclass(frozen=True, slots=True)
class Command:
    """A verb that can be called."""

    declare: Callable[[Parser], None]
    run: Callable[[Call], Awaitable[int]] | None
    """Returns the exit code."""
    run_alone: Callable[[argparse.Namespace, Output], int] | None = None
    """In place of `run`, for a verb that needs neither home nor event loop."""
    without_catalog: Callable[[argparse.Namespace, Output, CatalogError], Awaitable[int]] | None = None
    """In place of `run` where the catalog is damaged, or of another version; where there is none, that error is what is told."""
    is_job: bool = False
    """Whether it runs long: a lost terminal does not end it, and its log is written."""


class StandardInput(str):
    """The REF `-`: a secret that is read from standard input before the verb runs."""

    __slots__ = ()


def reference(text: str) -> str:
    """The type of an option that holds a REF."""
    return StandardInput(text) if text == "-" else text


def add_name(parser: Parser, noun: str) -> None:
    """The name of a host, source, storage or secret."""
    parser.add_argument("name", metavar="NAME", help=f"name of the {noun}")


def declare_name(noun: str) -> Callable[[Parser], None]:
    """For a verb that takes a name and nothing else."""
    return lambda parser: add_name(parser, noun)


def declare_nothing(parser: Parser) -> None:
    """For a verb without options of its own."""
    del parser


def changed(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in pairs if value not in (None, [], False)}
