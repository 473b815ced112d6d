"""Addresses, options, facts, grants and the compressed stream, as values."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import zstandard

from engine.errors import (
    CommandFailedError,
    ConfigurationError,
    HostError,
    LoginRefusedError,
    ToolMissingError,
)
from engine.hosts import facts, grants, options, registry
from engine.hosts.base import Command, Exit, Facts, require_success
from engine.hosts.decompress import DecompressedProcess
from engine.hosts.ssh.connect import Address, parse_address
from engine.model.definitions import Host, OptionValue
from tests.families.hosts import resolve_secret

FACTS = Facts(hostname="db1", system="Linux", user="backup")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db1", Address("db1", None, None)),
        ("me@db1:2222", Address("db1", "me", 2222)),
        ("[::1]:22", Address("::1", None, 22)),
        ("me@fe80::1", Address("fe80::1", "me", None)),
    ],
)
def test_addresses_are_read(text: str, expected: Address) -> None:
    """As people write them."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("method", "value"),
    [("text", 5), ("flag", "perhaps"), ("number", 0), ("number", "x"), ("number", True), ("texts", 5)],
)
def test_an_option_of_the_wrong_kind_is_named(method: str, value: OptionValue) -> None:
    """The sentence says which option of which host."""
    reader = options.Reader(Host("db1", options={"it": value}))
    keywords: dict[str, object] = {"flag": {"default": True}, "number": {"default": 1}}.get(method, {})  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="the option it of host db1 must be"):
        getattr(reader, method)("it", **keywords)


def test_options_are_read_with_their_defaults() -> None:
    """From the catalog as values, from a command line as text."""
    given = {"a": "yes", "b": "7", "c": "x, y", "environment": ["A=1", "B=x=y"]}
    reader = options.Reader(Host("db1", options=given))
    assert (reader.flag("a", default=False), reader.number("b", 1), reader.texts("c")) == (
        True,
        7,
        ("x", "y"),
    )
    assert (reader.flag("z", default=True), reader.number("z", 3), reader.text("z"), reader.texts("z")) == (
        True,
        3,
        None,
        (),
    )
    assert reader.environment() == {"A": "1", "B": "x=y"}
    assert reader.choice("z", ("auto", "never")) == "auto"
    with pytest.raises(ConfigurationError, match="one of auto, never"):
        reader.choice("a", ("auto", "never"))


def test_an_unknown_kind_of_host_is_refused() -> None:
    """With the known ones named."""
    with pytest.raises(ConfigurationError, match="no kind of host named telnet") as failure:
        registry.open_host(Host("x", kind="telnet"), resolve_secret=resolve_secret)
    assert failure.value.hint == "known kinds: local, ssh"


async def test_a_pool_opens_a_host_once() -> None:
    """All sources of a job share one connection."""
    this = Host("localhost", kind="local")
    async with registry.open_pool(resolve_secret=resolve_secret) as pool:
        await pool.prepare(this)
        assert await pool.host(this) is await pool.host(this)


async def test_a_host_that_could_not_be_prepared_says_why_when_it_is_asked_for() -> None:
    """A job must not try twice what takes until a timeout, or count as two failed logins."""
    unknown = Host("x", kind="telnet")
    async with registry.open_pool(resolve_secret=resolve_secret) as pool:
        await pool.prepare(unknown)
        with pytest.raises(ConfigurationError, match="no kind of host named telnet"):
            await pool.host(unknown)


async def test_our_own_environment_stays_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault's key may lie there."""
    monkeypatch.setenv("HOLDFAST_SECRET", "x")
    async with registry.open_host(Host("this", kind="local"), resolve_secret=resolve_secret) as host:
        done = await host.run(Command(("env",)))
    assert b"HOLDFAST_SECRET" not in done.stdout
    assert b"LC_ALL=C\n" in done.stdout


