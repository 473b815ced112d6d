"""The room that a service says there is: what `storage usage` shows, and what the days until full are counted from."""

from __future__ import annotations

import shutil

import pytest

from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Space
from tests.servers.ceph import Ceph
from tests.servers.http_fault_proxy import Answer, Spoiled, running_http_fault_proxy
from tests.servers.swift import Swift
from tests.servers.wsgidav import WebDav

pytestmark = pytest.mark.slow

UNKNOWN = Space(None, None)


async def test_webdav_tells_the_room_of_its_folder(webdav: WebDav) -> None:
    """As RFC 4331 has it; one that says nothing, that is unlimited, or that sends us elsewhere leaves it unknown."""
    folder = webdav.make_folder()
    async with running_http_fault_proxy(webdav.port) as proxy:
        endpoint = webdav.endpoint.replace(str(webdav.port), str(proxy.port))
        options: dict[str, OptionValue] = {"endpoint": endpoint, "prefix": folder, "user": webdav.user}
        secrets = {"secret": Secret(webdav.password)}
        async with registry.open_storage("webdav", options, clock=SystemClock(), secrets=secrets) as storage:
            await storage.create()
            found = await storage.space()
            there = shutil.disk_usage(webdav.directory)
            assert found.free_bytes is not None
            assert abs(found.free_bytes - there.free) < 1 << 30
            assert found.total_bytes is not None
            assert found.free_bytes < found.total_bytes <= there.total
            unlimited = b"<d:quota-available-bytes>-3</d:quota-available-bytes>"
            for answer in (
                Answer(207, unlimited),
                Answer(302, b"", {"Location": "/"}),
                Answer(500),
                Answer(207),
            ):
                proxy.spoil(Spoiled(answer, method="PROPFIND", times=9))
                assert await storage.space() == UNKNOWN
                assert len(proxy.requests) == 1


async def test_swift_tells_the_quota_of_a_container_or_account(swift: Swift, ceph: Ceph) -> None:
    """Where somebody set one; else nobody knows."""
    async with running_http_fault_proxy(ceph.port) as proxy:
        endpoint = swift.endpoint.replace(f":{ceph.port}", f":{proxy.port}")
        options: dict[str, OptionValue] = {"endpoint": endpoint, "container": swift.container}
        secrets = {"token": Secret(swift.token)}
        async with registry.open_storage("swift", options, clock=SystemClock(), secrets=secrets) as storage:
            assert await storage.space() == UNKNOWN
            told = {"X-Container-Meta-Quota-Bytes": "1000", "X-Container-Bytes-Used": "400"}
            proxy.spoil(Spoiled(Answer(204, b"", told), method="HEAD"))
            assert await storage.space() == Space(600, 1000)
            ceph.administer("quota", "set", "--uid=tests", "--quota-scope=user", f"--max-size={1 << 40}")
            try:
                ceph.administer("quota", "enable", "--uid=tests", "--quota-scope=user")
                found = await storage.space()
            finally:
                ceph.administer("quota", "disable", "--uid=tests", "--quota-scope=user")
            assert found.total_bytes == 1 << 40
            assert found.free_bytes is not None
            assert (1 << 40) - (100 << 30) < found.free_bytes <= 1 << 40
