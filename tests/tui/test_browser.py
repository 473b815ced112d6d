"""The console in a browser: a real server, a real client, and everybody who is not let in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pyte
import pytest

from tests.tui.homes import copy_home

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


@dataclass(slots=True)
class Page:
    """What a browser would show of one websocket."""

    socket: aiohttp.ClientWebSocketResponse
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(80, 24))

    async def sees(self, *texts: str) -> str:
        """Waits until all these texts are on the screen. Raises: AssertionError where the socket closes before."""
        await self._until(lambda: all(each in self.text for each in texts))
        return self.text

    async def ends(self) -> None:
        """Waits until the server closes it."""
        await self._until(lambda: self.socket.closed)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.screen.display)

    async def _until(self, is_reached: Callable[[], bool]) -> None:
        stream = pyte.ByteStream(self.screen)
        async with asyncio.timeout(PATIENCE_S):
            while not is_reached():
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.BINARY:
                    stream.feed(message.data)
                else:
                    assert is_reached(), f"it closed\n{self.text}"


@dataclass(slots=True)
class Served:
    """A server."""

    process: asyncio.subprocess.Process
    address: str
    """With the token."""

    @property
    def base(self) -> str:
        """Without."""
        return self.address.partition("/?")[0]

    def consoles(self) -> list[psutil.Process]:
        """Its children."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Page]:
        """A page whose browser was let in."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            async with client.get(self.address) as answer:
                assert (answer.status, str(answer.url)) == (200, f"{self.base}/")
                assert 'src="page.js"' in await answer.text()
            async with client.get(f"{self.base}/page.js") as answer:
                assert "xterm-helper-textarea" in await answer.text()
                assert answer.content_type == "text/javascript"
            async with client.ws_connect(
                f"{self.base}/ws?width=80&height=24", headers={"Origin": self.base}
            ) as socket:
                yield Page(socket)


@contextlib.asynccontextmanager
async def _serve(home: Path, *words: str) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine", "console", "--serve", "--port", "0", "--home", str(home), *words,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield Served(process, (await process.stdout.readline()).decode().strip())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_console_is_in_the_page_of_who_has_the_token_and_ends_with_it(made_home: Path) -> None:
    """It is drawn, takes keys and what is pasted, changes nothing where that is wanted; its secrets are in no process's words or environment."""
    async with _serve(made_home, "--read-only") as served:
        async with served.open() as page:
            await page.sees("> source-00", "RO")
            (console,) = served.consoles()
            shown = [each for one in (console, psutil.Process(served.process.pid)) for each in one.cmdline()]
            assert "--read-only" in shown
            token = served.address.partition("token=")[2]
            assert len(token) > 40
            assert token not in " ".join([*shown, *console.environ().values()])
            await page.socket.send_json(["stdin", "b"])
            await page.sees("this console is read-only")
            await page.socket.send_json(["stdin", "\x1b[200~" + "q\r" * 100_000 + "\ud800\x1b[201~"])
            await page.sees("was pasted is longer than 64 KiB")
            for noise in ("no json", "[]", '["resize", {}]', '{"stdin": 1}', '["stdin", 3]'):
                await page.socket.send_str(noise)
            await page.socket.send_json(["stdin", "?"])
            await page.sees("Keys")
            await page.socket.send_json(["stdin", "\x1b"])
            await page.sees("[1 Backups]")
            await page.socket.send_json(["stdin", "4"])
            await page.sees("[4 Storage]")
            await page.socket.send_json(["stdin", "\x1a"])
            await page.sees("there is no shell to go back to here")
        gone, alive = await asyncio.to_thread(psutil.wait_procs, [console], PATIENCE_S)
        assert (gone, alive) == ([console], [])
        async with served.open() as page:
            await page.sees("> source-00")
            consoles = served.consoles()
            served.process.send_signal(signal.SIGTERM)
            await page.ends()
        assert await served.process.wait() == 0
        assert not any(each.is_running() for each in consoles)


async def test_nobody_else_is_let_in(made_home: Path) -> None:
    """Not without the token, not from another page, not by a name that another machine gave to this one; and none of it is written down."""
    async with (
        _serve(made_home) as served,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        async with client.get(served.address, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie = answer.headers["Set-Cookie"]
            assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        good = {"Cookie": cookie.partition(";")[0], "Origin": served.base}
        asked: dict[str, tuple[str, dict[str, str]]] = {
            "no cookie": ("/ws", {"Origin": served.base}),
            "no cookie, a file": ("/static/js/textual.js", {}),
            "no cookie, our own file": ("/page.js", {}),
            "another cookie": ("/ws", {**good, "Cookie": good["Cookie"] + "x"}),
            "a wrong token": ("/?token=wrong", good),
            "another origin": ("/ws", {**good, "Origin": "http://evil.example"}),
            "another port's origin": ("/ws", {**good, "Origin": "http://127.0.0.1:1"}),
            "no origin": ("/ws", {"Cookie": good["Cookie"]}),
            "another host": ("/", {**good, "Host": "evil.example"}),
            "the token at another host": (served.address.removeprefix(served.base), {"Host": "evil.example"}),
        }
        for case, (path, headers) in asked.items():
            if path == "/ws":
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await client.ws_connect(served.base + path, headers=headers)
                assert refused.value.status == 403, case
            else:
                async with client.get(served.base + path, headers=headers) as answer:
                    assert (answer.status, (await answer.text()).count("\n")) == (403, 1), case
        async with client.get(served.base + "/static/js/textual.js", headers=good) as answer:
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert served.consoles() == []
        served.process.send_signal(signal.SIGINT)
        rest, said = await served.process.communicate()
        assert (served.process.returncode, rest, said.count(b"\n")) == (0, b"", 1)


async def test_what_the_console_cannot_do_is_said_in_the_page(made_home: Path, tmp_path: Path) -> None:
    """A page that stays empty helps nobody."""
    home = copy_home(made_home, tmp_path / "home")
    (home / "catalog.db").write_bytes(b"no database" * 1000)
    async with _serve(home) as served, served.open() as page:
        assert "Traceback" not in await page.sees("catalog")
        await page.ends()
        taken = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tui",
            "--serve",
            "--port",
            served.base.rpartition(":")[2],
            stderr=subprocess.PIPE,
        )
        _, said = await taken.communicate()
        assert taken.returncode == 2
        assert b"is taken" in said


def test_without_the_extra_it_is_said_how_to_have_it() -> None:
    """Who installed the console alone."""
    code = "import sys; sys.modules['textual_serve'] = None; from tui.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "--serve"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"pip install 'holdfast[browser]'" in done.stderr
    assert b"Traceback" not in done.stderr
