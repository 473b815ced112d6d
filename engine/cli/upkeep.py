"""verify, forget, prune, copy: what keeps storages sound and small."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from engine import doubts
from engine.cli import asking, diagnostics, keep_rules, logs
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, add_yes, duration, limits, size
from engine.cli.output import Column, Output, shape
from engine.errors import UsageError
from engine.model import text
from engine.model.requests import CopyRequest, ForgetRequest, PruneRequest, VerifyRequest
from engine.model.results import CopyResult, Damage, ForgetResult, PruneResult, VerifyResult
from engine.model.spans import span

_SHOWN: Final = 5
"""Paths and backups that are named for each damage."""


def _declare_verify(parser: Parser) -> None:
    parser.add_argument(
        "backup", nargs="?", default="", metavar="BACKUP", help="one backup, in every storage that holds it"
    )
    parser.add_argument(
        "--storage", default="", metavar="S", help="all of this storage; with BACKUP: that copy alone"
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--read-data", action="store_true", help="read every pack, and compare it with its name"
    )
    group.add_argument(
        "--read-data-subset",
        type=_subset,
        metavar="N/M|N%|SIZE",
        help="the N-th of M parts of the packs; or so much of them, those first that were not proved for the longest time",
    )
    parser.add_argument(
        "--max-age",
        type=_days,
        metavar="DAYS",
        help="read what was not proved within so many days; with --read-data-subset 10%% a nightly slice of it",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="make damaged packs anew out of other storages that hold the same blobs; reads every pack unless told which",
    )
    parser.add_argument(
        "--from",
        dest="repair_from",
        action="append",
        default=[],
        metavar="STORAGE",
        help="repair from this storage alone (may be repeated); else from all that are enabled",
    )
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


def _subset(written: str) -> tuple[int, int] | float | int:
    """A part of the packs, a percentage (float) or a number of bytes (int)."""
    if written.endswith("%"):
        if not (percent := _percent(written)):
            raise argparse.ArgumentTypeError("0% reads nothing")
        return percent
    if "/" not in written:
        try:
            return size(written)
        except argparse.ArgumentTypeError:
            raise argparse.ArgumentTypeError(
                f"{written!r} is no part of the packs: say 1/7, 10% or 5G"
            ) from None
    part, _, parts = written.partition("/")
    if not (
        part.isascii()
        and part.isdigit()
        and parts.isascii()
        and parts.isdigit()
        and 1 <= int(part) <= int(parts)
    ):
        raise argparse.ArgumentTypeError(f"{written!r} is no part of a whole: say 1/7")
    return int(part), int(parts)


def _days(written: str) -> float:
    try:
        days = float(written)
    except ValueError:
        return duration(written) / 86400
    if not 0 <= days < 1e6:
        raise argparse.ArgumentTypeError(f"{written!r} is no number of days")
    return days


async def _verify(call: Call) -> int:
    arguments = call.arguments
    if not arguments.backup and not arguments.storage:
        raise UsageError("say what to verify: BACKUP, or --storage S")
    if arguments.repair_from and not arguments.repair:
        raise UsageError("--from names where a repair takes from", hint="add --repair")
    subset = arguments.read_data_subset
    if arguments.read_data and arguments.max_age is not None:
        raise UsageError(
            "--read-data reads everything, and --max-age only what was not proved for so long",
            hint="leave one of them out",
        )
    backup = (await call.engine.show_backup(arguments.backup)).backup_id if arguments.backup else ""
    request = VerifyRequest(
        backup=backup,
        storage=arguments.storage,
        is_reading_data=arguments.read_data
        or arguments.repair
        or subset is not None
        or arguments.max_age is not None,
        subset=subset if isinstance(subset, tuple) else None,
        slice_percent=subset if isinstance(subset, float) else None,
        slice_bytes=subset if isinstance(subset, int) else None,
        max_age_days=arguments.max_age,
        is_repairing=arguments.repair,
        repair_from=tuple(arguments.repair_from),
        limits=limits(arguments),
    )
    if is_detached(call):
        return await hand_over(call, "verify", request)
    result = await call.engine.verify(request, idempotency_key=arguments.idempotency_key)
    tell_verify(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell_verify(output: Output, result: VerifyResult) -> None:
    """What was proved, and what is damaged, for people."""
    colour = "32" if result.status == "passed" else "31"
    output.line(
        f"{output.styled(result.status, colour)}: storage {result.storage}, {result.packs_read} packs read, "
        f"{text.size(result.bytes_read)}, in {span(result.duration_s)}"
    )
    if result.packs_unproved:
        output.line(f"  {text.counted(result.packs_unproved, 'pack')} left for another time")
    for log in result.logs:
        read = f", {log.read} read and judged" if log.read else ""
        gaps = f", {text.counted(len(log.gaps), 'gap')}" if log.gaps else ""
        output.line(
            f"  log of {log.source}: {text.counted(log.segments, 'segment')} ({text.size(log.size_bytes)}){read}{gaps}"
        )
    if result.repaired:
        output.line(
            f"  repaired: {text.counted(len(result.repaired), 'damage')}, "
            f"with {text.counted(result.fetched_blobs, 'blob')} from other storages"
        )
    for each in result.repaired:
        output.line(f"    {text.printable(each.message)}")
    if result.repaired and result.damaged:
        output.line("  damaged still: the next backup stores again what its source still has")
    for each in result.damaged:
        _tell_damage(output, each)
    for hint in result.hints:
        output.line(f"  hint: {text.printable(hint)}")


def _tell_damage(output: Output, damage: Damage) -> None:
    name = f"{damage.pack[:8]}: " if damage.pack else ""
    output.line(f"  {name}{text.printable(damage.message)}")
    for kind, names in (("backup", damage.backups), ("path", damage.paths)):
        for each in names[:_SHOWN]:
            output.line(f"    {kind} {text.printable(each)}")
        if len(names) > _SHOWN:
            output.line(f"    and {len(names) - _SHOWN} more; --json names all")


def _declare_forget(parser: Parser) -> None:
    parser.add_argument(
        "--source", default="", metavar="S", help="of this source; each by itself where it is left out"
    )
    parser.add_argument(
        "--storage",
        action="append",
        default=[],
        metavar="S",
        help="in this storage (may be repeated); else in all",
    )
    keep_rules.declare(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and why")
    parser.add_argument(
        "--despite",
        action="append",
        default=[],
        choices=doubts.NAMES,
        metavar="DOUBT",
        help=f"do it although it looks wrong, after a look: {', '.join(doubts.NAMES)} (may be repeated)",
    )
    parser.add_argument("--prune", action="store_true", help="and delete what nothing needs any more")
    add_detach(parser)
    add_yes(parser)
    add_key(parser)
    add_limits(parser)


async def _forget(call: Call) -> int:
    arguments = call.arguments
    request = _forget_request(arguments)
    if request.policy.is_empty:
        raise UsageError("nothing was said to be kept", hint="say --keep-last N, --keep-daily N, …")
    is_handed_over = is_detached(call)
    if not request.is_dry_run and not arguments.yes:
        await _ask_forget(call, arguments)
    if is_handed_over:
        return await hand_over(call, "forget", request)
    result = await call.engine.forget(request, idempotency_key=arguments.idempotency_key)
    tell_forget(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def _forget_request(arguments: argparse.Namespace, *, is_asking: bool = False) -> ForgetRequest:
    return ForgetRequest(
        policy=keep_rules.policy(arguments),
        source=arguments.source,
        storages=tuple(arguments.storage),
        is_dry_run=arguments.dry_run or is_asking,
        is_pruning=arguments.prune,
        limits=limits(arguments),
        despite=tuple(arguments.despite),
    )


async def _ask_forget(call: Call, arguments: argparse.Namespace) -> None:
    """Asks where something would go; where nothing would, or the engine will refuse, there is nothing to ask."""
    plan = await call.engine.forget(_forget_request(arguments, is_asking=True))
    going = [each for each in plan.fates if not each.is_kept]
    if not (going or plan.lost) or plan.doubts:
        return
    if asking.has_person():
        tell_forget(call.output, plan)
        call.output.flush()
    logs_too = " and the old end of logs" if any(each.segments for each in plan.logs) else ""
    await asking.require_yes(call, f"forget {len(going)} backups{logs_too}?")


def tell_forget(output: Output, result: ForgetResult) -> None:
    """What was decided and why, for people."""
    heads = [
        Column("BACKUP"),
        Column("CREATED"),
        Column("SOURCE", is_flexible=True),
        Column("STORAGE", is_flexible=True),
        Column("FATE"),
        Column("WHY", is_flexible=True),
    ]
    rows = [
        [
            each.backup_id or each.snapshot_id[:8],
            text.instant(each.created_at),
            each.source,
            each.storage,
            "keep" if each.is_kept else "forget",
            ", ".join(each.reasons),
        ]
        for each in result.fates
    ]
    if rows:
        output.table(heads, rows)
    kept = sum(each.is_kept for each in result.fates)
    would = "would be " if result.is_dry_run else ""
    output.line(f"{kept} {would}kept, {len(result.fates) - kept} {would}forgotten")
    for doubt in result.doubts:
        output.line(
            text.printable(f"would stop: {doubt.message}; if it is meant, say --despite {doubt.name}")
        )
    logs.tell_kept(output, result)
    for each in result.prunes:
        tell_prune(output, each)
    _tell_warnings(output, result.warnings)


def _declare_prune(parser: Parser) -> None:
    parser.add_argument("storage", metavar="STORAGE")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument(
        "--max-unused",
        type=_percent,
        default=5.0,
        metavar="PERCENT",
        help="leave so much unused rather than copy packs (5)",
    )
    add_yes(parser, "nothing is asked: what no backup needs is all that is deleted")
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


def _percent(written: str) -> float:
    try:
        share = float(written.removesuffix("%"))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 100:
        raise argparse.ArgumentTypeError(f"{written!r} is no percentage")
    return share


async def _prune(call: Call) -> int:
    arguments = call.arguments
    request = PruneRequest(arguments.storage, arguments.dry_run, arguments.max_unused, limits(arguments))
    if is_detached(call):
        return await hand_over(call, "prune", request)
    result = await call.engine.prune(request, idempotency_key=arguments.idempotency_key)
    tell_prune(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell_prune(output: Output, result: PruneResult) -> None:
    """What a prune freed, or would, for people."""
    would = "would free" if result.is_dry_run else "freed"
    output.line(
        f"storage {result.storage}: {would} {text.size(result.freed_bytes)}; {result.packs_deleted} packs deleted, "
        f"{result.packs_rewritten} rewritten; unused {text.size(result.unused_bytes_before)} before, "
        f"{text.size(result.unused_bytes_after)} after; {span(result.duration_s)}"
    )
    _tell_warnings(output, result.warnings)


def _tell_warnings(output: Output, warnings: Sequence[str]) -> None:
    for each in warnings:
        output.line(f"{output.styled('warning', '33')}: {text.printable(each)}")


def _declare_copy(parser: Parser) -> None:
    parser.add_argument("backups", nargs="*", metavar="BACKUP")
    parser.add_argument("--all", action="store_true", help="every backup of the storage")
    parser.add_argument(
        "--missing",
        action="store_true",
        help="what was meant for the storage and it failed to take, from whichever storage has it",
    )
    parser.add_argument(
        "--from",
        dest="from_storage",
        default="",
        metavar="STORAGE",
        help="with --all; else whichever has the backups where it is left out",
    )
    parser.add_argument("--to", dest="to_storage", required=True, metavar="STORAGE")
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


async def _copy(call: Call) -> int:
    arguments = call.arguments
    if sum(map(bool, (arguments.backups, arguments.all, arguments.missing))) != 1:
        raise UsageError("say which backups to copy: BACKUP ..., or --all, or --missing")
    if arguments.all and not arguments.from_storage:
        raise UsageError("--all needs --from STORAGE", hint="the storage whose backups are copied")
    if arguments.from_storage == arguments.to_storage:
        raise UsageError("--from and --to are the same storage")
    ids = [(await call.engine.show_backup(each)).backup_id for each in arguments.backups]
    request = CopyRequest(
        arguments.from_storage,
        arguments.to_storage,
        tuple(ids),
        arguments.all,
        arguments.missing,
        limits(arguments),
    )
    if is_detached(call):
        return await hand_over(call, "copy", request)
    result = await call.engine.copy(request, idempotency_key=arguments.idempotency_key)
    tell_copy(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell_copy(output: Output, result: CopyResult) -> None:
    """What was copied and what was not, for people."""
    output.line(
        f"{result.status}: {text.counted(len(result.copied), 'backup')} copied, {result.skipped} were there already, "
        f"{text.size(result.copied_bytes)} in {span(result.duration_s)}"
    )
    for log in result.logs:
        output.line(
            f"  log of {log.source} from {log.storage}: {text.counted(log.segments, 'segment')}, {text.size(log.size_bytes)}"
        )
    for each in result.left_out:
        output.line(f"  not copied: {each.backup_id}: {text.printable(each.reason)}")
    for warning in result.warnings:
        output.line(f"  {text.printable(warning)}")


VERIFY = Command(_declare_verify, _verify, is_job=True)
FORGET = Command(_declare_forget, _forget, is_job=True)
PRUNE = Command(_declare_prune, _prune, is_job=True)
COPY = Command(_declare_copy, _copy, is_job=True)
