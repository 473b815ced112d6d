"""What the tests of hosts share: open hosts, and a look at what runs on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from engine.hosts.base import READ_BYTES, OpenHost, Process
from engine.hosts.registry import open_host
from engine.model.definitions import Host, OptionValue
from engine.model.secret import Secret
from tests.servers.sshd import Sshd

GONE_WITHIN_S = 40.0
"""Only a failure takes so long: a machine that is busy with other tests does not."""


async def resolve_secret(reference: str) -> Secret:
    """In tests a REF is the secret itself."""
    return Secret(reference)


def ssh_definition(server: Sshd, user: str | None = None, **options: OptionValue) -> Host:
    """The server as a host; options given win over its right key and known_hosts. Not nice, so that tests are quick."""
    given: dict[str, OptionValue] = {
        "known_hosts": str(server.known_hosts),
        "identity": str(server.client_key),
        "ssh_config": "none",
        "nice": False,
        **options,
    }
    kept = {name: value for name, value in given.items() if value is not None}
    return Host("box", address=f"{user or server.user}@{server.address}:{server.port}", options=kept)


@asynccontextmanager
async def opened(definition: Host) -> AsyncIterator[OpenHost]:
    """The host, open."""
    async with open_host(definition, resolve_secret=resolve_secret) as host:
        yield host


def marker() -> str:
    """A word that no other process on this machine has in its command line."""
    return f"holdfast-test-{uuid.uuid4().hex}"


def processes_with(word: str) -> list[list[str]]:
    """Command lines on this machine in which the word is an argument of its own, or stands inside one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(word in one for one in words):
                found.append(words)
    return found


async def wait_until(condition: Callable[[], bool], timeout_s: float = GONE_WITHIN_S) -> None:
    """Polls until the condition holds; TimeoutError where it does not come to that."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 -- other processes set no event
            await asyncio.sleep(0.02)


class Watcher:
    """A thread that looks at every process's command line and environment, all the time, for a secret word."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.command_lines: set[bytes] = set()
        self.environments: set[bytes] = set()
        """Command lines of the processes that had the secret in their environment."""
        self.rounds = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for directory in _process_directories():
                with contextlib.suppress(OSError):
                    line = (directory / "cmdline").read_bytes()
                    if self._secret in line:
                        self.command_lines.add(line)
                    if self._secret in (directory / "environ").read_bytes():
                        # Read again: what was looked at first may have been the program that this process was before.
                        now = (directory / "cmdline").read_bytes()
                        if now:  # else it has ended since
                            self.environments.add(now)
            self.rounds += 1


def _process_directories() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def cut_connections(sshd: Sshd) -> None:
    """Kills what sshd started for its sessions, as a broken network would end them."""
    for process in psutil.Process(sshd.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("sshd"):
                process.kill()


async def drain(process: Process) -> bytes:
    """All of standard output."""
    pieces = []
    while piece := await process.read():
        assert len(piece) <= READ_BYTES
        pieces.append(piece)
    return b"".join(pieces)


async def write_for_ever(process: Process, size: int) -> None:
    """Writes until that fails or is cancelled."""
    while True:
        await process.write(b"x" * size)
        await asyncio.sleep(0)
