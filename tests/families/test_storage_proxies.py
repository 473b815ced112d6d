"""A proxy of a storage's own: all goes by it, its login is told to it alone, and TLS is checked behind it as without it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import subprocess
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Key, Kind, OpenStorage
from tests.servers import rclone
from tests.servers.ceph import Ceph
from tests.servers.forward_proxy import ForwardProxy, running_forward_proxy
from tests.servers.rclone import RestServer
from tests.servers.wsgidav import WebDav

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 4096
KEY = Key(Kind.PACK, hashlib.sha256(CONTENT).hexdigest())
USER, SECRET = "ann", "a word: with @ / and %"


class Place(NamedTuple):
    """A storage over TLS, whose authority must be given."""

    kind: str
    target: str
    options: Mapping[str, OptionValue]
    secrets: Mapping[str, Secret]

    def opened(
        self, proxy: ForwardProxy, secret: str = SECRET, *, trusts: bool = True
    ) -> AbstractAsyncContextManager[OpenStorage]:
        """Through the proxy, with the login; a passing fault is tried again twice, at once."""
        options = {**self.options, "proxy": proxy.url, "proxy_user": USER, "retry_limit": 3}
        if not trusts:
            del options["ca_file"]
        secrets = {**self.secrets, "proxy_secret": Secret(secret)}
        return registry.open_storage(
            self.kind, options, clock=SystemClock(), secrets=secrets, sleep=lambda _span_s: asyncio.sleep(0)
        )


def _s3(request: pytest.FixtureRequest) -> Place:
    ceph: Ceph = request.getfixturevalue("ceph")
    target = f"127.0.0.1:{ceph.tls_port}"
    options = {
        "bucket": f"p-{uuid.uuid4().hex}",
        "endpoint": f"https://{target}",
        "ca_file": str(ceph.authority),
    }
    secrets = {"access_key_id": Secret(ceph.access_key), "secret_key": Secret(ceph.secret_key)}
    return Place("s3", target, options, secrets)


def _rest(request: pytest.FixtureRequest) -> Place:
    server: RestServer = request.getfixturevalue("rest_server")
    options = {
        "url": f"{server.url}{uuid.uuid4().hex}",
        "user": rclone.USER,
        "ca_file": str(server.certificate),
    }
    return Place("rest", f"127.0.0.1:{server.port}", options, {"secret": Secret(rclone.SECRET)})


PLACES: Mapping[str, Callable[[pytest.FixtureRequest], Place]] = {"s3": _s3, "rest": _rest}


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("kind", PLACES)
async def test_all_goes_by_the_storages_own_proxy(
    kind: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    """Where the machine may not go out by itself, and another storage goes another way."""
    place = PLACES[kind](request)
    async with running_forward_proxy(scheme, USER, SECRET) as proxy:
        async with place.opened(proxy) as storage:
            await storage.create()
            await storage.put(KEY, [CONTENT])
            assert await storage.get(KEY, 1000, 2000) == CONTENT[1000:3000]
            assert [each.key async for each in storage.list(Kind.PACK)] == [KEY]
        assert proxy.targets == {place.target}
        assert proxy.carried_bytes > len(CONTENT)
        await _refusals(place, proxy)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_rclone_goes_by_the_storages_own_proxy_too(
    scheme: str, rclone: Path, webdav: WebDav, tmp_path: Path
) -> None:
    """It reaches sixty kinds more, and is told the login where no other account can read it."""
    hidden = subprocess.run([rclone, "obscure", webdav.password], stdout=subprocess.PIPE, check=True)
    target = f"dav.invalid:{webdav.port}"
    lines = [
        "[dav]",
        "type = webdav",
        "vendor = other",
        f"url = http://{target}/dav",
        f"user = {webdav.user}",
    ]
    (tmp_path / "rclone.conf").write_text("\n".join([*lines, f"pass = {hidden.stdout.decode()}"]))
    options: dict[str, OptionValue] = {
        "remote": f"dav:{webdav.make_folder()}",
        "rclone_program": str(rclone),
        "rclone_config": str(tmp_path / "rclone.conf"),
    }
    async with running_forward_proxy(scheme, USER, SECRET) as proxy:
        proxy.names["dav.invalid"] = "127.0.0.1"
        async with Place("rclone", target, options, {}).opened(proxy) as storage:
            await storage.create()
            await storage.put(KEY, [CONTENT])
            assert await storage.get(KEY, 1000, 2000) == CONTENT[1000:3000]
            commands = [each.cmdline() for each in psutil.Process().children(recursive=True)]
        assert proxy.targets == {target}
        assert not any(SECRET in word for words in commands for word in words)


async def _refusals(place: Place, proxy: ForwardProxy) -> None:
    """One sentence each, at once where no waiting helps, and without a secret."""

    async def refused(
        kind: type[errors.StorageError], words: str, secret: str = SECRET, *, trusts: bool = True
    ) -> None:
        async with place.opened(proxy, secret, trusts=trusts) as storage:
            with pytest.raises(kind, match=words) as caught:
                await storage.create()
        assert SECRET not in caught.value.message
        assert "wrong-word" not in caught.value.message
        assert caught.value.retryable == (kind is errors.StorageUnreachableError)

    await refused(errors.StorageDeniedError, "the proxy does not take the login", "wrong-word")
    await refused(errors.StorageError, "certificate is not trusted", trusts=False)
    proxy.closed.add(place.target)
    await refused(errors.StorageDeniedError, "the proxy does not let this through")
    await proxy.stop()
    await refused(errors.StorageUnreachableError, "the proxy cannot be reached")
    with contextlib.suppress(OSError):
        await proxy.start()
