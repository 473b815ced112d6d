"""A physical copy of a MariaDB server, against a real server and its own tools."""

from __future__ import annotations

import datetime
import io
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.errors import (
    ConfigurationError,
    HoldfastError,
    IncompleteDumpError,
    PathMissingError,
    SourceError,
    ToolMissingError,
)
from engine.hosts.base import Command, Exit, OpenHost
from engine.model.definitions import Host
from engine.model.manifest import DatabaseFacts, Manifest
from engine.sources.base import DatabaseSource, FolderStream, GrantingSource
from engine.sources.chaining import ChainingSource
from engine.sources.incremental import NoIncrementError
from engine.sources.mariadb import physical, preparation
from engine.sources.mariadb.connection import Connection
from engine.sources.server_files import PhysicalSource
from tests.fakes import container_tools
from tests.families.hosts import cut_connections, opened, ssh_definition, wait_until
from tests.families.mariadb import NASTY, Backup, back_up, fresh_name, make_shop, opened_mariadb
from tests.families.sources import drain
from tests.servers.mariadb import PASSWORD, MariadbServer
from tests.servers.sshd import Sshd
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for what is temporary on the host, open to other accounts."""
    require_tool("mariadb-backup")
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
async def here(place: Path) -> AsyncIterator[OpenHost]:
    """This machine, with that folder."""
    async with opened(Host("this", kind="local", options={"environment": [f"TMPDIR={place}"]})) as host:
        yield host


async def _copied(source: DatabaseSource) -> Backup:
    backup = await back_up(source)
    assert backup.failures == {}
    return backup


async def test_a_copy_is_what_the_server_has_and_what_it_is_said_to_be(
    here: OpenHost, mariadb: MariadbServer, place: Path
) -> None:
    """By an account that has what `host grants` prints and no more, whose password stands in no command line; nothing of it stays."""
    shop, user = make_shop(mariadb), fresh_name("u")
    make_shop(mariadb, f"{NASTY} {shop}".replace("ü", "$"))
    async with opened_mariadb(here, mariadb, physical=True, user=user, as_user="mysql") as source:
        assert isinstance(source, GrantingSource)
        mariadb.sql("\n".join(grant.text for grant in await source.grants() if grant.kind == "sql"))
        quoted = PASSWORD.replace("'", "''")
        mariadb.sql(f"SET PASSWORD FOR {user}@localhost = PASSWORD('{quoted}')")
        assert (await source.check())["tool"].startswith("mariadb-backup based on MariaDB server")
        commands = await source.commands()
        backup = await _copied(source)
    position = mariadb.sql("SHOW MASTER STATUS")[0][:2]
    mariadb.sql(f"DROP USER {user}@localhost")
    assert not [word for command in commands for word in command.words if PASSWORD in str(word)]
    assert list(place.iterdir()) == []
    assert [each for each in backup.warnings if shop in each] == []
    manifest, facts = backup.manifest, backup.facts(shop)
    assert (manifest.folder, manifest.identity.split()[2]) == ("data", f"{mariadb.directory}/data/")
    assert manifest.position.split()[:2] == position
    assert manifest.tool_version.startswith("mariadb-backup 10.")
    assert f"{user}@localhost" in manifest.roles
    assert (len(facts.routines), len(facts.triggers), len(facts.events), len(facts.views)) == (2, 2, 2, 3)
    assert {(each.rows, each.is_estimated) for each in facts.tables} == {(0, True)}
    _require_same_files(backup, mariadb, shop)


def _require_same_files(backup: Backup, server: MariadbServer, shop: str) -> None:
    owner = (server.directory / "data" / "mysql").stat()
    assert {(each.uid, each.gid) for each in backup.members.values()} == {(owner.st_uid, owner.st_gid)}
    assert {each.mode for each in backup.members.values()} == {0o700, 0o660}
    # A table that was made after the last checkpoint is sent by a name that --prepare knows.
    kept = {name.replace(".new", ".ibd") for name in backup.members if name.startswith(f"data/{shop}/")}
    there = {f"data/{shop}/{each.name}" for each in (server.directory / "data" / shop).iterdir()}
    assert kept == there - {each for each in there if each.endswith(".TRG~")}
    definition = f"{shop}/parents.frm"
    assert backup.data[f"data/{definition}"] == (server.directory / "data" / definition).read_bytes()


async def test_a_copy_that_is_left_early_leaves_nothing(
    here: OpenHost, mariadb: MariadbServer, place: Path
) -> None:
    """Neither its folder, which nobody else may enter, nor its session on the server."""
    async with opened_mariadb(here, mariadb, user="root", password=None, physical=True) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            assert isinstance(stream, FolderStream)
            await stream.next_member()
            (folder,) = place.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            with pytest.raises(IncompleteDumpError, match="was not read to its end"):
                await stream.judge()
        await wait_until(lambda: not list(place.iterdir()), 60)


async def test_a_lost_connection_takes_the_server_of_files_with_it(
    start_sshd: Callable[..., Sshd], mariadb: MariadbServer, place: Path
) -> None:
    """Nobody would come back for it."""
    sshd = start_sshd()
    definition = ssh_definition(sshd, environment=[f"TMPDIR={place}"])
    with suppress(HoldfastError):
        async with (
            opened(definition) as host,
            opened_mariadb(host, mariadb, user="root", password=None, physical=True) as source,
        ):
            assert isinstance(source, PhysicalSource)
            backup = await _copied(source)
            assert not list(place.iterdir())
            async with source.revive(backup.manifest, 1) as revival:
                archive = _archive(backup)
                for begin in range(0, len(archive), 1 << 20):
                    await revival.write(archive[begin : begin + (1 << 20)])
                database = await revival.start()
                assert set(await database.names()) >= {each.name for each in backup.manifest.databases}
                assert list(place.iterdir())
                cut_connections(sshd)
                await database.names()
    await wait_until(lambda: not list(place.iterdir()), 30)


def _archive(backup: Backup) -> bytes:
    """The files as a job gives them to a throwaway server."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, member in backup.members.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if member.type == "d" else tarfile.REGTYPE
            info.mode, info.size = member.mode, len(backup.data.get(name, b""))
            archive.addfile(info, io.BytesIO(backup.data.get(name, b"")))
    return buffer.getvalue()


