"""A service says to its supervisor what sd_notify(3) lays down, and nothing where nobody listens."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET would hold, and the socket that hears."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@holdfast-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind("\0" + name[1:] if name.startswith("@") else name)
        hearing.settimeout(5)
        yield name, hearing


def test_a_service_says_that_it_is_ready_what_it_does_and_that_it_stops(
    supervisor: tuple[str, socket.socket],
) -> None:
    """systemd waits for it before it starts what comes after."""
    name, hearing = supervisor
    notifier = Notifier.of({"NOTIFY_SOCKET": name})
    notifier.ready()
    for line in ("2 jobs run", "2 jobs run", "a\nb"):
        notifier.status(line)
    notifier.stopping()
    heard = [hearing.recv(1000) for _ in range(4)]
    assert heard == [b"READY=1", b"STATUS=2 jobs run", b"STATUS=a b", b"STOPPING=1"]


async def test_the_watchdog_hears_nothing_of_a_service_that_is_stuck(
    supervisor: tuple[str, socket.socket],
) -> None:
    """Only then is it started anew."""
    name, hearing = supervisor
    notifier = Notifier.of({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": str(os.getpid())})
    lives = [True, False, True]

    def is_alive() -> bool:
        if not lives:
            raise asyncio.CancelledError
        return lives.pop()

    with pytest.raises(asyncio.CancelledError):
        await notifier.keep_watchdog(is_alive)
    hearing.setblocking(False)
    assert (hearing.recv(100), hearing.recv(100)) == (b"WATCHDOG=1", b"WATCHDOG=1")
    with pytest.raises(BlockingIOError):
        hearing.recv(100)


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}],
    ids=["nothing", "zero", "no-number", "another-process"],
)
async def test_nobody_is_told_where_nobody_asked(environment: dict[str, str]) -> None:
    """In a terminal there is no supervisor, and the variables of one may be another's."""
    notifier = Notifier.of(environment)
    notifier.ready()
    await notifier.keep_watchdog(lambda: True)
    assert notifier.watchdog_s is None


def test_a_supervisor_that_is_gone_fails_nothing(tmp_path: Path) -> None:
    """A backup does not end because nobody reads how it goes."""
    for name in (str(tmp_path / "gone"), "relative", "@" + "x" * 300):
        Notifier.of({"NOTIFY_SOCKET": name}).ready()
