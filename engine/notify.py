"""What a service tells systemd: that it is ready, what it is at, that it lives. Source: sd_notify(3), "Notes".

Nothing happens where no supervisor asks for it. Nothing of this fails a service: a supervisor that does not listen is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping


class Notifier:
    """Writes datagrams to NOTIFY_SOCKET."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        """Silence for so long ends the service; None where nobody watches."""
        self._status = ""

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int | None = None) -> Notifier:
        """What the environment asks of this process. Only absolute paths and abstract names are sockets."""
        address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        watched = environment.get("WATCHDOG_PID", "") in ("", str(pid or os.getpid()))
        is_watched = microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0 and watched
        return cls(
            address if address[:1] in ("/", "@") else "", int(microseconds) / 1e6 if is_watched else None
        )

    def ready(self) -> None:
        """It does its work from now on."""
        self._send("READY=1")

    def stopping(self) -> None:
        """It takes nothing more."""
        self._send("STOPPING=1")

    def status(self, line: str) -> None:
        """What it is at, in one line; told when it changed."""
        if line != self._status:
            self._status = line
            self._send("STATUS=" + " ".join(line.split()))

    async def keep_watchdog(self, is_alive: Callable[[], bool]) -> None:
        """Says twice in each span of the watchdog that it lives, as long as that is so; for ever. Returns at once where nobody watches."""
        while self.watchdog_s is not None:
            if is_alive():
                self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.sendto(message.encode("utf-8", "backslashreplace"), self._address)
