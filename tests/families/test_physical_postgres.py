"""A physical copy of a PostgreSQL cluster, against a real server and its own verifier."""

from __future__ import annotations

import datetime
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import HoldfastError, IncompleteDumpError, SourceError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.manifest import DatabaseFacts, Manifest
from engine.sources.base import FolderStream, Member
from engine.sources.postgres import physical
from engine.sources.postgres.base_backup import BaseReader
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.dumping import Wanted
from engine.sources.server_files import PhysicalSource
from tests.families.hosts import opened
from tests.families.postgres import Read, make_shop, opened_postgres, read_backup
from tests.families.sources import drain
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
async def here() -> AsyncIterator[OpenHost]:
    """This machine."""
    async with opened(Host("this", kind="local")) as host:
        yield host


async def _copied(host: OpenHost, server: Postgres) -> Read:
    async with opened_postgres(host, server.options(physical=True)) as source:
        read = await read_backup(source)
    assert read.errors == {}
    return read


def _lay_out(read: Read, target: Path) -> None:
    """The files below `data`, as a restore makes them."""
    for name, member in read.members.items():
        path = target / name
        if member.type == "d":
            path.mkdir()
        else:
            path.write_bytes(read.data[name])
            assert member.size_bytes in (path.stat().st_size, 0)


