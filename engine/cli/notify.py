"""notify add|edit|test|list|remove|flush: where people are told, and by what."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import text
from engine.model.alerts import Destination, DestinationStatus, Occasion

_OCCASIONS: Final = tuple(each.value for each in Occasion if each not in (Occasion.TEST, Occasion.DIGEST))
_COLOURS: Final = {"sent": "32", "waiting": "33", "failed": "31"}
_MOST_TEMPLATE_BYTES: Final = 64_000
_FIELDS: Final[Mapping[str, str]] = {
    "kind": "kind",
    "url": "url",
    "start_url": "start_url",
    "fail_url": "fail_url",
    "on": "occasions",
    "only": "only",
    "digest": "digest_at",
    "template": "template",
    "named_only": "is_named_only",
    "enabled": "is_enabled",
}
"""Option -> field of a destination."""


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
    parser.add_argument(
        "--kind",
        metavar="KIND",
        help="apprise, where it is left out: mail, chat, webhook and all else that apprise knows; ping: a switch that calls people when it was not called",
    )
    parser.add_argument(
        "--url",
        type=reference,
        metavar="REF",
        help="where its address is kept, which is a secret: mailto://USER:PASSWORD@HOST?to=ME, json://HOST/PATH, ntfy://HOST/TOPIC; "
        "left out: it is asked for, and sealed",
    )
    parser.add_argument(
        "--start-url",
        metavar="REF",
        help="ping: the address of a start, where it is not /start behind the other",
    )
    parser.add_argument(
        "--fail-url",
        metavar="REF",
        help="ping: the address of a failure, where it is not /fail behind the other",
    )
    parser.add_argument(
        "--on",
        action="append",
        choices=_OCCASIONS,
        metavar="WHAT",
        help=f"tell this (may be repeated): {', '.join(_OCCASIONS)}; left out: failure, alert and recovery; a ping: start, success and failure",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="PATTERN",
        help="of these alone (may be repeated): 'source shop*', 'host web', 'storage near', 'schedule nightly', 'verb restore'",
    )
    parser.add_argument(
        "--named-only",
        action="store_const",
        const=True,
        help="only what schedules name it for: schedule add --notify NAME",
    )
    parser.add_argument(
        "--digest",
        metavar="HH:MM",
        help="besides, once a day what happened and what stands, at this local time",
    )
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
    new = _applied(arguments, _without(old, arguments.unset))
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
    found = {name: getattr(arguments, name, None) for name in _FIELDS}
    fields: dict[str, Any] = {_FIELDS[name]: value for name, value in found.items() if value is not None}
    if isinstance(arguments.url, StandardInput):
        fields["url"] = f"vault:notify.{arguments.name}"
    if arguments.on is not None:
        fields["occasions"] = tuple(Occasion(each) for each in arguments.on)
    if arguments.only is not None:
        fields["only"] = tuple(arguments.only)
    if arguments.template is not None:
        fields["template"] = _template(arguments.template)
    return dataclasses.replace(destination, **fields)


def _without(destination: Destination, names: Sequence[str]) -> Destination:
    """The destination without these options: as it is where nothing is said. Raises: UsageError."""
    fresh = Destination(destination.name, "apprise", "")
    known = [name for name in _FIELDS if name not in ("kind", "url", "enabled")]
    for written in names:
        name = written.removeprefix("--").replace("-", "_")
        if name not in known:
            there_are = ", ".join(each.replace("_", "-") for each in known)
            raise UsageError(f"there is no option {written!r} to unset", hint=f"there are: {there_are}")
        destination = dataclasses.replace(destination, **{_FIELDS[name]: getattr(fresh, _FIELDS[name])})
    return destination


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
