"""aioftp's client, with data connections whose TLS begins when the server is told what they are for.

aioftp shakes hands before it sends the command, and waits for ever where a server, such as vsftpd, takes the connection only then. Source:
RFC 4217 section 12.4.
"""

from __future__ import annotations

import asyncio
import errno
import ssl

import aioftp
from aioftp.client import DataConnectionThrottleStreamIO
from aioftp.common import SSLSessionBoundContext

MOST_LINES = 1000
"""Of one answer; each is of 64 KiB at most."""


class Client(aioftp.Client):
    """One connection for commands."""

    _lines = 0

    async def parse_response(self) -> tuple[aioftp.Code, list[str]]:
        """An answer, which ends."""
        self._lines = 0
        return await super().parse_response()

    async def parse_line(self) -> tuple[aioftp.Code, str]:
        """A line of an answer. Raises: ConnectionResetError also where there are too many of them."""
        self._lines += 1
        if self._lines > MOST_LINES:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, f"an answer of over {MOST_LINES} lines")
        return await super().parse_line()

    async def transfer(self, command: str, offset: int = 0) -> DataConnectionThrottleStreamIO:
        """A data connection for the command, at that offset in bytes; whoever asked for it finishes or closes it.

        Raises: what aioftp raises.
        """
        reader, writer = await self.get_passive_connection()
        try:
            if offset:
                await self.command(f"REST {offset}", "350")
            await self.command(command, "1xx")
            secured = self.stream.writer.get_extra_info("ssl_object")
            if secured is not None:
                # Many servers want proof that it is the same client: the session of the connection for commands.
                bound = SSLSessionBoundContext(
                    ssl.PROTOCOL_TLS_CLIENT, context=secured.context, session=secured.session
                )
                async with asyncio.timeout(self.connection_timeout):
                    await writer.start_tls(bound, server_hostname=self.server_host)
        except BaseException:
            writer.close()
            raise
        return DataConnectionThrottleStreamIO(
            self, reader, writer, throttles={"_": self.throttle}, timeout=self.socket_timeout
        )

    async def _open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Without TLS, which comes later."""
        async with asyncio.timeout(self.connection_timeout):
            return await asyncio.open_connection(host, port)
