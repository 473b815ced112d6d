"""A MariaDB server's own files through whole jobs: copied while it is written to, restored, started, drilled."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.events import Warned
from engine.model.backup import Proof
from engine.model.definitions import OptionValue, Source
from engine.model.requests import DrillRequest, RestoreRequest
from tests.families.mariadb import make_shop
from tests.jobs.tampering import Change, tamper
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer, started_mariadb
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

BANK = """
CREATE TABLE plain (id INT PRIMARY KEY) ENGINE=MyISAM;
INSERT INTO plain VALUES (1), (2);
CREATE TABLE sound (id INT PRIMARY KEY) ENGINE=Aria;
INSERT INTO sound VALUES (1), (2), (3);
CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT) ENGINE=InnoDB;
INSERT INTO accounts SELECT seq, 0 FROM seq_1_to_100;
CREATE TABLE history (id INT PRIMARY KEY AUTO_INCREMENT, delta INT) ENGINE=InnoDB;
CREATE TABLE other (id INT) ENGINE=InnoDB;
CREATE TABLE large (id INT PRIMARY KEY, text VARCHAR(2000)) ENGINE=InnoDB;
INSERT INTO large SELECT seq, REPEAT(SHA2(seq, 512), 10) FROM seq_1_to_3000;
"""
LOAD = """
START TRANSACTION; UPDATE accounts SET balance = balance + 7 WHERE id = 1; UPDATE accounts SET balance = balance - 7 WHERE id = 2;
INSERT INTO history (delta) VALUES (7); COMMIT;
ALTER TABLE other ADD more INT, ALGORITHM=COPY; ALTER TABLE other DROP more, ALGORITHM=COPY;
"""
BALANCED = "SELECT SUM(balance) = 0 AND (SELECT balance FROM accounts WHERE id = 1) = (SELECT SUM(delta) FROM history) FROM accounts"
"""Holds in every state that the load commits, and in none between two."""


@contextmanager
def _written_to(server: MariadbServer, database: str) -> Iterator[None]:
    """While it lasts, transactions are committed, and a table is made anew again and again."""
    server.sql(f"CREATE DATABASE {database}")
    server.sql(BANK, database)
    words = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", database]
    loop = 'while echo "$LOAD"; do :; done | exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", loop, "sh", *words], env={**os.environ, "LOAD": LOAD}, start_new_session=True
    ) as load:
        try:
            while server.sql("SELECT COUNT(*) FROM history", database) == [["0"]]:
                pass
            yield
        finally:
            os.killpg(load.pid, signal.SIGTERM)


@pytest.fixture
def server(start_mariadb: Callable[..., MariadbServer]) -> MariadbServer:
    """A server of this test's own: all of it is copied."""
    require_tool("mariadb-backup")
    return start_mariadb("--log-bin=log", "--server-id=9")