async def test_a_copy_whose_session_ends_is_not_whole(here: OpenHost, mariadb: MariadbServer) -> None:
    """A half copy must never become a backup."""
    async with opened_mariadb(here, mariadb, user="root", password=None, physical=True) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            assert isinstance(stream, FolderStream)
            await stream.next_member()
            ids = mariadb.sql(
                "SELECT id FROM information_schema.processlist WHERE user = 'root' AND id <> CONNECTION_ID()"
            )
            mariadb.sql("".join(f"KILL {number};" for (number,) in ids))
            with pytest.raises(HoldfastError, match="could not be copied: mariadb-backup ended with"):
                await _end(stream)


async def _end(stream: FolderStream) -> None:
    while await stream.next_member() is not None:
        await drain(stream)
    await stream.judge()


async def test_what_stands_in_the_way_is_told(here: OpenHost, mariadb: MariadbServer, tmp_path: Path) -> None:
    """With the way out: a wrong account, rights that are missing, a folder that cannot be read, a program that is not there."""
    mariadb.sql("CREATE USER IF NOT EXISTS bare@localhost")
    async with opened_mariadb(here, mariadb, user="bare", password=None, physical=True) as source:
        error = (await back_up(source)).failures["data"]
    assert "missing required privilege RELOAD" in error.message
    assert "host grants" in str(error.hint)
    async with opened_mariadb(
        here, mariadb, user="root", password=None, physical=True, as_user="nobody"
    ) as source:
        with pytest.raises(SourceError, match="cannot be read") as caught:
            await source.check()
    assert "--as mysql" in str(caught.value.hint)
    for tool in ("sh", "uname", "id", "cat", "sleep", "mariadb", "mariadb-dump", "zstd"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    definition = Host("this", kind="local", options={"environment": [f"PATH={tmp_path}"]})
    async with (
        opened(definition) as bare,
        opened_mariadb(bare, mariadb, user="root", password=None, physical=True) as source,
    ):
        with pytest.raises(ToolMissingError, match="mariadb-backup is missing") as missing:
            await source.check()
    assert "apt install mariadb-backup" in str(missing.value.hint)
    with pytest.raises(ConfigurationError, match="cannot copy the files of MySQL"):
        async with opened_mariadb(here, mariadb, kind="mysql", physical=True):
            pass


async def test_a_server_of_files_is_not_begun_where_it_cannot_be(
    here: OpenHost, mariadb: MariadbServer, place: Path
) -> None:
    """A drill must not fill the disk of a host; nor does another version take the files."""
    async with opened_mariadb(here, mariadb, user="root", password=None, physical=True) as source:
        assert isinstance(source, PhysicalSource)
        manifest = (await _copied(source)).manifest
        large = replace(manifest, databases=[DatabaseFacts("shop", size_bytes=1 << 60)])
        old = replace(manifest, server_version="10.4.3-MariaDB")
        for given, said in ((large, f"{1 << 50} are needed"), (old, "the files are those of MariaDB 10.4.3")):
            with pytest.raises(SourceError, match=said):
                async with source.revive(given, 1):
                    pass
    assert list(place.iterdir()) == []


async def test_a_server_in_a_container_is_copied(mariadb: MariadbServer, tmp_path: Path) -> None:
    """Through a stand-in that checks how it is called, and runs the real program with what was passed on to it alone."""
    log = container_tools.install(tmp_path)
    path = f"PATH={tmp_path}:/usr/bin:/bin:/usr/sbin"
    definition = Host("this", kind="local", options={"environment": [path]})
    mariadb.sql("GRANT PROCESS ON *.* TO keeper@localhost")
    async with (
        opened(definition) as host,
        opened_mariadb(host, mariadb, physical=True, in_container="docker:db-1") as source,
    ):
        backup = await _copied(source)
        commands = await source.commands()
    assert backup.data["data/ib_logfile0"]
    assert {command.program for command in commands} == {"docker"}
    assert not [word for word in container_tools.words(log) if PASSWORD in word]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Exit(0, None, b""), ""),
        (Exit(69, None, b""), "is missing"),
        (Exit(78, None, b""), "not of version 10.11"),
        (
            Exit(1, None, b"[00] 2026-11-28 08:00:00 Error: cannot read redo log header\n"),
            "status 1: Error: cannot read",
        ),
    ],
    ids=["done", "missing", "version", "failed"],
)
def test_why_files_were_not_made_ready_is_told(ended: Exit, said: str) -> None:
    """They are restored all the same, and a person must know what is still to be done."""
    found = preparation.of("/srv/a b", "10.11.18-MariaDB-log", ("/srv/c d",))
    assert said in found.explain(ended)
    assert bool(said) == bool(found.explain(ended))
    prepare = "mariadb-backup --prepare --target-dir='/srv/a b'"
    assert found.words.startswith(f"{prepare} && {prepare} --incremental-dir='/srv/c d' && chown")


