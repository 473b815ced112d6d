"""What a source of kind mongodb must do, against a stand-in for mongodump that checks how it is called."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError, HoldfastError, IncompleteDumpError, ToolMissingError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue, Source
from engine.model.manifest import Manifest
from engine.model.secret import Secret
from engine.sources.base import OpenSource
from engine.sources.mongodb.archive import ArchiveCheck
from engine.sources.mongodb.messages import DumpLog
from engine.sources.registry import open_source
from tests.fakes import container_tools
from tests.families.hosts import Watcher, marker, opened, processes_with, ssh_definition, wait_until
from tests.families.sources import Equipped, drain

STAND_IN = Path(__file__).parents[1] / "fakes" / "mongodump"


@dataclass(frozen=True, slots=True)
class StandIn:
    """The tool on a host's PATH."""

    host: OpenHost
    folder: Path

    def behave(self, behaviour: str) -> None:
        """What it does next time."""
        (self.folder / "behaviour").write_text(behaviour, encoding="utf-8")

    def seen(self) -> Mapping[str, Any]:
        """How it was called."""
        found: Mapping[str, Any] = json.loads((self.folder / "seen.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
async def tool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StandIn]:
    """The stand-in, on each kind of host."""
    shutil.copy(STAND_IN, tmp_path / "mongodump")
    environment = [f"PATH={tmp_path}:/usr/bin:/bin"]
    if request.param == "local":
        definition = Host("this", kind="local", options={"environment": environment})
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"), environment=environment)
    async with opened(definition) as host:
        found = StandIn(host, tmp_path)
        found.behave("well")
        yield found


URI = "mongodb://backup:pa%24%24 'word'@db1:27017,db2/?replicaSet=rs0&authSource=admin"


@asynccontextmanager
async def source(host: OpenHost, uri: str = URI, **options: OptionValue) -> AsyncIterator[OpenSource]:
    """A source of the kind, open."""
    given = {"uri_from": "vault:mongo", **options}
    async with open_source(
        Source("shop", "mongodb", options=given), host, {"uri_from": Secret(uri)}
    ) as found:
        yield found


async def read_all(source: OpenSource) -> dict[str, bytes]:
    """All items by path."""
    data = {}
    for item in await source.items():
        async with item.open() as stream:
            data[item.path] = await drain(stream)
            assert await stream.judge() == ()
    return data


async def test_the_tool_is_called_as_it_is_documented(tool: StandIn) -> None:
    """The connection string comes as a configuration file on standard input; nothing else holds it."""
    async with source(tool.host, read_preference="secondary", oplog=True) as opened_one:
        await read_all(opened_one)
    seen = tool.seen()
    assert seen["arguments"] == ["--config=/dev/stdin", "--archive", "--readPreference=secondary", "--oplog"]
    assert json.loads(seen["config"]) == {"uri": URI}
    assert not [name for name, value in seen["environment"].items() if "word" in value]


async def test_an_archive_comes_whole_with_its_manifest(tool: StandIn) -> None:
    """What was dumped, and how much of it, is known without the server."""
    async with source(tool.host) as opened_one:
        assert (await opened_one.check())["server"] == "7.0.35"
        data = await read_all(opened_one)
    assert list(data) == ["databases/dump.archive", "manifest.json"]
    assert len(data["databases/dump.archive"]) > 600_000
    manifest = msgspec.json.decode(data["manifest.json"], type=Manifest)
    found = {(each.name, table.name): table.rows for each in manifest.databases for table in each.tables}
    assert found == {("shop", "orders"): 2, ("shop", "a to b"): 1, ("people", "names"): 3}
    assert (manifest.server_version, manifest.tool_version) == ("7.0.35", "100.9.4")
    assert manifest.identity == "db1:27017,db2/rs0"
    assert manifest.taken_at.isoformat() == "2026-11-28T01:02:03.450000+00:00"


async def test_one_database_lies_under_its_name(tool: StandIn) -> None:
    """The connection string says which."""
    async with source(tool.host, "mongodb://db1/a%2Fb?authSource=admin") as opened_one:
        assert [item.path for item in await opened_one.items()] == [
            "databases/a%2Fb.archive",
            "manifest.json",
        ]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("refused", "status 1: Failed: can't create session"),
        ("killed", "shop.a to b|signal KILL|status 137"),
        ("cut", "not whole"),
        ("silent", "done with people.names"),
        ("empty", "no collection"),
        ("fails at the end", "status 1: Failed: error dumping oplog: oplog overflow"),
    ],
)
async def test_a_dump_that_is_not_whole_is_never_kept(tool: StandIn, behaviour: str, words: str) -> None:
    """Each way in which it can end short; the reason is told, the password is not, and the manifest does not name it."""
    tool.behave(behaviour)
    async with source(tool.host) as opened_one:
        dump, manifest = await opened_one.items()
        async with dump.open() as stream:
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match=words) as caught:
                await stream.judge()
        async with manifest.open() as stream:
            assert msgspec.json.decode(await drain(stream), type=Manifest).databases == []
    assert "word" not in str(caught.value)


