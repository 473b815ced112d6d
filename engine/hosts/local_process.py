"""A command that runs on this machine, on pipes of our own.

The pipes are read and written without a thread and without asyncio's stream buffers: a reader that finds bytes takes up to 256 KiB of them
in one call, and one that does not read stops the command by a full pipe. Measured on 2 cores with `cat` of 1 GiB from tmpfs: see
tests/bench/hosts.py. Linux only (pidfd, F_SETPIPE_SZ).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from engine.errors import HostError
from engine.hosts.base import READ_BYTES, Exit
from engine.hosts.script import KILL_AFTER_S, SHELL
from engine.hosts.stderr import StandardError

PIPE_BYTES = 1 << 20
"""Size of a pipe: Linux grants an ordinary user this much (fs.pipe-max-size) until he holds 64 MiB of pipes."""
LOCAL_READ_BYTES = 256 << 10
"""Asked for at once: with 1 MiB each read's buffer is fresh memory, and its page faults cost more than the larger read saves (measured)."""
BULK_BYTES = 1 << 20
"""From here on a stream is long, and what counts is the cost of a byte, not the time to the next one."""
FEW_BYTES = 64 << 10
MANY_BYTES = 512 << 10
"""Where fewer come between two waits we let them gather longer, where more come less long; a pipe holds 1 MiB."""
SHORTEST_GATHERING_S = 0.001
LONGEST_GATHERING_S = 0.01
STDERR_READ_BYTES = 64 << 10


