"""What a source of kind redis must do, against a real server, on this machine and over SSH."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.errors import ConfigurationError, IncompleteDumpError, SourceError, ToolMissingError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue, Source
from engine.model.manifest import Manifest
from engine.model.secret import Secret
from engine.sources.base import OpenSource
from engine.sources.registry import open_source
from tests.fakes import container_tools
from tests.families.hosts import Watcher, marker, opened, ssh_definition
from tests.families.sources import Equipped, drain
from tests.servers.redis import Redis, running_redis
from tests.servers.tools import require_tool


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@pytest.fixture
def filled(redis: Redis) -> Redis:
    """The server with a password, with known content and nothing else, set as it comes."""
    redis.cli("CONFIG", "SET", "repl-diskless-sync", "yes", "rdb-key-save-delay", "0")
    redis.cli("FLUSHALL")
    redis.fill(500)
    redis.cli("SET", "a key; $(touch ran) 'x'", "1", "EX", "1000", database=3)
    redis.cli("RPUSH", "list", "1", "2", "3", database=3)
    return redis


@asynccontextmanager
async def source(
    host: OpenHost, *, secret: str | None = None, **options: OptionValue
) -> AsyncIterator[OpenSource]:
    """A source of the kind, open; `secret` is the password itself."""
    secrets = {} if secret is None else {"secret": Secret(secret)}
    given = options if secret is None else {**options, "secret": "vault:redis"}
    async with open_source(Source("cache", "redis", options=given), host, secrets) as opened_one:
        yield opened_one


async def read_all(source: OpenSource) -> tuple[Mapping[str, bytes], list[str]]:
    """All items by path, and the warnings."""
    data: dict[str, bytes] = {}
    warnings: list[str] = []
    for item in await source.items():
        async with item.open() as stream:
            data[item.path] = await drain(stream)
            warnings += await stream.judge()
    return data, warnings


def checked(path: Path, data: bytes) -> str:
    """What redis-check-rdb says of a dump."""
    path.write_bytes(data)
    return subprocess.run(
        [str(require_tool("redis-check-rdb")), str(path)], check=True, capture_output=True, text=True
    ).stdout


async def test_a_dump_is_what_the_server_holds(host: OpenHost, filled: Redis, tmp_path: Path) -> None:
    """Redis's own checker reads it, and the manifest says how many keys must come back."""
    async with source(host, socket=str(filled.socket), secret=filled.password) as opened_one:
        found = await opened_one.check()
        data, warnings = await read_all(opened_one)
    assert (found["keys"], warnings) == ("502", [])
    assert list(data) == ["databases/dump.rdb", "manifest.json"]
    said = checked(tmp_path / "dump.rdb", data["databases/dump.rdb"])
    assert "502 keys read" in said
    manifest = msgspec.json.decode(data["manifest.json"], type=Manifest)
    tables = [
        (each.name, each.rows, each.expiring, each.is_estimated) for each in manifest.databases[0].tables
    ]
    assert tables == [("db0", 500, 0, False), ("db3", 2, 1, False)]
    assert manifest.server_version == found["server"]
    assert f"run_id:{manifest.identity}" in filled.cli("INFO", "server")
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_a_dump_holds_nothing_behind_its_end(
    host: OpenHost, filled: Redis, diskless: str, tmp_path: Path
) -> None:
    """redis-cli leaves a random mark behind a dump that is piped; kept, it would make each backup a new one."""
    filled.cli("CONFIG", "SET", "repl-diskless-sync", diskless)
    async with source(host, socket=str(filled.socket), secret=filled.password) as opened_one:
        data, _ = await read_all(opened_one)
    said = checked(tmp_path / "dump.rdb", data["databases/dump.rdb"])
    assert f"[offset {len(data['databases/dump.rdb'])}] \\o/ RDB looks OK!" in said


async def test_the_right_server_is_asked(host: OpenHost, filled: Redis, other_redis: Redis) -> None:
    """By port, without a password, the other one answers with its own content."""
    other_redis.cli("FLUSHALL")
    other_redis.fill(7)
    async with source(host, port=other_redis.port, db_host="127.0.0.1") as opened_one:
        assert (await opened_one.check())["keys"] == "7"
    async with source(host, port=str(filled.port), secret=filled.password) as opened_one:
        assert (await opened_one.check())["keys"] == "502"