async def test_a_check_that_fails_says_why(tool: StandIn) -> None:
    """When the source is added, not at night."""
    tool.behave("refused")
    async with source(tool.host) as opened_one:
        with pytest.raises(HoldfastError, match="Authentication failed"):
            await opened_one.check()


@pytest.mark.slow
async def test_a_dump_that_says_much_is_counted_whole(tool: StandIn) -> None:
    """A dump of a day has more lines of progress than are kept."""
    tool.behave("chatty")
    async with source(tool.host) as opened_one:
        manifest = msgspec.json.decode((await read_all(opened_one))["manifest.json"], type=Manifest)
    assert sum(len(each.tables) for each in manifest.databases) == 3


@pytest.mark.slow
async def test_a_dump_that_is_left_ends_on_the_host(tool: StandIn) -> None:
    """A cancelled backup leaves no load on the server."""
    tool.behave("waits")
    async with source(tool.host) as opened_one:
        dump = (await opened_one.items())[0]
        async with dump.open() as stream:
            assert await stream.read()
            with pytest.raises(IncompleteDumpError, match="not read to its end"):
                await stream.judge()
    await wait_until(lambda: not processes_with(str(tool.folder)))


@pytest.mark.slow
async def test_no_command_line_holds_the_password(tool: StandIn) -> None:
    """It can be read by everybody on the host."""
    word = marker()
    with Watcher(word) as watcher:
        async with source(tool.host, f"mongodb://backup:{word}@db1/") as opened_one:
            await read_all(opened_one)
    assert watcher.command_lines == set()
    assert {line.split(b"\0")[0] for line in watcher.environments} <= {b"sh"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["docker:db-1", "podman:db-1", "kubectl:prod/db-1"])
async def test_a_server_in_a_container_is_backed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The tool runs where the server is; the connection string stands in no word."""
    log = container_tools.install(tmp_path)
    shutil.copy(STAND_IN, tmp_path / "mongodump")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    async with opened(Host("this", kind="local")) as host:
        tool = StandIn(host, tmp_path)
        tool.behave("well")
        async with source(Equipped(host), in_container=place) as opened_one:
            await opened_one.check()
            data = await read_all(opened_one)
            first = (await opened_one.commands())[0]
    assert len(data["databases/dump.archive"]) > 600_000
    assert json.loads(tool.seen()["config"]) == {"uri": URI}
    assert not [each for each in container_tools.words(log) if "word" in each]
    assert first.program == place.partition(":")[0]


async def test_without_the_tool_the_way_out_is_named(tool: StandIn) -> None:
    """The person who adds a source reads what to install."""
    async with source(Equipped(tool.host)) as opened_one:
        with pytest.raises(ToolMissingError, match="mongodump is missing"):
            await opened_one.items()


@pytest.mark.parametrize(
    ("uri", "options", "words"),
    [
        (URI, {"read_preference": "best"}, "--read-preference of source shop must be one of"),
        (URI, {"port": 1}, "--port of source shop is not known"),
        ("mongodb://db1/shop", {"oplog": True}, "names no database"),
        ("https://word", {}, "does not begin with mongodb://"),
        (URI, {"uri_from": None}, "--uri-from of source shop is missing"),
    ],
    ids=str,
)
async def test_an_option_that_is_wrong_is_named(
    uri: str, options: dict[str, OptionValue], words: str
) -> None:
    """The user corrects it at once; the connection string is not shown."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        async with source(None, uri, **options):  # type: ignore[arg-type]
            pass
    assert "https" not in str(caught.value)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_an_archive_is_known_by_its_beginning_and_end(body: bytes, piece_bytes: int) -> None:
    """However it is cut; anything else is refused."""

    def is_whole(data: bytes) -> bool:
        check = ArchiveCheck("it")
        try:
            for begin in range(0, len(data), piece_bytes):
                check.take(data[begin : begin + piece_bytes])
            check.finish()
        except IncompleteDumpError:
            return False
        return True

    whole = bytes.fromhex("6de29981") + body + b"x" + b"\xff" * 4
    assert is_whole(whole)
    assert not is_whole(whole[:-1])
    assert not is_whole(whole[1:])


@given(st.lists(st.binary(max_size=60).map(lambda each: each.replace(b"\n", b""))))
def test_no_line_breaks_the_reader(lines: list[bytes]) -> None:
    """A host may say anything."""
    log = DumpLog()
    for line in lines:
        log.take(line)
    assert log.rows == {}
