"""What every host must do: this machine, SSH as the user of the tests (root in CI), SSH as an ordinary user."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from engine.errors import (
    CommandFailedError,
    CommandTimeoutError,
    PathMissingError,
    ToolMissingError,
    UsageError,
)
from engine.hosts import local_process
from engine.hosts import script as hosts_script
from engine.hosts.base import Command, DirectProcess, OpenHost
from engine.model.definitions import Host
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
from tests.servers.sshd import GUEST, Sshd

MIB = 1 << 20


@pytest.fixture(
    params=[
        "local",
        "ssh",
        pytest.param("ssh-guest", marks=pytest.mark.slow),
    ]  # the quick checks do without guests
)
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each member of the family, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    elif request.param == "ssh":
        definition = ssh_definition(request.getfixturevalue("sshd"))
    else:
        server: Sshd = request.getfixturevalue("sshd_with_guests")
        definition = ssh_definition(server, GUEST)
    async with opened(definition) as host:
        yield host


def script(text: str, *words: str | bytes, **options: object) -> Command:
    """A command that is a shell's text, with words for $1 and on."""
    return Command(("/bin/sh", "-c", text, "test", *words), **options)  # type: ignore[arg-type]


async def test_a_command_says_what_it_says_and_how_it_ended(host: OpenHost) -> None:
    """The base of all else."""
    done = await host.run(script("echo out; echo err >&2; exit 3"))
    assert (done.stdout, done.exit.stderr, done.exit.status, done.exit.is_success) == (
        b"out\n",
        b"err\n",
        3,
        False,
    )


async def test_a_command_runs_in_the_plain_locale_with_its_settings(host: OpenHost) -> None:
    """A localised message or a comma in a number would break the reading of tools' output."""
    done = await host.run(script('echo "$LC_ALL $A"', settings={"A": "it's $HOME"}))
    assert done.stdout == b"C it's $HOME\n"


@pytest.mark.parametrize(
    "word",
    [b"a b", b"new\nline\n", b"\xff\xfe\x80", b"'\"\\$x`y`!*?", b"", b"-n", "ü\udc80", b"\\\\", b"tab\there"],
    ids=repr,
)
async def test_every_word_arrives_byte_for_byte(host: OpenHost, word: str | bytes) -> None:
    """File names on a host are bytes; a shell that took them apart would be a hole."""
    expected = word if isinstance(word, bytes) else word.encode("utf-8", "surrogateescape")
    done = await host.run(Command(("printf", "%s|", word, "end")))
    assert done.stdout == expected + b"|end|"


async def test_a_word_with_a_nul_is_refused(host: OpenHost) -> None:
    """It cannot be handed on, and must not be cut in silence."""
    with pytest.raises(UsageError, match="NUL"):
        await host.run(Command(("echo", b"a\0b")))


async def test_a_missing_program_is_named(host: OpenHost) -> None:
    """A person can install what is named."""
    with pytest.raises(ToolMissingError, match=r"no-such-tool is missing on (this|box)"):
        await host.run(Command(("no-such-tool", "x")))


async def test_input_reaches_the_command_unchanged(host: OpenHost) -> None:
    """Lists of files and restored dumps go in this way."""
    data = os.urandom(3 * MIB + 17)
    done = await host.run(Command(("cat",)), input_bytes=data, limit_bytes=4 * MIB)
    assert done.stdout == data


async def test_a_command_that_reads_no_input_ends_by_its_own_status(host: OpenHost) -> None:
    """`head` is done before all is written; that is no fault."""
    done = await host.run(Command(("head", "-c", "3")), input_bytes=b"abc" * MIB)
    assert (done.stdout, done.exit.status) == (b"abc", 0)


async def test_an_answer_beyond_the_limit_is_an_error(host: OpenHost) -> None:
    """A host that talks without end must not fill our memory."""
    with pytest.raises(CommandFailedError, match="more than 1000 bytes"):
        await host.run(Command(("head", "-c", "100000", "/dev/zero")), limit_bytes=1000)


@pytest.mark.slow
async def test_a_hundred_megabytes_arrive_unchanged(host: OpenHost, open_directory: Path) -> None:
    """Dumps are binary, and long."""
    data = os.urandom(100_000_000)
    path = open_directory / "data"
    path.write_bytes(data)
    digest = hashlib.sha256()
    async with host.start(Command(("cat", str(path)))) as process:
        while piece := await process.read():
            digest.update(piece)
        ended = await process.wait()
    assert (digest.digest(), ended.is_success) == (hashlib.sha256(data).digest(), True)