@pytest.mark.parametrize(
    ("secret", "words"),
    [("wrong", "refused the password"), (None, "wants a password")],
    ids=["wrong", "none"],
)
async def test_without_the_right_password_there_is_no_dump(
    host: OpenHost, filled: Redis, secret: str | None, words: str
) -> None:
    """redis-cli ends with status 0 where a password is wrong, and goes on without one; nothing waits at a prompt."""
    async with source(host, socket=str(filled.socket), secret=secret) as opened_one:
        with pytest.raises(SourceError, match=words):
            await opened_one.check()
        with pytest.raises(SourceError, match=words):
            await read_all(opened_one)


async def test_a_user_with_the_least_rights_is_enough(host: OpenHost, filled: Redis) -> None:
    """The rights that a message names are those that do; one fewer, and the message names them."""
    filled.cli("ACL", "SETUSER", "backup", "on", ">word", "+ping", "+info", "+psync", "+replconf", "+sync")
    filled.cli("ACL", "SETUSER", "reader", "on", ">word", "+info")
    options = {"socket": str(filled.socket), "secret": "word"}
    async with source(host, user="backup", **options) as opened_one:
        data, _ = await read_all(opened_one)
    assert len(data["databases/dump.rdb"]) > 500
    async with source(host, user="reader", **options) as opened_one:
        with pytest.raises(IncompleteDumpError) as caught:
            await read_all(opened_one)
    assert "+psync +sync +replconf" in str(caught.value.hint)


@pytest.mark.slow
async def test_a_dump_whose_connection_is_cut_is_never_whole(host: OpenHost, filled: Redis) -> None:
    """The server ends the transfer in the middle, as a restart would."""
    filled.fill(100_000)
    filled.cli("CONFIG", "SET", "rdb-key-save-delay", "1000")
    async with source(host, socket=str(filled.socket), secret=filled.password) as opened_one:
        item = (await opened_one.items())[0]
        async with item.open() as stream:
            assert await stream.read()
            assert filled.cli("CLIENT", "KILL", "TYPE", "replica") == "1"
            await drain(stream)
            with pytest.raises(IncompleteDumpError, match=r"status 1: .*I/O Error"):
                await stream.judge()


async def test_a_dump_that_is_left_early_is_not_whole(host: OpenHost, filled: Redis) -> None:
    """A caller that stops reading must not be told that all is well."""
    async with source(host, socket=str(filled.socket), secret=filled.password) as opened_one:
        item = (await opened_one.items())[0]
        async with item.open() as stream:
            with pytest.raises(IncompleteDumpError, match="not read to its end"):
                await stream.judge()


async def test_a_server_that_is_not_there_is_named(host: OpenHost, tmp_path: Path) -> None:
    """And nothing hangs."""
    async with source(host, socket=str(tmp_path / "none")) as opened_one:
        with pytest.raises(SourceError, match=r"none.*No such file"):
            await read_all(opened_one)


async def test_counts_of_a_server_in_use_are_marked_so(host: OpenHost, filled: Redis) -> None:
    """A restore must not fail for keys that came while the dump was made."""
    async with source(host, socket=str(filled.socket), secret=filled.password) as opened_one:
        items = await opened_one.items()
        async with items[0].open() as stream:
            await drain(stream)
            filled.cli("SET", "late", "1")
            assert await stream.judge() == []
        async with items[1].open() as stream:
            manifest = msgspec.json.decode(await drain(stream), type=Manifest)
    assert [each.is_estimated for each in manifest.databases[0].tables] == [True, True]


async def test_a_dump_that_failed_is_not_in_the_manifest(host: OpenHost, filled: Redis) -> None:
    """What was not backed up cannot be restored."""
    async with source(host, socket=str(filled.socket), secret=filled.password) as opened_one:
        items = await opened_one.items()
        async with items[1].open() as stream:
            manifest = msgspec.json.decode(await drain(stream), type=Manifest)
    assert manifest.databases == []


