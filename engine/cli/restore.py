"""restore: a backup's files, into a directory."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Final

from engine.cli import asking, definitions, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, add_marks, add_yes, limits, require_one_target, seconds
from engine.cli.output import Output, shape
from engine.errors import UsageError
from engine.model import plan_steps, text, told, when
from engine.model.definitions import LOCAL_HOST
from engine.model.requests import RestoreRequest
from engine.model.results import RestoreResult

_OVERWRITE: Final = ("always", "if-changed", "never")


def declare(parser: Parser) -> None:
    """The options of a restore; a plan's step has them too."""
    parser.add_argument(
        "backup", nargs="?", metavar="BACKUP", help="an id, the beginning of one, or latest:SOURCE"
    )
    parser.add_argument("--source", default="", metavar="S", help="the newest backup of this source")
    parser.add_argument("--at", metavar="WHEN", help="with --source: as it was then")
    add_marks(parser, "with --source: ")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--to", default="", metavar="DIR", help="/srv/a becomes DIR/srv/a; a database a native file"
    )
    where.add_argument(
        "--into", default="", metavar="NAME", help="databases: beside the live ones, under this name"
    )
    where.add_argument(
        "--in-place",
        action="store_true",
        help="databases: checked first, then swapped with what is live, which is kept until it is discarded; "
        "files: to their own paths on their own host, a safety backup first; redis: emptied and filled again, a safety backup first",
    )
    parser.add_argument(
        "--whole-server",
        action="store_true",
        help="with --source S and --in-place: the server's data folder is put aside for another one, and kept; needs --before-hook and "
        "--after-hook, which stop and start it",
    )
    parser.add_argument(
        "--host", default="", metavar="HOST", help="with --to: a directory of that host, this machine else"
    )
    parser.add_argument(
        "--no-safety-backup",
        action="store_true",
        help="files and redis in place: keep nothing of what is replaced",
    )
    parser.add_argument(
        "--on", default="", metavar="SOURCE", help="with --into or --in-place: that source's server"
    )
    parser.add_argument(
        "--database", action="append", default=[], metavar="D", help="this database alone (may be repeated)"
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="T",
        help="with --into: this table alone (may be repeated)",
    )
    parser.add_argument(
        "--roles",
        action="store_true",
        help="with --into or --in-place, postgres and mariadb: make roles that the server lacks first, with the hashes of their passwords; those that are there "
        "stay as they are",
    )
    parser.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="TABLE.COLUMN=RULE",
        help="hash, null or replace:TEXT, before the database gets its name (may be repeated)",
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATH", help="this alone (may be repeated)"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN", help="but for this (may be repeated)"
    )
    parser.add_argument(
        "--overwrite",
        choices=_OVERWRITE,
        default="always",
        help="files that are there; always where it is left out",
    )
    parser.add_argument(
        "--delete", action="store_true", help="delete files of DIR that the backup does not hold"
    )
    parser.add_argument(
        "--tablespace-mapping",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a server's own files, with --to or --whole-server: its tablespace at OLD goes to NEW, below the target else (may be repeated)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--verify", action="store_true", help="read back what was written, and compare")
    parser.add_argument("--storage", default="", metavar="STORAGE", help="from this storage")
    _declare_hooks(parser)
    add_yes(parser)
    add_key(parser)
    add_limits(parser)


def _declare_hooks(parser: Parser) -> None:
    group = parser.add_argument_group("hooks", "run by the shell of the host that the restore goes to")
    group.add_argument(
        "--before-hook", default="", metavar="COMMAND", help="first; where it fails, nothing is changed"
    )
    group.add_argument(
        "--after-hook",
        default="",
        metavar="COMMAND",
        help="at the end, however it ended: HOLDFAST_OUTCOME is completed, incomplete or failed",
    )
    group.add_argument("--hook-timeout", type=seconds, default=300.0, metavar="SECONDS", help="for each; 300")


def _declare(parser: Parser) -> None:
    declare(parser)
    add_detach(parser)


async def _restore(call: Call) -> int:
    arguments = call.arguments
    is_handed_over = is_detached(call)
    request = await _requested(call, arguments)
    plan_steps.require_fitting(request)
    if arguments.in_place and not arguments.dry_run:
        what = f"backup {request.backup}" if request.backup else f"{request.source} as it was then"
        await asking.require_yes(call, f"put {what} in place of what is live?")
    if arguments.delete and not arguments.dry_run:
        await asking.require_yes(
            call, f"delete what backup {request.backup} does not hold from {request.to}?"
        )
    if is_handed_over:
        return await hand_over(call, "restore", request)
    result = await call.engine.restore(request, idempotency_key=arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def request_of(arguments: argparse.Namespace, backup: str) -> RestoreRequest:
    """The restore that the options ask for."""
    is_here = arguments.host in ("", LOCAL_HOST)
    target = definitions.absolute(arguments.to) if arguments.to and is_here else arguments.to
    return RestoreRequest(
        backup=backup,
        to=target,
        into=arguments.into,
        is_in_place=arguments.in_place,
        target_source=arguments.on,
        databases=tuple(arguments.database),
        tables=tuple(arguments.table),
        storage=arguments.storage,
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        overwrite=arguments.overwrite,
        is_deleting=arguments.delete,
        is_dry_run=arguments.dry_run,
        is_verified=arguments.verify,
        is_with_roles=arguments.roles,
        host=arguments.host,
        is_safety_left_out=arguments.no_safety_backup,
        masks=tuple(arguments.mask),
        tablespaces=tuple(arguments.tablespace_mapping),
        before_hook=arguments.before_hook,
        after_hook=arguments.after_hook,
        hook_timeout_s=arguments.hook_timeout,
        limits=limits(arguments),
    )


async def _requested(call: Call, arguments: argparse.Namespace) -> RestoreRequest:
    """What is asked for: of a source whose log is kept the instant itself, of others the backup that is nearest before it."""
    is_replayed = False
    if arguments.source and not arguments.backup:
        has_log = bool((await call.engine.log_report(arguments.source)).reaches)
        is_replayed = has_log and bool(
            arguments.at
            or arguments.at_transaction
            or arguments.at_point
            or arguments.into
            or arguments.in_place
        )
        if not has_log and (arguments.at_transaction or arguments.at_point):
            await call.engine.require_log(arguments.source)
            raise UsageError(
                f"no log of {arguments.source} is kept, by which a transaction or a point could be found",
                hint=f"holdfast logs ship {arguments.source}",
            )
    if arguments.whole_server and not (is_replayed and arguments.in_place):
        raise UsageError("--whole-server goes with --source S, whose log is kept, and --in-place")
    if not is_replayed:
        return request_of(arguments, await _chosen(call, arguments))
    require_one_target(arguments)
    at = when.parse(arguments.at, call.clock.now(), call.clock.local_offset) if arguments.at else None
    return dataclasses.replace(
        request_of(arguments, ""),
        source=arguments.source,
        at=at,
        at_transaction=arguments.at_transaction,
        at_point=arguments.at_point,
        is_before=arguments.just_before,
        is_whole_server=arguments.whole_server,
    )


async def _chosen(call: Call, arguments: argparse.Namespace) -> str:
    """The id of the backup that is meant. Raises: UsageError, UnknownNameError."""
    if bool(arguments.backup) == bool(arguments.source):
        raise UsageError("say which backup: BACKUP, or --source S", hint="`holdfast backups` lists them")
    if arguments.at and not arguments.source:
        raise UsageError("--at goes with --source S")
    if (arguments.at_transaction or arguments.at_point) and not arguments.source:
        raise UsageError("--at-transaction and --at-point go with --source S")
    if arguments.backup:
        return (await call.engine.show_backup(arguments.backup)).backup_id
    at = when.parse(arguments.at, call.clock.now(), call.clock.local_offset) if arguments.at else None
    backup = await call.engine.latest_backup(arguments.source, at)
    if at is not None:
        call.output.line(
            f"as it was at {text.instant(backup.created_at)}: backup {backup.backup_id} is the newest before"
        )
    return backup.backup_id


def tell(output: Output, result: RestoreResult) -> None:
    """What was restored, for people."""
    colour = "32" if result.status == "completed" or result.databases else "33"
    head = f"{result.status}:"
    for line in told.restored(result):
        is_head = line.startswith(head)
        output.line(
            output.styled(result.status, colour) + line.removeprefix(result.status) if is_head else line
        )


RESTORE = Command(_declare, _restore, is_job=True)
