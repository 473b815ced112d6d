"""logs: the databases' logs between backups: brought into storages, listed, and what a server needs for that."""

from __future__ import annotations

from collections.abc import Sequence

from engine.cli import asking, diagnostics
from engine.cli.command import Call, Command, Parser, add_name
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, add_yes, duration, limits
from engine.cli.output import Column, Output, shape
from engine.model import log_words, text
from engine.model.log_keeping import LostInstants
from engine.model.log_report import LogReport
from engine.model.log_words import gap_text, instant
from engine.model.requests import ShipRequest
from engine.model.results import ForgetResult
from engine.model.shipments import ShippedLog, ShipResult
from engine.model.spans import span


def _declare_ship(parser: Parser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="whose logs")
    parser.add_argument(
        "--to",
        dest="storages",
        action="append",
        default=[],
        metavar="STORAGE",
        help="to this storage (may be repeated); else to the default one. A host may forget a segment once all have it",
    )
    parser.add_argument(
        "--follow",
        type=duration,
        default=0.0,
        metavar="DURATION",
        help="go on so long, looking again and again",
    )
    parser.add_argument(
        "--poll", type=duration, default=10.0, metavar="DURATION", help="how long between two looks"
    )
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


async def _ship(call: Call) -> int:
    arguments = call.arguments
    request = ShipRequest(
        tuple(arguments.sources),
        tuple(arguments.storages),
        arguments.follow,
        arguments.poll,
        limits(arguments),
    )
    if is_detached(call):
        return await hand_over(call, "ship", request)
    result = await call.engine.ship(request, idempotency_key=arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell(output: Output, result: ShipResult) -> None:
    """What was shipped, for people."""
    for each in result.logs:
        _tell_one(output, each)
    output.line(f"in {span(result.duration_s)}" + (f", {result.polls} looks" if result.polls > 1 else ""))


def _tell_one(output: Output, log: ShippedLog) -> None:
    colour = {"completed": "32", "failed": "31"}.get(log.status, "33")
    output.line(
        f"{output.styled(log.status, colour)}: {log.source}, {text.counted(log.segments, 'segment')}, {text.size(log.size_bytes)}"
        + (f", {text.counted(log.waiting, 'segment')} still on the host" if log.waiting else "")
    )
    if log.recoverable_to is not None:
        output.line(f"  recoverable to {instant(log.recoverable_to)}")
    else:
        output.line("  not recoverable to any instant by its log: no base is kept that it goes on from")
    for gap in log.gaps:
        output.line(f"  {gap_text(gap)}")
    if log.error:
        output.line(f"  {text.printable(log.error)}")
    for warning in log.warnings:
        output.line(f"  {text.printable(warning)}")


async def _list(call: Call) -> int:
    reports = await call.engine.log_reports()
    columns = (
        Column("SOURCE"),
        Column("RECOVERABLE FROM", is_optional=True),
        Column("TO"),
        Column("LAG", is_right=True),
        Column("WAITING", is_right=True),
        Column("SIZE", is_right=True),
        Column("GAPS", is_right=True),
        Column("STORAGES", is_flexible=True),
    )
    call.output.table(columns, [_row(each) for each in reports])
    call.output.items([shape(each) for each in reports])
    return 0


def _row(report: LogReport) -> Sequence[str]:
    state = report.state
    return (
        report.source,
        instant(report.recoverable_from),
        instant(report.recoverable_to),
        span(report.lag_s) if report.lag_s is not None else "-",
        str(state.waiting_segments) if state is not None else "-",
        text.size(report.size_bytes),
        str(len(report.gaps)),
        ", ".join(report.storages),
    )


async def _show(call: Call) -> int:
    name = call.arguments.name
    report = await call.engine.log_report(name)
    output = call.output
    without = await call.engine.without_log(name)
    if without:
        output.line(f"{name}: {without}")
    if not without or report.storages:
        for line in log_words.lines(report):
            output.line(line)
    output.result({**shape(report), "without_log": without})
    return 0


async def _setup(call: Call) -> int:
    lines = await call.engine.log_setup(call.arguments.name)
    for line in lines:
        call.output.line(line)
    if not lines:
        call.output.line("nothing is missing")
    elif call.output.is_terminal:
        call.output.line("# these go into the server's configuration, and it is started again")
    call.output.result({"source": call.arguments.name, "lines": list(lines)})
    return 0


def _declare_drop(parser: Parser) -> None:
    add_name(parser, "source")
    add_yes(parser)


async def _drop(call: Call) -> int:
    name = call.arguments.name
    await call.engine.require_log(name)
    report = await call.engine.log_report(name)
    for line in log_words.dropping(report, await call.engine.log_schedules(name)):
        call.output.line(text.printable(line))
    await asking.require_yes(call, f"let the server of {name} forget what is not yet shipped of its log?")
    dropped = await call.engine.drop_log(name)
    call.output.line(f"{dropped} is dropped" if dropped else "nothing was kept")
    call.output.result({"source": name, "dropped": dropped})
    return diagnostics.DONE


def tell_kept(output: Output, result: ForgetResult) -> None:
    """What went of logs, or would, and which instants with it; for people."""
    would = "would be " if result.is_dry_run else ""
    for each in result.logs:
        if each.why:
            output.line(text.printable(each.why))
        if each.segments:
            output.line(
                f"log of {each.source} in {each.storage}: {each.segments} segments ({text.size(each.size_bytes)}), "
                f"from {instant(each.begins_at)} to {instant(each.ends_at)}, {would}cut off its old end"
            )
    tell_lost(output, result.lost, is_done=not result.is_dry_run)


def tell_lost(output: Output, lost: Sequence[LostInstants], *, is_done: bool) -> None:
    """What sources can no longer be brought back to, for people."""
    for each in lost:
        output.line(log_words.lost(each, is_done=is_done))


def _declare_name(parser: Parser) -> None:
    add_name(parser, "source")


SHIP = Command(_declare_ship, _ship, is_job=True)
LIST = Command(lambda parser: None, _list)
SHOW = Command(_declare_name, _show)
SETUP = Command(_declare_name, _setup)
DROP = Command(_declare_drop, _drop)