async def test_a_physical_copy_passes_the_servers_own_verifier(
    here: OpenHost, other_postgres: Postgres, tmp_path: Path
) -> None:
    """What is laid out is a cluster, empty folders and all, with the log that makes it consistent; its manifest says what is in it."""
    name = make_shop(other_postgres)
    read = await _copied(here, other_postgres)
    assert read.manifest.identity.endswith(str(other_postgres.data))
    assert read.manifest.folder == "data"
    assert read.manifest.roles[0] == "postgres"
    facts = read.facts(name)
    assert "public.customers" in {each.name for each in facts.tables if each.is_estimated}
    assert {each.last_value for each in facts.sequences} == {None}
    assert {each.mode for each in read.members.values() if each.type == "d"} == {0o700}
    assert {each.uid for each in read.members.values()} == {other_postgres.data.stat().st_uid}
    assert read.members["data"].type == read.members["data/pg_notify"].type == "d"
    _lay_out(read, tmp_path)
    verifier = other_postgres.binaries / "pg_verifybackup"
    done = subprocess.run(
        [str(verifier), str(tmp_path / "data")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _tar_of(here: OpenHost, server: Postgres) -> bytes:
    """The stream as the server's own program makes it."""
    connection = Connection(socket=str(server.directory), port=server.port, user="postgres")
    command = physical.command(Wanted(here, connection))
    words = [str(server.binaries / "pg_basebackup"), *map(str, command.words[1:])]
    return subprocess.run(
        words, env={**os.environ, **command.settings}, check=True, capture_output=True
    ).stdout


async def test_any_damage_to_a_physical_copy_is_seen(here: OpenHost, other_postgres: Postgres) -> None:
    """A flipped bit, a missing end, a file that is left out or comes twice, a link, a name that leads elsewhere: each as the stream goes by."""
    data = _tar_of(here, other_postgres)
    _judge(data)
    page = data.index(b"PG_VERSION\0") + 512
    label = data.index(b"backup_label\0")
    for damaged in (
        data[:page] + bytes([data[page] ^ 1]) + data[page + 1 :],
        data[:-1024],
        data[: len(data) // 2],
        data[: page - 512] + data[page + 512 :],
        data.replace(b'"Last-Modified"', b'"Last-modified"', 1),
        data[: data.rindex(b"backup_manifest\0")] + bytes(1024),
        data[: page + 512] + data[page - 512 :],
        data[:label] + _header("pg_wal/link", b"2") + data[label:],
        data[:label] + _header("base/../../outside", b"0") + data[label:],
        data[:label] + _header("/outside", b"5") + data[label:],
    ):
        with pytest.raises(IncompleteDumpError):
            _judge(damaged)


def _header(name: str, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info.tobuf(tarfile.USTAR_FORMAT)


def _judge(data: bytes, size: int = 1 << 18) -> BaseReader:
    reader = BaseReader()
    for begin in range(0, len(data), size):
        reader.feed(data[begin : begin + size])
    reader.require_whole()
    return reader


async def test_a_cluster_is_copied_with_its_tablespaces(
    here: OpenHost, other_postgres: Postgres, tmp_path: Path
) -> None:
    """One inside the data folder's parent, one elsewhere: what they hold lies where the data folder has its links, and the verifier takes it."""
    places = {
        "far away": Path(tempfile.mkdtemp(dir="/tmp", prefix="hf-space-")),
        "near": other_postgres.directory / "near",
    }
    for name, place in places.items():
        place.mkdir(exist_ok=True)
        shutil.chown(place, other_postgres.account)
        other_postgres.psql(f"create tablespace \"{name}\" location '{place}'")
        other_postgres.psql(
            f'create table "of {name}" tablespace "{name}" as select generate_series(1, 5000)'
        )
    other_postgres.psql(
        "set allow_in_place_tablespaces = on; create tablespace inner_one location ''; create table of_inner (n int) tablespace inner_one"
    )
    try:
        read = await _copied(here, other_postgres)
        async with opened_postgres(here, other_postgres.options(physical=True)) as source:
            assert (await source.check())["tablespaces"] == "far away, inner_one, near"
        with pytest.raises(SourceError, match="which has tablespaces, cannot be copied"):
            async with opened_postgres(
                here, other_postgres.options(physical=True) | {"user": "backup"}
            ) as source:
                await source.check()
    finally:
        other_postgres.psql("drop table of_inner; drop tablespace inner_one")
        for name, place in places.items():
            other_postgres.psql(f'drop table "of {name}"; drop tablespace "{name}"')
            shutil.rmtree(place)
    spaces = {each.name: each for each in read.manifest.tablespaces}
    inner = spaces.pop("inner_one")
    assert inner.location == f"pg_tblspc/{inner.oid}"
    assert {name: Path(each.location) for name, each in spaces.items()} == places
    assert all(each.size_bytes > 150_000 for each in spaces.values())
    assert not [each.path for each in read.members.values() if each.path == "tablespace_map"]
    _lay_out(read, tmp_path)
    verifier = other_postgres.binaries / "pg_verifybackup"
    done = subprocess.run(
        [str(verifier), str(tmp_path / "data")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_server_of_files_is_not_begun_where_it_cannot_be(
    here: OpenHost, other_postgres: Postgres
) -> None:
    """A drill must not fill the disk of a host; nor does another version take the files."""
    manifest = Manifest(
        "postgres",
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        server_version=other_postgres.version,
        tool_version="",
        identity="",
        databases=[DatabaseFacts("shop", size_bytes=1 << 60)],
        folder="data",
    )
    old = replace(manifest, server_version="9.6.24", databases=[])
    async with opened_postgres(here, other_postgres.options(physical=True)) as source:
        assert isinstance(source, PhysicalSource)
        for given, said in ((manifest, f"{1 << 50} are needed"), (old, "no server of PostgreSQL 9.6")):
            with pytest.raises(HoldfastError, match=said):
                async with source.revive(given, 1):
                    pass


async def test_an_account_that_may_not_replicate_is_told(here: OpenHost, postgres: Postgres) -> None:
    """Not a copy without an end."""
    async with opened_postgres(here, postgres.options(physical=True) | {"user": "backup"}) as source:
        read = await read_backup(source)
    assert re.search("replication role|WAL sender", str(read.errors["data"]))
    assert set(read.errors) == {"data", "manifest.json"}


async def test_a_copy_whose_server_ends_it_is_not_whole(here: OpenHost, other_postgres: Postgres) -> None:
    """A half copy must never become a backup."""
    async with opened_postgres(here, other_postgres.options(physical=True)) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            assert isinstance(stream, FolderStream)
            await stream.next_member()
            other_postgres.psql(
                "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'"
            )
            with pytest.raises(HoldfastError):
                await _end(stream)


async def test_a_tablespace_that_is_made_while_the_rest_is_copied_makes_no_backup(
    here: OpenHost, other_postgres: Postgres
) -> None:
    """It would be in the log alone, whose replay makes it where the live server has it; one that was made before is no matter."""
    place = other_postgres.directory / "young"
    place.mkdir()
    shutil.chown(place, other_postgres.account)
    make = f"create tablespace young location '{place}'"
    other_postgres.psql(f"{make}; drop tablespace young")
    async with opened_postgres(here, other_postgres.options(physical=True)) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            assert isinstance(stream, FolderStream)
            await stream.next_member()
            other_postgres.psql(make)
            with pytest.raises(IncompleteDumpError, match="young' was made while"):
                await _end(stream)
    other_postgres.psql("drop tablespace young")
    place.rmdir()
    await _copied(here, other_postgres)


async def _end(stream: FolderStream) -> None:
    """Reads on to the end, and asks for the verdict."""
    while await stream.next_member() is not None:
        await drain(stream)
    await stream.judge()


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=1500), max_size=4), st.integers(1, 700))
def test_a_tar_stream_is_read_however_it_is_cut(contents: list[bytes], size: int) -> None:
    """Pieces come as the network likes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, content in enumerate(contents):
            info = tarfile.TarInfo(f"folder/{number}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    reader = BaseReader()
    data = buffer.getvalue()
    found: list[tuple[str, bytes]] = []
    for begin in range(0, len(data), size):
        for event in reader.feed(data[begin : begin + size]):
            if isinstance(event, Member):
                found.append((event.path, b""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + event)
    assert [each for each in found if each[0]] == [
        (f"folder/{number}", content) for number, content in enumerate(contents)
    ]
    with pytest.raises(IncompleteDumpError, match="without its manifest"):
        reader.require_whole()