@pytest.fixture
def target() -> Iterator[Path]:
    """A folder with a short path, which the account of a server may enter."""
    with tempfile.TemporaryDirectory(prefix="hf-maria-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _spoiled(file: bytes) -> bytes:
    """A page of the table's rows is not what its checksum says."""
    at = 10 * 16384 + 4096
    return file[:at] + b"spoiled " * 64 + file[at + 512 :]


async def test_a_server_copied_while_it_is_written_to_starts_again(
    world: World, server: MariadbServer, target: Path
) -> None:
    """Its files come back as a data folder that a stock server takes, consistent, and found again whole by the next backup."""
    shop = make_shop(server)
    await world.add_storages("first")
    options: dict[str, OptionValue] = {"socket": str(server.socket), "user": "root", "physical": True}
    await world.engine.add_source(Source("all", "mariadb", options=options))
    with _written_to(server, "bank"):
        first = await world.one_backup("all")
    rows = _transactions(server)
    with pytest.raises(UsageError, match="files of a whole server"):
        await world.engine.restore(RestoreRequest("latest:all", into="elsewhere"))
    back = await world.engine.restore(RestoreRequest("latest:all", str(target / "back")))
    folder = target / "back" / "mariadb" / "all" / "data"
    assert (back.status, back.note) == (
        "completed",
        f"a server of version {_version(server)} starts from {folder}",
    )
    owners = {(path.owner(), path.stat().st_mode & 0o7) for path in (folder, *folder.rglob("*"))}
    assert owners == {((server.directory / "data").owner(), 0)}
    folder.rename(target / "data")
    with started_mariadb(target) as again:
        assert again.sql(BALANCED, "bank") == [["1"]]
        assert 0 < _transactions(again) <= rows
        assert again.dump(shop) == server.dump(shop)
        assert {
            row[-1]
            for row in again.sql("CHECK TABLE accounts, history, large, plain, sound EXTENDED", "bank")
        } == {"OK"}

    server.sql("UPDATE large SET text = 'new' WHERE id = 7; CREATE TABLE fresh (id INT)", "bank")
    second = await world.one_backup("all")
    assert second.added_bytes < second.size_bytes / 20
    found: list[str] = []
    await world.engine.diff(first.backup_id, second.backup_id, lambda each: found.append(each.path))
    assert "databases/bank/tables/fresh" in found


def _transactions(server: MariadbServer) -> int:
    return int(server.sql("SELECT COUNT(*) FROM history", "bank")[0][0])


def _version(server: MariadbServer) -> str:
    return server.sql("SELECT VERSION()")[0][0].partition("-")[0]


async def test_a_drill_starts_a_server_of_the_files_and_finds_what_is_wrong_with_them(
    world: World, server: MariadbServer
) -> None:
    """Every checksum of the repository is right, and yet the server would not come back: only its start, and a look at all of it, tell."""
    server.sql("CREATE DATABASE bank")
    server.sql(BANK, "bank")
    await world.add_storages("first")
    options: dict[str, OptionValue] = {"socket": str(server.socket), "user": "root", "physical": True}
    await world.engine.add_source(Source("all", "mariadb", options=options))
    await world.one_backup("all")
    request = DrillRequest("all", checks=(("bank", "SELECT SUM(balance) FROM accounts", "0"),))
    drilled = await world.engine.drill(request)
    assert (drilled.status, drilled.level) == ("passed", "server"), (drilled.steps, drilled.checks)
    assert (await world.engine.show_backup("latest:all")).proof is Proof.DRILLED
    plain: dict[str, Change] = {f"bank/plain.{each}": _left_out for each in ("frm", "MYD", "MYI")}
    damages: dict[str, tuple[dict[str, Change], str]] = {
        "page": ({"bank/large.ibd": _spoiled}, "corrupt"),
        "table": (plain, "without plain"),
        "cut": ({"ib_logfile0": _beheaded}, "status 70"),
    }
    for changes, said in damages.values():
        undo = await tamper(world, "all", changes)
        drilled = await world.engine.drill(request)
        told = [each.detail for each in drilled.steps] + [each.actual for each in drilled.checks]
        assert (drilled.status, said in str(told)) == ("failed", True), (said, told)
        await undo()


async def test_files_that_cannot_be_made_ready_are_restored_with_the_command_for_it(
    world: World, mariadb: MariadbServer, tmp_path: Path
) -> None:
    """Another version's mariadb-backup may spoil them, so that a person is told what to do elsewhere."""
    await world.add_storages("first")
    options: dict[str, OptionValue] = {"socket": str(mariadb.socket), "user": "root", "physical": True}
    await world.engine.add_source(Source("all", "mariadb", options=options))
    await world.one_backup("all")
    await tamper(world, "all", {"manifest.json": lambda text: text.replace(b"10.11.", b"10.4.")})
    back = await world.engine.restore(RestoreRequest("latest:all", str(tmp_path)))
    folder = tmp_path / "mariadb" / "all" / "data"
    assert (back.status, f"mariadb-backup --prepare --target-dir={folder}" in back.note) == (
        "completed",
        True,
    )
    told = [each.message for each in world.heard if isinstance(each, Warned)]
    assert told == [f"{folder} is as it was copied, because mariadb-backup is not of version 10.4"]
    assert "backup_type = full-backuped" in (folder / "xtrabackup_checkpoints").read_text(encoding="ascii")


def _beheaded(log: bytes) -> bytes:
    """The redo log with nothing behind its head: of what stands at its end a quiet server may need nothing."""
    return log[: 16 << 10]


def _left_out(_file: bytes) -> None:
    """It is missing."""
