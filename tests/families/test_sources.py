"""What every source must do, on this machine and over SSH."""

# Path cannot open what is no text.
# ruff: noqa: PTH123

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from engine.errors import (
    ConfigurationError,
    HoldfastError,
    IncompleteDumpError,
    PathMissingError,
    SourceError,
    ToolMissingError,
    UnknownNameError,
)
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue, Source
from engine.sources.base import ItemStream
from engine.sources.registry import kinds, open_source
from tests.families.hosts import marker, opened, ssh_definition, wait_until
from tests.families.sources import Equipped, drain, opened_source, read_item

NASTY_NAME = 'it\'s "$(touch ran)"; `touch ran`\n & ü'


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


def make_database(path: Path, rows: int = 2000) -> Path:
    """A database with a write-ahead log that is not yet in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 42")
    connection.execute("CREATE TABLE wares (name TEXT)")
    connection.executemany(
        "INSERT INTO wares VALUES (?)", [(f"ware {number} " + "x" * 80,) for number in range(rows)]
    )
    connection.commit()
    connection.close()
    return path


# ---- items


def command(path: Path) -> tuple[str, dict[str, OptionValue], bytes]:
    """A command whose output is known."""
    (path / "text").write_bytes(b"hello\n" * 100_000)
    return "command", {"run": f"cat '{path}/text'", "filename": "hello.txt"}, b"hello\n" * 100_000


def sqlite(path: Path) -> tuple[str, dict[str, OptionValue], bytes]:
    """A database; it comes as the file's format says, so only its beginning is known."""
    return "sqlite", {"path": str(make_database(path / "shop.db"))}, b"SQLite format 3\0"


ITEMS = pytest.mark.parametrize("make", [command, sqlite], ids=["command", "sqlite"])


@ITEMS
async def test_a_whole_dump_is_judged_whole(
    host: OpenHost, make: Callable[[Path], tuple[str, dict[str, OptionValue], bytes]], tmp_path: Path
) -> None:
    """What the backup keeps is what the tool wrote, and nobody is warned for nothing."""
    kind, options, expected = make(tmp_path)
    async with opened_source(host, kind, **options) as source:
        assert await source.check()
        path, data, warnings = await read_item(source)
    assert data.startswith(expected)
    assert not path.startswith("/")
    assert warnings == ()


@ITEMS
async def test_an_item_that_is_left_early_is_not_whole(
    host: OpenHost, make: Callable[[Path], tuple[str, dict[str, OptionValue], bytes]], tmp_path: Path
) -> None:
    """A caller that stops reading must not be told that all is well."""
    kind, options, _ = make(tmp_path)
    async with opened_source(host, kind, **options) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            await stream.read()
            with pytest.raises(IncompleteDumpError):
                await stream.judge()


async def test_a_dump_that_is_killed_in_the_middle_is_never_whole(host: OpenHost, tmp_path: Path) -> None:
    """A half dump must never become a backup."""
    word = marker()
    line = f"head -c 3000000 /dev/zero; sleep 1000; : {word}"
    async with opened_source(host, "command", run=line, filename="dump") as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            size = 0
            while size < 3_000_000:
                size += len(await stream.read())
            _kill_shell(word)
            with pytest.raises(HoldfastError, match="dump"):
                await _end(stream)


async def _end(stream: ItemStream) -> None:
    """Reads on to the end, and asks for the verdict."""
    await drain(stream)
    await stream.judge()


