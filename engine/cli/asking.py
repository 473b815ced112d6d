"""What only a person at a terminal is asked: yes or no, and secrets. Without a terminal nothing is ever asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Final

from engine.cli.command import Call
from engine.errors import RefusedError, UsageError
from engine.model import text

LONGEST_LINE_BYTES: Final = 1 << 20


def has_person() -> bool:
    """Whether there is somebody who can read a question and answer it."""
    return os.isatty(0) and os.isatty(2)


async def require_yes(call: Call, question: str) -> None:
    """Asks before something is destroyed, unless `--yes` was said. Raises: RefusedError where the answer is no, or nobody is there."""
    if call.arguments.yes:
        return
    if not has_person():
        raise RefusedError(f"not done without a yes: {question}", hint="say --yes")
    if not await is_yes(question):
        raise RefusedError("not done: the answer was no")


async def is_yes(question: str) -> bool:
    """Asks a person; anything but yes is no. Waits without blocking the loop, so that a signal ends it."""
    os.write(2, f"{text.printable(question)} [y/N] ".encode())
    await _wait_for_line()
    return os.read(0, 4096).strip().lower() in (b"y", b"yes")


async def ask_secret(prompt: str) -> bytes:
    """A secret that a person types at the terminal, without being shown; empty where nothing is typed. Waits as `is_yes` does."""
    with _without_echo(0):
        os.write(2, f"{prompt}: ".encode())
        try:
            await _wait_for_line()
            return read_line(0)
        finally:
            os.write(2, b"\n")


async def _wait_for_line() -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(0, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(0)


def read_secret(prompt: str, *, is_new: bool = False) -> bytes:
    """A secret from standard input: one line of a pipe, or typed at a terminal without being shown, twice where it `is_new`.

    Raises: UsageError where both differ or nothing came.
    """
    if not os.isatty(0):
        line = read_line(0)
    else:
        line = _typed(f"{prompt}: ")
        if is_new and _typed(f"{prompt}, once more: ") != line:
            raise UsageError("the two are not the same", hint="once more, please")
    if not line:
        raise UsageError(
            "no secret came on standard input", hint="pipe it in, or name where it is kept: file:PATH"
        )
    return line


def read_line(descriptor: int) -> bytes:
    """One line without its end. What follows it stays where it is, for the next one to read."""
    line = bytearray()
    while len(line) < LONGEST_LINE_BYTES:
        byte = os.read(descriptor, 1)
        if byte in (b"", b"\n"):
            break
        line += byte
    return bytes(line).removesuffix(b"\r")


def _typed(prompt: str) -> bytes:
    sys.stdout.flush()
    # Not the other way round: what is typed as soon as the question appears must not be shown.
    with _without_echo(0):
        os.write(2, prompt.encode())
        line = read_line(0)
    os.write(2, b"\n")
    return line


@contextlib.contextmanager
def _without_echo(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def line_reader(lines: list[bytes]) -> Callable[[], bytes]:
    """Hands out the secrets that were read before the verb began, in their order."""

    def read() -> bytes:
        if not lines:
            raise UsageError("no secret came on standard input")
        return lines.pop(0)

    return read
