"""backup: sources, or standard input."""

from __future__ import annotations

import argparse
from typing import Final

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, limits, size
from engine.cli.output import Output, shape
from engine.errors import UsageError
from engine.model import text, when
from engine.model.backup import Scope
from engine.model.requests import BackupRequest
from engine.model.results import BackupResult, SourceResult
from engine.model.spans import span

_KINDS: Final = ("full", "incremental", "differential")


def _declare(parser: Parser) -> None:
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="sources to back up")
    parser.add_argument("--stdin", metavar="FILENAME", help="back up standard input under this name")
    parser.add_argument("--as-source", metavar="NAME", help="with --stdin: the source that it counts as")
    parser.add_argument(
        "--to",
        action="extend",
        nargs="+",
        default=[],
        metavar="STORAGE",
        help="the default one where it is left out",
    )
    parser.add_argument(
        "--type",
        choices=_KINDS,
        default="incremental",
        help="files, the whole cluster of a PostgreSQL from 17 on with summarize_wal on, and a MariaDB server's own files: full reads everything again, "
        "differential counts from the last full one, incremental (where it is left out) from the last of any; all else is read whole each time. Every "
        "backup of each type restores by itself: what is known already is stored once",
    )
    parser.add_argument(
        "--only",
        choices=[each.value for each in Scope if each is not Scope.ALL],
        help="of a database server: its tables without rows, the rows alone, users and roles, or its configuration files. Such a backup is "
        "never `latest:SOURCE`, and proves nothing of its source",
    )
    parser.add_argument("--tag", action="extend", nargs="+", default=[], metavar="TAG")
    parser.add_argument("--before", default="", metavar="LABEL", help="taken before this change")
    parser.add_argument("--expires", metavar="WHEN", help="may be forgotten from then on")
    parser.add_argument(
        "--max-size", type=size, metavar="SIZE", help="fail rather than add more than this to a storage: 20G"
    )
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


def _request(arguments: argparse.Namespace, call: Call) -> BackupRequest:
    """What was asked for. Raises: UsageError."""
    sources = tuple(arguments.sources)
    if arguments.stdin is not None:
        if sources:
            raise UsageError("--stdin takes no SOURCE", hint="name the source with --as-source NAME")
        if not arguments.as_source:
            raise UsageError("--stdin needs --as-source NAME", hint="the name that its backups are found by")
        sources = (arguments.as_source,)
    elif arguments.as_source:
        raise UsageError("--as-source goes with --stdin FILENAME")
    elif not sources:
        raise UsageError("no source was named", hint="`holdfast source list` shows them")
    expires = (
        when.parse(arguments.expires, call.clock.now(), call.clock.local_offset)
        if arguments.expires
        else None
    )
    return BackupRequest(
        sources=tuple(dict.fromkeys(sources)),
        storages=tuple(arguments.to),
        kind=arguments.type,
        scope=Scope(arguments.only) if arguments.only else Scope.ALL,
        tags=tuple(arguments.tag),
        label=arguments.before,
        expires_at=expires,
        stdin_filename=arguments.stdin or "",
        most_bytes=arguments.max_size,
        limits=limits(arguments),
    )


async def _backup(call: Call) -> int:
    request = _request(call.arguments, call)
    if is_detached(call):
        return await hand_over(call, "backup", request)
    result = await call.engine.backup(request, idempotency_key=call.arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell(output: Output, result: BackupResult) -> None:
    """What was backed up, for people."""
    for each in result.backups:
        tell_backup(output, each)
    for warning in result.warnings:
        output.line(f"{output.styled('warning', '33')}: {text.printable(warning)}")


def tell_backup(output: Output, backup: SourceResult) -> None:
    """One source's backup in two lines, for people."""
    colour = {"completed": "32", "incomplete": "33"}.get(backup.status, "31")
    status = output.styled(backup.status, colour)
    if backup.error:
        output.line(f"{backup.source}: {status}: {text.printable(backup.error)}")
        return
    output.line(
        f"{backup.source}: {status} in {span(backup.duration_s)}, {text.size(backup.size_bytes)}, "
        f"{text.size(backup.added_bytes)} added "
        f"({backup.files_new} new, {backup.files_changed} changed, {backup.files_unmodified} unmodified)"
    )
    kept = ", ".join(each.storage for each in backup.storages if each.snapshot_id)
    output.line(f"  backup {backup.backup_id} in {kept}")
    for each in backup.storages:
        if each.error:
            output.line(f"  storage {each.storage}: {text.printable(each.error)}")
            output.line(f"    what it missed: holdfast copy --missing --to {each.storage}")
    if backup.warnings and not output.is_terminal:
        output.line(f"  {text.counted(len(backup.warnings), 'warning')}")


BACKUP = Command(_declare, _backup, is_job=True)