@pytest.mark.slow
async def test_a_server_without_checksums_is_told(host: OpenHost) -> None:
    """The dump counts, for its end is there; what is less sure is said."""
    with running_redis(extra=["--rdbchecksum", "no"]) as server:
        server.fill(10)
        async with source(host, socket=str(server.socket)) as opened_one:
            data, warnings = await read_all(opened_one)
    assert data["databases/dump.rdb"].endswith(b"\xff" + bytes(8))
    assert "no checksum" in warnings[0]


@pytest.mark.slow
async def test_no_other_process_sees_the_password(host: OpenHost, filled: Redis) -> None:
    """A command line can be read by everybody on the host."""
    word = marker()
    filled.cli("ACL", "SETUSER", "default", f">{word}")
    with Watcher(word) as watcher:
        async with source(host, socket=str(filled.socket), secret=word) as opened_one:
            await opened_one.check()
            await read_all(opened_one)
    assert watcher.command_lines == set()
    assert {line.split(b"\0")[0] for line in watcher.environments} <= {b"redis-cli"}
    assert watcher.rounds > 1


@pytest.mark.slow
@pytest.mark.parametrize("place", ["docker:db-1", "podman:db-1", "kubectl:prod/db-1"])
async def test_a_server_in_a_container_is_backed_up(
    filled: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The same dump as without; the password stands in no word."""
    log = container_tools.install(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    options: dict[str, Any] = {"socket": str(filled.socket), "in_container": place}
    async with opened(Host("this", kind="local")) as host:
        async with source(Equipped(host), secret=filled.password, **options) as opened_one:
            assert (await opened_one.check())["keys"] == "502"
            data, _ = await read_all(opened_one)
            first = (await opened_one.commands())[0]
        async with source(Equipped(host), secret="wrong", **options) as opened_one:
            with pytest.raises(SourceError, match="refused the password"):
                await opened_one.check()
    assert "502 keys read" in checked(tmp_path / "dump.rdb", data["databases/dump.rdb"])
    assert not [each for each in container_tools.words(log) if "the pass" in each]
    assert first.program == place.partition(":")[0]


async def test_without_the_tool_the_way_out_is_named(host: OpenHost) -> None:
    """The person who adds a source reads what to install."""
    async with source(Equipped(host)) as opened_one:
        with pytest.raises(ToolMissingError) as caught:
            await opened_one.items()
    assert "redis-tools" in str(caught.value.hint)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for another name, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = str(require_tool("openssl"))
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=other.example"
    subprocess.run([openssl, *words.split()], check=True, capture_output=True, cwd=folder)
    return folder


@pytest.mark.slow
async def test_tls_is_checked_as_far_as_was_asked(host: OpenHost, certificate: Path) -> None:
    """An authority that nobody trusts is refused, and one that was given is taken."""
    with running_redis(tls=certificate) as server:
        server.fill(10)
        options: dict[str, Any] = {"db_host": "127.0.0.1", "port": server.tls_port}
        async with source(host, tls="verify-ca", **options) as opened_one:
            with pytest.raises(SourceError, match="certificate verify failed"):
                await opened_one.check()
        for more in ({"tls": "require"}, {"tls": "verify-ca", "tls_ca": str(server.directory / "cert.pem")}):
            async with source(host, **options, **more) as opened_one:
                data, _ = await read_all(opened_one)
            assert data["databases/dump.rdb"].startswith(b"REDIS")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"socket": "/s", "port": 1}, "neither --db-host nor --port"),
        ({"socket": "s"}, "absolute path"),
        ({"port": "x"}, "--port of source cache must be a whole number"),
        ({"user": "u"}, "needs --secret"),
        ({"tls": "maybe"}, "--tls of source cache must be one of"),
        ({"tls": "verify-full"}, "not whose it is"),
        ({"tls_ca": "/ca"}, "needs --tls verify-ca"),
        ({"socket": "/s", "tls": "require"}, "no --tls"),
        ({"all": True}, "--all of source cache is not known"),
    ],
    ids=str,
)
async def test_an_option_that_is_wrong_is_named(options: dict[str, OptionValue], words: str) -> None:
    """The user corrects it at once, not after the first night."""
    with pytest.raises(ConfigurationError, match=words):
        async with open_source(Source("cache", "redis", options=options), None):  # type: ignore[arg-type]
            pass
