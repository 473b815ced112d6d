"""Runs a verb on the engine, with what the terminal and the system may send meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from engine.cli import asking, diagnostics, guard, rights
from engine.cli.command import Call, Command, StandardInput
from engine.cli.output import Output
from engine.cli.progress import Listener
from engine.clock import Clock, SystemClock
from engine.errors import CatalogDamagedError, CatalogVersionError
from engine.format.allocator import tune_allocator
from engine.service import Use, open_engine

_COLLECT_AFTER: Final = 50_000
"""Objects that are made before the garbage collector looks at the young ones: a job makes hundreds of thousands that live on, and the
default of 700 had it look at all of them again and again."""


def run(command: Command, arguments: Namespace, output: Output, clock: Clock | None = None) -> int:
    """Runs the verb to its end, by the machine's own clock unless another is given; returns the exit code.

    Raises: HoldfastError, KeyboardInterrupt.
    """
    secrets = _read_secrets(arguments)
    # Without a handler Python prints warnings to standard error, between the lines that are for people.
    logging.getLogger().addHandler(logging.NullHandler())
    if command.is_job:
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 100)
        tune_allocator()  # before there are threads: each that is there keeps the heap that it began with
    with asyncio.Runner() as runner:
        return runner.run(_run(command, arguments, output, secrets, clock or SystemClock()))


def _read_secrets(arguments: Namespace) -> list[bytes]:
    """Reads what the REF `-` stands for, before the loop runs: a wait for a person must end with Ctrl-C at once."""
    return [
        asking.read_secret(name.replace("_", " "), is_new=getattr(arguments, "is_secret_new", False))
        for name, value in vars(arguments).items()
        if isinstance(value, StandardInput)
    ]


async def _run(
    command: Command, arguments: Namespace, output: Output, secrets: list[bytes], clock: Clock
) -> int:
    listener = Listener(output, clock.monotonic, os.environ)
    output.before_write = listener.clear
    task = asyncio.current_task()
    assert task is not None
    assert command.run is not None
    try:
        with _signals(task, is_job=command.is_job):
            async with open_engine(
                arguments.home,
                clock=clock,
                emit=listener.emit,
                read_line=asking.line_reader(secrets),
                is_logged=command.is_job,
                use=_use(arguments),
            ) as engine:
                call = Call(arguments, output, engine, clock, listener)
                try:
                    await guard.require(call)
                    return await command.run(call)
                finally:
                    listener.clear()
                    if command.is_job and arguments.called_verb != "worker":
                        await engine.hand_over_notices()
    except (CatalogDamagedError, CatalogVersionError) as error:
        if command.without_catalog is None:
            raise
        return await command.without_catalog(arguments, output, error)
    except asyncio.CancelledError:
        return diagnostics.report_interrupt(is_json=output.is_json)


def _use(arguments: Namespace) -> Use:
    verb = arguments.called_verb
    if verb in rights.FROM_CATALOG:
        return Use.LOOK
    return Use.READ if rights.is_short_look(verb, arguments) else Use.CHANGE


@contextlib.contextmanager
def _signals(task: asyncio.Task[int], *, is_job: bool) -> Iterator[None]:
    """The first SIGINT or SIGTERM cancels, the second cancels what cleans up, the third ends the process.

    A job goes on when its terminal goes away; SIGHUP is left ignored, for its children too.
    """
    count = 0

    def end() -> None:
        nonlocal count
        count += 1
        if count > 2:
            os._exit(diagnostics.INTERRUPTED)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    if is_job:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGHUP, end)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