class LocalProcess:
    """See `base.Process`. Made by `start`; `end` must be awaited."""

    def __init__(
        self, popen: subprocess.Popen[bytes], pipes: tuple[int, int, int], *, is_stream: bool
    ) -> None:
        self._popen = popen
        self._is_stream = is_stream
        self._input: int | None = pipes[0]
        self._output: int | None = pipes[1]
        self._error: int | None = pipes[2]
        self._stderr = StandardError()
        self._received_bytes = 0
        self._received_before = 0
        self._gathering_s = 0.0
        self._has_exited = asyncio.Event()
        self._exit: Exit | None = None
        self._loop = asyncio.get_running_loop()
        for pipe in pipes:
            os.set_blocking(pipe, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)
        self._loop.add_reader(pipes[2], self._on_stderr)

    async def read(self) -> bytes:
        """See `base.Process.read`."""
        while self._output is not None:
            try:
                piece = os.read(self._output, LOCAL_READ_BYTES)
            except BlockingIOError:
                await self._wait_output(self._output)
            else:
                self._received_bytes += len(piece)
                return piece
        return b""

    async def read_into(self, room: memoryview) -> int:
        """See `base.DirectProcess.read_into`."""
        while self._output is not None:
            try:
                count = os.readv(self._output, (room[:READ_BYTES],))
            except BlockingIOError:
                await self._wait_output(self._output)
            else:
                self._received_bytes += count
                return count
        return 0

    async def write(self, data: bytes) -> None:
        """See `base.Process.write`."""
        if not self._is_stream:
            raise BrokenPipeError("the command takes no input")
        rest = memoryview(data)
        while rest:
            if self._input is None:
                raise BrokenPipeError("the input is closed")
            try:
                rest = rest[os.write(self._input, rest) :]
            except BlockingIOError:
                await self._wait_ready(self._loop.add_writer, self._loop.remove_writer, self._input)

    async def close_input(self) -> None:
        """See `base.Process.close_input`. Without a stream it does nothing, because the life line must hold."""
        if self._is_stream:
            self._close_input()

    def stderr_lines(self) -> AsyncIterator[bytes]:
        """See `base.Process.stderr_lines`."""
        return self._stderr.lines()

    async def wait(self) -> Exit:
        """See `base.Process.wait`."""
        await self._has_exited.wait()
        if self._exit is None:
            self._exit = self._ended()
        return self._exit

    async def end(self) -> None:
        """Ends the whole process group: TERM, and KILL where that did not do. Then reaps it and closes the pipes."""
        try:
            self._close_input()
            self._close_output()
            if not self._has_exited.is_set():
                self._signal(signal.SIGTERM)
                await self._wait_exit(KILL_AFTER_S)
            # The leader is not reaped yet, so the group's number cannot be anybody else's.
            self._signal(signal.SIGKILL)
            await self._wait_exit(KILL_AFTER_S)
            if self._has_exited.is_set():
                await self.wait()
        finally:
            self._close_output()
            self._close_error()
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            if self._has_exited.is_set():
                self._popen.wait()

    def send_preamble(self, data: bytes) -> None:
        """Writes the secrets, which must fit the empty pipe at once."""
        if data and self._input is not None and os.write(self._input, data) != len(data):
            raise HostError("the secrets of a command are too long")

    async def _wait_output(self, pipe: int) -> None:
        await self._wait_ready(self._loop.add_reader, self._loop.remove_reader, pipe)
        await self._gather()

    async def _gather(self) -> None:
        """Lets a pipe that was empty fill a little: find and tar write a few KiB at a time, and waking for each costs more than reading them."""
        if self._received_bytes < BULK_BYTES:
            return
        came, self._received_before = self._received_bytes - self._received_before, self._received_bytes
        if came < FEW_BYTES:
            self._gathering_s = min(max(2 * self._gathering_s, SHORTEST_GATHERING_S), LONGEST_GATHERING_S)
        elif came > MANY_BYTES:
            self._gathering_s = self._gathering_s / 2 if self._gathering_s > SHORTEST_GATHERING_S else 0.0
        if self._gathering_s:
            await asyncio.sleep(self._gathering_s)

    async def _wait_exit(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_exited.wait()

    async def _wait_ready(self, add: Callable[..., Any], remove: Callable[[int], bool], pipe: int) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        add(pipe, _set_done, ready)
        try:
            await ready
        finally:
            remove(pipe)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._has_exited.set()

    def _on_stderr(self) -> None:
        if self._error is None:
            return
        try:
            data = os.read(self._error, STDERR_READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._stderr.feed(data)
        else:
            self._close_error()

    def _ended(self) -> Exit:
        """How it ended, read without reaping. What a stray child may still say later is not waited for."""
        while self._error is not None:
            before = self._stderr.fed_bytes
            self._on_stderr()
            if self._stderr.fed_bytes == before:
                break
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
        if result is None:  # pragma: no cover - waitid without WNOHANG has a result
            raise HostError("a process ended without a status")
        if result.si_code == os.CLD_EXITED:
            return Exit(result.si_status, None, self._stderr.tail)
        return Exit(None, signal.Signals(result.si_status).name.removeprefix("SIG"), self._stderr.tail)

    def _signal(self, number: signal.Signals) -> None:
        # Another user's processes are out of our reach: their own guard ends them, since their standard input is closed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def _close_input(self) -> None:
        if self._input is not None:
            pipe, self._input = self._input, None
            os.close(pipe)

    def _close_output(self) -> None:
        if self._output is not None:
            pipe, self._output = self._output, None
            os.close(pipe)

    def _close_error(self) -> None:
        self._stderr.finish()
        if self._error is not None:
            pipe, self._error = self._error, None
            self._loop.remove_reader(pipe)
            os.close(pipe)


def start(script: bytes, environment: Mapping[str, str], *, is_stream: bool) -> LocalProcess:
    """Starts the script in a session of its own. Blocks for the milliseconds of a fork. Raises: HostError."""
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for is_input in (True, False, False):
            read_end, write_end = os.pipe()
            ours.append(write_end if is_input else read_end)
            theirs.append(read_end if is_input else write_end)
        popen = subprocess.Popen(
            [SHELL, b"-c", script],
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=theirs[2],
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        for pipe in ours:
            os.close(pipe)
        raise HostError(f"this machine could not start a command: {error.strerror}") from error
    finally:
        for pipe in theirs:
            os.close(pipe)
    return LocalProcess(popen, (ours[0], ours[1], ours[2]), is_stream=is_stream)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
