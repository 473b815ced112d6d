"""SFTP sessions on one connection to the host, each used by one call at a time, and made anew when they are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncssh
from asyncssh.constants import OPEN_REQUEST_SESSION_FAILED

from engine import errors
from engine.hosts.ssh import sending
from engine.hosts.ssh.connect import Connector
from engine.storages.sftp import failures

START_TIMEOUT_S = 30.0


class Channels:
    """Whoever makes one closes it when no call is under way; a connection that is lost is made anew by the next call."""

    def __init__(self, connector: Connector, host: str, most: int) -> None:
        self._connector = connector
        self._host = host
        self._slots = asyncio.Semaphore(most)
        self._idle: list[asyncssh.SFTPClient] = []
        self._alive: set[asyncssh.SFTPClient] = set()
        self._connecting = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[asyncssh.SFTPClient]:
        """A session for one call. One whose call did not end in order is closed, and with it all that the call left open.

        Raises: StorageError, ConfigurationError.
        """
        client = await self._take()
        is_in_order = False
        try:
            yield client
            is_in_order = True
        except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost, asyncssh.SFTPBadMessage):
            raise
        except (asyncssh.SFTPError, errors.StorageError):
            is_in_order = True
            raise
        finally:
            if is_in_order and client in self._alive:
                self._idle.append(client)
            else:
                self._alive.discard(client)
                client.exit()
            self._slots.release()

    async def close(self) -> None:
        """Ends all sessions and the connection."""
        for client in self._idle:
            client.exit()
        self._idle.clear()
        self._alive.clear()
        self._connection = None
        await self._stack.aclose()

    async def _take(self) -> asyncssh.SFTPClient:
        while True:
            await self._slots.acquire()
            try:
                client = await self._session()
            except BaseException:
                self._slots.release()
                raise
            if client is not None:
                return client
            # A server that allows fewer sessions keeps this turn for good: the call waits for one of those that are open.

    async def _session(self) -> asyncssh.SFTPClient | None:
        """One that is open or can be opened; None where the server opens no more of them. Raises: StorageError, ConfigurationError."""
        connection = await self._connected()
        if self._idle:
            return self._idle.pop()
        failure = f"{self._host} opens no SFTP session"
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                client = await connection.start_sftp_client(path_encoding=None)
        except asyncssh.ChannelOpenError as error:
            if self._alive and not connection.is_closed():
                return None
            if error.code == OPEN_REQUEST_SESSION_FAILED and not connection.is_closed():
                hint = "its sshd_config needs a line `Subsystem sftp internal-sftp`"
                raise errors.StorageError(failure, hint=hint) from error
            raise failures.translated(error, failure) from error
        except (asyncssh.Error, OSError) as error:
            raise failures.translated(error, failure) from error
        writer = getattr(getattr(client, "_handler", None), "_writer", None)
        if writer is not None:
            sending.shorten(writer.channel)
        self._alive.add(client)
        return client

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                await self.close()
                try:
                    self._connection = await self._stack.enter_async_context(self._connector.connection())
                except errors.HostError as error:
                    raise failures.of_host(error) from error
            return self._connection
