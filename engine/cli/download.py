"""download: a backup as one file."""

from __future__ import annotations

import asyncio
import os

from engine.cli import definitions, diagnostics, text
from engine.cli.command import Call, Command, Parser
from engine.cli.options import add_key, add_limits, limits
from engine.cli.output import shape
from engine.errors import UsageError
from engine.model.requests import DownloadRequest
from engine.model.spans import span

_FORMATS = ("tar", "tar.gz", "tar.bz2", "tar.zst", "zip")


def _declare(parser: Parser) -> None:
    parser.add_argument(
        "backup", nargs="?", metavar="BACKUP", help="an id, a beginning of one, or latest:SOURCE"
    )
    parser.add_argument("--newest", metavar="SOURCE", help="the newest backup of this source")
    parser.add_argument(
        "--to", required=True, metavar="FILE", help="where nothing is; in a folder: a name is made"
    )
    parser.add_argument("--format", choices=_FORMATS, help="left out: as FILE ends, or tar.zst")
    parser.add_argument(
        "--path", default="/", metavar="PATH", help="only this file or folder, as `ls` shows it"
    )
    add_key(parser)
    add_limits(parser)


async def _download(call: Call) -> int:
    arguments = call.arguments
    if (arguments.backup is None) == (arguments.newest is None):
        raise UsageError("say which backup: BACKUP, or --newest SOURCE")
    backup = await call.engine.show_backup(arguments.backup or f"latest:{arguments.newest}")
    file, form = definitions.absolute(arguments.to), arguments.format or ""
    if await asyncio.to_thread(os.path.isdir, file):
        form = form or "tar.zst"
        file = f"{file.rstrip('/')}/{backup.source}-{backup.created_at:%Y%m%d-%H%M%S}.{form}"
    request = DownloadRequest(backup.backup_id, file, form, arguments.path, limits(arguments))
    result = await call.engine.download(request, idempotency_key=arguments.idempotency_key)
    call.output.line(
        f"{text.printable(result.file)}: {text.size(result.size_bytes)} in {span(result.duration_s)}, SHA-256 {result.sha256}"
    )
    call.output.result(shape(result))
    return diagnostics.DONE


DOWNLOAD = Command(_declare, _download, is_job=True)
