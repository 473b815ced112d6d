"""alerts list|evaluate|acknowledge|silence|unsilence: what stands, who sees to it, and what nobody is to hear of for a while."""

from __future__ import annotations

import datetime
from typing import Final

from engine.cli import diagnostics, schedule_options
from engine.cli.command import Call, Command, Parser
from engine.cli.options import duration
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import text, when
from engine.model.alerts import Alert, MaintenanceWindow, Silence
from engine.model.spans import span

_HEADS: Final = (
    Column("ALERT"),
    Column("SINCE"),
    Column("CONDITION", is_optional=True),
    Column("SUBJECT"),
    Column("STATE"),
    Column("WHY", is_flexible=True),
)
_SILENCE_HEADS: Final = (
    Column("SILENCE"),
    Column("FROM"),
    Column("UNTIL"),
    Column("OF"),
    Column("WHY", is_flexible=True),
)

_WINDOW_HEADS: Final = (
    Column("WINDOW"),
    Column("EVERY", is_flexible=True),
    Column("FOR"),
    Column("NEXT"),
    Column("OF"),
    Column("WHY", is_flexible=True),
)


def _declare_list(parser: Parser) -> None:
    parser.add_argument("--all", action="store_true", help="also those that are over, newest first")


async def _list(call: Call) -> int:
    found = await call.engine.alerts(is_past_included=call.arguments.all)
    output = call.output
    as_of = "; nothing was looked at yet: holdfast alerts evaluate"
    if found.evaluated_at is not None:
        as_of = f", as of {text.instant(found.evaluated_at)}"
    output.line(f"{text.counted(len(found.alerts), 'alert')}{as_of}")
    if found.alerts:
        output.table(_HEADS, [_row(each) for each in found.alerts])
    if found.silences:
        output.line()
        output.table(_SILENCE_HEADS, [_silence_row(each) for each in found.silences])
    if found.windows:
        output.line()
        now = call.clock.now()
        output.table(_WINDOW_HEADS, [_window_row(each, at, now) for each, at in found.windows])
    output.result(
        {
            "items": [shape(each) for each in found.alerts],
            "silences": [shape(each) for each in found.silences],
            "windows": [{**shape(each), "next_at": shape(at)} for each, at in found.windows],
            "evaluated_at": found.evaluated_at.isoformat() if found.evaluated_at else None,
        }
    )
    return diagnostics.DONE


def _row(alert: Alert) -> list[str]:
    return [
        alert.alert_id[:8],
        text.instant(alert.raised_at),
        alert.condition.value,
        alert.subject,
        _state(alert),
        text.printable(alert.reason),
    ]


def _state(alert: Alert) -> str:
    if alert.recovered_at is not None:
        return "over"
    if alert.acknowledged_at is not None:
        return f"acknowledged by {alert.acknowledged_by}"
    if alert.silenced_until is not None:
        return f"silenced until {text.instant(alert.silenced_until)}"
    return "at risk" if alert.is_risk else "advice"


def _silence_row(silence: Silence) -> list[str]:
    what = silence.subject + (f": {silence.condition}" if silence.condition else "")
    why = f"{silence.reason} ({silence.made_by})"
    return [
        silence.silence_id[:8],
        text.instant(silence.begins_at),
        text.instant(silence.ends_at),
        what,
        text.printable(why),
    ]


def _window_row(
    window: MaintenanceWindow, next_at: datetime.datetime | None, now: datetime.datetime
) -> list[str]:
    what = window.subject + (f": {window.condition}" if window.condition else "")
    begins = "over" if next_at is None else "now" if next_at <= now else f"{next_at:%Y-%m-%d %H:%M %Z}"
    every = f"{window.every}, {window.timezone}"
    why = f"{window.reason} ({window.made_by})" if window.made_by else window.reason
    return [window.name, every, span(window.duration_s), begins, what, text.printable(why)]


def _declare_evaluate(parser: Parser) -> None:
    parser.add_argument(
        "--look",
        action="store_true",
        help="open every storage first: its room, its locks, whether it answers; and connect to every host that has sources",
    )


async def _evaluate(call: Call) -> int:
    if call.arguments.look:
        await call.engine.look_at_storages()
        await call.engine.look_at_hosts(is_all=True)
    expected = await call.engine.expectations()
    done = await call.engine.evaluate_alerts(expected.sources, is_worker_wanted=expected.is_worker_wanted)
    output = call.output
    output.line(
        f"{len(done.raised)} raised, {len(done.recovered)} over, {text.counted(len(done.standing), 'alert')} standing"
    )
    for mark, found in (("raised", done.raised), ("over", done.recovered)):
        for each in found:
            output.line(text.printable(f"{mark}  {each.subject}: {each.condition.value}: {each.reason}"))
    output.result(shape(done))
    return diagnostics.DONE


