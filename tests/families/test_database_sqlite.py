"""What restores and drills do with SQLite: counted, checked, swapped and rolled back; the live file is as it was when something fails."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.errors import SourceError, ToolMissingError, UnknownNameError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, Source
from engine.model.manifest import DatabaseFacts, Manifest, compare
from engine.sources.base import Database, DatabaseSource, Selection
from engine.sources.sqlite import folder as sqlite_folder
from engine.sources.sqlite.source import SqliteSource
from tests.families.hosts import opened, processes_with, ssh_definition, wait_until
from tests.families.sources import Equipped, drain

ODD = "a \"table\"\n.shell touch ran\n; $(touch ran) 'x' ü"
FRESH, ASIDE = "-fresh ' $(touch ran)", "shop before"


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that is closed at the end."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.1)
    try:
        yield connection
    finally:
        connection.close()


def make_shop(path: Path, rows: int = 50) -> Path:
    """A database with one of each kind of object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    odd = ODD.replace('"', '""')
    with connected(path) as shop:
        shop.executescript(
            f"""
            PRAGMA user_version = 42; PRAGMA application_id = 77;
            CREATE TABLE wares (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE "{odd}" (ware REFERENCES wares);
            CREATE INDEX by_name ON wares (name);
            CREATE VIEW cheap AS SELECT * FROM wares;
            CREATE TRIGGER noted AFTER DELETE ON wares BEGIN SELECT 1; END;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            INSERT INTO wares SELECT i, printf('ware %d %.80c', i, 'x') FROM n;
            INSERT INTO "{odd}" VALUES (1);
            """
        )
    return path


def count(path: Path) -> int:
    """Of the wares."""
    with connected(path) as shop:
        return int(shop.execute("SELECT count(*) FROM wares").fetchone()[0])


def source(host: OpenHost, path: Path) -> SqliteSource:
    """A source of that file."""
    return SqliteSource(Source("shop", "sqlite", options={"path": str(path)}), host)


async def dump_of(source: DatabaseSource) -> tuple[bytes, Manifest]:
    """Its copy, and the manifest."""
    dump, manifest = await source.items()
    async with dump.open() as stream:
        data = await drain(stream)
        assert await stream.judge() == ()
    async with manifest.open() as stream:
        return data, msgspec.json.decode(await drain(stream), type=Manifest)


async def load(database: Database, data: bytes, name: str = FRESH) -> None:
    """Creates and loads, in pieces."""
    await database.create(name, DatabaseFacts(name))
    async with database.load(name, Selection()) as stream:
        for begin in range(0, len(data), 5000):
            await stream.write(data[begin : begin + 5000])
        assert await stream.finish() == []


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
async def test_the_manifest_counts_the_dump_itself(
    host: OpenHost, tool: str, encoding: str, tmp_path: Path
) -> None:
    """Names are any text, and nothing of them is run."""
    path = tmp_path / "shop.db"
    with connected(path) as shop:
        shop.execute(f"PRAGMA encoding = '{encoding}'")
        shop.execute("CREATE TABLE first (x)")
    _, manifest = await dump_of(source(Equipped(host, tool), make_shop(path)))
    (facts,) = manifest.databases
    assert {each.name: each.rows for each in facts.tables} == {"first": 0, "wares": 50, ODD: 1}
    assert (facts.name, facts.path, facts.encoding) == ("shop.db", "databases/shop.db", encoding)
    assert (facts.indexes, facts.views, facts.triggers) == (["by_name"], ["cheap"], ["noted"])
    assert facts.settings == ["application_id=77", "user_version=42"]
    assert facts.size_bytes == path.stat().st_size
    assert manifest.taken_at.year > 2020
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.slow
async def test_a_dump_is_checked_in_a_scratch_folder(host: OpenHost, tmp_path: Path) -> None:
    """The drill's way: restored, compared, its own checker, a question of the user's."""
    kept = source(host, make_shop(tmp_path / "shop.db"))
    data, manifest = await dump_of(kept)
    async with kept.scratch(manifest.server_version) as database:
        assert await database.names() == []
        await load(database, data)
        checks = compare(manifest.databases[0], await database.facts(FRESH)) + list(
            await database.inspect(FRESH)
        )
        assert [each for each in checks if not each.passed] == []
        assert len(checks) > 10
        assert await database.names() == [FRESH]
        assert await database.query(FRESH, "SELECT count(*), NULL FROM wares") == "50|"
        assert (await database.free_bytes() or 0) > 0
        folder = Path((await database.identity()).partition(":")[2])
        assert folder.stat().st_mode & 0o777 == 0o700
        await database.drop(FRESH)
        assert await database.names() == []
    assert not folder.exists()


