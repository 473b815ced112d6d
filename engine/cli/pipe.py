"""Writing much to a descriptor without holding up the event loop: a signal must end a dump even while nobody reads it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterator

from engine.errors import HoldfastError


class ClosedPipeError(HoldfastError):
    """whoever read the output has gone away"""


class Pipe:
    """A descriptor that is written to. Made by `open_pipe`."""

    def __init__(self, descriptor: int, *, is_blocking: bool) -> None:
        self._descriptor = descriptor
        self._is_blocking = is_blocking

    async def write(self, data: bytes) -> None:
        """Writes all of it. Raises: ClosedPipeError; HoldfastError where it cannot be written."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await self._wait_writable()
            except BrokenPipeError as error:
                raise ClosedPipeError from error
            except OSError as error:
                raise HoldfastError(f"standard output cannot be written: {error.strerror}") from error
        if self._is_blocking:
            await asyncio.sleep(0)

    async def _wait_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable = asyncio.Event()
        loop.add_writer(self._descriptor, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(self._descriptor)


@contextlib.contextmanager
def open_pipe(descriptor: int) -> Iterator[Pipe]:
    """For a pipe or a terminal an opening of our own that does not block, for O_NONBLOCK on the one given would hit all who share it."""
    mode = os.fstat(descriptor).st_mode
    own = None
    if stat.S_ISFIFO(mode) or os.isatty(descriptor):
        with contextlib.suppress(OSError):
            own = os.open(
                f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            )
    try:
        yield Pipe(descriptor if own is None else own, is_blocking=own is None)
    except ClosedPipeError:
        # Who has read enough has what they wanted.
        return
    finally:
        if own is not None:
            os.close(own)
