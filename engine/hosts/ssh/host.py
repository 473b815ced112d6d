"""A host behind SSH."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import asyncssh

from engine.errors import HostError
from engine.hosts import options, script
from engine.hosts.base import ByteStream, Command, FileAccess, HostKey, Process, ResolveSecret
from engine.hosts.decompress import DecompressedProcess
from engine.hosts.running import CommandHost
from engine.hosts.ssh import forwarding, writing
from engine.hosts.ssh.connect import Connector
from engine.hosts.ssh.failures import translate
from engine.hosts.ssh.process import Session, SshProcess
from engine.model.definitions import Host

DEFAULT_CHANNELS = 8
"""OpenSSH's own MaxSessions is 10 a connection; two are left for others."""
MOST_CONNECTIONS = 4
"""Where a server allows fewer sessions than we want at once, further connections are made, up to this many."""
SLOW_BYTES_PER_S = 110 << 20
"""At 1 Gbit/s and below remote `zstd -1` moves more text than the bare link: 143 against 99 MiB/s (measured, transport notes 1.4)."""
MEASURED_S = 1.0
_MEASURED = Command(("head", "-c", str(32 << 20), "/dev/zero"))


class SshHost(CommandHost):
    """See `base.OpenHost`."""

    def __init__(self, definition: Host, connector: Connector, stack: AsyncExitStack) -> None:
        given = options.Reader(definition)
        super().__init__(definition.name, given, DEFAULT_CHANNELS)
        self._connector = connector
        self._stack = stack
        self._is_gentle = given.flag("nice", default=True)
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._connecting = asyncio.Lock()
        self._compression = given.choice("compress", ("auto", "always", "never"))
        self._is_slow: bool | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, definition: Host, *, resolve_secret: ResolveSecret, environment: Mapping[str, str]
    ) -> AsyncIterator[SshHost]:
        """Connects, with the host's key checked, and logs in. Leaving closes all channels and connections. Raises: HostError and those below it."""
        async with AsyncExitStack() as stack:
            host = cls(definition, Connector(definition, resolve_secret, environment), stack)
            await host._connect()
            yield host

    @property
    def is_here(self) -> bool:
        """See `base.OpenHost.is_here`. Never, whatever its address."""
        return False

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """See `base.OpenHost.start`."""
        return self._start(command)

    def files(self) -> AbstractAsyncContextManager[FileAccess]:
        """See `base.OpenHost.files`: SFTP."""
        return self._files()

    def connect(self, address: str, port: int = 0) -> AbstractAsyncContextManager[ByteStream]:
        """See `base.OpenHost.connect`: a channel of SSH's own kind for it, which counts as no session."""
        return self._connect_to(address, port)

    @asynccontextmanager
    async def _connect_to(self, address: str, port: int) -> AsyncIterator[ByteStream]:
        connection = await self._live_connection()
        async with forwarding.opened(self.name, connection, address, port) as stream:
            yield stream

    @asynccontextmanager
    async def _start(self, command: Command) -> AsyncIterator[Process]:
        command = self._completed(command)
        preamble = script.preamble(command)
        is_compressed = command.compress and await self._is_worth_compressing()
        line = script.remote_line(
            script.compose(command, is_gentle=self._is_gentle, is_compressed=is_compressed)
        )
        async with self._channels:
            session = Session()
            process = SshProcess(self.name, command.program, session, is_stream=command.input == "stream")
            try:
                await self._open_session(session, line, command.window_bytes)
                if preamble:
                    process.send(preamble)
                yield DecompressedProcess(self.name, command.program, process) if is_compressed else process
            finally:
                await process.end()

    async def link_speed(self) -> float:
        """Bytes a second from the host to us, with SSH's own cost, over the second half of what comes within a second: the first
        half is TCP still gathering way."""
        loop = asyncio.get_running_loop()
        arrived = [(loop.time(), 0)]
        async with self.start(_MEASURED) as process:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MEASURED_S):
                    while piece := await process.read():
                        arrived.append((loop.time(), arrived[-1][1] + len(piece)))
        end, total = arrived[-1]
        begin, before = next(mark for mark in arrived if mark[1] >= total / 2)
        return (total - before) / max(end - begin, 1e-6)

    async def _is_worth_compressing(self) -> bool:
        """Whether remote zstd is there and, where the host's option is `auto`, the link so slow that it pays. Measured once."""
        if self._compression == "never" or "zstd" not in (await self.facts()).tools:
            return False
        if self._compression == "always":
            return True
        async with self._asking:
            if self._is_slow is None:
                self._is_slow = await self.link_speed() < SLOW_BYTES_PER_S
            return self._is_slow

    @asynccontextmanager
    async def _files(self) -> AsyncIterator[FileAccess]:
        async with self._channels:
            connection = await self._live_connection()
            async with writing.opened(self.name, connection) as access:
                yield access

    async def _open_session(self, session: Session, line: bytes, window_bytes: int) -> None:
        """Opens a channel on the first connection that has room; makes another where a server allows few sessions on one."""
        tried: list[asyncssh.SSHClientConnection] = []
        while True:
            connection = await self._live_connection(besides=tried)
            try:
                # asyncssh's type asks for str, its packets take bytes as they are: so words that are not UTF-8 arrive unchanged.
                await connection.create_session(lambda: session, line, window=window_bytes, encoding=None)  # type: ignore[arg-type]
            except asyncssh.ChannelOpenError as error:
                if session.channel is not None or (connection.is_closed() and len(tried) >= MOST_CONNECTIONS):
                    raise translate(error, self.name) from error
                tried.append(connection)
            except (asyncssh.Error, OSError) as error:
                raise translate(error, self.name) from error
            else:
                return

    async def _live_connection(
        self, besides: list[asyncssh.SSHClientConnection] | None = None
    ) -> asyncssh.SSHClientConnection:
        """A connection that is open and not among those tried; made anew where none is left. Raises: HostError when there are enough."""
        full = besides or []
        async with self._connecting:
            self._connections = [one for one in self._connections if not one.is_closed()]
            for connection in self._connections:
                if connection not in full:
                    return connection
            if len(self._connections) >= MOST_CONNECTIONS:
                raise HostError(
                    f"{self.name} allows too few sessions at once",
                    hint="lower max_channels of the host, or raise MaxSessions of its sshd",
                )
            return await self._connect()

    async def _connect(self) -> asyncssh.SSHClientConnection:
        connection = await self._stack.enter_async_context(self._connector.connection())
        self._connections.append(connection)
        return connection


async def fetch_host_key(
    definition: Host, *, resolve_secret: ResolveSecret, environment: Mapping[str, str]
) -> HostKey:
    """The key that the host shows now, for a person to look at before it is accepted. Does not log in to it. Raises: HostError."""
    return await Connector(definition, resolve_secret, environment).fetch_host_key()
