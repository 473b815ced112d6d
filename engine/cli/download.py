"""download: a backup as one file."""

from __future__ import annotations

import asyncio
import os

from engine.cli import definitions, diagnostics
from engine.cli.command import Call, Command, Parser, reference
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_key, add_limits, limits
from engine.cli.output import Output, shape
from engine.errors import UsageError
from engine.model import text
from engine.model.archives import FORMATS, USUAL_FORMAT, DownloadResult, archive_name
from engine.model.backup import Backup
from engine.model.requests import DownloadRequest
from engine.model.spans import span


def add_archive(parser: Parser) -> None:
    """Which backup is packed, how much of it, and under which password."""
    parser.add_argument(
        "backup", nargs="?", metavar="BACKUP", help="an id, a beginning of one, or latest:SOURCE"
    )
    parser.add_argument("--newest", metavar="SOURCE", help="the newest backup of this source")
    parser.add_argument(
        "--path", default="/", metavar="PATH", help="only this file or folder, as `ls` shows it"
    )
    parser.add_argument(
        "--password",
        default="",
        type=reference,
        metavar="REF",
        help="seal the archive under it; `age -d` opens it",
    )


async def chosen(call: Call) -> Backup:
    """The backup that `add_archive` understood. Raises: UsageError, UnknownNameError."""
    arguments = call.arguments
    if (arguments.backup is None) == (arguments.newest is None):
        raise UsageError("say which backup: BACKUP, or --newest SOURCE")
    return await call.engine.show_backup(arguments.backup or f"latest:{arguments.newest}")


def _declare(parser: Parser) -> None:
    add_archive(parser)
    parser.add_argument(
        "--to", required=True, metavar="FILE", help="where nothing is; in a folder: a name is made"
    )
    parser.add_argument("--format", choices=FORMATS, help="left out: as FILE ends, or tar.zst")
    add_detach(parser)
    add_key(parser)
    add_limits(parser)


async def _download(call: Call) -> int:
    arguments = call.arguments
    backup = await chosen(call)
    file, form = definitions.absolute(arguments.to), arguments.format or ""
    if await asyncio.to_thread(os.path.isdir, file):
        form = form or USUAL_FORMAT
        file = f"{file.rstrip('/')}/{archive_name(backup, form, is_sealed=bool(arguments.password))}"
    request = DownloadRequest(
        backup.backup_id, file, form, arguments.path, str(arguments.password), limits(arguments)
    )
    if is_detached(call):
        return await hand_over(call, "download", request)
    result = await call.engine.download(request, idempotency_key=arguments.idempotency_key)
    tell(call.output, result)
    call.output.result(shape(result))
    return diagnostics.DONE


def tell(output: Output, result: DownloadResult) -> None:
    """What was written, for people."""
    output.line(
        f"{text.printable(result.file)}: {text.size(result.size_bytes)} in {span(result.duration_s)}, SHA-256 {result.sha256}"
    )


DOWNLOAD = Command(_declare, _download, is_job=True)
