"""demo: the whole loop on this machine alone, with nothing installed, configured or left behind.

A private SSH server, a database that is written to and a file tree with nasty names are made, backed up, changed, backed up again, damaged,
verified, restored and compared, by the same calls of the Engine as the verbs make.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import shutil
import signal
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.cli import diagnostics
from engine.cli.command import Command, Parser
from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.cli.demo.story import Listen, Places, Step
    from engine.cli.output import Output

_WIDTH: Final = 80


def _declare(parser: Parser) -> None:
    parser.add_argument(
        "--keep", metavar="DIR", help="make everything in this new folder, and leave it there"
    )
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="in place of all that: fill a home, --home DIR or a new folder, with a year of history of twenty hosts, to try everything on",
    )


def _run(arguments: Namespace, output: Output) -> int:
    if not arguments.fleet:
        return run(arguments.keep, output)
    if arguments.keep is not None:
        raise UsageError("--keep is not for --fleet, which is kept in any case", hint="--home DIR says where")
    from engine.cli.demo.fleet import command

    return command.run(arguments.home, output, _until_told_to_end)


DEMO: Final = Command(_declare, None, run_alone=_run)


def run(
    keep: str | None, output: Output, listen: Listen | None = None, *, is_server_inside: bool = False
) -> int:
    """Runs the demo; returns the exit code. `listen` is handed all that the engine tells, with the server.

    Raises: UsageError for a folder that cannot be taken; HoldfastError, which names the step, where the demo fails.
    """
    from engine.cli.demo import story  # asyncssh and the engine, for this verb alone
    from engine.clock import SystemClock

    # What it tells is all that a person needs; without a handler Python would print warnings between the lines.
    logging.getLogger("holdfast").addHandler(logging.NullHandler())
    clock = SystemClock()
    began = clock.monotonic()
    with _directory(keep) as directory:
        places = story.Places(directory)
        teller = _Teller(output, clock.monotonic)
        teller.begin(directory, is_kept=keep is not None)
        told = story.Story(places, clock, teller.tell, listen or story.ignore)
        try:
            with asyncio.Runner() as runner:
                runner.run(_until_told_to_end(told.run(is_server_inside=is_server_inside)))
        except (asyncio.CancelledError, KeyboardInterrupt):
            return diagnostics.report_interrupt(is_json=output.is_json)
        teller.end(places if keep is not None else None, clock.monotonic() - began)
    return diagnostics.DONE


async def _until_told_to_end(work: Any) -> None:
    """SIGTERM ends it as Ctrl-C does: cleanly, with nothing left behind."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        await work
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _directory(keep: str | None) -> Iterator[Path]:
    """A folder of our own: kept where one is given, else gone at the end. Raises: UsageError."""
    if keep is None:
        directory = Path(tempfile.mkdtemp(prefix="holdfast-demo-")).resolve()
        try:
            yield directory
        finally:
            shutil.rmtree(directory)
        return
    directory = Path(keep).absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(directory.iterdir())
    except OSError as error:
        raise UsageError(f"--keep {keep}: {error.strerror}", hint="name a folder that can be made") from error
    if not is_empty:
        raise UsageError(f"--keep {keep}: the folder is not empty", hint="name a new folder")
    yield directory.resolve()


class _Teller:
    """Says what is done, as it is done: for people in 80 columns, for scripts an object a step."""

    def __init__(self, output: Output, monotonic: Callable[[], float]) -> None:
        self._output = output
        self._monotonic = monotonic
        self._count = 0

    def begin(self, directory: Path, *, is_kept: bool) -> None:
        """Says where."""
        self._line("holdfast demo: the whole loop on this machine alone", style="1")
        self._line(
            f"everything lies in {directory}, and " + ("stays there" if is_kept else "goes when this ends")
        )
        self._output.flush()

    def tell(self, step: Step) -> None:
        """Tells a step that was done."""
        self._count += 1
        span = f"{step.duration_s:.1f} s"
        title = f"{self._count:2}. {step.title} "
        self._line("")
        self._line(f"{title}{'.' * (_WIDTH - len(title) - len(span) - 1)} {span}", style="1")
        for detail in step.details:
            for line in wrapped(detail, _WIDTH - 4):
                self._line(f"    {line}")
        self._output.progress(
            {
                "step": step.name,
                "number": self._count,
                "title": step.title,
                "details": list(step.details),
                "duration_s": round(step.duration_s, 3),
            }
        )
        self._output.flush()

    def end(self, kept: Places | None, duration_s: float) -> None:
        """Says how it ended, and how to look at what was kept."""
        self._line("")
        commands = _commands(kept) if kept is not None else {}
        self._line(f"All of it worked, in {duration_s:.1f} s.", style="32")
        if kept is None:
            self._line("Nothing was left behind. --keep DIR keeps everything, to look at it.")
        for what, command in commands.items():
            self._line(f"{what}:")
            self._line(f"  {command}")
        if kept is not None:
            self._line("The storage second is left damaged; the SSH server is gone.")
        self._output.result(
            {
                "status": "completed",
                "steps": self._count,
                "duration_s": round(duration_s, 3),
                "directory": str(kept.directory) if kept is not None else None,
                "commands": list(commands.values()),
            }
        )

    def _line(self, line: str, style: str = "") -> None:
        self._output.line(self._output.styled(line, style) if style else line)


def wrapped(line: str, width: int) -> list[str]:
    """The line in pieces of at most that many columns, cut at blanks; what is indented stays so."""
    import textwrap

    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line,
        width,
        initial_indent="",
        subsequent_indent=indent + "  ",
        break_long_words=False,
        drop_whitespace=True,
    ) or [""]


def _commands(places: Places) -> dict[str, str]:
    """What to type to look at what was kept. A command is one line, however long, so that it can be copied."""
    home = shlex.quote(str(places.home))
    repository = shlex.quote(str(places.storage("first")))
    password = shlex.quote(str(places.password))
    target = shlex.quote(str(places.directory / "by-restic"))
    restic = f"restic -r {repository} --password-file {password}"
    return {
        "Look at it in the console": f"holdfast --home {home}",
        "or by the verbs": f"holdfast backups --home {home}",
        "See the same backups with stock restic": f"{restic} snapshots",
        "and restore the tree with it": f"{restic} restore latest --tag holdfast:source=tree --target {target}",
    }
