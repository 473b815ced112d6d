"""evidence: what drills left; listed, shown, signed off, and checked by whoever has the public key."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Final

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser, declare_nothing
from engine.cli.output import Column, Output, shape
from engine.model import text
from engine.model.results import EvidenceItem
from engine.model.spans import span

_HEADS: Final = (
    Column("AT"),
    Column("DRILL"),
    Column("SOURCE", is_flexible=True),
    Column("VERDICT"),
    Column("LEVEL"),
    Column("TOOK", is_right=True),
    Column("SIGNED OFF BY", is_flexible=True),
)
_SHOWN_CHECKS: Final = 20


def _declare_list(parser: Parser) -> None:
    parser.add_argument("--source", default="", metavar="SOURCE", help="of this source alone")


async def _list(call: Call) -> int:
    found = await call.engine.evidence(source=call.arguments.source)
    call.output.table(_HEADS, [_row(each) for each in found])
    call.output.items([shape(each) for each in found])
    return diagnostics.DONE


def _row(item: EvidenceItem) -> list[str]:
    signed = ", ".join(each.by for each in item.sign_offs)
    at = datetime.datetime.fromisoformat(item.written_at) if item.written_at else None
    return [
        text.instant(at),
        item.job_id,
        item.source,
        item.status,
        item.level,
        span(item.rto_s),
        signed,
    ]


def _declare_report(parser: Parser) -> None:
    parser.add_argument(
        "report", metavar="REPORT", help="a drill's job id, the beginning of one, or its file"
    )


async def _show(call: Call) -> int:
    item, document, signature = await call.engine.show_evidence(call.arguments.report)
    out = call.output
    out.line(f"drill {item.job_id} of {item.source}: {item.status}, level {item.level or 'none'}")
    out.line(f"  backup     {item.backup_id}")
    out.line(f"  written    {item.written_at} on {text.printable(str(document.get('machine', '')))}")
    out.line(f"  took       {span(item.rto_s)}")
    if item.by:
        out.line(f"  took part  {text.printable(', '.join(item.by))}")
    if item.note:
        out.line(f"  note       {text.printable(item.note)}")
    out.line(f"  signature  {out.styled(signature, '32' if signature == 'valid' else '31')}")
    out.line(f"  file       {text.printable(item.report)}")
    _tell_checks(out, document)
    for each in item.sign_offs:
        said = f": {text.printable(each.note)}" if each.note else ""
        out.line(f"  signed off by {text.printable(each.by)}, {each.at}{said}")
    out.result({**shape(item), "signature": signature, "document": document})
    return diagnostics.DONE if signature == "valid" else diagnostics.PROOF_FAILED


def _tell_checks(output: Output, document: object) -> None:
    drill = document.get("drill", {}) if isinstance(document, dict) else {}
    checks = drill.get("checks", [])
    wrong = [each for each in checks if not each["passed"]]
    output.line(f"  checks     {len(checks) - len(wrong)} of {len(checks)} passed")
    for each in wrong[:_SHOWN_CHECKS]:
        said = f"{each['check']}: {each['actual']} instead of {each['expected']}"
        output.line(f"  {output.styled('wrong', '31')}      {text.printable(said)}")
    if len(wrong) > _SHOWN_CHECKS:
        output.line(f"  and {len(wrong) - _SHOWN_CHECKS} more")


def _declare_sign_off(parser: Parser) -> None:
    _declare_report(parser)
    parser.add_argument("--by", required=True, metavar="NAME", help="who stands by it")
    parser.add_argument("--note", default="", metavar="TEXT", help="what there is to say about it")


async def _sign_off(call: Call) -> int:
    arguments = call.arguments
    item = await call.engine.sign_off(arguments.report, arguments.by, arguments.note)
    call.output.line(f"drill {item.job_id} of {item.source} is signed off by {text.printable(arguments.by)}")
    call.output.result(shape(item))
    return diagnostics.DONE


async def _public_key(call: Call) -> int:
    line, fingerprint = await call.engine.evidence_public_key()
    call.output.line(line)
    call.output.result({"public_key": line, "fingerprint": fingerprint})
    return diagnostics.DONE


def _declare_verify(parser: Parser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="evidence, with its signature FILE.sig beside it"
    )
    parser.add_argument(
        "--public-key",
        required=True,
        metavar="FILE",
        help="what `holdfast evidence public-key` printed where the drill was",
    )


def _verify(arguments: argparse.Namespace, output: Output) -> int:
    """Needs no home: whoever has the files and the public key can check."""
    from engine.jobs import evidence_check

    keys = evidence_check.read_keys(Path(arguments.public_key))
    found = [evidence_check.check(Path(each), keys) for each in arguments.files]
    for each in found:
        status = output.styled(f"{each.status:<12}", "32" if each.status == "valid" else "31")
        output.line(f"{status}  {text.printable(each.file)}  {text.printable(each.detail)}")
    is_valid = all(each.status == "valid" for each in found)
    items = [shape(each) for each in found]
    output.result({"status": "passed" if is_valid else "failed", "items": items})
    return diagnostics.DONE if is_valid else diagnostics.PROOF_FAILED


LIST = Command(_declare_list, _list)
SHOW = Command(_declare_report, _show)
SIGN_OFF = Command(_declare_sign_off, _sign_off)
PUBLIC_KEY = Command(declare_nothing, _public_key)
VERIFY = Command(_declare_verify, None, run_alone=_verify)
