"""A container as the place where a client runs, through stand-ins for docker, podman and kubectl that check how they are called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, SourceError, ToolMissingError
from engine.hosts.base import Command, OpenHost
from engine.model.definitions import Host, OptionValue
from engine.model.secret import Secret
from engine.sources import container
from engine.sources.container import Container
from tests.fakes import container_tools
from tests.families.hosts import Watcher, drain, opened
from tests.families.postgres import make_shop, opened_postgres, read_backup
from tests.servers.postgres import PASSWORD, Postgres

PLACES = ["docker:db-1", "podman:db-1", "kubectl:prod/db-1"]


@pytest.fixture
async def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-ins, first in PATH; the log of their words."""
    log = container_tools.install(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return log


@pytest.fixture(params=PLACES)
async def inside(request: pytest.FixtureRequest, tools: Path) -> AsyncIterator[OpenHost]:
    """This machine, seen through each of the tools."""
    assert tools.exists()
    async with opened(Host("this", kind="local")) as host:
        yield container.inside(host, request.param)


@pytest.mark.slow
async def test_words_input_output_and_status_pass_unchanged(inside: OpenHost) -> None:
    """No terminal between us and the command changes a byte."""
    odd = ["it's", "a  b", "", "-t", "$HOME;x", "--env", "line\nline"]
    script = 'printf "%s|" "$@"; cat; echo said >&2; exit 7'
    data = bytes(range(256)) * 1000
    done = await inside.run(Command(("sh", "-c", script, "sh", *odd)), input_bytes=data)
    assert done.stdout == "|".join([*odd, ""]).encode() + data
    assert (done.exit.status, done.exit.stderr.strip()) == (7, b"said")


@pytest.mark.slow
@pytest.mark.parametrize("input_bytes", [b"", b"data\n"])
async def test_settings_and_secrets_arrive_and_stand_in_no_command_line(
    inside: OpenHost, tools: Path, input_bytes: bytes
) -> None:
    """The value of a secret passes by name, or on standard input."""
    secret = "se'cret $x\\ 7f3a9"
    command = Command(
        ("sh", "-c", 'printf "%s %s %s|" "$ONE" "$SECRET" "$LC_ALL"; sleep 0.1; cat'),
        settings={"ONE": "1 2"},
        secrets={"SECRET": Secret(secret)},
    )
    with Watcher(secret) as watcher:
        done = await inside.run(command, input_bytes=input_bytes)
    assert done.stdout == f"1 2 {secret} C|".encode() + input_bytes
    assert watcher.command_lines == set()
    assert secret not in tools.read_text()


@pytest.mark.slow
async def test_a_long_command_is_fed_and_read(inside: OpenHost) -> None:
    """A restore into a container is a stream."""
    command = Command(("sh", "-c", 'cat; echo "$SECRET"'), secrets={"SECRET": Secret("x")}, input="stream")
    async with inside.start(command) as process:
        await process.write(b"hello ")
        await process.close_input()
        assert await drain(process) == b"hello x\n"
        assert (await process.wait()).is_success


@pytest.mark.slow
async def test_a_missing_tool_or_container_is_named(tmp_path: Path, tools: Path) -> None:
    """With the words of the tool that looked for it."""
    async with opened(Host("this", kind="local")) as host:
        done = await container.inside(host, "docker:other").run(Command(("true",)))
        assert b"No such container: other" in done.exit.stderr
        (tmp_path / "podman").unlink()
        with pytest.raises(ToolMissingError):
            await container.inside(host, "podman:db-1").run(Command(("true",)))
    assert tools.exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_a_server_in_a_container_is_backed_up(postgres: Postgres, tools: Path, place: str) -> None:
    """The same dump as without, by several dumps at once too; the password included, which stands nowhere."""
    name = make_shop(postgres)
    rows = "select i, repeat('x', 100) t from generate_series(1, 12000) i"
    postgres.psql(f"create table large as {rows}; create table larger as {rows}", name)
    async with opened(Host("this", kind="local")) as host:
        options: dict[str, OptionValue] = {"db_host": "127.0.0.1", "port": postgres.port, "user": "backup"}
        options |= {"database": [name], "in_container": place, "jobs": 2}
        async with opened_postgres(host, options, PASSWORD) as source:
            await source.check()
            read = await read_backup(source)
        async with opened_postgres(host, options, "wrong") as source:
            with pytest.raises(SourceError, match="password authentication failed"):
                await source.check()
    assert read.errors == {}
    assert len(read.facts(name).tables) == 7
    assert [len(read.data[path]) > 1_000_000 for path in read.facts(name).parts] == [True]
    assert not [word for word in container_tools.words(tools) if PASSWORD in word or word in ("-t", "-it")]


@pytest.mark.parametrize(
    "text",
    ["docker", "docker:", "lxc:x", "docker:-x", "docker:a/b", "kubectl:/x", "kubectl:a/b/c", "docker:a b"],
)
def test_what_names_no_container_is_refused(text: str) -> None:
    """A name that begins with a dash would be an option."""
    with pytest.raises(ConfigurationError, match="names no container"):
        Container.parse(text)


@pytest.mark.parametrize("text", [*PLACES, "kubectl:db-0"])
def test_a_container_is_written_as_it_is_read(text: str) -> None:
    """In messages a person sees his own words."""
    assert str(Container.parse(text)) == text
