"""The verb: where the home is made, what is told, and how to open it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import shlex
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli import diagnostics
from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.cli.demo.fleet.filling import Filled
    from engine.cli.output import Output


def run(
    home: str | None, output: Output, until_told: Callable[[Awaitable[None]], Coroutine[Any, Any, None]]
) -> int:
    """Makes the home; returns the exit code. `until_told` runs it so that a signal ends it cleanly: then nothing is left.

    Raises: UsageError for a folder that holds anything; HoldfastError.
    """
    from engine.cli.demo.fleet import filling  # the engine, for this verb alone
    from engine.clock import SystemClock

    logging.getLogger("holdfast").addHandler(logging.NullHandler())
    clock = SystemClock()
    began = clock.monotonic()
    with _new_folder(home) as directory:
        output.line(f"filling {directory}")
        output.flush()
        found: list[filling.Filled] = []

        async def work() -> None:
            def tell(said: str) -> None:
                output.line(f"  {said}")
                output.flush()

            found.append(await filling.fill(directory, clock, tell=tell))

        try:
            with asyncio.Runner() as runner:
                runner.run(until_told(work()))
        except (asyncio.CancelledError, KeyboardInterrupt):
            shutil.rmtree(directory, ignore_errors=True)
            return diagnostics.report_interrupt(is_json=output.is_json)
    _end(output, directory, found[0], clock.monotonic() - began)
    return diagnostics.DONE


def _end(output: Output, directory: Path, filled: Filled, duration_s: float) -> None:
    from engine.cli.demo.fleet import roster

    place = shlex.quote(str(directory))
    opens = f"HOLDFAST_HOME={place} holdfast"
    output.line(
        f"{filled.hosts} hosts, {filled.sources} sources, {filled.backups} backups, {filled.jobs} jobs of a year, {filled.alerts} alerts"
        f" in {duration_s:.1f} s"
    )
    output.line(
        f"Real are {roster.NOTES} and {roster.LEDGER}, and the storages {roster.NEAR} and {roster.SPARE}: back them up,"
    )
    output.line(
        "browse, restore and drill them. All else has a past alone: its hosts resolve to nowhere, and nothing starts by itself."
    )
    output.line("")
    output.line("Open it:")
    output.line(f"  {opens}")
    output.line(f"Ask what is at risk:  {opens} status")
    output.line(f"Throw it away:        rm -r {place}")
    output.result(
        {
            "status": "completed",
            "home": str(directory),
            "duration_s": round(duration_s, 3),
            "commands": [opens],
            **dataclasses.asdict(filled),
        }
    )


@contextlib.contextmanager
def _new_folder(home: str | None) -> Iterator[Path]:
    """An empty folder; what it holds goes where an error ends it. Raises: UsageError, by which nothing is changed."""
    if home is None:
        directory = Path(tempfile.mkdtemp(prefix="holdfast-fleet-")).resolve()
    else:
        directory = _require_empty(home)
    try:
        yield directory
    except Exception:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _require_empty(home: str) -> Path:
    directory = Path(home).expanduser().absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(directory.iterdir())
    except OSError as error:
        raise UsageError(f"--home {home}: {error.strerror}", hint="name a folder that can be made") from error
    if not is_empty:
        raise UsageError(
            f"--home {home}: something is in this folder, and a fleet that never was must not be mixed with it",
            hint="name a new folder, or leave --home out",
        )
    return directory.resolve()
