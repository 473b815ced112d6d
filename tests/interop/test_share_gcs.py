"""Links to Google Cloud Storage, whose fake checks signatures, and takes uploads in parts, as the documentation has it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.model.secret import Secret
from engine.storages import registry
from tests.families import opendal_places
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

NAME = "1900000000-0123/a file.tar"
CONTENT = bytes(range(256)) * (70 << 10)
"""More than one block, so that it goes up in parts."""


async def pieces() -> AsyncIterator[bytes]:
    """The archive, a part at a time."""
    for begin in range(0, len(CONTENT), 4 << 20):
        yield CONTENT[begin : begin + (4 << 20)]


def fetch(url: str, file: Path, environment: Mapping[str, str]) -> int:
    """The status that the service answers with; what it sent is in the file."""
    words: list[str] = [str(require_tool("curl")), "-s", "-o", str(file), "-w", "%{http_code}", url]
    known = {**os.environ, **environment, "CURL_CA_BUNDLE": environment["SSL_CERT_FILE"]}
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, env=known)
    return int(done.stdout)


async def test_a_link_to_google_leads_there_until_it_expires_and_no_other_does(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Whoever got it needs no account with the service."""
    environment, file = opendal_places.clouds(request).environment, tmp_path / "fetched"
    options, secrets = opendal_places.gcs(request)
    async with registry.open_storage("gcs", options, clock=SystemClock(), secrets=secrets) as storage:
        sharing = storage.traits.sharing
        assert sharing is not None
        assert sharing.longest_s == 7 * 86400
        assert await sharing.put(NAME, pieces()) == len(CONTENT)
        assert [each async for each in sharing.list()] == [(NAME, len(CONTENT))]
        url, soon = await sharing.link(NAME, 600), await sharing.link(NAME, 1)
        assert fetch(url, file, environment) == 200
        assert file.read_bytes() == CONTENT
        assert fetch(url[:-1] + ("0" if url[-1] != "0" else "1"), file, environment) == 403
        assert fetch(url.replace("a%20file", "b%20file"), file, environment) == 403
        deadline = time.monotonic() + 30
        while fetch(soon, file, environment) != 400:
            assert time.monotonic() < deadline
        await sharing.delete(NAME)
        assert fetch(url, file, environment) == 404


async def test_a_token_alone_signs_no_links(request: pytest.FixtureRequest) -> None:
    """It is the service account's key that signs."""
    clouds = opendal_places.clouds(request)
    secrets = {"token": Secret(clouds.gcs.token)}
    async with registry.open_storage("gcs", {"bucket": "b"}, clock=SystemClock(), secrets=secrets) as storage:
        assert storage.traits.sharing is None
