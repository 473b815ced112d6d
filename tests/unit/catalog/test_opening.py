"""A catalog is opened, brought up to date, or refused with a sentence; what was in it is never lost."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine.catalog import opening
from engine.catalog.catalog import Catalog
from engine.errors import CatalogBusyError, CatalogDamagedError, CatalogError, CatalogVersionError
from engine.model.definitions import Host
from engine.process import ProcessIdentity
from tests.fakes.clock import FakeClock
from tests.servers.tools import PROJECT

CURRENT = opening.Schema.current()
_COLOUR = "ALTER TABLE hosts ADD COLUMN colour TEXT NOT NULL DEFAULT 'green; -- not the end';\n"
NEWER = opening.Schema(CURRENT.whole + _COLOUR, {**CURRENT.migrations, CURRENT.version + 1: _COLOUR})
BROKEN = opening.Schema(
    CURRENT.whole, {**CURRENT.migrations, CURRENT.version + 1: _COLOUR + "INSERT INTO nowhere VALUES (1);\n"}
)


def _shape(script: str) -> list[tuple[str, str, str]]:
    """All that there is, white space aside: SQLite puts an added column on the line of the one before."""
    connection = sqlite3.connect(":memory:")
    opening.run_script(connection, script)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()
    return [(kind, name, "".join((sql or "").split())) for kind, name, sql in rows]


def _ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(sql).fetchall()
    connection.close()
    return rows


def test_the_schema_is_the_sum_of_the_migrations() -> None:
    """A new home and one that was upgraded must be the same to the program."""
    steps = [CURRENT.migrations[version] for version in sorted(CURRENT.migrations)]
    assert sorted(CURRENT.migrations) == list(range(1, CURRENT.version + 1))
    assert _shape(CURRENT.whole) == _shape("".join(steps))


def test_every_query_is_valid_and_used() -> None:
    """A query with a mistake would show when somebody needs it."""
    connection = sqlite3.connect(":memory:")
    opening.run_script(connection, CURRENT.whole)
    code = "".join(path.read_text() for path in (PROJECT / "engine/catalog").glob("*.py"))
    made = {
        f"{verb}_{noun}"
        for verb in ("get", "add", "replace", "remove")
        for noun in ("host", "source", "storage")
    }
    made |= {
        "list_hosts",
        "list_sources",
        "list_storages",
        "list_plans",
        "get_plan",
        "add_plan",
        "remove_plan",
    }
    for name, sql in opening.load_queries().items():
        parameters = dict.fromkeys(
            (
                word[1:]
                for word in sql.replace("(", " ").replace(")", " ").replace(",", " ").split()
                if word[0] == ":"
            ),
            0,
        )
        connection.execute("EXPLAIN " + sql if not sql.startswith("PRAGMA") else sql, parameters)
        assert f'"{name}"' in code or name in made, f"nobody uses {name}"
    connection.close()


async def test_a_new_catalog_is_its_owners_alone(path: Path, clock: FakeClock) -> None:
    """Names of hosts and paths are nobody else's business."""
    before = os.umask(0)
    try:
        async with Catalog.open(path, clock) as catalog:
            await catalog.hosts.add(Host("web1"))
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"catalog.db": 0o600, "catalog.db-wal": 0o600, "catalog.db-shm": 0o600}


async def test_every_commit_is_synced(path: Path, clock: FakeClock) -> None:
    """A backup that was said to be done is there after a power cut."""
    async with Catalog.open(path, clock) as catalog:
        assert await catalog._database.fetch_sql("PRAGMA synchronous", {}) == [(2,)]
        assert await catalog._database.fetch_sql("PRAGMA journal_mode", {}) == [("wal",)]


