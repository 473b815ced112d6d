"""Connections that a host makes for us: SSH's direct-tcpip and direct-streamlocal channels (RFC 4254, 7.2; OpenSSH's PROTOCOL, 2.4).

By the session that commands have, and not asyncssh's streams: it takes the short way from the socket (receiving.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from engine.errors import ConnectionLostError, HoldfastError, HostError, HostUnreachableError
from engine.hosts.base import ByteStream
from engine.hosts.connecting import CLOSE_TIMEOUT_S, where
from engine.hosts.ssh.failures import translate, translated
from engine.hosts.ssh.process import Session


class _Forwarded:
    """See `base.ByteStream`."""

    def __init__(self, host: str, session: Session) -> None:
        self._host = host
        self._session = session

    async def read(self) -> bytes:
        """See `base.ByteStream.read`."""
        piece = await self._session.next_piece()
        if not piece and not self._session.has_result:
            raise self._lost()
        return piece

    async def write(self, data: bytes) -> None:
        """See `base.ByteStream.write`."""
        if self._session.channel is None or self._session.is_closed:
            raise self._lost()
        with translated(self._host):
            self._session.channel.write(data)
        await self._session.wait_writable()

    async def close(self) -> None:
        """Ends it, and waits a while until the host knows."""
        if self._session.channel is not None and not self._session.is_closed:
            with contextlib.suppress(TimeoutError, HoldfastError), translated(self._host):
                self._session.channel.close()
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._session.wait_closed()

    def _lost(self) -> HoldfastError:
        lost = self._session.lost
        return (
            translate(lost, self._host)
            if lost is not None
            else ConnectionLostError(f"the connection to {self._host} was lost")
        )


@asynccontextmanager
async def opened(
    host: str, connection: asyncssh.SSHClientConnection, address: str, port: int
) -> AsyncIterator[ByteStream]:
    """See `base.OpenHost.connect`."""
    session: Any = Session()
    try:
        if address.startswith("/"):
            await connection.create_unix_connection(lambda: session, address)
        else:
            await connection.create_connection(lambda: session, address, port)
    except asyncssh.ChannelOpenError as error:
        raise _refusal(error, host, address, port) from error
    except (asyncssh.Error, OSError) as error:
        raise translate(error, host) from error
    stream = _Forwarded(host, session)
    try:
        yield stream
    finally:
        await stream.close()


def _refusal(error: asyncssh.ChannelOpenError, host: str, address: str, port: int) -> HoldfastError:
    """OpenSSH tells for ports alone whether it would not, or could not."""
    is_socket = address.startswith("/")
    options = "AllowTcpForwarding and AllowStreamLocalForwarding" if is_socket else "AllowTcpForwarding"
    hint = f"its sshd_config must let this account through ({options}), and its authorized_keys must not forbid port forwarding"
    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return HostError(f"{host} lets nobody through to {where(address, port)}: {error.reason}", hint=hint)
    if error.code == asyncssh.OPEN_CONNECT_FAILED:
        return HostUnreachableError(
            f"nothing answers at {where(address, port)} on {host}: {error.reason}",
            hint=f"is the server up? If so, {hint}" if is_socket else None,
        )
    return translate(error, host)
