"""What the verbs of hosts, sources and storages share: options as they are shown and changed, lists, what was done, and removing."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli import asking, diagnostics
from engine.cli.command import Call, Command, Parser, add_name
from engine.cli.options import add_yes
from engine.cli.output import Column, Output, shape
from engine.errors import UsageError
from engine.model import text
from engine.model.definitions import Host, OptionValue, Source, Storage

if TYPE_CHECKING:
    from engine.service import Engine

Definition = Host | Source | Storage


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


def changes(arguments: Namespace, names: Sequence[str], noun: str, *others: str) -> dict[str, OptionValue]:
    """What an edit asks for: options given, and None for each that is unset; `others` are what else it may change.

    Raises: UsageError for a name that is no option, and where nothing is to be changed at all.
    """
    found = given(arguments, names)
    for option in arguments.unset:
        name = option.removeprefix("--").replace("-", "_")
        name = f"{name}_ref" if f"{name}_ref" in names else name
        if name not in names:
            known = ", ".join(each.removesuffix("_ref").replace("_", "-") for each in names)
            raise UsageError(f"there is no option {option!r} to unset", hint=f"there are: {known}")
        found[name] = None
    if not found and not any(others):
        raise UsageError("nothing was said to be changed", hint=f"holdfast {noun} edit --help")
    return found


def shown(options: Mapping[str, OptionValue]) -> str:
    """Options on one line, as they would be typed."""
    words = []
    for name, value in options.items():
        flag = "--" + name.removesuffix("_ref").replace("_", "-")
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


def listed(call: Call, heads: Sequence[Column], rows: Sequence[Sequence[str]], found: Sequence[Any]) -> int:
    """Prints them all; returns the exit code."""
    call.output.table(heads, rows)
    call.output.items([shape(each) for each in found])
    return diagnostics.DONE


def done(call: Call, sentence: str, definition: Definition) -> int:
    """Says what was done, and how it is defined now; returns the exit code."""
    call.output.line(sentence)
    call.output.result(shape(definition))
    return diagnostics.DONE


def removal(
    noun: str,
    remove: Callable[[Engine, str], Awaitable[None]],
    look: Callable[[Engine, str], Awaitable[object]] | None = None,
    *,
    asks: str = "?",
    tells: str = "",
) -> Command:
    """The verb that forgets something by its name, once a person said yes. `look` raises where there is no such thing to ask about.

    `asks` and `tells` end the question and the sentence.
    """

    def declare(parser: Parser) -> None:
        add_name(parser, noun)
        add_yes(parser)

    async def run(call: Call) -> int:
        name = call.arguments.name
        if look is not None:
            await look(call.engine, name)
        await asking.require_yes(call, f"forget {noun} {name}{asks}")
        await remove(call.engine, name)
        call.output.line(f"{noun} {name} is forgotten{tells}")
        call.output.result({"name": name})
        return diagnostics.DONE

    return Command(declare, run)


def absolute(path: str) -> str:
    """A path of this machine from its root on."""
    return str(Path(path).expanduser().absolute())
