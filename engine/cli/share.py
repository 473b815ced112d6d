"""share, shares, unshare: archives for whoever gets a link."""

from __future__ import annotations

from engine.cli import definitions, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.download import add_archive, chosen
from engine.cli.options import add_key, add_limits, limits
from engine.cli.output import Column, Output, shape
from engine.model import text, when
from engine.model.archives import FORMATS, USUAL_FORMAT, ShareResult
from engine.model.requests import ShareRequest


def _declare(parser: Parser) -> None:
    add_archive(parser)
    parser.add_argument("--on", required=True, metavar="STORAGE", help="one that hands out links: s3, azure")
    parser.add_argument("--expires", required=True, metavar="WHEN", help="how long the link leads there: 2d")
    parser.add_argument("--format", choices=FORMATS, default=USUAL_FORMAT)
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


async def _share(call: Call) -> int:
    arguments = call.arguments
    backup = await chosen(call)
    expires_at = when.parse_ahead(arguments.expires, call.clock.now(), call.clock.local_offset)
    request = ShareRequest(
        backup.backup_id,
        arguments.on,
        expires_at,
        arguments.format,
        arguments.path,
        str(arguments.password),
        limits(arguments),
    )
    if is_detached(call):
        return await hand_over(call, "share", request)
    result = await call.engine.share(request, idempotency_key=arguments.idempotency_key)
    url = await call.engine.share_link(result.storage, result.name)
    call.output.line(url)
    _tell(call.output, result)
    call.output.result({**shape(result), "url": url})
    return diagnostics.DONE


def _tell(output: Output, result: ShareResult) -> None:
    output.line(
        f"{text.size(result.size_bytes)}, SHA-256 {result.sha256}, until {text.instant(result.expires_at)}"
    )
    if result.is_sealed:
        output.line("it is sealed: `age -d` opens it with the password")
    else:
        output.line("whoever has the link can read it; --password seals it")


def tell(output: Output, result: ShareResult) -> None:
    """What is shared, and how to get at its link, which no job's row has; for people."""
    _tell(output, result)
    output.line(f"its link: holdfast shares --on {result.storage} --links")


def _declare_on(parser: Parser) -> None:
    parser.add_argument("--on", required=True, metavar="STORAGE")


def _declare_shares(parser: Parser) -> None:
    _declare_on(parser)
    parser.add_argument("--links", action="store_true", help="print each one's link, which is a secret")


async def _shares(call: Call) -> int:
    storage = call.arguments.on
    found = await call.engine.shares(storage)
    if call.arguments.links:
        links = {each.name: await call.engine.share_link(storage, each.name) for each in found}
        for name, link in links.items():
            call.output.line(f"{text.printable(name)}\n  {link}")
        call.output.items([{**shape(each), "url": links[each.name]} for each in found])
        return diagnostics.DONE
    heads = [Column("SIZE"), Column("UNTIL"), Column("NAME", is_flexible=True)]
    rows = [[text.size(each.size_bytes), text.instant(each.expires_at), each.name] for each in found]
    return definitions.listed(call, heads, rows, found)


def _declare_unshare(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `shares` has it")
    _declare_on(parser)


async def _unshare(call: Call) -> int:
    arguments = call.arguments
    await call.engine.unshare(arguments.on, arguments.name)
    call.output.line(f"{text.printable(arguments.name)} is shared no more")
    call.output.result({"storage": arguments.on, "name": arguments.name})
    return diagnostics.DONE


SHARE = Command(_declare, _share, is_job=True)
SHARES = Command(_declare_shares, _shares)
UNSHARE = Command(_declare_unshare, _unshare)
