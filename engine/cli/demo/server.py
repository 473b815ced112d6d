"""The demo's own SSH server, on this machine's loopback: OpenSSH's where it is installed and lets us in, else one inside this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import random
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh

from engine.errors import HostError
from engine.scope import task_scope

ADDRESS: Final = "127.0.0.1"
_MORE_FOLDERS: Final = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_PRIVILEGE_FOLDER: Final = Path("/run/sshd")
"""As root Debian's sshd does not start without it; the service makes it, and none may be running. Source: sshd(8), FILES."""
_PORTS: Final = range(20_000, 32_000)
"""Below those that outgoing connections take theirs from."""
_ATTEMPTS: Final = 5
_READY_S: Final = 5.0
_ASK_S: Final = 0.01
_END_S: Final = 3.0
_PIECE_BYTES: Final = 1 << 17
_BEGAN: Final = 20
"""Where `_status` has the instant at which the process began: field 22 of stat, which counts from 1 and has the pid first."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and what a client needs to reach it."""

    kind: str
    user: str
    port: int
    identity: Path
    """The client's private key."""
    known_hosts: Path
    pid: int
    """0 where it is no process of its own."""

    @property
    def address(self) -> str:
        """USER@HOST:PORT."""
        return f"{self.user}@{ADDRESS}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Place:
    """The folder of a server that is to be started, with its keys in it."""

    directory: Path
    user: str
    host_key: asyncssh.SSHKey

    def server(self, kind: str, port: int, pid: int) -> Server:
        """Describes the server that serves at that port; writes its known_hosts."""
        known_hosts = self.directory / "known_hosts"
        key = self.host_key.export_public_key().decode()
        known_hosts.write_text(f"[{ADDRESS}]:{port} {key}", encoding="utf-8")
        return Server(kind, self.user, port, self.directory / "identity", known_hosts, pid)


@asynccontextmanager
async def running(directory: Path, *, is_inside: bool = False) -> AsyncIterator[Server]:
    """Starts a server that lets this user in by a fresh key; `directory` is made for its files. It ends with the body, and with it all that
    runs under it. `is_inside` passes OpenSSH's over. Raises: HostError.
    """
    place = _make_place(directory)
    program = None if is_inside else _find_sshd()
    with _privilege_folder(), contextlib.ExitStack() as stack:
        if program is not None:
            for _ in range(_ATTEMPTS):
                process = stack.enter_context(_openssh(place, program))
                server = await _ready(place, process)
                if server is not None:
                    yield server
                    return
                stack.close()
        async with _inside(place) as server:
            yield server


def _find_sshd() -> str | None:
    return shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_FOLDERS)))


def _make_place(directory: Path) -> _Place:
    directory.mkdir(mode=0o700)
    client, host = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for name, key in (("identity", client), ("host_key", host)):
        (directory / name).touch(mode=0o600)
        (directory / name).write_bytes(key.export_private_key())
    (directory / "authorized_keys").write_bytes(client.export_public_key())
    return _Place(directory, pwd.getpwuid(os.geteuid()).pw_name, host)


@contextlib.contextmanager
def _privilege_folder() -> Iterator[None]:
    """Makes sshd's folder where it is missing, and takes it away again unless another sshd came to need it."""
    is_missing = os.geteuid() == 0 and not _PRIVILEGE_FOLDER.exists()
    if is_missing:
        with contextlib.suppress(OSError):
            _PRIVILEGE_FOLDER.mkdir(mode=0o755)
    try:
        yield
    finally:
        if is_missing and not _is_any_named("sshd"):
            with contextlib.suppress(OSError):
                _PRIVILEGE_FOLDER.rmdir()


