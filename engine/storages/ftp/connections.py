"""Logged-in connections to one server, each used by one call at a time, and made anew when they are lost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aioftp

from engine import errors
from engine.storages.ftp import failures
from engine.storages.ftp.client import Client

CONNECT_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 120.0
IDLE_S = 30.0
"""Servers end connections on which nothing happens; one that rested that long is asked whether it lives."""
CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how to log in."""

    host: str
    port: int
    user: str
    secret: str = field(repr=False)
    trust: ssl.SSLContext | None
    """None for plain FTP."""
    timeout_s: float = ANSWER_TIMEOUT_S
    """Without a byte."""


class Connections:
    """Whoever makes one closes it when no call is under way."""

    def __init__(self, server: Server, most: int) -> None:
        self._server = server
        self._slots = asyncio.Semaphore(most)
        self._idle: list[tuple[Client, float]] = []
        self._open = 0

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Client]:
        """A connection for one call. One whose call did not end in order is closed.

        Raises: StorageError.
        """
        client = await self._take()
        is_in_order = False
        try:
            yield client
            is_in_order = True
        except errors.StorageError:
            is_in_order = True
            raise
        except aioftp.AIOFTPException as error:
            is_in_order = failures.is_in_order(error)
            raise
        finally:
            if is_in_order:
                self._idle.append((client, asyncio.get_running_loop().time()))
            else:
                self._open -= 1
                client.close()
            self._slots.release()

    async def close(self) -> None:
        """Ends all connections."""
        for client, _ in self._idle:
            client.close()
            with contextlib.suppress(*failures.CAUGHT):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await client.stream.writer.wait_closed()
        self._idle.clear()

    async def _take(self) -> Client:
        while True:
            await self._slots.acquire()
            try:
                client = await self._living() or await self._connected()
            except BaseException:
                self._slots.release()
                raise
            if client is not None:
                return client
            # A server that allows fewer connections keeps this turn for good: the call waits for one of those that are open.

    async def _living(self) -> Client | None:
        """One that is open and answers."""
        while self._idle:
            client, since = self._idle.pop()
            if asyncio.get_running_loop().time() - since < IDLE_S:
                return client
            try:
                await client.command("NOOP", "2xx")
            except failures.CAUGHT:
                self._open -= 1
                client.close()
            else:
                return client
        return None

    async def _connected(self) -> Client | None:
        """A new one; None where the server takes no more of them beside those that are open. Raises: StorageError."""
        server = self._server
        failure = f"{server.host} could not be logged in to"
        client = Client(socket_timeout=server.timeout_s, connection_timeout=CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.connect(server.host, server.port)
                await self._secure(client)
                await client.login(server.user, server.secret)
                await client.command("TYPE I", "200")
        except failures.CAUGHT as error:
            client.close()
            if failures.code_of(error) == "421" and self._open:
                return None
            raise failures.translated(error, failure) from error
        except BaseException:
            client.close()
            raise
        self._open += 1
        return client

    async def _secure(self, client: Client) -> None:
        """Raises: StorageError where the server has no TLS: no login goes over the network for all to read."""
        if self._server.trust is None:
            return
        try:
            await client.upgrade_to_tls(self._server.trust)
        except aioftp.StatusCodeError as error:
            if failures.code_of(error) == "421":
                raise
            client.close()
            raise errors.StorageError(
                f"{self._server.host} offers no TLS, so that the login would be there for all to read",
                hint="say --plain where the network is your own",
            ) from error
