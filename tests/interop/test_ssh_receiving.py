"""What a command writes, on its way from OpenSSH's server into our memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil
import pytest

from engine.hosts.base import Command
from tests.families.hosts import opened, ssh_definition
from tests.servers.sshd import Sshd

MIB = 1 << 20
SLOW_CIPHER = "Ciphers chacha20-poly1305@openssh.com"


@pytest.mark.parametrize("cipher", ["Ciphers aes128-gcm@openssh.com", SLOW_CIPHER])
async def test_a_slow_reader_holds_the_command_back(start_sshd: Callable[..., Sshd], cipher: str) -> None:
    """What is compressed and stored comes in faster than it goes out: it must wait on the host and not in our memory."""
    server = start_sshd(extra=(cipher,))
    read_bytes = 0
    async with opened(ssh_definition(server)) as host, host.start(Command(("cat", "/dev/zero"))) as process:
        read_bytes += len(await process.read())
        (cat,) = [one for one in server.processes() if one.cmdline() == ["cat", "/dev/zero"]]
        while read_bytes < 160 * MIB:
            read_bytes += len(await process.read())
            ahead_bytes = await _standstill(cat) - read_bytes
            assert ahead_bytes < 32 * MIB


async def _standstill(writer: psutil.Process) -> int:
    """What the process has written once it does not get on any more, however often we look."""
    written_bytes, looks = 0, 0
    while looks < 50:
        before, written_bytes = written_bytes, writer.io_counters().write_chars
        looks = looks + 1 if written_bytes == before else 0
        await asyncio.sleep(0)
    return int(written_bytes)
