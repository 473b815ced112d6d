"""OpenSSH's sshd on 127.0.0.1, with its own keys, authority, users and log, in a folder of its own.

As root it runs in a mount namespace of its own, where /etc/passwd has two more users: `guest`, who may use sudo without a password, and
`stranger`, who may not. Nothing outside sees them. As an ordinary user, or where namespaces are not allowed, only the user that runs the
tests can log in, and `has_guests` is false.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwuid

import psutil
import pytest

from tests.servers.tools import find_tool, free_port, missing, require_tool

PASSPHRASE = "a phrase that protects nothing"
GUEST = "guest"
STRANGER = "stranger"
_GUEST_IDS = {GUEST: 48001, STRANGER: 48002}
_READY_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running sshd, and all that a client needs to reach it."""

    address: str
    port: int
    user: str
    """Who runs the tests, and may log in by key or certificate."""
    pid: int
    directory: Path
    config: Path
    log: Path
    client_key: Path
    """Authorised, without passphrase; its public half is `client_key` + `.pub`."""
    encrypted_key: Path
    """Authorised, protected by `passphrase`."""
    passphrase: str
    certified_key: Path
    """Not authorised by itself: accepted for its certificate `certified_key` + `-cert.pub`."""
    unknown_key: Path
    """Not authorised at all."""
    host_key: Path
    host_authority: Path
    user_authority: Path
    known_hosts: Path
    """Knows the host's own key."""
    known_hosts_by_authority: Path
    """Knows only the authority that signed the host's key."""
    known_hosts_wrong: Path
    """Knows another key for this address, as after a machine was replaced, or by somebody in the middle."""
    ssh_config: Path
    """For `ssh -F`: the alias `here` leads to this server with the right key."""
    has_guests: bool
    """Whether `guest` and `stranger` can log in."""

    def ssh(self, *words: str, user: str | None = None) -> list[str]:
        """The command line of OpenSSH's client for this server; `words` are what the remote shell gets."""
        login = [] if user is None else ["-l", user]
        return [str(require_tool("ssh")), "-F", str(self.ssh_config), *login, "here", *words]

    def fingerprint(self) -> str:
        """The host key's fingerprint, as `SHA256:...`."""
        line = _run("ssh-keygen", "-l", "-f", f"{self.host_key}.pub")
        return line.split()[1]

    def processes(self) -> list[psutil.Process]:
        """All that runs under this server now: its sessions and their commands."""
        try:
            found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return found

    def drop_connections(self) -> None:
        """Kills every session, as a network that breaks or a host that loses power would; the server goes on."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """Kills the server and every session. Idempotent."""
        children = self.processes()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        for process in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def behind(self, port: int, directory: Path) -> Sshd:
        """The server as it is reached through a proxy at that port; the folder takes a file."""
        known = directory / "known_hosts"
        known.write_text(self.known_hosts.read_text().replace(f":{self.port} ", f":{port} "))
        return dataclasses.replace(self, port=port, known_hosts=known)

    def read_log(self) -> str:
        """What the server wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _make_key(path: Path, passphrase: str = "") -> Path:
    _run("ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-C", path.name, "-f", str(path))
    return path


def _public(path: Path) -> str:
    return Path(f"{path}.pub").read_text(encoding="utf-8").strip()


def make_keys(directory: Path, principals: Sequence[str]) -> None:
    """Writes host, client and authority keys and their certificates into `directory`."""
    for name in (
        "host_key",
        "other_host_key",
        "client_key",
        "certified_key",
        "unknown_key",
        "user_authority",
        "host_authority",
    ):
        _make_key(directory / name)
    _make_key(directory / "encrypted_key", PASSPHRASE)
    sign = ("ssh-keygen", "-q", "-s")
    _run(
        *sign,
        str(directory / "user_authority"),
        "-I",
        "tests",
        "-n",
        ",".join(principals),
        str(directory / "certified_key.pub"),
    )
    _run(
        *sign,
        str(directory / "host_authority"),
        "-h",
        "-I",
        "tests",
        "-n",
        "127.0.0.1,localhost",
        str(directory / "host_key.pub"),
    )
    authorized = "\n".join(_public(directory / name) for name in ("client_key", "encrypted_key"))
    (directory / "authorized_keys").write_text(authorized + "\n", encoding="utf-8")


