"""drill: rehearse a restore."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, is_detached, submit
from engine.cli.options import (
    add_key,
    add_limits,
    add_marks,
    duration,
    limits,
    number,
    require_one_target,
    seconds,
)
from engine.cli.output import Output, shape
from engine.errors import UsageError
from engine.model import text, told, when
from engine.model.plan_steps import parse_check
from engine.model.requests import DrillRequest
from engine.model.results import DrillResult
from engine.model.spans import span

_SHOWN_CHECKS = 20
_COLOURS = {"passed": "32", "ok": "32", "failed": "31", "skipped": "33", "inconclusive": "33"}


def _declare(parser: Parser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="whose newest backup is drilled")
    parser.add_argument("--backup", default="", metavar="BACKUP", help="this one, not the newest")
    parser.add_argument(
        "--at",
        metavar="WHEN",
        help="as it was then, by base and log; --level point-in-time alone: a random instant",
    )
    add_marks(parser)
    declare_how(parser, "--host")
    parser.add_argument("--budget", type=seconds, metavar="SECONDS", help="the restore must take no longer")
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="SQL=EXPECTED",
        help="a statement, and what `psql -At` would print (may be repeated); `DATABASE: SQL=EXPECTED` for one database",
    )
    parser.add_argument("--storage", default="", metavar="STORAGE", help="from this storage")
    parser.add_argument(
        "--keep",
        type=duration,
        metavar="DURATION",
        help="keep what was restored for so long (2h), say how to look into it, and wait; Ctrl-C removes it at once",
    )
    parser.add_argument(
        "--seed", type=number, metavar="N", help="choose the files, or the backup, of an earlier drill again"
    )
    parser.add_argument(
        "--by", action="append", default=[], metavar="NAME", help="who takes part (may be repeated)"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="goes into the evidence")
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


def declare_how(parser: Parser, host: str) -> None:
    """What a drill does, whatever it is of. `host` is what its option is called where another one has that name."""
    parser.add_argument(
        "--level",
        default="",
        metavar="LEVEL",
        help="bytes, parse, files, database, server or point-in-time; the highest that can run",
    )
    parser.add_argument(
        host,
        dest="drill_host",
        default="",
        metavar="HOST",
        help="start the throwaway server there, where nothing is live, and not on the host of the source",
    )
    parser.add_argument(
        "--scenario",
        default="",
        metavar="SCENARIO",
        help="what is supposed to have happened: main-storage-gone, catalog-gone, kit-only, or blind (a backup at random)",
    )


async def _drill(call: Call) -> int:
    arguments = call.arguments
    if arguments.backup and len(arguments.sources) > 1:
        raise UsageError("--backup goes with one source")
    if arguments.keep is not None and len(arguments.sources) > 1:
        raise UsageError("--keep goes with one source")
    require_one_target(arguments)
    at = when.parse(arguments.at, call.clock.now(), call.clock.local_offset) if arguments.at else None
    asked = [
        (dataclasses.replace(_request(arguments, source), at=at), _key(arguments, source))
        for source in arguments.sources
    ]
    if is_detached(call):
        jobs = [await submit(call, "drill", request, key) for request, key in asked]
        handed = [{"job_id": each.job_id, "status": each.status.value} for each in jobs]
        call.output.result(handed[0] if len(handed) == 1 else {"items": handed})
        return diagnostics.DONE
    results = [await call.engine.drill(request, idempotency_key=key) for request, key in asked]
    for result in results:
        tell(call.output, result)
    shaped = [shape(each) for each in results]
    call.output.result(shaped[0] if len(shaped) == 1 else {"items": shaped})
    is_passed = all(each.status == "passed" for each in results)
    return diagnostics.DONE if is_passed else diagnostics.PROOF_FAILED


def _key(arguments: argparse.Namespace, source: str) -> str:
    """Each source's drill is a job."""
    key: str = arguments.idempotency_key
    return f"{key} {source}" if key and len(arguments.sources) > 1 else key


def _request(arguments: argparse.Namespace, source: str) -> DrillRequest:
    return DrillRequest(
        source=source,
        backup=arguments.backup,
        level=arguments.level,
        host=arguments.drill_host,
        storage=arguments.storage,
        scenario=arguments.scenario,
        budget_s=arguments.budget,
        checks=tuple(parse_check(each) for each in arguments.check),
        seed=arguments.seed,
        by=tuple(arguments.by),
        keep_s=arguments.keep,
        note=arguments.note,
        limits=limits(arguments),
        at_transaction=arguments.at_transaction,
        at_point=arguments.at_point,
        is_before=arguments.just_before,
    )


def tell(output: Output, result: DrillResult, *, steps_told: int = 0) -> None:
    """Steps with their times but for the first so many, what was found wrong, and the verdict, for people."""
    last = result.previous
    before = last.before(result.steps) if last is not None else [None] * len(result.steps)
    for step, earlier in list(zip(result.steps, before, strict=True))[steps_told:]:
        status = output.styled(f"{step.status:<8}", _COLOURS[step.status])
        was = output.styled(f"  (last time {span(earlier.duration_s)})", "2") if earlier else ""
        output.line(
            f"  {status} {span(step.duration_s):>8}  {text.printable(step.step)}  {text.printable(step.detail)}".rstrip()
            + was
        )
    wrong = [each for each in result.checks if not each.passed]
    for each in wrong[:_SHOWN_CHECKS]:
        output.line(
            f"  {output.styled('wrong', '31')}    {text.printable(each.check)}: {text.printable(each.actual)} instead of {text.printable(each.expected)}"
        )
    if len(wrong) > _SHOWN_CHECKS:
        output.line(f"  and {len(wrong) - _SHOWN_CHECKS} more")
    verdict = told.drill_verdict(result)
    output.line(output.styled(result.status, _COLOURS[result.status]) + verdict.removeprefix(result.status))
    if last is not None:
        output.line(f"  last time, {text.instant(last.at)}: {told.compared(result, last)}")
    output.line(f"  evidence: {text.printable(result.report)} and, on a page, {Path(result.report_pdf).name}")


DRILL = Command(_declare, _drill, is_job=True)
