"""guard set|show|remove|code, and what asks at the guard for all the verbs that it stands before."""

from __future__ import annotations

from engine.cli import asking, diagnostics, rights
from engine.cli.command import Call, Command, Parser, declare_nothing, reference
from engine.cli.output import shape
from engine.model import text, when
from engine.model.secret import Secret


async def require(call: Call) -> None:
    """Asks at the guard, where there is one and the verb is guarded. Raises: RefusedError."""
    if rights.is_guarded(call.arguments.called_verb, call.arguments):
        await ask(call)


async def ask(call: Call) -> None:
    """The same of a verb that found out by itself that it is guarded."""
    if (await call.engine.guard()).is_set:
        await call.engine.pass_guard(f"holdfast {call.arguments.called_verb}", await _answer(call))


async def _answer(call: Call) -> Secret | str:
    """What a script names or a person types; empty where there is neither."""
    if call.arguments.guard or not asking.has_person():
        return str(call.arguments.guard)
    return Secret(await asking.ask_secret("passphrase of the guard, or a code"))


def _declare_set(parser: Parser) -> None:
    parser.add_argument(
        "passphrase",
        nargs="?",
        default=reference("-"),
        type=reference,
        metavar="REF",
        help="where it comes from; standard input",
    )
    parser.set_defaults(is_secret_new=True)


async def _set(call: Call) -> int:
    current = await _answer(call) if (await call.engine.guard()).is_set else ""
    await call.engine.set_guard(str(call.arguments.passphrase), current)
    call.output.line(
        "the passphrase is asked for from now on, before restores in place, deletions and key changes"
    )
    call.output.line("it guards against accidents: whoever owns the home can take it away")
    call.output.result(shape(await call.engine.guard()))
    return diagnostics.DONE


async def _show(call: Call) -> int:
    found = await call.engine.guard()
    if found.set_at is None:
        call.output.line("there is no guard; `holdfast guard set` sets one")
    else:
        codes = text.counted(found.codes, "code")
        call.output.line(f"there is a guard, set {text.instant(found.set_at)}; {codes} made that hold once")
    verbs = sorted(rights.GUARDED)
    call.output.line(f"before: {', '.join(verbs)}")
    call.output.result({**shape(found), "verbs": verbs})
    return diagnostics.DONE


async def _remove(call: Call) -> int:
    await call.engine.remove_guard(await _answer(call))
    call.output.line("there is no guard any more")
    call.output.result(shape(await call.engine.guard()))
    return diagnostics.DONE


def _declare_code(parser: Parser) -> None:
    parser.add_argument(
        "--expires", default="1d", metavar="WHEN", help="it holds until then: 2h, 2026-11-20 14:05 (1d)"
    )


async def _code(call: Call) -> int:
    expires_at = when.parse_ahead(call.arguments.expires, call.clock.now(), call.clock.local_offset)
    code = await call.engine.make_guard_code(await _answer(call), expires_at)
    call.output.line(f"holds once, until {text.instant(expires_at)}:  {call.output.styled(code, '1')}")
    call.output.result({"code": code, "expires_at": expires_at.isoformat()})
    return diagnostics.DONE


SET = Command(_declare_set, _set)
SHOW = Command(declare_nothing, _show)
REMOVE = Command(declare_nothing, _remove)
CODE = Command(_declare_code, _code)
