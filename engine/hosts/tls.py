"""TLS over a `base.ByteStream`, which is no socket."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from engine.errors import ConnectionLostError, HostError
from engine.hosts.base import READ_BYTES, ByteStream


class TlsStream:
    """See `base.ByteStream`. Made by `secured`; the stream below it stays its owner's."""

    def __init__(self, below: ByteStream, context: ssl.SSLContext, server_name: str) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    async def handshake(self) -> None:
        """Raises: HostError, saying what is wrong with the certificate; ConnectionLostError."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._more():
                    raise ConnectionLostError("the connection ended while TLS began") from None
            except ssl.SSLError as error:
                await self._flush()
                raise HostError(f"TLS: {_words(error)}") from error
            else:
                await self._flush()
                return

    async def read(self) -> bytes:
        """See `base.ByteStream.read`. An end without a farewell is a loss."""
        while True:
            try:
                return self._object.read(READ_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._more():
                    raise ConnectionLostError("the connection ended without TLS's farewell") from None
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise ConnectionLostError(f"TLS: {_words(error)}") from error

    async def write(self, data: bytes) -> None:
        """See `base.ByteStream.write`."""
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise ConnectionLostError(f"TLS: {_words(error)}") from error
        await self._flush()

    async def _more(self) -> bool:
        data = await self._below.read()
        self._incoming.write(data)
        return bool(data)

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._below.write(self._outgoing.read())


HANDSHAKE_TIMEOUT_S: Final = 15.0


async def secured(below: ByteStream, context: ssl.SSLContext, server_name: str) -> TlsStream:
    """The same connection under TLS. Raises: HostError, ConnectionLostError."""
    stream = TlsStream(below, context, server_name)
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            await stream.handshake()
    except TimeoutError:
        raise ConnectionLostError("TLS did not begin in time") from None
    return stream


def context(mode: str, authorities: bytes) -> ssl.SSLContext:
    """For a mode of libpq's: `verify-full` checks certificate and name, `verify-ca` the certificate, any other neither.

    Raises: HostError for authorities (PEM) that cannot be read.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = mode == "verify-full"
    if not mode.startswith("verify"):
        made.verify_mode = ssl.CERT_NONE
        return made
    try:
        made.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except ssl.SSLError as error:
        raise HostError(f"the certificates that are trusted cannot be read: {_words(error)}") from error
    return made


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return error.reason or str(error)
