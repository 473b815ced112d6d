"""A backup becomes one file that stock tools unpack, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.errors import DamagedError, HoldfastError, PathMissingError, UsageError
from engine.model.requests import DownloadRequest
from tests.jobs.world import World, open_world

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two storages and a source `tree` that both hold."""
    async with open_world(tmp_path / "world") as opened:
        root = opened.directory / "tree"
        (root / "sub").mkdir(parents=True)
        (root / "sub" / "a").write_bytes(b"a" * 2_000_000)
        (root / "b").write_bytes(b"b")
        await opened.add_storages("first", "second")
        await opened.add_files("tree", root)
        await opened.one_backup("tree", ("first", "second"))
        yield opened


async def test_each_format_unpacks_to_the_same_files(world: World) -> None:
    """By tar and by Python's zip; the digest is the file's."""
    for name in ("tar", "tar.gz", "tar.bz2", "tar.zst", "zip"):
        file = world.directory / f"made.{name}"
        done = await world.engine.download(DownloadRequest("latest:tree", str(file)))
        assert (done.format, done.size_bytes) == (name, file.stat().st_size)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == done.sha256
        into = world.directory / f"out-{name}"
        into.mkdir()
        unpack: list[str | Path] = (
            ["python3", "-m", "zipfile", "-e", file, into]
            if name == "zip"
            else ["tar", "-xaf", file, "-C", into]
        )
        subprocess.run(unpack, check=True)
        below = into / str(world.directory / "tree").lstrip("/")
        assert (below / "sub" / "a").read_bytes() == b"a" * 2_000_000
        assert (below / "b").read_bytes() == b"b"


async def test_a_part_may_be_one_file(world: World) -> None:
    """Rather than all for the sake of one."""
    file = world.directory / "one.tar"
    asked = DownloadRequest("latest:tree", str(file), path=f"{world.directory}/tree/b")
    await world.engine.download(asked)
    listed = subprocess.run(["tar", "-tf", file], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert listed == f"{world.directory}/tree/b\n".lstrip("/")


async def test_nothing_is_left_of_what_fails_and_nothing_is_overwritten(world: World) -> None:
    """Half an archive that looks whole is worse than none."""
    file = world.directory / "made.tar"
    with pytest.raises(PathMissingError):
        await world.engine.download(DownloadRequest("latest:tree", str(file), path="/none"))
    for storage in ("first", "second"):
        for pack in world.place(storage).rglob("data/*/*"):
            pack.chmod(0o600)
            pack.write_bytes(bytes(pack.stat().st_size))
    with pytest.raises((DamagedError, HoldfastError)):
        await world.engine.download(DownloadRequest("latest:tree", str(file)))
    assert list(world.directory.glob("*made*")) == []
    file.write_bytes(b"mine")
    with pytest.raises(UsageError, match="is there already"):
        await world.engine.download(DownloadRequest("latest:tree", str(file)))
    assert file.read_bytes() == b"mine"
    with pytest.raises(UsageError, match="tells no format"):
        await world.engine.download(DownloadRequest("latest:tree", str(world.directory / "x")))


async def test_another_storage_serves_where_the_first_is_damaged(world: World) -> None:
    """That is what it is there for."""
    for pack in world.place("first").rglob("data/*/*"):
        pack.chmod(0o600)
        pack.write_bytes(bytes(pack.stat().st_size))
    file = world.directory / "made.tar"
    await world.engine.download(DownloadRequest("latest:tree", str(file)))
    subprocess.run(["tar", "-tf", file], stdout=subprocess.DEVNULL, check=True)
