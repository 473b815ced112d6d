"""A physical copy of a PostgreSQL cluster, against a real server and its own verifier."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import HoldfastError, IncompleteDumpError
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.sources.base import ItemStream
from engine.sources.postgres.base_backup import BaseReader
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


async def test_a_physical_copy_passes_the_servers_own_verifier(
    here: OpenHost, other_postgres: Postgres, tmp_path: Path
) -> None:
    """What is unpacked is a cluster, with the log that makes it consistent."""
    make_shop(other_postgres)
    read = await _copied(here, other_postgres)
    assert list(read.data) == ["base.tar", "manifest.json"]
    assert read.manifest.identity.endswith(str(other_postgres.data))
    with tarfile.open(fileobj=io.BytesIO(read.data["base.tar"])) as archive:
        archive.extractall(tmp_path, filter="data")
    verifier = other_postgres.binaries / "pg_verifybackup"
    done = subprocess.run([str(verifier), str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_any_damage_to_a_physical_copy_is_seen(here: OpenHost, other_postgres: Postgres) -> None:
    """A flipped bit, a missing end, a file that is left out: each as the stream goes by."""
    data = (await _copied(here, other_postgres)).data["base.tar"]
    _judge(data)
    page = data.index(b"PG_VERSION\0") + 512
    for damaged in (
        data[:page] + bytes([data[page] ^ 1]) + data[page + 1 :],
        data[:-1024],
        data[: len(data) // 2],
        data[: page - 512] + data[page + 512 :],
        data.replace(b'"Last-Modified"', b'"Last-modified"', 1),
        data[: data.rindex(b"backup_manifest\0")] + bytes(1024),
    ):
        with pytest.raises(IncompleteDumpError):
            _judge(damaged)


def _judge(data: bytes, size: int = 1 << 18) -> BaseReader:
    reader = BaseReader()
    for begin in range(0, len(data), size):
        reader.feed(data[begin : begin + size])
    reader.require_whole()
    return reader


async def test_an_account_that_may_not_replicate_is_told(here: OpenHost, postgres: Postgres) -> None:
    """Not a copy without an end."""
    async with opened_postgres(here, postgres.options(physical=True) | {"user": "backup"}) as source:
        read = await read_backup(source)
    assert re.search("replication role|WAL sender", str(read.errors["base.tar"]))
    assert set(read.errors) == {"base.tar", "manifest.json"}


async def test_a_copy_whose_server_ends_it_is_not_whole(here: OpenHost, other_postgres: Postgres) -> None:
    """A half copy must never become a backup."""
    async with opened_postgres(here, other_postgres.options(physical=True)) as source:
        item = (await source.items())[0]
        async with item.open() as stream:
            await stream.read()
            other_postgres.psql(
                "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'"
            )
            with pytest.raises(HoldfastError):
                await _end(stream)


async def _end(stream: ItemStream) -> None:
    """Reads on to the end, and asks for the verdict."""
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
    for begin in range(0, len(data), size):
        reader.feed(data[begin : begin + size])
    assert reader.files == len(contents)
    with pytest.raises(IncompleteDumpError, match="without its manifest"):
        reader.require_whole()