def _write_config(directory: Path, port: int, max_sessions: int, extra: Sequence[str]) -> Path:
    lines = (
        *extra,
        "ListenAddress 127.0.0.1",
        f"Port {port}",
        f"HostKey {directory}/host_key",
        f"HostCertificate {directory}/host_key-cert.pub",
        f"AuthorizedKeysFile {directory}/authorized_keys",
        f"TrustedUserCAKeys {directory}/user_authority.pub",
        f"PidFile {directory}/sshd.pid",
        f"MaxSessions {max_sessions}",
        "MaxStartups 200",
        "MaxAuthTries 20",
        "LoginGraceTime 30",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",
        "UseDNS no",
        "PrintMotd no",
        "LogLevel VERBOSE",
        "Subsystem sftp internal-sftp",
        # A login by SSH has bash read the user's own ~/.bashrc before every command, but not below another shell.
        "SetEnv SHLVL=1",
    )
    path = directory / "sshd_config"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _write_client_files(directory: Path, port: int, user: str) -> None:
    address = f"[127.0.0.1]:{port}"
    (directory / "known_hosts").write_text(f"{address} {_public(directory / 'host_key')}\n", encoding="utf-8")
    (directory / "known_hosts_wrong").write_text(
        f"{address} {_public(directory / 'other_host_key')}\n", encoding="utf-8"
    )
    authority = f"@cert-authority {address} {_public(directory / 'host_authority')}\n"
    (directory / "known_hosts_by_authority").write_text(authority, encoding="utf-8")
    lines = (
        "Host here",
        "  HostName 127.0.0.1",
        f"  Port {port}",
        f"  User {user}",
        f"  IdentityFile {directory}/client_key",
        "  IdentitiesOnly yes",
        "  BatchMode yes",
        "  StrictHostKeyChecking yes",
        f"  UserKnownHostsFile {directory}/known_hosts",
        "  Ciphers aes128-gcm@openssh.com",
        "  LogLevel ERROR",
    )
    (directory / "ssh_config").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_guests(directory: Path) -> None:
    """The users' files that are laid over the machine's own inside the server's namespace."""
    users = Path("/etc/passwd").read_text(encoding="utf-8")
    groups = Path("/etc/group").read_text(encoding="utf-8")
    for name, number in _GUEST_IDS.items():
        home = directory / "homes" / name
        home.mkdir(parents=True)
        os.chown(home, number, number)
        users += f"{name}:*:{number}:{number}::{home}:/bin/sh\n"
        groups += f"{name}:x:{number}:\n"
    (directory / "passwd").write_text(users, encoding="utf-8")
    (directory / "group").write_text(groups, encoding="utf-8")
    sudoers = directory / "sudoers"
    sudoers.write_text(
        f"root ALL=(ALL:ALL) NOPASSWD: ALL\n{GUEST} ALL=(ALL:ALL) NOPASSWD: ALL\n", encoding="utf-8"
    )
    sudoers.chmod(0o440)


_IN_NAMESPACE = """
set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
[ ! -e /etc/sudoers ] || mount --bind "$1/sudoers" /etc/sudoers
shift
exec "$@"
"""


def _in_namespace(directory: Path, command: list[str]) -> list[str] | None:
    """The command in a mount namespace with the guests in it; None where that is not allowed. Later mounts of ours are seen inside."""
    unshare = find_tool("unshare")
    if os.geteuid() != 0 or unshare is None:
        return None
    start = [str(unshare), "--mount", "--propagation", "slave"]
    if (
        subprocess.run(
            [*start, "mount", "--bind", "/etc/passwd", "/etc/passwd"], capture_output=True, check=False
        ).returncode
        != 0
    ):
        return None
    _write_guests(directory)
    return [*start, "/bin/sh", "-c", _IN_NAMESPACE, "sh", str(directory), *command]


def _launch(
    directory: Path, max_sessions: int, extra: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int, bool]:
    program = str(require_tool("sshd"))
    plain = [program, "-D", "-e", "-f", str(directory / "sshd_config")]
    inside = _in_namespace(directory, plain)
    for _attempt in range(5):
        port = free_port()
        _write_config(directory, port, max_sessions, extra)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                inside or plain, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        if _wait_ready(process, port):
            return process, port, inside is not None
    text = (directory / "log").read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"sshd did not start: {text[-2000:]}")


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            return probe.recv(4) == b"SSH-"
        time.sleep(0.01)
    process.kill()
    process.wait()
    return False


@contextlib.contextmanager
def running_sshd(*, max_sessions: int = 50, extra: Sequence[str] = ()) -> Iterator[Sshd]:
    """Starts a server; `extra` are sshd_config lines that come first, and so win. Stopped, with its folder removed, at the end."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="holdfast-sshd-"))
    directory.chmod(0o755)
    try:
        user = getpwuid(os.geteuid()).pw_name
        make_keys(directory, (user, GUEST, STRANGER))
        process, port, has_guests = _launch(directory, max_sessions, extra)
        _write_client_files(directory, port, user)
        server = _describe(directory, process.pid, port, user, has_guests)
        try:
            yield server
        finally:
            server.stop()
            process.wait(_STOP_TIMEOUT_S)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _describe(directory: Path, pid: int, port: int, user: str, has_guests: bool) -> Sshd:
    return Sshd(
        address="127.0.0.1",
        port=port,
        user=user,
        pid=pid,
        directory=directory,
        config=directory / "sshd_config",
        log=directory / "log",
        client_key=directory / "client_key",
        encrypted_key=directory / "encrypted_key",
        passphrase=PASSPHRASE,
        certified_key=directory / "certified_key",
        unknown_key=directory / "unknown_key",
        host_key=directory / "host_key",
        host_authority=directory / "host_authority",
        user_authority=directory / "user_authority",
        known_hosts=directory / "known_hosts",
        known_hosts_by_authority=directory / "known_hosts_by_authority",
        known_hosts_wrong=directory / "known_hosts_wrong",
        ssh_config=directory / "ssh_config",
        has_guests=has_guests,
    )


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """One server for the whole session: for tests that leave it alive."""
    require_tool("sshd")
    require_tool("ssh-keygen")
    with running_sshd() as server:
        yield server


@pytest.fixture
def start_sshd() -> Iterator[Callable[..., Sshd]]:
    """Starts a server for this test alone, with running_sshd's arguments; as many as are wanted. For tests that kill or restrict it."""
    require_tool("sshd")
    with ExitStack() as stack:

        def start(**options: object) -> Sshd:
            server: AbstractContextManager[Sshd] = running_sshd(**options)  # type: ignore[arg-type]
            return stack.enter_context(server)

        yield start


@pytest.fixture
def sshd_with_guests(sshd: Sshd) -> Sshd:
    """The session's server, where `guest` (may sudo) and `stranger` (may not) can log in: for permission errors and `--as`."""
    if not sshd.has_guests:
        missing("logging in as another user needs root and mount namespaces")
    return sshd
