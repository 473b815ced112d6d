"""notify add|test|list|remove|flush: where people are told, and by what."""

from __future__ import annotations

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
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import text
from engine.model.alerts import NOUNS, Destination, DestinationStatus, Occasion

_OCCASIONS: Final = tuple(each.value for each in Occasion if each not in (Occasion.TEST, Occasion.DIGEST))
_COLOURS: Final = {"sent": "32", "waiting": "33", "failed": "31"}
_MOST_TEMPLATE_BYTES: Final = 64_000


def _declare_add(parser: Parser) -> None:
    add_name(parser, "destination")
    parser.add_argument(
        "--kind",
        default="apprise",
        metavar="KIND",
        help="apprise: mail, chat, webhook and all else that apprise knows; ping: a switch that calls people when it was not called",
    )
    parser.add_argument(
        "--url",
        type=reference,
        default=reference("-"),
        metavar="REF",
        help="where its address is kept, which is a secret: mailto://USER:PASSWORD@HOST?to=ME, json://HOST/PATH, ntfy://HOST/TOPIC; "
        "left out: it is asked for, and sealed",
    )
    parser.add_argument(
        "--start-url",
        default="",
        metavar="REF",
        help="ping: the address of a start, where it is not /start behind the other",
    )
    parser.add_argument(
        "--fail-url",
        default="",
        metavar="REF",
        help="ping: the address of a failure, where it is not /fail behind the other",
    )
    parser.add_argument(
        "--on",
        action="append",
        choices=_OCCASIONS,
        default=[],
        metavar="WHAT",
        help=f"tell this (may be repeated): {', '.join(_OCCASIONS)}; left out: failure, alert and recovery; a ping: start, success and failure",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="of these alone (may be repeated): 'source shop*', 'host web', 'storage near', 'schedule nightly', 'verb restore'",
    )
    parser.add_argument(
        "--digest",
        default="",
        metavar="HH:MM",
        help="besides, once a day what happened and what stands, at this local time",
    )
    parser.add_argument(
        "--template",
        metavar="FILE",
        help="the messages in words of your own: the first line is the title; $subject, $reason, $remedy and others stand for facts",
    )


async def _add(call: Call) -> int:
    arguments = call.arguments
    name = arguments.name
    url = str(arguments.url)
    if isinstance(arguments.url, StandardInput):
        url = f"vault:notify.{name}"
    for pattern in arguments.only:
        noun = pattern.partition(" ")[0]
        if noun not in NOUNS:
            raise UsageError(f"{pattern!r} is no pattern of subjects", hint="--only 'source shop*'")
    destination = Destination(
        name,
        arguments.kind,
        url,
        occasions=tuple(Occasion(each) for each in arguments.on),
        only=tuple(arguments.only),
        template=_template(arguments.template),
        digest_at=arguments.digest,
        start_url=arguments.start_url,
        fail_url=arguments.fail_url,
    )
    is_typed = isinstance(arguments.url, StandardInput)
    defined = await call.engine.add_destination(destination, is_address_given=is_typed)
    call.output.line(
        f"{name} is told at {text.printable(defined.shown)}; `holdfast notify test {name}` tries it"
    )
    call.output.result(shape(defined))
    return diagnostics.DONE


def _template(path: str | None) -> str:
    """Raises: UsageError where the file is not to be read."""
    if path is None:
        return ""
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
TEST = Command(declare_name("destination"), _test)
LIST = Command(declare_nothing, _list)
FLUSH = Command(declare_nothing, _flush, is_job=True)
REMOVE = definitions.removal(
    "destination",
    lambda engine, name: engine.remove_destination(name),
    lambda engine, name: engine.show_destination(name),
    tells="; nobody is told there any more",
)
