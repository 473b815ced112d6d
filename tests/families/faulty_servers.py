"""The storages whose servers the suites of faults spoil, and how each is reached by way of a proxy. A new one is a line in SERVERS."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine import events
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import OpenStorage, Reach
from tests.families import opendal_places
from tests.servers import sftp
from tests.servers.ceph import Ceph
from tests.servers.rclone import RestServer
from tests.servers.sshd import Sshd


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how a storage on it is opened by way of some port."""

    kind: str
    port: int
    options: Callable[[int], Mapping[str, OptionValue]]
    """Of a place of the test's own, with a time-out of a second where the member takes one."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    reach: Callable[[int], Reach] | None = None
    """The host that it lies on, by way of some port."""


def _ceph(request: pytest.FixtureRequest, place: Path) -> Server:
    """A prefix of the test's own in one bucket."""
    ceph: Ceph = request.getfixturevalue("ceph")

    def options(port: int) -> Mapping[str, OptionValue]:
        endpoint = f"http://127.0.0.1:{port}"
        return {"bucket": "faults", "endpoint": endpoint, "prefix": str(place), "timeout": 1}

    secrets = {"access_key_id": Secret(ceph.access_key), "secret_key": Secret(ceph.secret_key)}
    return Server("s3", ceph.port, options, secrets)


def _by_opendal(kind: str) -> Callable[[pytest.FixtureRequest, Path], Server]:
    """A place of its own at the session's server of that kind."""

    def made(request: pytest.FixtureRequest, _place: Path) -> Server:
        opendal_places.clouds(request)
        told = opendal_places.KINDS[kind](request)
        address = urlsplit(str(told.options["endpoint"]))

        def options(port: int) -> Mapping[str, OptionValue]:
            endpoint = address._replace(netloc=f"127.0.0.1:{port}").geturl()
            return {**told.options, "endpoint": endpoint, "timeout": 1}

        return Server(kind, address.port or 0, options, told.secrets)

    return made


def _sftp(request: pytest.FixtureRequest, place: Path) -> Server:
    """A directory of this machine."""
    server: Sshd = request.getfixturevalue("sshd")
    options: dict[str, OptionValue] = {"host": "box", "path": str(place / "there")}
    return Server(
        "sftp", server.port, lambda _port: options, reach=lambda port: sftp.reach_through(server, port)
    )


def _rest(request: pytest.FixtureRequest, place: Path) -> Server:
    """A folder of the test's own."""
    server: RestServer = request.getfixturevalue("plain_rest_server")
    name = uuid.uuid4().hex
    return Server("rest", server.port, lambda port: {"url": f"http://127.0.0.1:{port}/{name}/", "timeout": 1})


SERVERS: dict[str, Callable[[pytest.FixtureRequest, Path], Server]] = {
    "s3": _ceph,
    **{kind: _by_opendal(kind) for kind in ("azure", "swift", "webdav")},
    "sftp": _sftp,
    "rest": _rest,
}
HTTP = ("s3", "azure", "swift", "webdav", "rest")
"""Those whose server speaks HTTP without TLS: it is given wrong, late and damaged answers too."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A storage behind a proxy, and the same place without one."""

    storage: OpenStorage
    """As jobs get it, with its retries, for which it never waits."""
    impatient: OpenStorage
    """The same, but it gives up after a few tries."""
    direct: OpenStorage
    noted: list[str]
    """What was said of retries."""


@asynccontextmanager
async def opened_behind(server: Server, proxy_port: int) -> AsyncIterator[Behind]:
    """Opens all three, with the place made."""
    noted: list[str] = []

    def note(event: events.Event) -> None:
        if isinstance(event, events.Noted):
            noted.append(event.message)

    async with AsyncExitStack() as stack:

        async def opened(port: int, **more: OptionValue) -> OpenStorage:
            options = {**server.options(port), **more}
            opening = registry.open_storage(
                server.kind,
                options,
                clock=SystemClock(),
                secrets=server.secrets,
                reach=server.reach and server.reach(port),
                emit=note,
                sleep=_no_sleep,
            )
            return await stack.enter_async_context(opening)

        direct = await opened(server.port)
        await direct.create()
        yield Behind(await opened(proxy_port), await opened(proxy_port, retry_limit=3), direct, noted)


async def _no_sleep(_span_s: float) -> None:
    await asyncio.sleep(0)
