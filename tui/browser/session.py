"""One console in one page: a child process between its pipes and a websocket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from tui.start import LOCAL_FPS

_BEGINS: Final = b"__GANGLION__\n"
"""What the driver writes before its first packet."""
_MOST_PACKET_BYTES: Final = 64 << 20
_MOST_SAID_BYTES: Final = 8192
"""Kept of what the child writes to its standard error."""
_ENDING_S: Final = 5.0
"""So long a child has for its end, before it is killed: no job runs in it."""
_MOST_CELLS: Final = 1000
_NOT_PASSED_ON: Final = ("TMUX", "STY", "TEXTUAL", "TEXTUAL_LOG")
"""Of the server's own terminal, which is not the page's."""


class Session(AppService):
    """A child. `start` is not used, nor `run`: `hold` begins it, and ends it."""

    def __init__(self, words: Sequence[str], socket: web.WebSocketResponse) -> None:
        super().__init__(
            "",
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=socket.close,  # type: ignore[arg-type]
            download_manager=DownloadManager(),
        )
        self._words, self._socket = words, socket

    async def hold(self, width: int, height: int) -> None:
        """Runs the console until it ends, or the page is gone; the child is gone when this returns."""
        process = await self._begin(width, height)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._show(process))
                try:
                    await self._listen()
                finally:
                    await _end(self, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _begin(self, width: int, height: int) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment(os.environ, width, height),
            start_new_session=True,
        )  # fmt: skip
        self._stdin = process.stdin
        return process

    # From the child to the page.

    async def _show(self, process: Process) -> None:
        """Passes on what the child draws; what it says in place of that (a catalog that cannot be used) stands in the page."""
        assert process.stdout is not None
        assert process.stderr is not None
        said = bytearray()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_keep(process.stderr, said))
            has_begun = await process.stdout.readline() == _BEGINS
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while has_begun:
                    await self._pass_on(process.stdout)
            while await process.stdout.read(
                65536
            ):  # the page is gone: nobody reads on, and the child must not wait for that
                pass
        with contextlib.suppress(ConnectionError):
            if not has_begun:
                await self.remote_write_bytes(bytes(said).replace(b"\n", b"\r\n"))
            await self._socket.close()

    async def _pass_on(self, stream: asyncio.StreamReader) -> None:
        kind, size = await stream.readexactly(1), int.from_bytes(await stream.readexactly(4), "big")
        if size > _MOST_PACKET_BYTES:
            raise asyncio.IncompleteReadError(b"", size)
        payload = await stream.readexactly(size)
        take = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}.get(kind)
        if take is not None:
            await take(payload)

    # From the page to the child.

    async def _listen(self) -> None:
        """Passes on what the page sends, until it is gone; what is none of its messages is left out."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            with contextlib.suppress(ValueError, TypeError, KeyError, IndexError):
                kind, *content = message.json()
                await self._take(kind, content)

    async def _take(self, kind: str, content: Sequence[Any]) -> None:
        if kind == "stdin":
            await self.send_bytes(
                content[0].encode("utf-8", "replace") if isinstance(content[0], str) else b""
            )
        elif kind == "resize":
            await self.set_terminal_size(cells(content[0]["width"], 80), cells(content[0]["height"], 24))
        elif kind == "ping":
            await self._socket.send_json(["pong", content[0]])


def cells(given: object, usual: int) -> int:
    """A width or a height that a page may ask for."""
    try:
        return max(1, min(int(str(given)), _MOST_CELLS))
    except ValueError:
        return usual


def environment(base: Mapping[str, str], width: int, height: int) -> dict[str, str]:
    """What a child finds in its environment. No secret of the door is there."""
    return {
        "TEXTUAL_FPS": LOCAL_FPS,
        **{name: value for name, value in base.items() if name not in _NOT_PASSED_ON},
        "TEXTUAL_DRIVER": "tui.browser.driver:BrowserDriver",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "COLORTERM": "truecolor",
        "TERM": "xterm-256color",
        "COLUMNS": str(width),
        "ROWS": str(height),
    }


async def _keep(stream: asyncio.StreamReader, said: bytearray) -> None:
    while data := await stream.read(4096):
        said += data[: _MOST_SAID_BYTES - len(said)]


async def _end(session: Session, process: Process) -> None:
    """Asks the child to end, and waits for it, not for ever."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_ENDING_S):
            await session.send_meta({"type": "quit"})
            assert process.stdin is not None
            process.stdin.close()  # one that did not come so far as to read packets ends by this
            await process.wait()
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
        await process.wait()
