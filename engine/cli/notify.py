"""notify add|edit|test|list|remove|flush: where people are told, and by what."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from engine.cli import definitions, diagnostics
from engine.cli.command import (
    Call,
    Command,
    Parser,
    StandardInput,
    add_name,
    declare_name,
    declare_nothing,
    reference,
)
from engine.cli.options import add_option
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import destination_options, text
from engine.model.alerts import Destination, DestinationStatus

_COLOURS: Final = {"sent": "32", "waiting": "33", "failed": "31"}
_MOST_TEMPLATE_BYTES: Final = 64_000


def _declare_add(parser: Parser) -> None:
    add_name(parser, "destination")
    _declare_options(parser)
    parser.set_defaults(kind="apprise", url=reference("-"))


def _declare_edit(parser: Parser) -> None:
    add_name(parser, "destination")
    _declare_options(parser)
    switch = parser.add_mutually_exclusive_group()
    switch.add_argument(
        "--disable", dest="enabled", action="store_false", default=None, help="tell nothing there for now"
    )
    switch.add_argument("--enable", dest="enabled", action="store_true", default=None, help="tell it again")
    definitions.add_unset(parser)


def _declare_options(parser: Parser) -> None:
    """What is not given stays None."""
    for each in destination_options.OPTIONS:
        add_option(parser, each)
    parser.add_argument(
        "--template",
        metavar="FILE",
        help="the messages in words of your own: the first line is the title; $subject, $reason, $remedy and others stand for facts",
    )


async def _add(call: Call) -> int:
    name = call.arguments.name
    destination = _applied(call.arguments, Destination(name, "", ""))
    is_typed = isinstance(call.arguments.url, StandardInput)
    defined = await call.engine.add_destination(destination, is_address_given=is_typed)
    call.output.line(
        f"{name} is told at {text.printable(defined.shown)}; `holdfast notify test {name}` tries it"
    )
    call.output.result(shape(defined))
    return diagnostics.DONE


async def _edit(call: Call) -> int:
    arguments = call.arguments
    old = await call.engine.show_destination(arguments.name)
    new = _applied(arguments, destination_options.without(old, arguments.unset))
    is_typed = isinstance(arguments.url, StandardInput)
    if new == old and not is_typed:
        raise UsageError("nothing was said to be changed", hint="holdfast notify edit --help")
    defined = await call.engine.edit_destination(new, is_address_given=is_typed)
    is_told = "is told" if defined.is_enabled else "is told nothing for now"
    at = f" at {text.printable(defined.shown)}" if defined.is_enabled and defined.shown else ""
    call.output.line(f"{defined.name} is changed: it {is_told}{at}: {_told(defined)}")
    call.output.result(shape(defined))
    return diagnostics.DONE


def _applied(arguments: argparse.Namespace, destination: Destination) -> Destination:
    """The destination with all that was given in place of what it says. Raises: UsageError."""
    given = {name: getattr(arguments, name, None) for name in destination_options.FIELDS}
    if isinstance(arguments.url, StandardInput):
        given["url"] = f"vault:notify.{arguments.name}"
    if arguments.template is not None:
        given["template"] = _template(arguments.template)
    return destination_options.applied(given, destination)


def _template(path: str) -> str:
    """Raises: UsageError where the file is not to be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_MOST_TEMPLATE_BYTES).decode("utf-8")
    except OSError as error:
        raise UsageError(f"the template {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"the template {path} is no UTF-8") from None


async def _test(call: Call) -> int:
    destination = await call.engine.test_destination(call.arguments.name)
    call.output.line(f"{destination.name}: a message was taken at {text.printable(destination.shown)}")
    call.output.result({"name": destination.name, "shown": destination.shown})
    return diagnostics.DONE


async def _list(call: Call) -> int:
    found = await call.engine.destinations()
    heads = [
        Column("DESTINATION"),
        Column("KIND"),
        Column("ADDRESS"),
        Column("IS TOLD", is_flexible=True),
        Column("LAST", is_flexible=True),
    ]
    rows = [
        [
            each.destination.name,
            each.destination.kind,
            each.destination.shown,
            _told(each.destination),
            _last(each),
        ]
        for each in found
    ]
    call.output.table(heads, rows)
    call.output.items([shape(each) for each in found])
    return diagnostics.DONE


def _told(destination: Destination) -> str:
    said = [each.value for each in destination.occasions] or ["as usual"]
    said += [f"digest at {destination.digest_at}"] if destination.digest_at else []
    said += [f"of {each}" for each in destination.only]
    said += ["for schedules that name it"] if destination.is_named_only else []
    said += [] if destination.is_enabled else ["not for now"]
    return ", ".join(said)


def _last(status: DestinationStatus) -> str:
    if not status.state:
        return "-"
    error = f": {text.printable(status.error)}" if status.error else ""
    return f"{status.state} {text.instant(status.at)}{error}"


async def _flush(call: Call) -> int:
    done = await call.engine.flush_notices()
    waiting = f", {text.counted(done.waiting, 'notice')} still to be told" if done.waiting else ""
    call.output.line(f"{text.counted(done.sent, 'message')} sent{waiting}")
    for each in done.failed:
        call.output.line(text.printable(each))
    call.output.result(shape(done))
    if not done.failed:
        return diagnostics.DONE
    return diagnostics.exit_of("incomplete" if done.sent else "failed")


ADD = Command(_declare_add, _add)
EDIT = Command(_declare_edit, _edit)
TEST = Command(declare_name("destination"), _test)
LIST = Command(declare_nothing, _list)
FLUSH = Command(declare_nothing, _flush, is_job=True)
REMOVE = definitions.removal(
    "destination",
    lambda engine, name: engine.remove_destination(name),
    lambda engine, name: engine.show_destination(name),
    tells="; nobody is told there any more",
)