def test_a_greeting_does_not_disturb_the_facts() -> None:
    """Some login shells say good morning."""
    answer = b"Good morning!\nhostname=db1\nsystem=Linux\nuser=me\ntool=find=find (GNU findutils) 4.9\ntool=tar=bsdtar 3\n"
    read = facts.parse("box", answer)
    assert (read.hostname, read.has_gnu_find, read.has_gnu_tar) == ("db1", True, False)
    with pytest.raises(HostError, match="did not say what it is"):
        facts.parse("box", b"nologin\n")


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (Exit(127, None, b"sh: nope: not found"), ToolMissingError),
        (Exit(1, None, b"sudo: a password is required\n"), LoginRefusedError),
        (Exit(1, None, b"doas: Operation not permitted\n"), LoginRefusedError),
        (Exit(2, None, b"pg_dump: error: it broke\n"), CommandFailedError),
        (Exit(None, "KILL", b""), CommandFailedError),
    ],
    ids=["missing", "sudo", "doas", "status", "signal"],
)
def test_a_failed_command_says_why(ended: Exit, expected: type[HostError]) -> None:
    """In the tool's own last words."""
    with pytest.raises(expected):
        require_success("db1", Command(("pg_dump",), as_user="postgres"), ended)


def test_grants_are_ready_to_paste() -> None:
    """One rule a command, once, with what it is for; nothing where nothing is needed."""
    command = Command(("find", "/srv"), as_user="root")
    sql = grants.Grant("sql", "GRANT pg_read_all_data TO backup;", "pg_dump reads every table")
    text = grants.grants(
        Host("db1"),
        FACTS,
        [
            grants.Occasion("backup", [command, command]),
            grants.Occasion("diff", [command, Command(("sha256sum",), as_user="root")]),
            grants.Occasion("restore", more="names of its own"),
        ],
        [sql, grants.Grant("sql", "ALTER ROLE backup CREATEDB;", "it makes databases", "restore")],
        public_key="ssh-ed25519 AAAA me\n",
        our_addresses=["10.0.0.5"],
    )
    backup, diff, restore = text.split("\n## ")
    assert [part.count("backup ALL=(root) NOPASSWD: /bin/sh -c ") for part in (backup, diff, restore)] == [
        1,
        1,
        0,
    ]
    assert "backup ALL=(root) NOPASSWD: /bin/sh\n" in restore
    assert "CREATEDB" in restore
    assert diff.startswith("Only where `diff --live`")
    assert 'from="10.0.0.5",restrict ssh-ed25519 AAAA me\n' in text
    assert "# pg_dump reads every table.\nGRANT pg_read_all_data TO backup;\n" in text
    assert "no more than the login" in grants.grants(
        Host("db1"), FACTS, [grants.Occasion("backup", [Command(("find",))])]
    )
    assert "by hand" in grants.grants(
        Host("db1", options={"as_user": "root"}),
        FACTS,
        [grants.Occasion("backup", [Command((b"find", b"/\xff\n"))])],
    )


class Pieces:
    """A process that says what it was given."""

    def __init__(self, data: bytes, status: int = 0) -> None:
        self._pieces = [data] if data else []
        self._status = status

    async def read(self) -> bytes:
        """The next piece."""
        return self._pieces.pop(0) if self._pieces else b""

    async def write(self, data: bytes) -> None:
        """Takes it."""

    async def close_input(self) -> None:
        """Does nothing."""

    async def stderr_lines(self) -> AsyncIterator[bytes]:
        """None."""
        none: tuple[bytes, ...] = ()
        for line in none:
            yield line

    async def wait(self) -> Exit:
        """The status that was given."""
        return Exit(self._status, None, b"")


async def read_all(data: bytes, status: int = 0) -> bytes:
    """What comes out of the compressed stream."""
    process = DecompressedProcess("db1", "pg_dump", Pieces(data, status))
    whole = b""
    while piece := await process.read():
        whole += piece
    return whole


async def test_a_compressed_stream_that_is_cut_is_no_success() -> None:
    """Half a dump must not look whole."""
    data = zstandard.compress(b"x" * 300_000 + b"y")
    assert await read_all(data) == b"x" * 300_000 + b"y"
    with pytest.raises(CommandFailedError, match="ended before it was whole"):
        await read_all(data[:-1])
    with pytest.raises(CommandFailedError, match="ended before it was whole"):
        await read_all(b"")
    assert await read_all(b"", status=1) == b""


async def test_a_damaged_compressed_stream_is_an_error() -> None:
    """Nor one that is none, or goes on."""
    for data in (b"plain text", zstandard.compress(b"x") + b"more"):
        with pytest.raises(HostError):
            await read_all(data)
