"""backups, show, ls, dump, diff, find: what there is, and what is in it."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from engine.cli import definitions, diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.options import count
from engine.cli.output import Column, Output, shape
from engine.cli.pipe import open_pipe
from engine.errors import RefusedError, UsageError
from engine.model import described, text, when
from engine.model.backup import LABEL_MARK, Backup, BackupFilter, BackupStatus, Place, ProofRecord, Scope
from engine.model.results import Difference, FileItem, FoundItem

_SHOWN: Final = 50
"""Backups that a person is shown where no limit is named."""
_PAGE: Final = 2000
"""Backups that are held in memory at once."""
_HEADS: Final = (
    Column("BACKUP"),
    Column("CREATED"),
    Column("SOURCE", is_flexible=True),
    Column("SIZE", is_right=True),
    Column("ADDED", is_right=True, is_optional=True),
    Column("TYPE", is_optional=True),
    Column("STATUS"),
    Column("PROOF"),
    Column("PROVEN", is_optional=True),
    Column("BY", is_optional=True),
    Column("STORAGES", is_flexible=True, is_optional=True),
)


def _declare_backups(parser: Parser) -> None:
    parser.add_argument("--source", default="", metavar="S", help="of this source")
    parser.add_argument("--storage", default="", metavar="S", help="that this storage holds")
    parser.add_argument("--since", metavar="WHEN", help="from then on")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--tag", default="", metavar="TAG", help="with this tag")
    which.add_argument("--before", default="", metavar="LABEL", help="taken before this change")
    parser.add_argument("--status", choices=[each.value for each in BackupStatus])
    parser.add_argument(
        "--type", choices=("full", "incremental", "differential"), default="", help="of this type"
    )
    parser.add_argument(
        "--only", choices=[each.value for each in Scope], help="of this part; all: of no part"
    )
    parser.add_argument(
        "--limit", type=count, metavar="N", help=f"the newest N; {_SHOWN} for people, all for scripts"
    )
    parser.add_argument("--all", action="store_true", help="however many there are")


async def _backups(call: Call) -> int:
    arguments, out = call.arguments, call.output
    # A name that was mistyped must not look like one of which nothing is kept.
    await call.engine.require_names(source=arguments.source, storage=arguments.storage)
    since = (
        when.parse(arguments.since, call.clock.now(), call.clock.local_offset) if arguments.since else None
    )
    status = BackupStatus(arguments.status) if arguments.status else None
    chosen = BackupFilter(
        arguments.source,
        "",
        arguments.storage,
        arguments.tag or (f"{LABEL_MARK}{arguments.before}" if arguments.before else ""),
        status,
        since,
        kind=arguments.type,
        scope=Scope(arguments.only) if arguments.only else None,
    )
    if out.is_json:
        await out.stream(_paged(call, chosen, arguments.limit), backup_item, str)
        return diagnostics.DONE
    limit = arguments.limit or (None if arguments.all else _SHOWN)
    # One more than is shown tells whether there are more.
    found = [each async for each in _paged(call, chosen, limit + 1 if limit else None)]
    shown = found[:limit]
    if any(each.label for each in shown):
        heads = (*_HEADS, Column("BEFORE", is_flexible=True))
        out.table(heads, [(*_backup_row(each), each.label) for each in shown])
    else:
        out.table(_HEADS, [_backup_row(each) for each in shown])
    if len(found) > len(shown):
        all_of_them = "" if chosen != BackupFilter() else f" of {await call.engine.count_backups()}"
        out.line(f"the newest {len(shown)}{all_of_them}; --all shows everything")
    return diagnostics.DONE


async def _paged(call: Call, chosen: BackupFilter, limit: int | None) -> AsyncIterator[Backup]:
    """The newest backups, a page in memory at a time; all where there is no limit."""
    before, left = None, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = await call.engine.backups(chosen, limit=size, before=before)
        for each in page:
            yield each
        if len(page) < size:
            return
        before = Place(page[-1].created_at, page[-1].backup_id)
        left = None if left is None else left - size


def _backup_row(backup: Backup) -> tuple[str, ...]:
    return (
        backup.backup_id,
        text.instant(backup.created_at),
        backup.source,
        text.size(backup.size_bytes),
        text.size(backup.added_bytes),
        described.kind(backup),
        backup.status.value,
        described.proof(backup),
        text.instant(backup.proven_at) if backup.proven_at else "",
        backup.proven_by.partition(" ")[0],
        described.storages(backup),
    )


def backup_item(backup: Backup) -> dict[str, Any]:
    """A backup as scripts read it. Written out, for there may be a hundred thousand."""
    return {
        "backup_id": backup.backup_id,
        "source": backup.source,
        "host": backup.host,
        "kind": backup.kind,
        "scope": backup.scope,
        "status": backup.status,
        "created_at": backup.created_at,
        "completed_at": backup.completed_at,
        "size_bytes": backup.size_bytes,
        "added_bytes": backup.added_bytes,
        "files_new": backup.files_new,
        "files_changed": backup.files_changed,
        "files_unmodified": backup.files_unmodified,
        "storages": [
            {
                "storage": each.storage,
                "snapshot_id": each.snapshot_id,
                "status": each.status,
                "error": each.error,
            }
            for each in backup.copies
        ],
        "warnings": list(backup.warnings),
        "proof": backup.proof,
        "proven_at": backup.proven_at,
        "proven_by": backup.proven_by,
        "tags": list(backup.tags),
        "before": backup.label,
        "protected": backup.is_protected,
        "hold_reason": backup.hold_reason,
        "expires_at": backup.expires_at,
        "job_id": backup.job_id,
    }


def _declare_backup(parser: Parser) -> None:
    parser.add_argument("backup", metavar="BACKUP", help="an id, the beginning of one, or latest:SOURCE")


async def _show(call: Call) -> int:
    backup = await call.engine.show_backup(call.arguments.backup)
    proofs = await call.engine.backup_proofs(backup.backup_id)
    show_backup(call.output, backup, call.clock.now(), proofs)
    call.output.result({**backup_item(backup), "proofs": [_proof_item(each) for each in proofs]})
    return diagnostics.DONE


def _proof_item(record: ProofRecord) -> dict[str, Any]:
    return {
        "proof": record.proof,
        "proven_at": record.proven_at,
        "passed": record.is_passed,
        "storage": record.storage,
        "by": record.verb,
        "job_id": record.job_id,
        "detail": record.detail,
    }


def show_backup(
    output: Output, backup: Backup, now: datetime.datetime, proofs: Sequence[ProofRecord] = ()
) -> None:
    """All that is known of a backup, for people."""
    definitions.show_pairs(output, described.backup(backup, now, proofs))


def _declare_ls(parser: Parser) -> None:
    _declare_backup(parser)
    parser.add_argument("path", nargs="?", default="", metavar="PATH", help="the root where it is left out")
    parser.add_argument("--recursive", "-r", action="store_true", help="and all that lies below")


async def _ls(call: Call) -> int:
    arguments = call.arguments
    found = call.engine.ls(arguments.backup, arguments.path, is_recursive=arguments.recursive)
    await call.output.stream(found, shape, _file_line)
    return diagnostics.DONE


def _file_line(item: FileItem) -> str:
    target = f" -> {item.target}" if item.target else ""
    owner = f"{item.user or item.uid} {item.group or item.gid}"
    at = item.modified_at[:16].replace("T", " ")
    return text.printable(f"{item.mode} {owner:<17} {text.size(item.size_bytes):>8} {at} {item.path}{target}")


def _declare_dump(parser: Parser) -> None:
    _declare_backup(parser)
    parser.add_argument("path", metavar="PATH", help="a file; of a folder comes a tar stream")
    parser.add_argument("--detach", action="store_true", help=argparse.SUPPRESS)


async def _dump(call: Call) -> int:
    arguments = call.arguments
    if call.output.is_json:
        raise UsageError("dump writes the file itself to standard output", hint="leave --json out")
    if arguments.detach:
        raise RefusedError(
            "dump writes to the standard output of this process, which a worker has not",
            hint=f"holdfast download {arguments.backup} --path {arguments.path} --to FILE --detach",
        )
    with open_pipe(1) as pipe:
        await call.engine.dump(arguments.backup, arguments.path, pipe.write)
    return diagnostics.DONE


def _declare_diff(parser: Parser) -> None:
    parser.add_argument("before", metavar="BACKUP", help="the older one")
    parser.add_argument("after", metavar="BACKUP", nargs="?", help="the newer one")
    parser.add_argument("--live", action="store_true", help="compare with what the source holds now")
    parser.add_argument(
        "--checksum", action="store_true", help="with --live: read everything, and not a sample of it"
    )


async def _diff(call: Call) -> int:
    arguments = call.arguments
    if arguments.live == (arguments.after is not None):
        raise UsageError(
            "diff compares a backup with another one or with --live", hint="holdfast diff --help"
        )
    if arguments.checksum and not arguments.live:
        raise UsageError(
            "--checksum goes with --live", hint="two backups are compared by their content anyway"
        )
    with call.output.listing(_difference_object, _difference_line) as listing:
        if arguments.live:
            done = await call.engine.diff_live(arguments.before, listing.add, is_checksum=arguments.checksum)
        else:
            done = await call.engine.diff(arguments.before, arguments.after, listing.add)
        listing.fields |= {"compared": done.compared, "not_compared": done.not_compared}
        for each in done.compared:
            call.output.line(text.printable(f"compared: {each}"))
        for each in done.not_compared:
            call.output.line(text.printable(f"not compared: {each}"))
    return diagnostics.DONE


def _difference_object(each: Difference) -> dict[str, Any]:
    """The four fields that every difference has, and those of the others that say something."""
    always = ("path", "change", "size_bytes_before", "size_bytes_after")
    return {name: value for name, value in shape(each).items() if name in always or value not in (None, "")}


def _difference_line(each: Difference) -> str:
    words = described.difference(each)
    return text.printable(
        f"{described.SIGNS.get(each.change, '?')}  {each.path}{f'  ({words})' if words else ''}"
    )


def _declare_find(parser: Parser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", help="a name, or a pattern as restic understands it")
    parser.add_argument("--source", default="", metavar="S", help="in this source's backups alone")


async def _find(call: Call) -> int:
    await call.engine.require_names(source=call.arguments.source)
    found = call.engine.find(call.arguments.pattern, source=call.arguments.source)
    await call.output.stream(found, _found_object, _found_line)
    return diagnostics.DONE


def _found_object(found: FoundItem) -> dict[str, Any]:
    return {
        "backup_id": found.backup_id,
        "source": found.source,
        "created_at": found.created_at.isoformat(),
        **shape(found.item),
    }


def _found_line(found: FoundItem) -> str:
    return text.printable(
        f"{found.backup_id}  {text.instant(found.created_at)}  {text.size(found.item.size_bytes):>8}  {found.item.path}"
    )


BACKUPS = Command(_declare_backups, _backups)
SHOW = Command(_declare_backup, _show)
LS = Command(_declare_ls, _ls)
DUMP = Command(_declare_dump, _dump, is_job=True)
DIFF = Command(_declare_diff, _diff)
FIND = Command(_declare_find, _find)
