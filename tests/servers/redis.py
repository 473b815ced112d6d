"""redis-server on a Unix socket and on 127.0.0.1, unprivileged, in a folder of its own. As many at once as are wanted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam, struct_passwd

import pytest

from tests.servers.tools import free_port, require_tool

_READY_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
_ACCOUNTS = ("redis", "nobody")


@dataclass(frozen=True, slots=True)
class Redis:
    """A running server, and how to reach it."""

    directory: Path
    socket: Path
    port: int
    tls_port: int
    """0 where it speaks no TLS."""
    password: str
    process: subprocess.Popen[bytes]

    def cli(self, *words: str, database: int = 0) -> str:
        """What redis-cli prints for a command. Raises CalledProcessError."""
        done = subprocess.run(
            [str(require_tool("redis-cli")), "-e", "-s", str(self.socket), "-n", str(database), *words],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "REDISCLI_AUTH": self.password} if self.password else None,
        )
        return done.stdout.removesuffix("\n")

    def fill(self, keys: int, *, database: int = 0, prefix: str = "key") -> None:
        """Makes that many keys that last."""
        script = "for i = 1, ARGV[1] do redis.call('SET', ARGV[2] .. i, string.rep('v', 60) .. i) end"
        self.cli("EVAL", script, "0", str(keys), prefix, database=database)

    def fill_oddly(self) -> None:
        """A few keys of each type, odd names, values too long to be held, times, and a library of functions."""
        script = """
        for number = 1, 300 do
            redis.call('HSET', 'small', number % 40, number)
            redis.call('HSET', 'large', 'field' .. number, string.rep('v', number))
            redis.call('RPUSH', 'list', string.rep('x', number * 10))
            redis.call('SADD', 'numbers', number)
            redis.call('SADD', 'words', 'word' .. number)
            redis.call('ZADD', 'scores', number / 7, 'member' .. number)
            redis.call('XADD', 'stream', '*', 'number', number)
        end
        redis.call('XGROUP', 'CREATE', 'stream', 'readers', '0')
        redis.call('XREADGROUP', 'GROUP', 'readers', 'one', 'COUNT', 5, 'STREAMS', 'stream', '>')
        redis.call('SET', 'compressed name ' .. string.rep('n', 300), 'c')
        redis.call('SET', 'a\\0b\\r\\n"; $(touch ran)', 'odd \\255')
        redis.call('SET', '12345', -70000)
        redis.call('SET', 'later', 'l', 'EX', 5000)
        local parts = {}
        for number = 1, 30000 do parts[number] = redis.sha1hex(number) end
        redis.call('SET', 'long', table.concat(parts))
        for number = 1, 1300 do redis.call('RPUSH', 'long list', string.rep(parts[number], 30)) end
        """
        self.cli("EVAL", script.replace("\\\\", "\\"), "0")
        self.cli(
            "FUNCTION",
            "LOAD",
            "REPLACE",
            "#!lua name=ours\nredis.register_function('answer', function() return 42 end)",
        )


@contextlib.contextmanager
def running_redis(
    *, password: str = "", extra: Sequence[str] = (), tls: Path | None = None, config: Path | None = None
) -> Iterator[Redis]:
    """Starts a server, with a configuration file where one is given; `extra` are options as redis-server takes them, `tls` a folder with cert.pem and key.pem. Stopped at the end."""
    program = require_tool("redis-server")
    account = _account()
    directory = Path(tempfile.mkdtemp(prefix="holdfast-redis-"))
    directory.chmod(0o755)
    try:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        port, tls_port = free_port(), free_port() if tls else 0
        words = [
            str(program),
            *([str(config)] if config else []),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        words += [
            "--unixsocket",
            str(directory / "socket"),
            "--unixsocketperm",
            "777",
            "--dir",
            str(directory),
        ]
        words += ["--requirepass", password] if password else []
        # By default a dump begins five seconds late, lest another replica asks for the same.
        words += ["--repl-diskless-sync-delay", "0"]
        words += _tls_words(tls, tls_port, directory, account)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [*words, *extra],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
        server = Redis(directory, directory / "socket", port, tls_port, password, process)
        try:
            _wait_ready(server)
            yield server
        finally:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _account() -> struct_passwd | None:
    """Who runs the server where the tests run as root."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            return getpwnam(name)
    return None


def _tls_words(tls: Path | None, port: int, directory: Path, account: struct_passwd | None) -> list[str]:
    if tls is None:
        return []
    words = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    for name, option in (
        ("cert.pem", "--tls-cert-file"),
        ("key.pem", "--tls-key-file"),
        ("cert.pem", "--tls-ca-cert-file"),
    ):
        copy = directory / name
        shutil.copyfile(tls / name, copy)
        if account is not None:
            os.chown(copy, account.pw_uid, account.pw_gid)
        words += [option, str(copy)]
    return words


def _wait_ready(server: Redis) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(subprocess.CalledProcessError):
            if server.cli("PING") == "PONG":
                return
        time.sleep(0.02)
    text = (server.directory / "log").read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"redis-server did not start: {text[-2000:]}")


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A server with a password, for the whole session. Tests empty it before they fill it."""
    extra = ("--enable-debug-command", "yes")
    with running_redis(password="the pass; $(touch ran) 'word'", extra=extra) as server:
        yield server


@pytest.fixture(scope="session")
def other_redis() -> Iterator[Redis]:
    """A second one, without a password: what is meant for the first must not reach it."""
    with running_redis() as server:
        yield server