@pytest.mark.slow
async def test_a_scratch_folder_is_gone_when_the_drill_is_cancelled(host: OpenHost, tmp_path: Path) -> None:
    """A person who presses Ctrl-C leaves no data behind."""
    kept = source(host, make_shop(tmp_path / "shop.db"))
    found: list[Path] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, kept.scratch("3") as database:
            found.append(Path((await database.identity()).partition(":")[2]))
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
    await wait_until(lambda: not found[0].exists() and not processes_with(str(found[0])))


@pytest.mark.slow
async def test_a_restore_takes_the_place_of_the_live_file_and_rolls_back(
    host: OpenHost, tmp_path: Path
) -> None:
    """The old one is kept under its name, owner and mode stay, and turned round it is the rollback."""
    path = make_shop(tmp_path / "folder with 'x" / "shop.db")
    kept = source(host, path)
    data, manifest = await dump_of(kept)
    path.chmod(0o640)
    with connected(path) as shop:
        shop.execute("DELETE FROM wares WHERE id > 10")
    async with kept.database() as database:
        await load(database, data)
        assert path.with_name(FRESH).stat().st_mode & 0o777 == 0o640
        assert count(path) == 10
        assert "restart" in (await database.swap(FRESH, "shop.db", ASIDE))[0]
        assert (count(path), count(path.with_name(ASIDE))) == (50, 10)
        assert path.stat().st_mode & 0o777 == 0o640
        assert await database.names() == [ASIDE, "shop.db"]
        assert [
            each
            for each in compare(manifest.databases[0], await database.facts("shop.db"))
            if not each.passed
        ] == []
        await database.swap(ASIDE, "shop.db", FRESH)
        assert (count(path), count(path.with_name(FRESH))) == (10, 50)
        await database.drop(FRESH)
    assert [each.name for each in path.parent.iterdir()] == ["shop.db"]


async def test_a_log_that_is_left_never_lies_beside_the_new_file(host: OpenHost, tmp_path: Path) -> None:
    """SQLite would play the old log into the new file; what was in it belongs to the old one."""
    path = make_shop(tmp_path / "shop.db")
    kept = source(host, path)
    data, _ = await dump_of(kept)
    with connected(path) as shop:
        shop.execute("PRAGMA journal_mode = WAL")
        shop.execute("DELETE FROM wares WHERE id > 10")
        wal = Path(f"{path}-wal").read_bytes()
        main = path.read_bytes()
    path.write_bytes(main)  # as after a crash: the log is there, and nobody has it open
    Path(f"{path}-wal").write_bytes(wal)
    async with kept.database() as database:
        await load(database, data)
        await database.swap(FRESH, "shop.db", ASIDE)
    assert sorted(each.name for each in tmp_path.iterdir()) == [ASIDE, "shop.db"]
    assert (count(path), count(path.with_name(ASIDE))) == (50, 10)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
