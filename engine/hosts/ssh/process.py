"""A command that runs on a host behind SSH.

A session of our own and not asyncssh's streams: standard error is taken in the callback, so that it can never fill the window and stop
standard output, and what lies ready is handed out in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncssh

from engine.errors import ConnectionLostError
from engine.hosts.base import READ_BYTES, Exit
from engine.hosts.script import KILL_AFTER_S
from engine.hosts.ssh import receiving, sending
from engine.hosts.ssh.unread import Unread
from engine.hosts.stderr import StandardError

HELD_BYTES = 4 * READ_BYTES
"""With so much unread we open the window no more, until half of it is read; up to one window of 8 MiB comes still, and then the host stops."""
CLOSE_TIMEOUT_S = KILL_AFTER_S + 2
"""How long leaving waits for the host to say that the command is gone."""


class Session(asyncssh.SSHClientSession[bytes]):
    """What asyncssh calls as things arrive; one for each command."""

    def __init__(self) -> None:
        self.channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.stderr = StandardError()
        self.status: int | None = None
        self.signal: str | None = None
        self.lost: Exception | None = None
        self.is_closed = False
        self._unread = Unread()
        self._is_paused = False
        self._has_ended = False
        self._news = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._closed = asyncio.Event()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open."""
        self.channel = chan
        sending.shorten(chan)

    def data_received(self, data: bytes | memoryview, datatype: int | None) -> None:
        """Takes bytes of standard output or standard error, and keeps none of `data` itself."""
        if datatype is not None:
            self.stderr.feed(bytes(data))
            return
        self._unread.put(data)
        self._news.set()
        if self._unread.held_bytes >= HELD_BYTES:
            self._pause()

    def eof_received(self) -> bool:
        """Standard output and error have ended. True keeps our half open, because the life line must hold until the command ends."""
        self._has_ended = True
        self._news.set()
        return True

    def exit_status_received(self, status: int) -> None:
        """The command ended by itself."""
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """The command was killed."""
        self.signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed; with an exception where the connection is gone too."""
        self.lost = exc
        self.is_closed = True
        self.stderr.finish()
        self._news.set()
        self._may_write.set()
        self._closed.set()

    def pause_writing(self) -> None:
        """The host is not reading."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The host reads again."""
        self._may_write.set()

    @property
    def has_result(self) -> bool:
        """Whether the host said how the command ended, or at least that its output is over."""
        return self._has_ended or self.status is not None or self.signal is not None

    async def next_piece(self) -> bytes:
        """What lies ready, up to 1 MiB; empty at the end or after a loss: the caller looks which."""
        await self._wait_unread()
        piece = self._unread.take()
        self._go_on()
        return piece

    async def next_into(self, room: memoryview) -> int:
        """As `next_piece`, but into `room`; returns how many bytes."""
        await self._wait_unread()
        count = self._unread.take_into(room)
        self._go_on()
        return count

    async def wait_writable(self) -> None:
        """Waits while the host does not read."""
        await self._may_write.wait()

    async def wait_closed(self) -> None:
        """Waits for the end of the channel."""
        await self._closed.wait()

    async def _wait_unread(self) -> None:
        while not self._unread.held_bytes and not self._has_ended and not self.is_closed:
            self._news.clear()
            await self._news.wait()

    def _go_on(self) -> None:
        if self._is_paused and self._unread.held_bytes < HELD_BYTES / 2:
            self._resume()

    def _pause(self) -> None:
        if not self._is_paused and self.channel is not None:
            self._is_paused = True
            self.channel.pause_reading()

    def _resume(self) -> None:
        # asyncssh opens the window again by all that has come, whether we took it or not. So all that it kept is taken at once (we do
        # not pause again meanwhile, since `_is_paused` holds), or each time it would keep some more, without end.
        if self.channel is not None and not self.is_closed:
            receiving.resume(self.channel)
        self._is_paused = False
        if self._unread.held_bytes >= HELD_BYTES:
            self._pause()


class SshProcess:
    """See `base.Process`. `end` must be awaited."""

    def __init__(self, host: str, program: str, session: Session, *, is_stream: bool) -> None:
        self._host = host
        self._program = program
        self._session = session
        self._is_stream = is_stream
        self._is_input_closed = False

    async def read(self) -> bytes:
        """See `base.Process.read`."""
        piece = await self._session.next_piece()
        if not piece:
            self._require_connection()
        return piece

    async def read_into(self, room: memoryview) -> int:
        """See `base.DirectProcess.read_into`."""
        count = await self._session.next_into(room[:READ_BYTES])
        if not count:
            self._require_connection()
        return count

    async def write(self, data: bytes) -> None:
        """See `base.Process.write`."""
        if not self._is_stream or self._is_input_closed:
            raise BrokenPipeError("the command takes no input")
        view = memoryview(data)
        for begin in range(0, len(view), READ_BYTES):
            await self._session.wait_writable()
            self.send(bytes(view[begin : begin + READ_BYTES]))
        await self._session.wait_writable()

    def send(self, data: bytes) -> None:
        """Hands bytes to the channel without waiting. Raises: ConnectionLostError, BrokenPipeError."""
        channel = self._session.channel
        if self._session.is_closed or channel is None:
            self._require_connection()
            raise BrokenPipeError("the command has ended")
        channel.write(data)

    async def close_input(self) -> None:
        """See `base.Process.close_input`. Without a stream it does nothing, because the life line must hold."""
        if self._is_stream and not self._is_input_closed:
            self._is_input_closed = True
            if self._session.channel is not None and not self._session.is_closed:
                self._session.channel.write_eof()

    def stderr_lines(self) -> AsyncIterator[bytes]:
        """See `base.Process.stderr_lines`."""
        return self._session.stderr.lines()

    async def wait(self) -> Exit:
        """See `base.Process.wait`. A connection that is cut before the status came gives an Exit without one."""
        await self._session.wait_closed()
        status = None if self._session.signal else self._session.status
        return Exit(status, self._session.signal, self._session.stderr.tail)

    async def end(self) -> None:
        """Closes the channel, by which the guard ends the command, and waits a little for the host to say that it is gone."""
        channel = self._session.channel
        if channel is None or self._session.is_closed:
            return
        if self._is_stream and self._session.status is None:
            # No guard watches here. sshd passes a signal on for ordinary users, and ignores it for root.
            channel.terminate()
        channel.abort()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S if not self._is_stream else 1):
                await self._session.wait_closed()
        except TimeoutError:
            return

    def _require_connection(self) -> None:
        """Raises: ConnectionLostError where the channel ended by a loss, or without the host saying that the output is over."""
        session = self._session
        if session.lost is not None or (session.is_closed and not session.has_result):
            raise ConnectionLostError(
                f"the connection to {self._host} was lost while {self._program} was running"
            ) from session.lost
