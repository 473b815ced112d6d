"""What the verbs of hosts, sources and storages share: options as they are shown and changed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.cli import text
from engine.cli.command import Parser
from engine.cli.output import Output
from engine.errors import UsageError
from engine.model.definitions import OptionValue


def given(arguments: Namespace, names: Sequence[str]) -> dict[str, OptionValue]:
    """The options of these names that were given, as the catalog keeps them."""
    found: dict[str, OptionValue] = {}
    for name in names:
        value = getattr(arguments, name, None)
        if value not in (None, False, []):
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


def add_unset(parser: Parser) -> None:
    """For the verbs that change a definition."""
    parser.add_argument(
        "--unset", action="append", default=[], metavar="OPTION", help="take an option away (may be repeated)"
    )


def changes(arguments: Namespace, names: Sequence[str]) -> dict[str, OptionValue]:
    """What an edit asks for: options given, and None for each that is unset. Raises: UsageError for a name that is no option."""
    found = given(arguments, names)
    for option in arguments.unset:
        name = option.removeprefix("--").replace("-", "_")
        if name not in names:
            known = ", ".join(each.replace("_", "-") for each in names)
            raise UsageError(f"there is no option {option!r} to unset", hint=f"there are: {known}")
        found[name] = None
    return found


def shown(options: Mapping[str, OptionValue]) -> str:
    """Options on one line, as they would be typed."""
    words = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, str | int):
            words.append(f"{flag} {value}")
        elif value:
            words.append(f"{flag} {' '.join(value)}")
    return " ".join(words)


def show_pairs(output: Output, pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values below each other, for people."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        output.line(f"{name:<{width}}  {text.printable(value)}".rstrip())


def absolute(path: str) -> str:
    """A path of this machine from its root on."""
    return str(Path(path).expanduser().absolute())
