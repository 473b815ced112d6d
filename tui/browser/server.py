"""The server: which addresses there are, who may ask for them, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import textual_serve
from aiohttp import WSCloseCode, web

from engine.errors import HoldfastError, UsageError
from tui.browser.door import UNKNOWN, Door
from tui.browser.session import Session, cells

ADDRESS: Final = "127.0.0.1"
MOST_CONSOLES: Final = 8
"""At once: each is a process of its own."""
_MOST_PASTED_BYTES: Final = 16 << 20
"""Of one message from a page; more ends its console."""
_HEARTBEAT_S: Final = 15.0
"""A page that does not answer so long is gone."""
_FAREWELL_S: Final = 1.0
"""So long a page may take to hear that it is over."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self';"
    " img-src 'self' data:; connect-src 'self' ws://{host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Nothing comes from elsewhere, nothing is kept, nobody else shows the page within theirs."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves consoles that are begun by `words`; `close` ends them all."""

    def __init__(self, words: Sequence[str], door: Door) -> None:
        self._words, self._door = words, door
        self._sockets: set[web.WebSocketResponse] = set()
        self._cookie = ""
        folder = files("tui.browser")
        self._page = folder.joinpath("page.html").read_text()
        self._style = folder.joinpath("page.css").read_text()
        self._keys = folder.joinpath("page.js").read_text()
        self._runner = web.AppRunner(self._make(), access_log=None, handle_signals=False)
        # The address of the first request holds the token: it is written nowhere.

    def _make(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.on_response_prepare.append(_harden)
        application.add_routes(
            [
                web.get("/", self._index),
                web.get("/page.css", self._styles),
                web.get("/page.js", self._script),
                web.get("/ws", self._console),
                web.static("/static", Path(textual_serve.__file__).parent / "static"),
            ]
        )
        return application

    async def open(self, port: int) -> str:
        """Begins to listen; gives the address with the token. Raises: HoldfastError where the port cannot be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, ADDRESS, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _untaken(port, error) from error
        taken = int(self._runner.addresses[0][1])
        self._cookie = f"holdfast-{taken}"
        return f"http://{ADDRESS}:{taken}/?token={self._door.token}"

    async def close(self) -> None:
        """Ends all consoles, and stops listening."""
        async with asyncio.TaskGroup() as tasks:
            for socket in self._sockets:
                if socket.prepared:
                    tasks.create_task(_close(socket))
        await self._runner.cleanup()

    # Who is let in.

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        door, origin = self._door, request.headers.get("Origin")
        given = request.query.get("token") if request.path == "/" else None
        if given is not None:
            reason = door.why_strange(request.host, origin) or ("" if door.is_token(given) else UNKNOWN)
            if not reason:
                return self._let_in()
        else:
            kept = request.cookies.get(self._cookie, "")
            reason = door.why_refused(request.host, origin, kept, needs_origin=request.path == "/ws")
        if reason:
            return web.Response(status=403, text=f"{reason}\n")
        return await handler(request)

    def _let_in(self) -> web.Response:
        """The cookie, and the address without the token, which so stays in no history."""
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(self._cookie, self._door.pass_, httponly=True, samesite="Strict", path="/")
        return response

    # What there is.

    async def _index(self, request: web.Request) -> web.Response:
        page = self._page.replace("{{websocket}}", f"ws://{request.host}/ws")
        return web.Response(text=page, content_type="text/html")

    async def _styles(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css")

    async def _script(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._keys, content_type="text/javascript")

    async def _console(self, request: web.Request) -> web.StreamResponse:
        if len(self._sockets) >= MOST_CONSOLES:
            return web.Response(status=503, text=f"{MOST_CONSOLES} consoles are open: close one\n")
        socket = web.WebSocketResponse(
            timeout=_FAREWELL_S, heartbeat=_HEARTBEAT_S, max_msg_size=_MOST_PASTED_BYTES
        )
        self._sockets.add(socket)
        try:
            await socket.prepare(request)
            query = request.query
            await Session(self._words, socket).hold(
                cells(query.get("width"), 80), cells(query.get("height"), 24)
            )
        finally:
            self._sockets.discard(socket)
        return socket


async def _close(socket: web.WebSocketResponse) -> None:
    await socket.close(code=WSCloseCode.GOING_AWAY)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    host = request.host if all(each.isalnum() or each in ".:-[]" for each in request.host) else ADDRESS
    for name, value in _HEADERS.items():
        response.headers[name] = value.replace("{host}", host)


def _untaken(port: int, error: OSError) -> HoldfastError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} of {ADDRESS} is taken", hint="--port N names another one, --port 0 takes any"
        )
    return UsageError(
        f"port {port} of {ADDRESS} cannot be had: {error.strerror}", hint="--port N names another one"
    )


async def serve(words: Sequence[str], port: int) -> int:
    """Serves consoles that are begun by `words` until ctrl+c, SIGTERM or SIGHUP; returns the exit code. Raises: HoldfastError."""
    server, ended = Server(words, Door()), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    address = await server.open(port)
    try:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stderr.write(
            "holdfast: whoever has this address is you: keep it; ctrl+c ends the server, its consoles with it, and no job\n"
        )
        await ended.wait()
    finally:
        await server.close()
    return 0