def _kill_shell(word: str) -> None:
    """Kills the command's own shell and what it waits for, but not the shells around it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words[:2] == ["sh", "-c"] and word in words[-1]:
                process.suspend()  # or it starts its next child between the look and the kill
                children = process.children(recursive=True)
                process.kill()
                for child in children:
                    child.kill()


async def test_a_command_that_fails_says_why(host: OpenHost) -> None:
    """The user reads the reason in the failed backup."""
    async with opened_source(
        host, "command", run="echo half; echo no such table >&2; exit 3", filename="d"
    ) as source:
        with pytest.raises(IncompleteDumpError, match="status 3: no such table"):
            await read_item(source)


async def test_a_command_that_is_no_shell_line_is_told_at_once(host: OpenHost) -> None:
    """A typing error shows when the source is added, not at night."""
    async with opened_source(host, "command", run="if (", filename="d") as source:
        with pytest.raises(SourceError, match="does not understand"):
            await source.check()


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
async def test_a_database_in_use_comes_whole(host: OpenHost, tool: str, tmp_path: Path) -> None:
    """What was committed is in the copy, what was not is not, and its settings are kept."""
    database = make_database(tmp_path / NASTY_NAME / f"{NASTY_NAME}.db".replace("\n", " "))
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO wares VALUES ('committed')")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO wares VALUES ('not committed')")
    async with opened_source(Equipped(host, tool), "sqlite", path=str(database)) as source:
        assert int((await source.check())["size_bytes"]) > 100_000
        _, data, _ = await read_item(source)
    writer.close()
    (tmp_path / "copy.db").write_bytes(data)
    copy = sqlite3.connect(tmp_path / "copy.db")
    found = copy.execute(
        "SELECT count(*), max(name = 'committed'), max(name = 'not committed') FROM wares"
    ).fetchone()
    version = copy.execute("PRAGMA user_version").fetchone()
    copy.close()
    assert (found, version) == ((2001, 1, 0), (42,))
    assert not list(tmp_path.rglob("ran"))


async def test_a_database_that_is_not_there_is_not_made(host: OpenHost, tmp_path: Path) -> None:
    """sqlite3 makes an empty database of a typing error, and a backup of it would look well."""
    async with opened_source(host, "sqlite", path=str(tmp_path / "none.db")) as source:
        with pytest.raises(PathMissingError, match=r"none\.db"):
            await source.check()
        with pytest.raises(PathMissingError, match=r"none\.db"):
            await read_item(source)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
async def test_a_database_cut_to_almost_nothing_is_never_a_backup(
    host: OpenHost, tool: str, tmp_path: Path
) -> None:
    """SQLite takes a file shorter than its smallest page for an empty database, and a backup of it would look well."""
    database = make_database(tmp_path / "shop.db")
    os.truncate(database, 100)
    async with opened_source(Equipped(host, tool), "sqlite", path=str(database)) as source:
        with pytest.raises(IncompleteDumpError, match="not a database"):
            await read_item(source)


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
async def test_a_damaged_database_is_never_a_backup(host: OpenHost, tool: str, tmp_path: Path) -> None:
    """A copy of the damage would replace the good backups as they age."""
    database = make_database(tmp_path / "bad.db")
    with open(database, "r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 400)
    async with opened_source(Equipped(host, tool), "sqlite", path=str(database)) as source:
        with pytest.raises(IncompleteDumpError, match="damaged"):
            await read_item(source)


async def test_without_a_tool_for_databases_the_way_out_is_named(host: OpenHost, tmp_path: Path) -> None:
    """A plain copy of a database in use would be damaged, so there is none."""
    async with opened_source(
        Equipped(host), "sqlite", path=str(make_database(tmp_path / "shop.db"))
    ) as source:
        with pytest.raises(ToolMissingError) as caught:
            await source.items()
    assert "install sqlite3" in str(caught.value.hint)


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
async def test_a_copy_of_a_database_is_removed_when_nobody_reads_it(
    host: OpenHost, tool: str, tmp_path: Path
) -> None:
    """A cancelled backup must not fill the host's disk, nor leave the data there."""
    database = make_database(tmp_path / "shop.db", rows=200_000)
    before = set(Path("/var/tmp").glob("holdfast.*"))  # noqa: S108 -- where the source puts it
    async with opened_source(Equipped(host, tool), "sqlite", path=str(database)) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            assert await stream.read()
    await wait_until(lambda: set(Path("/var/tmp").glob("holdfast.*")) <= before)  # noqa: S108 -- as above


# ---- the registry


async def test_a_kind_that_is_none_is_refused() -> None:
    """With the kinds that there are."""
    with pytest.raises(UnknownNameError) as caught:
        open_source(Source("wares", "floppy"), None)  # type: ignore[arg-type]
    assert caught.value.hint == f"known kinds: {', '.join(kinds())}"


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("files", {}, "path is missing"),
        ("files", {"path": ["relative"]}, "must be absolute"),
        ("files", {"path": ["/x"], "exclude": ["[a"]}, "malformed pattern"),
        (
            "files",
            {"path": ["/x"], "one_file_system": "yes"},
            "--one-file-system of source wares must be true or false",
        ),
        ("files", {"path": ["/x"], "run": "true"}, "--run of source wares is not known"),
        ("sqlite", {}, "--path of source wares is missing"),
        ("sqlite", {"path": "shop.db"}, "absolute path"),
        ("command", {"run": "true"}, "--filename of source wares is missing"),
        ("command", {"run": "true", "filename": "../x"}, "bare and printable"),
        ("stdin", {"filename": ".."}, "bare and printable"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_option_that_is_wrong_is_named(
    kind: str, options: dict[str, OptionValue], words: str
) -> None:
    """The user corrects it at once, not after the first night."""
    with pytest.raises(ConfigurationError, match=words):
        async with open_source(Source("wares", kind, options=options), None):  # type: ignore[arg-type]
            pass
