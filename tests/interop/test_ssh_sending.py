"""What a command is given, on its way through the short cut past asyncssh and without it, against OpenSSH's server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from engine.hosts.base import Command
from tests.families.hosts import opened, ssh_definition
from tests.servers.sshd import Sshd

MIB = 1 << 20
SLOW_CIPHER = "Ciphers chacha20-poly1305@openssh.com"
PIECES = [bytes([number]) * (number * 40_009) for number in range(33)]
SHA256 = hashlib.sha256(b"".join(PIECES)).hexdigest()


@pytest.mark.parametrize("limit", ["RekeyLimit default", "RekeyLimit 1M", SLOW_CIPHER])
async def test_what_a_command_is_given_arrives_whole(start_sshd: Callable[..., Sshd], limit: str) -> None:
    """With one key, with new keys every megabyte, and with an encryption for which there is no short way."""
    server = start_sshd(extra=(limit,))
    async with (
        opened(ssh_definition(server)) as host,
        host.start(Command(("sha256sum",), input="stream")) as process,
    ):
        for piece in PIECES:
            await process.write(piece)
        await process.close_input()
        assert (await process.read()).split()[0].decode() == SHA256
        assert (await process.wait()).is_success
        sealer = process._session.channel._flush_send_buf.args[2]  # type: ignore[attr-defined]
    # While keys are exchanged asyncssh sends by itself, the more the slower the machine.
    assert (sealer.sent_bytes > MIB // 2) == (limit != SLOW_CIPHER)