async def test_an_older_catalog_is_copied_then_migrated(path: Path, clock: FakeClock) -> None:
    """Whoever upgrades can go back."""
    async with Catalog.open(path, clock) as catalog:
        await catalog.hosts.add(Host("web1"))
    async with Catalog.open(path, clock, schema=NEWER) as catalog:
        assert [each.name for each in await catalog.hosts.all()] == ["web1"]
    [kept] = path.parent.glob(f"catalog.db.version-{CURRENT.version}-*")
    assert _ask(path, "SELECT colour FROM hosts") == [("green; -- not the end",)]
    assert _ask(path, "PRAGMA user_version") == [(NEWER.version,)]
    assert _ask(kept, "PRAGMA user_version") == [(CURRENT.version,)]
    assert _ask(kept, "SELECT name FROM hosts") == [("web1",)]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_a_migration_that_fails_changes_nothing(path: Path, clock: FakeClock) -> None:
    """Half a migration is a catalog that no version can read."""
    async with Catalog.open(path, clock) as catalog:
        await catalog.hosts.add(Host("web1"))
    with pytest.raises(CatalogError, match="no such table: nowhere"):
        async with Catalog.open(path, clock, schema=BROKEN):
            pass
    async with Catalog.open(path, clock) as catalog:
        assert [each.name for each in await catalog.hosts.all()] == ["web1"]


async def test_an_older_program_refuses_a_newer_catalog(path: Path, clock: FakeClock) -> None:
    """An old program would write rows that the new one cannot read."""
    async with Catalog.open(path, clock, schema=NEWER):
        pass
    with pytest.raises(
        CatalogVersionError,
        match=f"is of version {NEWER.version}, and this holdfast knows versions up to {CURRENT.version}",
    ) as caught:
        async with Catalog.open(path, clock):
            pass
    assert caught.value.hint == "a newer holdfast has been here: use that one"


async def test_no_migration_while_a_worker_of_the_older_version_lives(path: Path, clock: FakeClock) -> None:
    """A worker that runs on with an old shape in mind would write into the new one."""
    owner = ProcessIdentity("elsewhere", "boot+1", 4711, 1)
    async with Catalog.open(path, clock) as catalog:
        await catalog.workers.renew(owner, "0.1.0")
    with pytest.raises(
        CatalogVersionError, match=r"a worker of holdfast 0\.1\.0 still runs as process 4711 on elsewhere"
    ) as caught:
        async with Catalog.open(path, clock, schema=NEWER):
            pass
    assert "kill 4711" in str(caught.value.hint)
    assert _ask(path, "SELECT is_stopping FROM workers") == [(1,)]
    clock.advance(3_600)
    async with Catalog.open(path, clock, schema=NEWER) as catalog:
        assert await catalog.check() == []


async def test_a_dead_worker_does_not_hold_up_a_migration(path: Path, clock: FakeClock) -> None:
    """After a crash nobody should have to wait for a lease to run out."""
    here = ProcessIdentity.current()
    async with Catalog.open(path, clock) as catalog:
        await catalog.workers.renew(
            ProcessIdentity(here.host, here.boot, here.pid, here.started - 1), "0.1.0"
        )
    async with Catalog.open(path, clock, schema=NEWER) as catalog:
        assert await catalog.check() == []


async def test_a_file_that_is_no_database_is_called_damaged(path: Path, clock: FakeClock) -> None:
    """The sentence says what to do, for whoever reads it has lost something."""
    path.write_bytes(os.urandom(8_192))
    with pytest.raises(CatalogDamagedError, match="is damaged") as caught:
        async with Catalog.open(path, clock):
            pass
    assert "holdfast recover" in str(caught.value.hint)


async def test_damage_names_the_copy_that_was_kept(path: Path, clock: FakeClock) -> None:
    """A copy that nobody knows of helps nobody."""
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8_192))
    kept = path.with_name("catalog.db.version-1-20261120T140506Z")
    kept.touch()
    with pytest.raises(CatalogDamagedError) as caught:
        async with Catalog.open(path, clock):
            pass
    assert str(kept) in str(caught.value.hint)


