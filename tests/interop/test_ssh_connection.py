"""A connection that is cut, a server that allows little, and commands as another user, against OpenSSH's server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import psutil
import pytest

from engine.errors import ConnectionLostError, LoginRefusedError
from engine.hosts.base import Command, OpenHost
from engine.model.secret import Secret
from tests.families.hosts import (
    Watcher,
    drain,
    marker,
    opened,
    processes_with,
    ssh_definition,
    wait_until,
    write_for_ever,
)
from tests.servers.sshd import GUEST, STRANGER, Sshd


def script(text: str, *words: str, **options: object) -> Command:
    """A command that is a shell's text."""
    return Command(("/bin/sh", "-c", text, "test", *words), **options)  # type: ignore[arg-type]


async def test_a_connection_cut_in_mid_stream_is_an_error(start_sshd: Callable[..., Sshd]) -> None:
    """A silent end of file would make half a dump look whole."""
    server = start_sshd()
    async with opened(ssh_definition(server)) as host, host.start(Command(("cat", "/dev/zero"))) as process:
        await process.read()
        server.drop_connections()
        with pytest.raises(ConnectionLostError, match="box was lost while cat was running"):
            await drain(process)
        ended = await process.wait()
        assert not ended.is_success


async def test_a_connection_cut_while_writing_is_an_error(start_sshd: Callable[..., Sshd]) -> None:
    """The same for a restore."""
    server = start_sshd()
    async with (
        opened(ssh_definition(server)) as host,
        host.start(Command(("sleep", "100"), input="stream")) as process,
    ):
        server.drop_connections()
        with pytest.raises((ConnectionLostError, BrokenPipeError)):
            async with asyncio.timeout(60):
                await write_for_ever(process, 65536)


async def test_a_peer_that_falls_silent_is_given_up(start_sshd: Callable[..., Sshd]) -> None:
    """A machine that lost its power sends no farewell; without keepalive the backup hangs for ever."""
    server = start_sshd()
    definition = ssh_definition(server, keepalive=1, keepalive_count=2)
    async with opened(definition) as host, host.start(script("echo x; sleep 100")) as process:
        await process.read()
        frozen = [one for one in server.processes() if "sshd" in one.name()]
        try:
            for one in frozen:
                one.suspend()
            async with asyncio.timeout(60):
                with pytest.raises(ConnectionLostError):
                    await process.read()
        finally:
            for one in frozen:
                one.resume()


async def test_a_cut_connection_ends_the_command_on_the_host(start_sshd: Callable[..., Sshd]) -> None:
    """When our machine dies the dump on the server must die as well."""
    server = start_sshd()
    word = marker()
    async with (
        opened(ssh_definition(server)) as host,
        host.start(script("echo x; sleep 1000; :", word)) as process,
    ):
        await process.read()
        for one in [one for one in server.processes() if "sshd" in one.name()]:
            one.kill()
        await wait_until(lambda: not processes_with(word))


async def test_after_a_cut_the_next_command_connects_again(start_sshd: Callable[..., Sshd]) -> None:
    """One bad moment must not end a job that may try again."""
    server = start_sshd()
    async with opened(ssh_definition(server)) as host:
        async with host.start(script("echo x; sleep 100")) as process:
            await process.read()
            server.drop_connections()
            with pytest.raises(ConnectionLostError):
                await process.read()
        assert (await host.run(Command(("echo", "again")))).stdout == b"again\n"


async def test_more_commands_than_the_server_allows_get_another_connection(
    start_sshd: Callable[..., Sshd],
) -> None:
    """MaxSessions is lowered on hardened hosts; a job must not fail by it."""
    server = start_sshd(max_sessions=2)
    async with opened(ssh_definition(server, max_channels=6)) as host:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(host.run(script("sleep 0.3; echo $1", str(number)))) for number in range(6)
            ]
        assert [task.result().stdout for task in tasks] == [b"%d\n" % number for number in range(6)]
    assert server.read_log().count("Accepted publickey") == 3


async def test_the_encryption_is_the_quick_one(sshd: Sshd) -> None:
    """chacha20, the default of both programs, costs half as much again."""
    async with opened(ssh_definition(sshd)) as host:
        ciphers = {connection.get_extra_info("send_cipher") for connection in host._connections}  # type: ignore[attr-defined]
    assert ciphers == {"aes128-gcm@openssh.com"}


@pytest.mark.parametrize("login", ["root-login", "guest-login"])
@pytest.mark.parametrize("user", ["root", GUEST])
async def test_a_command_runs_as_another_user_and_ends_with_us(
    sshd_with_guests: Sshd, login: str, user: str
) -> None:
    """`--as` makes root logins unnecessary, and leaves as little behind."""
    word = marker()
    definition = ssh_definition(sshd_with_guests, None if login == "root-login" else GUEST)
    async with opened(definition) as host:
        done = await host.run(
            script('id -un; printf "%s" "$A"; cat', as_user=user, secrets={"A": Secret("s p")}),
            input_bytes=b"in",
        )
        assert done.stdout == f"{user}\ns pin".encode()
        async with host.start(script("echo started; sleep 1000; :", word, as_user=user)) as process:
            assert await process.read() == b"started\n"
        await wait_until(lambda: not processes_with(word))


async def test_a_secret_for_another_user_is_read_by_the_other_user_alone(sshd_with_guests: Sshd) -> None:
    """The login's own shell has no business with the database's password."""
    secret = marker()
    command = script('sleep 0.6; printf %s "$PASSWORD"', as_user="root", secrets={"PASSWORD": Secret(secret)})
    async with opened(ssh_definition(sshd_with_guests, GUEST)) as host:
        with Watcher(secret) as watcher:
            done = await host.run(command)
    assert done.stdout == secret.encode()
    assert watcher.command_lines == set()
    assert not [line for line in watcher.environments if b"read -r" in line or line.startswith(b"sudo")]


async def test_a_user_who_may_not_become_another_is_told_how(sshd_with_guests: Sshd) -> None:
    """The hint leads to the lines for sudoers."""
    async with opened(ssh_definition(sshd_with_guests, STRANGER, as_user="root")) as host:
        with pytest.raises(LoginRefusedError, match="does not let us run find as root") as failure:
            await host.run(Command(("find", "/root", "-maxdepth", "0")))
    assert "host grants" in str(failure.value.hint)


async def test_a_gentle_command_has_a_low_priority(sshd: Sshd) -> None:
    """A backup must not slow the database that it saves."""

    async def priority(host: OpenHost) -> int:
        async with host.start(script("echo $$; sleep 100")) as process:
            return int(psutil.Process(int(await process.read())).nice())

    async with opened(ssh_definition(sshd, nice=True)) as gentle, opened(ssh_definition(sshd)) as plain:
        assert (await priority(gentle), await priority(plain)) == (10, 0)


async def test_nothing_is_left_when_all_is_done(start_sshd: Callable[..., Sshd]) -> None:
    """Sessions that stay would fill the server's limit after some nights."""
    server = start_sshd()
    async with opened(ssh_definition(server)) as host:
        for _ in range(5):
            await host.run(Command(("true",)))
        async with host.files() as files:
            await files.entries(os.fsencode(server.directory))
    await wait_until(lambda: not server.processes())
