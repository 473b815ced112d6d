"""audit, doctor: who did what, and what a bug report needs."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from engine.audit import Entry
from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser, declare_nothing
from engine.cli.options import count
from engine.cli.output import Column, Output, shape
from engine.errors import CatalogError
from engine.model import text
from engine.service import examine_closed

_SHOWN: Final = 100
_HEADS: Final = (
    Column("AT"),
    Column("WHO", is_flexible=True),
    Column("VERB"),
    Column("WHAT", is_flexible=True),
    Column("OUTCOME"),
)


def _declare_audit(parser: Parser) -> None:
    parser.add_argument(
        "--verify", action="store_true", help="prove that nothing in the log was changed or taken away"
    )
    parser.add_argument("--limit", type=count, default=_SHOWN, metavar="N", help=f"the newest N ({_SHOWN})")


async def _audit(call: Call) -> int:
    if call.arguments.verify:
        return await _verify(call)
    entries = await call.engine.audit_log(limit=call.arguments.limit)
    call.output.table(_HEADS, [_row(each) for each in entries])
    call.output.items([shape(each) for each in entries])
    return diagnostics.DONE


def _row(entry: Entry) -> list[str]:
    actor = entry.actor
    who = actor.sudo_user or actor.login or actor.user
    return [text.instant(entry.at), who, entry.verb, entry.object, entry.outcome]


async def _verify(call: Call) -> int:
    findings = await call.engine.verify_audit()
    for each in findings:
        call.output.line(f"{call.output.styled(each.kind, '31')}: {text.printable(each.message)}")
    if not findings:
        call.output.line("the audit log is whole")
    joins = [] if findings else await call.engine.audit_joins()
    for join in joins:
        call.output.line(text.printable(f"row {join.sequence}, {text.instant(join.at)}: {join.detail}"))
    status = "damaged" if findings else "passed"
    call.output.result(
        {
            "status": status,
            "findings": [shape(each) for each in findings],
            "joins": [shape(each) for each in joins],
        }
    )
    return diagnostics.exit_of(status)


async def _doctor(call: Call) -> int:
    found = await call.engine.doctor()
    _tell(call.output, found, "")
    call.output.result(found)
    return diagnostics.exit_of("damaged" if found["catalog_findings"] else "passed")


async def _closed(arguments: Namespace, output: Output, error: CatalogError) -> int:
    """A catalog that cannot be opened is what it finds."""
    found = await examine_closed(arguments.home, error.message)
    _tell(output, found, "")
    output.result(found)
    if error.hint:
        diagnostics.tell(f"  hint: {error.hint}")
    return diagnostics.exit_of("damaged")


def _tell(output: Output, value: Any, indent: str) -> None:
    for name, each in value.items():
        if isinstance(each, dict):
            output.line(f"{indent}{name}:")
            _tell(output, each, indent + "  ")
        elif isinstance(each, list | tuple):
            output.line(f"{indent}{name}:" + ("" if each else " none"))
            for one in each:
                shown = (
                    ", ".join(f"{key} {part}" for key, part in one.items())
                    if isinstance(one, dict)
                    else str(one)
                )
                output.line(f"{indent}  {text.printable(shown)}")
        else:
            output.line(f"{indent}{name}: {text.printable(str(each))}")


AUDIT = Command(_declare_audit, _audit)
DOCTOR = Command(declare_nothing, _doctor, without_catalog=_closed)