async def test_damage_inside_is_found(path: Path, clock: FakeClock) -> None:
    """A damaged page shows when it is read, as a sentence and not as a traceback."""
    async with Catalog.open(path, clock) as catalog:
        rows = [{"name": f"web{n}", "kind": "ssh", "address": "x" * 500, "options": "{}"} for n in range(200)]
        async with catalog._database.transaction() as transaction:
            await transaction.execute_many("add_host", rows)
    whole = bytearray(path.read_bytes())
    for page in range(20, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(whole)
    with pytest.raises(CatalogDamagedError, match="is damaged"):
        async with Catalog.open(path, clock) as catalog:
            await catalog.hosts.all()


async def test_another_program_s_database_is_left_alone(path: Path, clock: FakeClock) -> None:
    """A wrong --home must not write into somebody's data."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text)")
    connection.close()
    with pytest.raises(CatalogDamagedError, match="is a database, but no catalog of holdfast"):
        async with Catalog.open(path, clock):
            pass
    assert _ask(path, "SELECT name FROM sqlite_schema") == [("letters",)]


async def test_a_write_waits_for_another_and_then_says_so(catalog: Catalog, path: Path) -> None:
    """A program that hangs forever on a lock tells nobody anything."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogBusyError, match="is locked by another process"):
        await catalog.hosts.add(Host("web1"))
    assert await catalog.hosts.all() == [], "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    await catalog.hosts.add(Host("web1"))


async def test_a_full_disk_is_one_sentence_and_loses_nothing(catalog: Catalog) -> None:
    """The job that could not be written down must not take the older ones along."""
    await catalog.hosts.add(Host("web1"))
    [(pages,)] = await catalog._database.fetch_sql("PRAGMA page_count", {})
    await catalog._database.fetch_sql(f"PRAGMA max_page_count = {pages}", {})
    with pytest.raises(CatalogError, match="could not do what was asked: the disk is full"):
        await catalog.settings.put("big", "x" * 100_000)
    assert [each.name for each in await catalog.hosts.all()] == ["web1"]


@pytest.mark.parametrize("place", ["no/such/folder/catalog.db", "folder"])
async def test_a_place_that_cannot_be_opened_is_one_sentence(
    tmp_path: Path, clock: FakeClock, place: str
) -> None:
    """A typing error in --home gets no traceback."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(CatalogError, match="cannot be opened"):
        async with Catalog.open(tmp_path / place, clock):
            pass


async def test_a_fifo_is_no_catalog(path: Path, clock: FakeClock) -> None:
    """A program that waits for a pipe's other end hangs."""
    os.mkfifo(path)
    with pytest.raises(CatalogError, match="is no file"):
        async with Catalog.open(path, clock):
            pass


@pytest.mark.parametrize("kind", sorted(name for name in dir(sqlite3) if name.endswith("Error")))
def test_every_error_of_sqlite_becomes_ours(path: Path, kind: str) -> None:
    """A traceback tells a person nothing."""
    expected = r"the catalog .* could not do what was asked: because"
    with pytest.raises(CatalogError, match=expected), opening.translated(path):
        raise getattr(sqlite3, kind)("because")


async def test_processes_that_migrate_at_once_keep_one_true_copy(path: Path, clock: FakeClock) -> None:
    """The copy is of the older shape, whoever was second."""
    async with Catalog.open(path, clock) as catalog:
        await catalog.hosts.add(Host("web1"))

    async def migrate() -> None:
        async with Catalog.open(path, clock, schema=NEWER) as catalog:
            assert await catalog.check() == []

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(migrate())
    [kept] = path.parent.glob("*version*")
    assert _ask(kept, "PRAGMA user_version") == [(CURRENT.version,)]


@pytest.mark.slow
def test_many_processes_that_create_one_catalog_find_one(path: Path) -> None:
    """Ten schedules start at two o'clock in a fresh home."""
    program = (
        "import asyncio, sys, pathlib\nfrom engine.catalog.catalog import Catalog\nfrom engine.clock import SystemClock\n"
        "from engine.model.definitions import Host\n"
        "async def main():\n async with Catalog.open(pathlib.Path(sys.argv[1]), SystemClock()) as catalog:\n"
        "  for n in range(5): await catalog.hosts.add(Host(f'h{sys.argv[2]}-{n}'))\n"
        "asyncio.run(main())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(number)], cwd=PROJECT)
        for number in range(8)
    ]
    assert [child.wait() for child in children] == [0] * 8
    assert _ask(path, "SELECT count(*) FROM hosts") == [(40,)]