def _declare_acknowledge(parser: Parser) -> None:
    parser.add_argument("alert", metavar="ALERT", help="its id, or the beginning of it")
    parser.add_argument("--note", "--reason", default="", metavar="TEXT", help="what is being done")


async def _acknowledge(call: Call) -> int:
    alert = await call.engine.acknowledge_alert(call.arguments.alert, call.arguments.note)
    call.output.line(
        f"alert {alert.alert_id[:8]} is yours: nobody is told of it again while it stands ({alert.subject}: {text.printable(alert.reason)})"
    )
    call.output.result(shape(alert))
    return diagnostics.DONE


def _declare_silence(parser: Parser) -> None:
    parser.add_argument(
        "subject",
        metavar="SUBJECT",
        help="a pattern: 'source shop*', 'host web', 'storage near', 'catalog', or '*' for everything; that of a host holds for its sources",
    )
    parser.add_argument("--until", metavar="WHEN", help="its end: 2h, or 2026-11-20 14:05")
    parser.add_argument(
        "--from", dest="begins", metavar="WHEN", help="its beginning, of a maintenance window to come; now"
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why")
    parser.add_argument(
        "--condition", default="", metavar="CONDITION", help="this alone, as `alerts list` calls it"
    )
    group = parser.add_argument_group("a maintenance window that comes again")
    group.add_argument(
        "--every", metavar="'EXPR'", help="when it begins, as --cron of a schedule: 'sunday at 02:00'"
    )
    group.add_argument("--for", dest="span", type=duration, metavar="SPAN", help="how long it is: 4h")
    group.add_argument("--name", metavar="NAME", help="what it is called")
    group.add_argument(
        "--timezone", metavar="TZ", help="whose clock counts; that of this machine where it is left out"
    )


async def _silence(call: Call) -> int:
    arguments = call.arguments
    now = call.clock.now()
    until, begins = (
        when.parse_ahead(each, now, call.clock.local_offset) if each else None
        for each in (arguments.until, arguments.begins)
    )
    if arguments.every or arguments.span or arguments.name or arguments.timezone:
        return await _silence_again(call, begins, until)
    if until is None:
        raise UsageError("a silence needs an end", hint="--until 2h, or --every 'sunday at 02:00' --for 4h")
    made = await call.engine.silence(
        arguments.subject, until, arguments.reason, begins_at=begins, condition=arguments.condition
    )
    call.output.line(
        f"nobody is told of {made.subject} from {text.instant(made.begins_at)} until {text.instant(made.ends_at)}; "
        f"`holdfast alerts unsilence {made.silence_id[:8]}` ends that; restores are told all the same"
    )
    call.output.result(shape(made))
    return diagnostics.DONE


async def _silence_again(
    call: Call, begins: datetime.datetime | None, until: datetime.datetime | None
) -> int:
    arguments = call.arguments
    for option, value in (
        ("--every", arguments.every),
        ("--for", arguments.span),
        ("--name", arguments.name),
    ):
        if not value:
            raise UsageError(
                f"a maintenance window that comes again needs {option}",
                hint="--name patching --every 'sunday at 02:00' --for 4h",
            )
    window = MaintenanceWindow(
        arguments.name,
        arguments.subject,
        arguments.every,
        arguments.span,
        arguments.reason,
        arguments.timezone or schedule_options.machine_zone(),
        arguments.condition,
        begins,
        until,
    )
    made = await call.engine.add_window(window)
    call.output.line(
        f"nobody is told of {made.subject} for {span(made.duration_s)} from {made.every} on, {made.timezone}; "
        f"`holdfast alerts unsilence {made.name}` ends that; restores are told all the same"
    )
    call.output.result(shape(made))
    return diagnostics.DONE


def _declare_unsilence(parser: Parser) -> None:
    parser.add_argument(
        "silence", metavar="SILENCE", help="its id, or the beginning of it; the name of a maintenance window"
    )


async def _unsilence(call: Call) -> int:
    ended = await call.engine.unsilence(call.arguments.silence)
    call.output.line(f"people are told of {ended.subject} again")
    call.output.result(shape(ended))
    return diagnostics.DONE


LIST = Command(_declare_list, _list)
EVALUATE = Command(_declare_evaluate, _evaluate)
ACKNOWLEDGE = Command(_declare_acknowledge, _acknowledge)
SILENCE = Command(_declare_silence, _silence)
UNSILENCE = Command(_declare_unsilence, _unsilence)
