"""vault set|list|remove|rotate."""

from __future__ import annotations

from engine.cli import definitions, diagnostics, guard
from engine.cli.command import Call, Command, Parser, add_name, declare_nothing, reference
from engine.cli.output import Column
from engine.model import text


def _declare_set(parser: Parser) -> None:
    add_name(parser, "secret")
    parser.add_argument(
        "secret",
        nargs="?",
        default=reference("-"),
        type=reference,
        metavar="REF",
        help="where it comes from; standard input",
    )
    parser.set_defaults(is_secret_new=True)


async def _set(call: Call) -> int:
    if call.arguments.name in {name for name, _ in await call.engine.secrets()}:
        await guard.ask(call)
    await call.engine.keep_secret(call.arguments.name, str(call.arguments.secret))
    call.output.line(f"secret {call.arguments.name} is sealed; name it as vault:{call.arguments.name}")
    call.output.result({"name": call.arguments.name})
    return diagnostics.DONE


async def _list(call: Call) -> int:
    secrets = await call.engine.secrets()
    call.output.table(
        [Column("SECRET", is_flexible=True), Column("SET")],
        [[name, text.instant(at)] for name, at in secrets],
    )
    call.output.items([{"name": name, "set_at": at.isoformat()} for name, at in secrets])
    return diagnostics.DONE


async def _rotate(call: Call) -> int:
    count = await call.engine.rotate_vault()
    call.output.line(f"{count} secrets are sealed under a fresh key")
    if await call.engine.storages():
        call.output.line(
            "copy the catalog, then print each recovery kit anew: holdfast catalog copy, holdfast storage recovery-kit NAME"
        )
    call.output.result({"secrets": count})
    return diagnostics.DONE


SET = Command(_declare_set, _set)
LIST = Command(declare_nothing, _list)
REMOVE = definitions.removal("secret", lambda engine, name: engine.remove_secret(name), asks=" for good?")
ROTATE = Command(declare_nothing, _rotate)