def test_the_commands_are_what_a_rule_of_sudoers_can_hold(mariadb: MariadbServer) -> None:
    """One line each, and the password in none."""
    connection = Connection(None, user="keeper", socket=str(mariadb.socket), as_user="mysql")  # type: ignore[arg-type]
    found: Sequence[Command] = [physical.copy_command(connection), physical.look_command(connection, "/data")]
    for command in found:
        assert "\n" not in "".join(map(str, command.words))
        subprocess.run(["sh", "-n", "-c", str(command.words[2])], check=True)


@dataclass(frozen=True, slots=True)
class _Earlier:
    """See `chaining.EarlierBackup`."""

    manifest: Manifest
    notes: Mapping[str, str]

    async def read(self, path: str, write: Callable[[bytes], Awaitable[None]]) -> int:
        """See `chaining.EarlierBackup.read`."""
        if path not in self.notes:
            raise PathMissingError(path)
        await write(self.notes[path].encode())
        return len(self.notes[path])


async def test_nothing_goes_on_from_what_is_no_backup_of_these_very_files(
    here: OpenHost, mariadb: MariadbServer
) -> None:
    """Such an increment would be empty or mixed, and mariadb-backup would say that all is well."""
    note = "data/xtrabackup_checkpoints"
    async with opened_mariadb(here, mariadb, user="root", password=None, physical=True) as source:
        assert isinstance(source, ChainingSource)
        (item, _) = await source.items()
        async with item.open() as stream:
            assert isinstance(stream, FolderStream)
        assert isinstance(item, physical.CopyItem)
        gathered = replace(
            item.gathered, taken_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), folder="data"
        )
        manifest = gathered.manifest()
        ends = {note: "backup_type = full-backuped\nto_lsn = 40\nlast_lsn = 41\n"}
        wrong = {
            "of another server": _Earlier(replace(manifest, identity="x"), ends),
            "are others": _Earlier(replace(manifest, files_id="1 2"), ends),
            "of version 10.4": _Earlier(replace(manifest, server_version="10.4.3-MariaDB"), ends),
            "where it ends": _Earlier(manifest, {}),
            "was set back": _Earlier(manifest, {note: f"to_lsn = 40\nlast_lsn = {1 << 60}\n"}),
        }
        for said, earlier in wrong.items():
            with pytest.raises(NoIncrementError, match=said):
                await source.go_on_from(earlier)
            assert [each.path for each in await source.items()] == ["data", "manifest.json"]
        older = replace(manifest, increments=("increments/0001",))
        chained = _Earlier(older, {note.replace("data", "increments/0001"): ends[note]})
        for number, usable in (("0001", _Earlier(manifest, ends)), ("0002", chained)):
            await source.go_on_from(usable)
            assert (await source.items())[0].path == f"increments/{number}"


async def test_a_chain_that_lacks_a_link_is_not_taken_for_an_older_state(
    here: OpenHost, mariadb: MariadbServer, tmp_path: Path
) -> None:
    """Without its last increment a copy would start, and be that of the one before."""
    async with opened_mariadb(here, mariadb, user="root", password=None, physical=True) as source:
        assert isinstance(source, PhysicalSource)
        version = mariadb.sql("SELECT VERSION()")[0][0]
        manifest = Manifest("mariadb", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), version, "", "", (), increments=("increments/0001",))  # fmt: skip
        with pytest.raises(SourceError, match="of 1 increments 0 are there"):
            await _revived(source, manifest, _archive(Backup()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "xtrabackup_checkpoints").write_text(
        "backup_type = full-backuped\n", encoding="ascii"
    )
    prepare = preparation.of(str(tmp_path / "data"), version, manifest.increments)
    assert "not each of the 1 increments" in prepare.explain((await here.run(prepare.command)).exit)


async def _revived(source: PhysicalSource, manifest: Manifest, archive: bytes) -> None:
    async with source.revive(manifest, 0) as revival:
        await revival.write(archive)
        await revival.start()