async def test_a_file_in_use_is_not_swapped(
    host: OpenHost, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application that writes would lose what it writes."""
    assert ".timeout 5000" in sqlite_folder._SWAP
    monkeypatch.setattr(sqlite_folder, "_SWAP", sqlite_folder._SWAP.replace(".timeout 5000", ".timeout 50"))
    path = make_shop(tmp_path / "shop.db")
    kept = source(host, path)
    data, _ = await dump_of(kept)
    with connected(path) as shop:
        shop.execute(f"PRAGMA journal_mode = {mode}")
        shop.execute("BEGIN IMMEDIATE")
        shop.execute("DELETE FROM wares WHERE id > 10")
        async with kept.database() as database:
            await load(database, data)
            with pytest.raises(SourceError, match="is in use, and nothing was changed"):
                await database.swap(FRESH, "shop.db", ASIDE)
        shop.execute("COMMIT")
    assert count(path) == 10
    assert not path.with_name(ASIDE).exists()


async def test_a_live_file_that_is_damaged_is_replaced_all_the_same(host: OpenHost, tmp_path: Path) -> None:
    """That is what the backup is for."""
    path = make_shop(tmp_path / "shop.db")
    kept = source(host, path)
    data, _ = await dump_of(kept)
    path.write_bytes(b"not a database" * 1000)
    Path(f"{path}-wal").write_bytes(b"nor a log" * 1000)
    async with kept.database() as database:
        await load(database, data)
        await database.swap(FRESH, "shop.db", ASIDE)
    assert count(path) == 50
    assert sorted(each.name for each in tmp_path.iterdir()) == [ASIDE, f"{ASIDE}-wal", "shop.db"]


@pytest.mark.parametrize("damage", ["cut", "corrupt", "empty"])
async def test_a_damaged_dump_is_never_taken(host: OpenHost, damage: str, tmp_path: Path) -> None:
    """A drill fails on it, and a restore stops before the live file is touched."""
    path = make_shop(tmp_path / "shop.db", rows=2000)
    kept = source(host, path)
    data, manifest = await dump_of(kept)
    wrong = {
        "cut": data[: len(data) // 2],
        "corrupt": data[: 20 * 4096] + b"\xff" * 400 + data[20 * 4096 + 400 :],
        "empty": b"",
    }[damage]
    async with kept.database() as database:
        await database.create(FRESH, manifest.databases[0])
        failed = False
        try:
            async with database.load(FRESH, Selection()) as stream:
                await stream.write(wrong)
                await stream.finish()
        except SourceError as error:
            failed = "damaged" in str(error)
        checks = compare(manifest.databases[0], await database.facts(FRESH)) if not failed else []
        assert failed or {"tables", "rows of wares"} <= {each.check for each in checks if not each.passed}
        await database.drop(FRESH)
    assert (count(path), [each.name for each in tmp_path.iterdir()]) == (2000, ["shop.db"])


async def test_broken_references_are_told(host: OpenHost, tmp_path: Path) -> None:
    """The file is sound, and what is in it is not."""
    path = make_shop(tmp_path / "shop.db")
    with connected(path) as shop:
        shop.execute("DELETE FROM wares WHERE id = 1")
    async with source(host, path).database() as database:
        checks = {each.check: each for each in await database.inspect("shop.db")}
    assert checks["integrity_check of shop.db"].passed
    assert "wares" in checks["foreign_key_check of shop.db"].actual


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM wares", "readonly"),
        ("SELECT writefile('ran', 'x')", "writefile|unsafe"),
        ("ATTACH 'ran' AS ran", "unsafe|safe mode|readonly"),
        (" .shell touch ran", "no SQL"),
        ("SELECT 1;\n.shell touch ran", "near|unsafe|safe mode|error"),
        ("SELECT * FROM none", "no such table"),
    ],
)
async def test_a_query_that_is_no_reading_is_refused(
    host: OpenHost, statement: str, words: str, tmp_path: Path
) -> None:
    """A check may only look; sqlite3's own functions could write files."""
    path = make_shop(tmp_path / "shop.db")
    async with source(host, path).database() as database:
        with pytest.raises(SourceError, match=words):
            await database.query("shop.db", statement)
    assert (count(path), [each.name for each in tmp_path.iterdir()]) == (50, ["shop.db"])


async def test_what_is_not_there_or_may_not_be_is_named(host: OpenHost, tmp_path: Path) -> None:
    """And the live file is neither dropped nor loaded into."""
    path = make_shop(tmp_path / "shop.db")
    async with source(host, path).database() as database:
        for name in ("none.db", "../shop.db", "", "."):
            with pytest.raises(UnknownNameError):
                await database.facts(name)
        with pytest.raises(SourceError, match="is there already"):
            await database.create("shop.db", DatabaseFacts("shop.db"))
        with pytest.raises(SourceError, match="never written over"):
            database.load("shop.db", Selection())
        with pytest.raises(SourceError, match="is not dropped"):
            await database.drop("shop.db")
        with pytest.raises(SourceError, match="nothing can be selected"):
            database.load("new.db", Selection(tables=("wares",)))
        await database.create("new.db", DatabaseFacts("new.db"))
        with pytest.raises(UnknownNameError):
            await database.swap("none.db", "shop.db", ASIDE)
        with pytest.raises(SourceError, match="is there already, and nothing was changed"):
            await database.swap("new.db", "shop.db", "new.db")
    with pytest.raises(ToolMissingError, match="has no sqlite3"):
        async with source(Equipped(host, "python3"), path).database():
            pass
    assert count(path) == 50