async def test_output_can_be_read_into_memory_of_any_length(host: OpenHost) -> None:
    """A dump goes straight to where it is cut into chunks."""
    room, came = memoryview(bytearray(3 * MIB)), bytearray()
    async with host.start(Command(("seq", "400000"))) as process:
        assert isinstance(process, DirectProcess)
        while count := await process.read_into(room[: 1 + len(came) % len(room)]):
            came += room[:count]
        assert (await process.wait()).is_success
    assert came == b"".join(b"%d\n" % number for number in range(1, 400_001))


async def test_a_loud_standard_error_does_not_stop_the_output(host: OpenHost) -> None:
    """8 MB of warnings filled the window once and the dump stood still for ever."""
    text = "head -c 8000000 /dev/zero | tr '\\0' 'x' >&2; head -c 3000000 /dev/zero; echo last >&2"
    async with host.start(script(text)) as process:
        assert len(await drain(process)) == 3_000_000
        ended = await process.wait()
    assert (len(ended.stderr), ended.stderr[-5:]) == (64 << 10, b"last\n")


async def test_lines_of_standard_error_come_while_it_runs(host: OpenHost) -> None:
    """Progress that tools report there is shown as it happens."""
    async with host.start(script("echo one >&2; read x; echo $x >&2", input="stream")) as process:
        lines = process.stderr_lines()
        assert await anext(lines) == b"one"
        await process.write(b"two\n")
        assert [line async for line in lines] == [b"two"]


async def test_an_unread_command_stands_still_and_takes_no_memory(host: OpenHost) -> None:
    """A slow storage must slow the dump, not fill this machine's memory."""
    memory = psutil.Process()
    async with host.start(Command(("cat", "/dev/zero"))) as process:
        await process.read()
        before = memory.memory_info().rss
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.7):
                await process.wait()
        grown = memory.memory_info().rss - before
        assert len(await process.read()) <= MIB
    assert grown < 32 * MIB


@pytest.mark.slow
async def test_an_unread_input_makes_the_writer_wait(host: OpenHost) -> None:
    """A restore must not pile up in memory what the database has not taken yet."""
    async with host.start(Command(("sleep", "100"), input="stream")) as process:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await write_for_ever(process, MIB)


async def test_a_command_that_takes_too_long_is_ended(host: OpenHost) -> None:
    """Nobody waits for ever, and nothing is left running."""
    word = marker()
    with pytest.raises(CommandTimeoutError, match="did not end within"):
        await host.run(script("sleep 1000; :", word), timeout_s=0.5)
    await wait_until(lambda: not processes_with(word))


async def test_leaving_early_ends_the_command(host: OpenHost) -> None:
    """A cancelled backup must not leave a dump running on the server."""
    word = marker()
    async with host.start(script("echo started; sleep 1000; :", word)) as process:
        assert await process.read() == b"started\n"
        assert processes_with(word)
    await wait_until(lambda: not processes_with(word))


async def test_cancelling_ends_the_command(host: OpenHost) -> None:
    """A person who presses Ctrl-C means it for the server too."""
    word = marker()
    started = asyncio.Event()

    async def endless() -> None:
        async with host.start(script("echo started; sleep 1000; :", word)) as process:
            await process.read()
            started.set()
            await process.read()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(endless())
        await started.wait()
        task.cancel()
    await wait_until(lambda: not processes_with(word))


