"""Output that comes through the host's zstd: the same bytes, the same status, no failure hidden by a pipe."""

from __future__ import annotations

import pytest

from engine.errors import ToolMissingError
from engine.hosts.base import Command
from engine.hosts.ssh.host import SshHost
from engine.model.secret import Secret
from tests.families.hosts import drain, marker, opened, processes_with, ssh_definition, wait_until
from tests.servers.sshd import Sshd
from tests.servers.tools import require_tool

LINES = 'i=0; while [ $i -lt 20000 ]; do echo "INSERT INTO t VALUES ($i);"; i=$((i+1)); done'
EXPECTED = b"".join(b"INSERT INTO t VALUES (%d);\n" % number for number in range(20000))


def script(text: str, *words: str, **options: object) -> Command:
    """A command that is a shell's text, its output compressed."""
    return Command(("/bin/sh", "-c", text, "test", *words), compress=True, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _needs_zstd() -> None:
    require_tool("zstd")


@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize("direction", ["none", "stream"])
async def test_the_bytes_are_the_same(sshd: Sshd, user: str | None, direction: str) -> None:
    """A dump is a dump, however it came."""
    async with opened(ssh_definition(sshd, compress="always")) as host:
        done = await host.run(script(LINES, as_user=user, input=direction))
        assert (done.stdout, done.exit.status) == (EXPECTED, 0)
        silent = await host.run(script(":", as_user=user))
        assert (silent.stdout, silent.exit.status) == (b"", 0)


@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize(("ending", "status"), [("exit 7", 7), ("kill -9 $$", 137)], ids=["exit", "kill"])
async def test_the_status_is_that_of_the_command(
    sshd: Sshd, user: str | None, ending: str, status: int
) -> None:
    """`pg_dump | gzip` says 0 when the dump was killed; that lost people their backups."""
    async with opened(ssh_definition(sshd, compress="always")) as host:
        done = await host.run(script(f"echo half; {ending}", as_user=user))
    assert (done.stdout, done.exit.status, done.exit.is_success) == (b"half\n", status, False)


async def test_a_missing_program_is_still_named(sshd: Sshd) -> None:
    """The compressor must not stand in for it."""
    async with opened(ssh_definition(sshd, compress="always")) as host:
        with pytest.raises(ToolMissingError, match="no-such-tool"):
            await host.run(Command(("no-such-tool",), compress=True))


async def test_a_compressor_that_is_killed_is_a_failure(sshd: Sshd) -> None:
    """Whatever breaks in between, it is never a success."""
    async with opened(ssh_definition(sshd, compress="always")) as host:
        done = await host.run(
            script("echo x; until kill -9 $(pgrep -g 0 -x zstd) 2>/dev/null; do sleep 0.01; done; exit 0")
        )
    assert not done.exit.is_success


async def test_leaving_ends_command_and_compressor(sshd: Sshd) -> None:
    """Nothing is left on the host."""
    word = marker()
    async with (
        opened(ssh_definition(sshd, compress="always")) as host,
        host.start(script("head -c 8000000 /dev/urandom; sleep 1000; :", word)) as process,
    ):
        assert await process.read()
    await wait_until(lambda: not processes_with(word))


async def test_secrets_go_in_with_it(sshd: Sshd) -> None:
    """The compressor sees neither secret nor input."""
    async with opened(ssh_definition(sshd, compress="always")) as host:
        done = await host.run(script('printf %s "$A"; cat', secrets={"A": Secret("s")}), input_bytes=b"in")
    assert done.stdout == b"sin"


async def test_a_quick_link_is_left_bare(sshd: Sshd) -> None:
    """On loopback zstd would halve the speed; the rate is measured, once."""
    async with opened(ssh_definition(sshd)) as host:
        assert isinstance(host, SshHost)
        assert await host.link_speed() > 1 << 20
        async with host.start(script("echo; sleep 100")) as process:
            assert await process.read() == b"\n"


async def test_a_large_stream_passes_unchanged(sshd: Sshd) -> None:
    """Fifty MiB of zeros are a few KiB on the way, and come out in pieces of at most one MiB."""
    command = Command(("head", "-c", str(50 << 20), "/dev/zero"), compress=True)
    async with opened(ssh_definition(sshd, compress="always")) as host, host.start(command) as process:
        assert (await drain(process)).count(b"\0") == 50 << 20
        assert (await process.wait()).is_success