@contextlib.contextmanager
def _openssh(place: _Place, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs OpenSSH's server at a port that may turn out to be taken."""
    port = random.choice(_PORTS)  # noqa: S311 -- any that is free
    settings = {
        "ListenAddress": f"{ADDRESS}:{port}",
        "HostKey": place.directory / "host_key",
        "AuthorizedKeysFile": place.directory / "authorized_keys",
        "PidFile": "none",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",
        "UseDNS": "no",
        "PrintMotd": "no",
        "Subsystem": "sftp internal-sftp",
    }
    config = place.directory / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")
    (place.directory / "port").write_text(str(port), encoding="ascii")
    with (place.directory / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [*_dying_with_us(), program, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
    try:
        yield process
    finally:
        _end(process)


def _dying_with_us() -> list[str]:
    """What makes a command end when this process is killed, where it is to be had. Source: setpriv(1) of util-linux 2.33."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv is not None else []


async def _ready(place: _Place, process: subprocess.Popen[bytes]) -> Server | None:
    """Waits until it lets us in; None where it does not (its port is taken, the account is locked, its shell is none)."""
    port = int((place.directory / "port").read_text(encoding="ascii"))
    server = place.server("OpenSSH's sshd", port, process.pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_S):
            while process.poll() is None:
                try:
                    if await _can_log_in(server):
                        return server
                except asyncssh.Error:
                    return None
                except OSError:
                    await asyncio.sleep(_ASK_S)
    return None


async def _can_log_in(server: Server) -> bool:
    connecting = asyncssh.connect(
        ADDRESS,
        server.port,
        username=server.user,
        client_keys=[str(server.identity)],
        known_hosts=str(server.known_hosts),
        agent_path=None,
        config=None,
    )
    async with connecting as connection:
        done = await connection.run("exit 0")
        return done.exit_status == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server. Its sessions end by themselves once their client is gone; those that do not are killed."""
    below = _descendants(process.pid)
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, began in below.items():
        if _status(pid)[_BEGAN:][:1] == [began]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def _inside(place: _Place) -> AsyncIterator[Server]:
    """A server in this process. Raises: HostError."""
    try:
        acceptor = await asyncssh.listen(
            ADDRESS,
            0,
            server_host_keys=[place.host_key],
            authorized_client_keys=str(place.directory / "authorized_keys"),
            process_factory=_serve,
            sftp_factory=True,
            encoding=None,
        )
    except (OSError, asyncssh.Error) as error:
        raise HostError(f"no SSH server could be started on {ADDRESS}: {error}") from error
    async with acceptor:
        yield place.server("a server inside this process", acceptor.get_port(), 0)


async def _serve(channel: asyncssh.SSHServerProcess[bytes]) -> None:
    """Runs one command, as this user, for as long as the client stays."""
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        channel.command or "exit 0",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with task_scope() as group:
            feeder = group.create_task(_feed(channel.stdin, process.stdin))
            async with task_scope() as pumps:
                pumps.create_task(_pump(process.stdout, channel.stdout))
                pumps.create_task(_pump(process.stderr, channel.stderr))
            status = await process.wait()
            feeder.cancel()
        if status < 0:
            channel.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            channel.exit(status)
    except (OSError, asyncssh.Error):
        channel.close()  # the client is gone
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _feed(channel: asyncssh.SSHReader[bytes], pipe: asyncio.StreamWriter) -> None:
    """What the client sends, to the command, which may end without having read it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while piece := await channel.read(_PIECE_BYTES):
            pipe.write(piece)
            await pipe.drain()
    pipe.close()


async def _pump(pipe: asyncio.StreamReader, channel: asyncssh.SSHWriter[bytes]) -> None:
    """What the command says, to the client."""
    while piece := await pipe.read(_PIECE_BYTES):
        channel.write(piece)
        await channel.drain()


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]


def _status(pid: int) -> list[str]:
    """The fields of a process's /proc/PID/stat from the name on: name, state, parent, ...; empty where it is gone. Source: proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()]


def _is_any_named(name: str) -> bool:
    return any(_status(each)[:1] == [name] for each in _processes())


def _descendants(pid: int) -> dict[int, str]:
    """All processes below one, each with the instant at which it began."""
    known = {each: _status(each) for each in _processes()}
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        parents = {each for each, fields in known.items() if fields and int(fields[2]) in parents}
        found |= {each: known[each][_BEGAN] for each in parents}
    return found
