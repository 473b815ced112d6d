"""rollback and discard: what a restore in place put aside."""

from __future__ import annotations

from engine.cli import asking, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_limits, add_yes, limits
from engine.cli.output import Output, shape
from engine.model import told
from engine.model.requests import RollbackRequest
from engine.model.results import RollbackResult


def _declare(parser: Parser) -> None:
    parser.add_argument("job", metavar="RESTORE-JOB", help="the id of the restore's job")
    add_detach(parser)
    add_yes(parser)
    add_limits(parser)


async def _rollback(call: Call) -> int:
    return await _run(call, is_discarding=False)


async def _discard(call: Call) -> int:
    return await _run(call, is_discarding=True)


async def _run(call: Call, *, is_discarding: bool) -> int:
    job = call.arguments.job
    is_handed_over = is_detached(call)
    what = "remove what was put aside by" if is_discarding else "swap back what was live before"
    await asking.require_yes(call, f"{what} restore {job}?")
    request = RollbackRequest(job, is_discarding, limits(call.arguments))
    if is_handed_over:
        return await hand_over(call, "rollback", request)
    result = await call.engine.rollback(request)
    tell(call.output, result, is_discarding=is_discarding)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell(output: Output, result: RollbackResult, *, is_discarding: bool) -> None:
    """What was brought back or removed, for people."""
    for line in told.rolled_back(result, is_discarding=is_discarding):
        output.line(line)


ROLLBACK = Command(_declare, _rollback, is_job=True)
DISCARD = Command(_declare, _discard, is_job=True)
