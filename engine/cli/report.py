"""report compliance, report trends: for a period, as PDF, CSV or JSON, to a file or to standard output."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser
from engine.errors import UsageError
from engine.model import text, when

if TYPE_CHECKING:
    from engine.export.reports import Report

_FORMATS = ("pdf", "csv", "json")


def _declare_compliance(parser: Parser) -> None:
    parser.add_argument("--from", dest="since", required=True, metavar="WHEN", help="when the period begins")
    parser.add_argument(
        "--to",
        dest="until",
        required=True,
        metavar="WHEN",
        help="when it ends; that instant is not part of it",
    )
    parser.add_argument("--format", choices=_FORMATS, help="else what FILE ends with, else json")
    parser.add_argument("--output", metavar="FILE", help="else standard output, as `-` is")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="as evidence too: JSON and PDF, signed, their digests in the audit log",
    )


def _output(call: Call) -> str:
    """The file that it goes to; empty for standard output."""
    given: str = call.arguments.output or ""
    return "" if given == "-" else given


def _declare_trends(parser: Parser) -> None:
    _declare_compliance(parser)
    parser.add_argument("--by", choices=("day", "week"), help="else as fits the period")
    parser.add_argument("--source", default="", metavar="S", help="of this source alone")


async def _compliance(call: Call) -> int:
    since, until = _period(call)
    return await _tell(call, await call.engine.compliance(since, until))


async def _trends(call: Call) -> int:
    since, until = _period(call)
    arguments = call.arguments
    return await _tell(call, await call.engine.trends(since, until, by=arguments.by, source=arguments.source))


def _period(call: Call) -> tuple[datetime.datetime, datetime.datetime]:
    _format(call)  # a mistake is told before anything is read
    now = call.clock.now()
    since, until = (
        when.parse(each, now, call.clock.local_offset)
        for each in (call.arguments.since, call.arguments.until)
    )
    return since, until


def _format(call: Call) -> str:
    arguments, output = call.arguments, call.output
    ending = Path(_output(call)).suffix.removeprefix(".").lower()
    form: str = arguments.format or (ending if ending in _FORMATS else "json")
    if form == "pdf" and not _output(call) and not output.is_json and output.is_terminal:
        raise UsageError("a PDF is not for a terminal", hint="--output FILE.pdf")
    if form != "json" and output.is_json and not _output(call):
        raise UsageError(f"--json prints JSON, not {form}", hint="--output FILE, or leave one of them out")
    return form


async def _tell(call: Call, report: Report) -> int:
    from engine.cli.metrics import replace_file
    from engine.export import reports

    form, output = _format(call), call.output
    written = await asyncio.to_thread(reports.render, report, form)
    kept = await call.engine.keep_report(report) if call.arguments.keep else ()
    names = [{"path": each.path, "sha256": each.sha256} for each in kept]
    if path := _output(call):
        await asyncio.to_thread(replace_file, Path(path), written, 0o600)
        output.line(f"written to {text.printable(path)}")
        for each in kept:
            output.line(f"kept as {text.printable(each.path)}")
        output.result({"output": path, "format": form, "kept": names})
    elif output.is_json:
        output.result({**reports.to_object(report), "kept": names})
    else:
        output.write(written)
    return diagnostics.DONE


COMPLIANCE = Command(_declare_compliance, _compliance)
TRENDS = Command(_declare_trends, _trends)
