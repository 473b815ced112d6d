"""WsgiDAV on 127.0.0.1: a WebDAV server that serves one folder to one login."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tools import free_port

_READY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class WebDav:
    """A running server."""

    port: int
    directory: Path
    """What it serves."""
    user: str = "backup"
    password: str = "a pass; with 'quotes' and \u00e4"

    @property
    def endpoint(self) -> str:
        """Where its folder is."""
        return f"http://127.0.0.1:{self.port}/dav"

    def make_folder(self) -> str:
        """The name of a folder that is not there yet."""
        return f"f{secrets.token_hex(8)}"


@contextlib.contextmanager
def running_webdav() -> Iterator[WebDav]:
    """Starts a server; its folder goes with it."""
    with tempfile.TemporaryDirectory(prefix="holdfast-webdav-") as work:
        directory = Path(work, "served")
        directory.mkdir()
        server = WebDav(free_port(), directory)
        configuration = {
            "host": "127.0.0.1",
            "port": server.port,
            "server": "cheroot",
            "provider_mapping": {"/dav": str(directory)},
            "http_authenticator": {
                "accept_basic": True,
                "accept_digest": False,
                "default_to_digest": False,
            },
            "simple_dc": {"user_mapping": {"*": {server.user: {"password": server.password}}}},
            "verbose": 1,
            "logging": {"enable": False},
            "property_manager": None,
            "lock_storage": True,
        }
        path = Path(work, "wsgidav.json")
        path.write_text(json.dumps(configuration))
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "wsgidav.server.server_cli", "--config", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=work,
            )
            try:
                _wait_ready(server, process)
                yield server
            finally:
                process.kill()
                process.wait()


def _wait_ready(server: WebDav, process: subprocess.Popen[bytes]) -> None:
    login = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("OPTIONS", "/dav/", headers={"Authorization": f"Basic {login}"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("WsgiDAV did not start")


@pytest.fixture(scope="session")
def webdav() -> Iterator[WebDav]:
    """A server for the whole session. Each test uses a folder of its own."""
    with running_webdav() as server:
        yield server
