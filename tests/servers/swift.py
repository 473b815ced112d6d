"""OpenStack's Swift as Ceph's gateway speaks it: an account of its own for each test process, with a token."""

from __future__ import annotations

import contextlib
import http.client
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.servers.ceph import Ceph


@dataclass(frozen=True, slots=True)
class Swift:
    """One account."""

    endpoint: str
    """What Swift calls the storage URL."""
    token: str
    container: str
    """One for all tests: each writes below a prefix of its own."""


def _called(
    address: str, method: str, path: str, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str]]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, parts.path + path, headers={**headers, "Content-Length": "0"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())


@pytest.fixture(scope="session")
def swift(ceph: Ceph) -> Swift:
    """An account at the session's Ceph, logged in as Swift's first version of its login has it."""
    user, key = f"tests:{secrets.token_hex(4)}", secrets.token_hex(16)
    words = ["subuser", "create", "--uid=tests", f"--subuser={user}", "--access=full", "--key-type=swift"]
    ceph.administer(*words, f"--secret-key={key}")
    status, headers = _called(ceph.endpoint, "GET", "/auth/1.0", {"X-Auth-User": user, "X-Auth-Key": key})
    assert status in (200, 204), headers
    found = Swift(headers["X-Storage-Url"], headers["X-Auth-Token"], f"c{secrets.token_hex(8)}")
    status, _ = _called(found.endpoint, "PUT", f"/{found.container}", {"X-Auth-Token": found.token})
    assert status == 201
    return found
