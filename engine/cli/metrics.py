"""metrics: figures for Prometheus on standard output or in a file of node_exporter's, and the alert rules that go with them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from engine.cli import diagnostics
from engine.cli.command import Call, Command, Parser
from engine.cli.output import shape
from engine.errors import UsageError
from engine.model import text


def _declare(parser: Parser) -> None:
    parser.add_argument(
        "--textfile",
        metavar="PATH",
        help="write them whole to this file, NAME.prom in the textfile folder of node_exporter",
    )
    parser.add_argument(
        "--measure", action="store_true", help="ask each storage what it holds, over the network"
    )
    parser.add_argument("--rules", action="store_true", help="print a file of alert rules instead")


async def _metrics(call: Call) -> int:
    from engine.export import prometheus

    arguments, output = call.arguments, call.output
    if arguments.rules:
        written = prometheus.rules()
        output.result({"rules": written.decode()})
    else:
        found = await call.engine.metrics(is_measuring=arguments.measure)
        written = prometheus.text(found)
        if output.is_json:
            output.result(shape(found))
    if arguments.textfile:
        replace_file(Path(arguments.textfile), written)  # for all to read: node_exporter is another user
        output.line(f"written to {text.printable(arguments.textfile)}")
    elif not output.is_json:
        output.write(written)
    return diagnostics.DONE


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Puts the data in the file's place at once: who reads it sees the old content or the new, whole. Raises: UsageError."""
    # node_exporter reads all files that end in .prom.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with temporary.open("xb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}",
            hint="the folder must be there, and this user's to write to",
        ) from error


METRICS = Command(_declare, _metrics)
