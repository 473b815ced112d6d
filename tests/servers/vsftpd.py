"""vsftpd on 127.0.0.1, over TLS or plain, run by an ordinary user where root runs the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.servers.rclone import make_certificate
from tests.servers.tools import free_port, require_tool

_READY_TIMEOUT_S = 10.0
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Ftpd:
    """A running vsftpd, in which `anonymous` may write."""

    address: str
    certificate: Path
    """That of the server, which signed itself."""
    directory: Path
    """Where a login leads; clients see all of the machine, because without root there is no changing of roots."""
    process: subprocess.Popen[bytes]

    def drop_connections(self) -> None:
        """Kills every session; the server goes on."""
        _kill_sessions(self.process.pid)


def _kill_sessions(server: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(server).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _config(directory: Path, port: int, certificate: Path, key: Path, lines: tuple[str, ...]) -> Path:
    tls = ("ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_data_ssl=YES", "force_anon_logins_ssl=YES",
           f"rsa_cert_file={certificate}", f"rsa_private_key_file={key}", "ssl_ciphers=HIGH")  # fmt: skip
    path = directory / "vsftpd.conf"
    own = ("listen=YES", "listen_address=127.0.0.1", f"listen_port={port}", "background=NO", "run_as_launching_user=YES",
           "anonymous_enable=YES", "no_anon_password=YES", f"anon_root={directory}/root", "write_enable=YES", "anon_upload_enable=YES",
           "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES", "anon_world_readable_only=NO", "anon_umask=077",
           "xferlog_enable=NO", "seccomp_sandbox=NO", "pasv_address=127.0.0.1", "max_per_ip=0")  # fmt: skip
    path.write_text("\n".join([*own, *(tls if "ssl_enable=NO" not in lines else ()), *lines]) + "\n")
    return path


@contextlib.contextmanager
def running_vsftpd(*lines: str) -> Iterator[Ftpd]:
    """Starts one, with more lines of configuration. Stopped, with its folder removed, at the end."""
    program = str(require_tool("vsftpd"))
    directory = Path(tempfile.mkdtemp(prefix="holdfast-vsftpd-"))
    process = None
    try:
        certificate, key = make_certificate(directory)
        (directory / "root" / "there").mkdir(parents=True)
        port = free_port()
        config = _config(directory, port, certificate, key, lines)
        demote = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if demote:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, _NOBODY, _NOBODY)
        process = subprocess.Popen(
            [program, str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            **demote,  # type: ignore[call-overload]
        )  # fmt: skip
        _wait_ready(process, port)
        yield Ftpd(f"127.0.0.1:{port}", certificate, directory / "root", process)
    finally:
        if process is not None:
            _kill_sessions(process.pid)
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        shutil.rmtree(directory, ignore_errors=True)


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            if probe.recv(3) == b"220":
                return
        time.sleep(0.02)
    process.kill()
    said = process.stdout.read() if process.stdout else b""
    raise RuntimeError(f"vsftpd did not start: {said!r}")


@pytest.fixture(scope="session")
def vsftpd() -> Iterator[Ftpd]:
    """One server over TLS for the whole session."""
    with running_vsftpd() as server:
        yield server
