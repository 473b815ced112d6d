"""erase: one path, out of all backups of a source."""

from __future__ import annotations

from engine.cli import asking, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, add_yes, limits
from engine.cli.output import Output, shape
from engine.cli.upkeep import tell_prune
from engine.model import text
from engine.model.erasures import EraseResult
from engine.model.requests import EraseRequest


def _declare(parser: Parser) -> None:
    parser.add_argument(
        "path", metavar="PATH", help="a file, or a folder with all below it, as `ls` shows it"
    )
    parser.add_argument("--source", required=True, metavar="S", help="from the backups of this source")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit log")
    parser.add_argument("--dry-run", action="store_true", help="say what would be erased, and change nothing")
    parser.add_argument(
        "--no-prune",
        action="store_true",
        help="leave the bytes to a later prune; they are unreachable, not gone",
    )
    add_detach(parser)
    add_yes(parser)
    add_key(parser)
    add_limits(parser)


async def _erase(call: Call) -> int:
    arguments = call.arguments
    is_handed_over = is_detached(call)
    if not arguments.dry_run and not arguments.yes:
        if asking.has_person():
            tell(call.output, await call.engine.erase(_request(call, is_dry_run=True)))
            call.output.flush()
        await asking.require_yes(
            call, f"erase {arguments.path} from all backups of {arguments.source}, for ever?"
        )
    request = _request(call, is_dry_run=arguments.dry_run)
    if is_handed_over:
        return await hand_over(call, "erase", request)
    result = await call.engine.erase(request, idempotency_key=arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def _request(call: Call, *, is_dry_run: bool) -> EraseRequest:
    arguments = call.arguments
    return EraseRequest(
        arguments.path,
        arguments.source,
        arguments.reason,
        is_dry_run,
        not arguments.no_prune,
        limits(arguments),
    )


def tell(output: Output, result: EraseResult) -> None:
    """What was erased from where, for people."""
    would = "would be " if result.is_dry_run else ""
    for each in result.storages:
        output.line(
            f"storage {each.storage}: {text.printable(result.path)} {would}erased from {text.counted(each.snapshots, 'backup')}, "
            f"{text.counted(each.files, 'file')} with {text.size(each.size_bytes)} in all"
        )
        if each.still_needed_bytes:
            output.line(f"  {text.size(each.still_needed_bytes)} of it other files hold as well: that stays")
        if each.prune is not None:
            tell_prune(output, each.prune)
        elif not result.is_dry_run:
            output.line(f"  the bytes are gone after: holdfast prune {each.storage} --max-unused 0")
    for warning in result.warnings:
        output.line(text.printable(warning))
    if not result.is_dry_run:
        output.line(
            f"if it is still there, the next backup of {result.source} takes it again: source edit --exclude"
        )


ERASE = Command(_declare, _erase, is_job=True)
