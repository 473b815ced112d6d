"""Connections that a host makes for us: SSH's direct-tcpip and direct-streamlocal channels (RFC 4254, 7.2; OpenSSH's PROTOCOL, 2.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from engine.errors import HoldfastError, HostError, HostUnreachableError
from engine.hosts.base import ByteStream
from engine.hosts.connecting import PairedStream, where
from engine.hosts.ssh.failures import translate


@asynccontextmanager
async def opened(
    host: str, connection: asyncssh.SSHClientConnection, address: str, port: int
) -> AsyncIterator[ByteStream]:
    """See `base.OpenHost.connect`."""
    try:
        if address.startswith("/"):
            reader, writer = await connection.open_unix_connection(address, encoding=None)
        else:
            reader, writer = await connection.open_connection(address, port, encoding=None)
    except asyncssh.ChannelOpenError as error:
        raise _refusal(error, host, address, port) from error
    except (asyncssh.Error, OSError) as error:
        raise translate(error, host) from error
    stream = PairedStream(reader, writer, (asyncssh.Error, OSError), lambda error: translate(error, host))
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
