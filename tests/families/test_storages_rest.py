"""Storages behind restic's REST protocol, where the server refuses, lies, or dies; and rclone, which must end when we do."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Key, Kind, OpenStorage
from tests.families.hosts import processes_with, wait_until
from tests.servers.rclone import SECRET, USER, RestServer, serving
from tests.servers.tools import PROJECT

pytestmark = pytest.mark.slow

CONTENT = os.urandom(1 << 20)
PACK = Key(Kind.PACK, hashlib.sha256(CONTENT).hexdigest())


async def at_once(_span_s: float) -> None:
    """Lets retries come at once."""
    await asyncio.sleep(0)


@asynccontextmanager
async def opened(
    kind: str, options: dict[str, OptionValue], secret: str = SECRET
) -> AsyncIterator[OpenStorage]:
    """The storage as jobs get it."""
    secrets = {"secret": Secret(secret)}
    async with registry.open_storage(
        kind, options, clock=SystemClock(), secrets=secrets, sleep=at_once
    ) as storage:
        yield storage


def login(server: RestServer) -> dict[str, OptionValue]:
    """How that server is reached."""
    return {"url": f"{server.url}there", "user": USER, "ca_file": str(server.certificate)}


def bridged(directory: Path, rclone: Path) -> dict[str, OptionValue]:
    """A folder of this machine behind rclone."""
    return {
        "remote": f":local:{directory}/there",
        "rclone_program": str(rclone),
        "rclone_config": "/dev/null",
    }


async def test_an_append_only_server_keeps_what_is_there(tmp_path: Path) -> None:
    """And a write that is repeated after a lost answer is no error."""
    with serving(tmp_path, "--append-only") as server:
        async with opened("rest", login(server)) as storage:
            await storage.create()
            for _ in range(2):
                await storage.put(PACK, [CONTENT])
            with pytest.raises(errors.StorageDeniedError, match="could not be removed"):
                await storage.put(PACK, [CONTENT[::-1]])
            with pytest.raises(errors.StorageDeniedError, match="could not be removed"):
                await storage.delete(PACK)
            lock = Key(Kind.LOCK, PACK.name)
            await storage.put(lock, [CONTENT])
            await storage.delete(lock)
            assert await storage.get(PACK) == CONTENT


async def test_a_wrong_login_or_authority_is_not_tried_again(rest_server: RestServer) -> None:
    """No other answer will come, and a server may lock the login."""
    async with opened("rest", login(rest_server), "wrong") as storage:
        with pytest.raises(errors.StorageDeniedError, match="answers 401"):
            await storage.create()
    async with opened("rest", {**login(rest_server), "ca_file": None}) as storage:
        with pytest.raises(errors.StorageError, match="certificate is not trusted") as caught:
            await storage.create()
    assert not caught.value.retryable


async def test_a_server_that_kept_less_than_it_said_is_found_out() -> None:
    """rclone takes whatever comes for the whole; nobody but us compares."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(headers={"Content-Length": "7"} if request.method == "HEAD" else {})

    server = web.AppRunner(web.Application())
    server.app.router.add_route("*", "/{path:.*}", answer)
    await server.setup()
    try:
        site = web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        port = server.addresses[0][1]
        async with opened("rest", {"url": f"http://127.0.0.1:{port}/"}) as storage:
            with pytest.raises(
                errors.StorageError, match=r"has 7 bytes of data/.* where 1048576 were written"
            ):
                await storage.put(PACK, [CONTENT])
    finally:
        await server.cleanup()


async def test_a_bridge_that_died_is_built_again(tmp_path: Path, rclone: Path) -> None:
    """The kernel takes the largest process where memory is short."""
    async with opened("rclone", bridged(tmp_path, rclone)) as storage:
        await storage.create()
        await storage.put(PACK, [CONTENT])
        await storage.delete(Key(Kind.PACK, "0" * 64))
        found = [
            each
            for each in psutil.Process().children(recursive=True)
            if each.name() == "rclone" and f":local:{tmp_path}/there" in each.cmdline()
        ]
        assert len(found) == 2
        for each in found:
            each.kill()
        await wait_until(lambda: not any(each.is_running() for each in found))
        assert await storage.get(PACK) == CONTENT
        await storage.delete(PACK)
        assert [each async for each in storage.list(Kind.PACK)] == []


async def test_the_bridge_overwrites_nothing_while_it_adds(tmp_path: Path, rclone: Path) -> None:
    """Its other half is not even started for a backup."""
    async with opened("rclone", bridged(tmp_path, rclone)) as storage:
        await storage.create()
        await storage.put(PACK, [CONTENT])
        lock = Key(Kind.LOCK, PACK.name)
        await storage.put(lock, [CONTENT])
        await storage.delete(lock)
        lines = processes_with(f":local:{tmp_path}/there")
        assert lines
        assert all("--append-only" in line for line in lines)
        assert (await storage.space()).free_bytes is not None


CHILD = """
import asyncio, sys
from engine.clock import SystemClock
from engine.storages import registry

async def main():
    options = {"remote": sys.argv[1], "rclone_program": sys.argv[2], "rclone_config": "/dev/null"}
    async with registry.open_storage("rclone", options, clock=SystemClock()) as storage:
        await storage.create()
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_rclone_ends_with_the_engine_however_that_ends(tmp_path: Path, rclone: Path) -> None:
    """A login to a cloud must not stay open behind a program that was killed."""
    # The path of a socket is of at most 107 bytes.
    folder = Path(tempfile.mkdtemp())
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, f":local:{tmp_path}/there", str(rclone),
        stdout=asyncio.subprocess.PIPE, cwd=PROJECT, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    (private,) = folder.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    child.send_signal(signal.SIGKILL)
    await child.wait()
    await wait_until(lambda: not processes_with(f":local:{tmp_path}/there"))
    await wait_until(lambda: not list(folder.iterdir()))
    folder.rmdir()


async def test_a_remote_that_is_not_defined_is_told(tmp_path: Path, rclone: Path) -> None:
    """In rclone's own words."""
    options = {**bridged(tmp_path, rclone), "remote": "nowhere:x"}
    with pytest.raises(errors.StorageError, match=r"does not serve nowhere:x: .*find section"):
        async with opened("rclone", options):
            pass