@pytest.mark.slow
async def test_a_command_that_ignores_the_polite_signal_is_ended_too(
    host: OpenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that traps TERM must not survive its backup."""
    for module in (hosts_script, local_process):
        monkeypatch.setattr(module, "KILL_AFTER_S", 1)
    word = marker()
    async with host.start(script("trap '' TERM; echo started; while :; do sleep 1; done", word)) as process:
        assert await process.read() == b"started\n"
    await wait_until(lambda: not processes_with(word))


async def test_what_a_command_left_behind_is_ended(host: OpenHost) -> None:
    """A child in the background holds locks and memory on the server."""
    word = marker()
    async with host.start(script("sh -c 'sleep 1000; :' $1 >/dev/null 2>&1 & echo done", word)) as process:
        assert await process.read() == b"done\n"
        await process.wait()
    await wait_until(lambda: not processes_with(word))


async def test_a_command_killed_by_a_signal_is_no_success(host: OpenHost) -> None:
    """The kernel's OOM killer ends a dump this way."""
    done = await host.run(script("kill -9 $$"))
    assert not done.exit.is_success


async def test_closing_the_input_twice_is_well(host: OpenHost) -> None:
    """Who closes need not know who closed before."""
    async with host.start(Command(("cat",), input="stream")) as process:
        await process.write(b"x")
        await process.close_input()
        await process.close_input()
        with pytest.raises(BrokenPipeError):
            await process.write(b"y")
        assert await drain(process) == b"x"


@pytest.mark.slow
async def test_many_commands_share_the_host(host: OpenHost) -> None:
    """Twenty at once on a host with fewer channels: the rest waits its turn."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(host.run(script("sleep 0.1; echo $1", str(number)))) for number in range(20)
        ]
    assert [task.result().stdout for task in tasks] == [b"%d\n" % number for number in range(20)]


async def test_a_secret_reaches_the_command_and_nobody_else(host: OpenHost) -> None:
    """Process lists are world-readable: a password in one is everybody's."""
    secret = f"it's a  secret\\ {marker()} "
    text = 'sleep 0.6; printf %s "$PASSWORD"; cat'
    command = script(text, secrets={"PASSWORD": Secret(secret)})
    with Watcher(secret) as watcher:
        done = await host.run(command)
    assert done.stdout == secret.encode()
    assert watcher.rounds > 2
    assert watcher.command_lines == set()
    # The command itself and what it starts; neither the guard nor a login shell.
    assert {line.split(b"\0")[0] for line in watcher.environments} <= {b"/bin/sh", b"sleep", b"cat"}
    assert not [line for line in watcher.environments if b"read -r" in line]


async def test_secrets_and_a_stream_go_in_together(host: OpenHost) -> None:
    """A restore needs its password and its dump on one standard input."""
    secrets = {"A": Secret("first"), "B": Secret(b"\xff second")}
    command = script('printf "%s|%s|" "$A" "$B"; cat', secrets=secrets, input="stream")
    done = await host.run(command, input_bytes=b"data\nmore")
    assert done.stdout == b"first|\xff second|data\nmore"


@pytest.mark.parametrize("value", ["two\nlines", "nul\0"], ids=["newline", "nul"])
async def test_a_secret_that_cannot_be_handed_on_is_refused(host: OpenHost, value: str) -> None:
    """Half a password would be worse than an error."""
    with pytest.raises(UsageError, match="newline or NUL"):
        await host.run(Command(("true",), secrets={"A": Secret(value)}))


async def test_facts_name_the_tools(host: OpenHost) -> None:
    """Sources decide by them how to read the host."""
    facts = await host.facts()
    assert facts.hostname == os.uname().nodename
    assert (facts.system, facts.has_gnu_find, facts.has_gnu_tar) == ("Linux", True, True)
    assert {"find", "tar", "cat"} <= set(facts.tools)
    assert await host.facts() is facts


async def test_plain_files_are_listed_and_read(host: OpenHost, open_directory: Path) -> None:
    """The way around for hosts without GNU tools."""
    (open_directory / "a").write_bytes(b"x" * (2 * MIB + 5))
    (open_directory / os.fsdecode(b"\xff\n")).mkdir()
    (open_directory / "link").symlink_to("a")
    base = os.fsencode(open_directory)
    async with host.files() as files:
        entries = {entry.path: entry for entry in await files.entries(base)}
        async with files.read(base + b"/a") as pieces:
            read = [len(piece) async for piece in pieces]
        one = await files.entry(base + b"/link")
    relative = base.lstrip(b"/")
    assert {path[len(relative) + 1 :]: entry.type for path, entry in entries.items()} == {
        b"a": "f",
        b"\xff\n": "d",
        b"link": "l",
    }
    assert (one.target, entries[relative + b"/a"].size, sum(read), max(read)) == (
        b"a",
        2 * MIB + 5,
        2 * MIB + 5,
        MIB,
    )
    assert entries[relative + b"/a"].mtime.split(b".")[0] == b"%d" % int(
        (open_directory / "a").stat().st_mtime
    )


async def test_a_missing_path_is_named(host: OpenHost) -> None:
    """The person sees which path is wrong."""
    async with host.files() as files:
        with pytest.raises(PathMissingError, match="/no/such"):
            await files.entry(b"/no/such")
        with pytest.raises(PathMissingError, match="/no/such"):
            await files.entries(b"/no/such")
        with pytest.raises(PathMissingError, match="/no/such"):
            async with files.read(b"/no/such"):
                pass


@pytest.fixture
def open_directory(tmp_path: Path) -> Path:
    """A directory that an ordinary user of the host may read, too."""
    for directory in [tmp_path, *tmp_path.parents]:
        if (
            directory.stat().st_uid == os.geteuid()
            and not directory.stat().st_mode & 0o1000
            and len(directory.parts) > 2
        ):
            directory.chmod(directory.stat().st_mode | 0o55)
    return tmp_path
