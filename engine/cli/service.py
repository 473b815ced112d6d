"""service install|uninstall|status: the worker as a service of systemd."""

from __future__ import annotations

import difflib
from pathlib import Path

from engine.cli import asking, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.options import add_yes
from engine.cli.output import Column, shape
from engine.errors import UsageError
from engine.model import text
from engine.model.units import UnitChange, UnitsRequest
from engine.process import ProcessIdentity


def _declare_user(parser: Parser) -> None:
    parser.add_argument("--user", action="store_true", help="in your own service manager, not the machine's")


def _declare_install(parser: Parser) -> None:
    _declare_user(parser)
    parser.add_argument(
        "--timer",
        action="store_true",
        help="a worker that looks every minute and ends, in place of one that stays",
    )
    parser.add_argument(
        "--vault-key",
        default="",
        metavar="FILE",
        help="the file of the vault's key, which systemd hands to the service; else the home's is read",
    )
    parser.add_argument(
        "--encrypted", action="store_true", help="the vault's key was sealed by systemd-creds"
    )
    parser.add_argument("--print", action="store_true", help="print the units, and change nothing")
    add_yes(parser)


async def _install(call: Call) -> int:
    arguments = call.arguments
    if arguments.encrypted and not arguments.vault_key:
        raise UsageError("--encrypted says how the vault's key lies there", hint="add --vault-key FILE")
    request = UnitsRequest(arguments.user, arguments.timer, arguments.vault_key, arguments.encrypted)
    planned = await call.engine.plan_units(request)
    if arguments.print:
        wanted = [each for each in planned if each.after]
        call.output.line("\n".join(f"# {each.path}\n{each.after}" for each in wanted).rstrip("\n"))
        call.output.items([shape(each) for each in wanted])
        return diagnostics.DONE
    changed = [each for each in planned if each.is_change]
    for each in changed:
        _show(call, each)
    if any(each.before for each in changed):
        await asking.require_yes(call, "change the units as shown?")
    done = await call.engine.install_units(request)
    _tell(call, done)
    if done:
        called = Path(next(each.path for each in reversed(planned) if each.after)).name
        manager = "systemctl --user" if arguments.user else "systemctl"
        call.output.line(
            f"`{manager} status {called}` shows it; where systemd does not run, nothing was started"
        )
    return diagnostics.DONE


def _show(call: Call, change: UnitChange) -> None:
    lines = difflib.unified_diff(
        change.before.splitlines(),
        change.after.splitlines(),
        change.path if change.before else "/dev/null",
        change.path if change.after else "/dev/null",
        lineterm="",
    )
    for line in lines:
        call.output.line(text.printable(line))


def _tell(call: Call, done: object) -> None:
    changes = [each for each in done if isinstance(each, UnitChange)] if isinstance(done, list) else []
    for each in changes:
        call.output.line(f"{each.path} {'written' if each.after else 'removed'}")
    if not changes:
        call.output.line("nothing to change")
    call.output.result(
        {
            "changes": [
                {"path": each.path, "change": "written" if each.after else "removed"} for each in changes
            ]
        }
    )


async def _uninstall(call: Call) -> int:
    _tell(call, await call.engine.remove_units(is_user=call.arguments.user))
    return diagnostics.DONE


async def _status(call: Call) -> int:
    states = await call.engine.unit_states(is_user=call.arguments.user)
    heads = (Column("UNIT"), Column("FILE"), Column("ENABLED"), Column("ACTIVE"))
    rows = [
        [
            each.name,
            ("current" if each.is_current else "differs from what would be written")
            if each.is_installed
            else "not installed",
            each.enabled or "-",
            each.active or "-",
        ]
        for each in states
    ]
    call.output.table(heads, rows)
    workers = await call.engine.workers()
    for worker in workers:
        stops = ", takes no more jobs" if worker.is_stopping else ""
        call.output.line(
            f"worker {_process(worker.owner)} of holdfast {worker.version} since {text.instant(worker.started_at)}{stops}"
        )
    if not workers:
        call.output.line("no worker lives")
    call.output.result(
        {"units": [shape(each) for each in states], "workers": [shape(each) for each in workers]}
    )
    return diagnostics.DONE


def _process(owner: str) -> str:
    """As a person looks for it."""
    identity = ProcessIdentity.parse(owner)
    return owner if identity is None else f"process {identity.pid} on {identity.host}"


INSTALL = Command(_declare_install, _install)
UNINSTALL = Command(_declare_user, _uninstall)
STATUS = Command(_declare_user, _status)
