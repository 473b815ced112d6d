"""Azurite, Microsoft's own stand-in for Azure's blob storage, on 127.0.0.1, with an account of its own.

It comes from npm, at the versions of npm/package-lock.json, into a folder below .cache. What that holds back are packages that want a newer Node
than Debian's, and a database driver that is not used here: 66 MB are left, and npm 9.2 and Node 18 will do.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import fcntl
import hashlib
import hmac
import http.client
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pwd import getpwnam
from urllib.parse import quote, urlencode

import pytest

from engine.clock import SystemClock
from tests.servers.tools import CACHE, free_port, missing, require_tool

_VERSION = "2021-12-02"
_READY_TIMEOUT_S = 60.0
_MANIFESTS = Path(__file__).with_name("npm")
_MAIN = "node_modules/azurite/dist/src/blob/main.js"


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running server, and the one account on it."""

    port: int
    account: str = "holdfast"
    container: str = "tests"
    """One for all tests: each writes below a prefix of its own."""
    key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(64)).decode())

    @property
    def endpoint(self) -> str:
        """The account's address."""
        return f"http://127.0.0.1:{self.port}/{self.account}"

    def names(self, prefix: str) -> list[str]:
        """Every object that begins so."""
        query = {"restype": "container", "comp": "list", "prefix": prefix}
        status, body = self.call("GET", f"/{self.container}", query)
        assert status == 200, body
        assert b"<NextMarker/>" in body or b"<NextMarker></NextMarker>" in body, "more than one page"
        return re.findall(r"<Name>([^<]+)</Name>", body.decode())

    def download(self, prefix: str, directory: Path) -> None:
        """Copies the objects below a prefix into a folder."""
        for name in self.names(f"{prefix}/"):
            status, body = self.call("GET", f"/{self.container}/{name}", {})
            assert status == 200, body
            path = directory / name.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def call(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One signed request without a body (Authorize with Shared Key: 2015-02-21 and later)."""
        now = SystemClock().now().astimezone(datetime.UTC)
        sent = {
            **(headers or {}),
            "x-ms-date": now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "x-ms-version": _VERSION,
        }
        lines = [method, *[""] * 11, *(f"{name}:{sent[name]}" for name in sorted(sent))]
        # The account stands twice: once as its name, once as the first part of the path.
        lines.append(f"/{self.account}/{self.account}{quote(path)}")
        lines += [f"{name}:{query[name]}" for name in sorted(query)]
        signature = self._signed("\n".join(lines))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(
                method,
                f"/{self.account}{quote(path)}?{urlencode(query)}",
                headers={
                    **sent,
                    "Authorization": f"SharedKey {self.account}:{signature}",
                    "Content-Length": "0",
                },
            )
            answer = connection.getresponse()
            return answer.status, answer.read()

    def sas(self, permissions: str) -> str:
        """A token for the account's containers and objects with these permissions alone (account SAS)."""
        begin, end = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
        text = f"{self.account}\n{permissions}\nb\nsco\n{begin}\n{end}\n\n\n2018-11-09\n"
        return urlencode(
            {
                "sv": "2018-11-09",
                "ss": "b",
                "srt": "sco",
                "sp": permissions,
                "st": begin,
                "se": end,
                "sig": self._signed(text),
            }
        )

    def _signed(self, text: str) -> str:
        return base64.b64encode(
            hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()
        ).decode()


def _installed() -> Path:
    """The folder with node_modules, filled where it is not; one process at a time."""
    npm = require_tool("npm")
    manifest = (_MANIFESTS / "package-lock.json").read_bytes()
    folder = CACHE / f"azurite-{hashlib.sha256(manifest).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _MAIN).exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as work:
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(_MANIFESTS / name, work)
                done = subprocess.run(
                    [str(npm), "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"],
                    cwd=work,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    missing(f"npm could not install Azurite: {done.stderr[-500:]}")
                shutil.rmtree(folder, ignore_errors=True)
                Path(work, "node_modules").rename(_made(folder) / "node_modules")
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o755)
    return folder


def _account_id(folder: Path) -> int | None:
    """Who runs the server where the tests run as root: nobody, where he may read the folder."""
    if os.geteuid() != 0 or not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
        return None
    return getpwnam("nobody").pw_uid


@contextlib.contextmanager
def running_azurite() -> Iterator[Azurite]:
    """Starts a server that keeps everything in memory; killed at the end."""
    node, folder = require_tool("node"), _installed()
    server = Azurite(free_port())
    words = [str(node), _MAIN, "--silent", "--inMemoryPersistence", "--blobHost", "127.0.0.1"]
    words += ["--blobPort", str(server.port), "--disableProductStyleUrl", "--skipApiVersionCheck"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            user=_account_id(folder),
            env={"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{server.account}:{server.key}"},
        )
        try:
            _wait_ready(server, process)
            status, body = server.call("PUT", f"/{server.container}", {"restype": "container"})
            assert status == 201, body
            yield server
        finally:
            process.kill()
            process.wait()


def _wait_ready(server: Azurite, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if server.call("GET", "/", {"comp": "list"})[0] == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("Azurite did not start")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A server for the whole session."""
    with running_azurite() as server:
        yield server
