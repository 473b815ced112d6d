"""A directory of another host as the target: what is there is left alone, replaced or deleted just as on this machine."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine import errors
from engine.model.requests import RestoreRequest
from engine.model.results import RestoreResult
from tests.jobs.world import World
from tests.servers.sshd import Sshd
from tests.servers.tree_compare import Facts, describe, differences

pytestmark = pytest.mark.slow

ODD = ["-rf", "a\nb", "*", "sp ace", "quo'te\"$(touch ran)", "\udcff"]


@pytest.fixture
async def tree(world: World, sshd: Sshd) -> Path:
    """A tree with odd names, the source `tree` of it, backed up; the host `server`."""
    root = world.directory / "tree"
    for name in ("", "kept", *ODD):
        folder = root / "pages" / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(3):
            (folder / f"{number}").write_text(f"page {number}\n", encoding="ascii")
            os.utime(folder / f"{number}", ns=(0, 1_700_000_000_123_456_789 + number))
    (root / "link").symlink_to("pages/1")
    os.link(root / "pages" / "2", root / "pages" / "second name")
    await world.add_storages("first")
    await world.add_host(sshd)
    await world.add_files("tree", root)
    await world.one_backup("tree")
    return root


def spoil(back: Path, outside: Path) -> None:
    """What people do to what was restored once."""
    (back / "pages" / "1").write_bytes(b"longer than it was")
    (back / "pages" / "2").write_bytes(b"page 0\n")
    (back / "pages" / "kept" / "0").chmod(0o600)
    (back / "pages" / "sp ace" / "1").unlink()
    for name in ODD:
        (back / name / "deep" / name).mkdir(parents=True)
        (back / name / "deep" / "added.log").write_bytes(b"2")
        (back / "pages" / name / f"{name} added").write_bytes(b"3")
    (back / "pages" / "out").symlink_to(outside)
    (back / "away").mkdir()
    (back / "away" / "out").symlink_to(outside)
    # Behind this one lies what the backup has not, either.
    (back / "pages" / "*" / "0").unlink()
    (back / "pages" / "*" / "0").symlink_to(outside)


def settled(back: Path) -> dict[bytes, Facts]:
    """What is there, without the times at which the test itself changed folders and links."""
    return {
        path: facts
        if facts.kind == "-" and facts.mtime_ns < 1_700_000_001_000_000_000
        else replace(facts, mtime_ns=0)
        for path, facts in describe(back).items()
    }


@pytest.mark.parametrize(
    "how",
    [
        {"overwrite": "if-changed", "is_deleting": True},
        {"overwrite": "never", "is_deleting": True, "exclude": ("*.log",)},
    ],
    ids=["if-changed", "never, and some are left out"],
)
async def test_a_host_s_directory_ends_as_one_of_this_machine(
    world: World, tree: Path, how: dict[str, object]
) -> None:
    """The same files stay, the same go, and a preview counts the same; what lies behind a link is nobody's business."""
    results: list[tuple[RestoreResult, RestoreResult]] = []
    backs: list[Path] = []
    outside = world.directory / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"1")
    first = RestoreRequest("latest:tree", str(world.directory / "there"), host="server")
    assert (await world.engine.restore(first)).status == "completed"
    spoil(world.directory / "there" / str(tree).lstrip("/"), outside)
    subprocess.run(["cp", "-a", world.directory / "there", world.directory / "here"], check=True)
    for host in ("", "server"):
        target = world.directory / ("there" if host else "here")
        backs.append(target / str(tree).lstrip("/"))
        request: RestoreRequest = RestoreRequest("latest:tree", str(target), host=host, **how)  # type: ignore[arg-type]
        preview = RestoreRequest("latest:tree", str(target), host=host, is_dry_run=True, **how)  # type: ignore[arg-type]
        before = describe(target)
        planned = await world.engine.restore(preview)
        assert describe(target) == before
        results.append((planned, await world.engine.restore(request)))
        assert [each.name for each in outside.iterdir()] == ["precious"]
    (planned, done), (planned_there, done_there) = results
    assert _figures(planned_there) == _figures(planned)
    assert (done_there.status, done_there.deleted_files) == ("completed", done.deleted_files)
    assert settled(backs[0]) == settled(backs[1])
    assert not list(Path().rglob("ran"))


def _figures(result: RestoreResult) -> tuple[int, ...]:
    return (result.restored_files, result.restored_bytes, result.skipped_files, result.deleted_files)


async def test_what_is_the_same_is_not_sent_again(world: World, tree: Path) -> None:
    """Most of a large tree is as it was, and the line is slow."""
    target = world.directory / "there"
    back = target / str(tree).lstrip("/")
    request = RestoreRequest("latest:tree", str(target), host="server", overwrite="if-changed")
    await world.engine.restore(request)
    with closing(sqlite3.connect(world.engine.home.catalog)) as catalog:
        measured = catalog.execute("SELECT host FROM host_loads ORDER BY host").fetchall()
    assert measured == [("localhost",), ("server",)]  # by this job and the backup: smart schedules look there
    before = {path: path.lstat().st_ino for path in back.rglob("*") if not path.is_dir()}
    (back / "pages" / "1").write_bytes(b"longer than it was")
    done = await world.engine.restore(request)
    assert (done.restored_files, done.skipped_files) == (1, len(before) - 1)
    changed = [path for path, inode in before.items() if path.lstat().st_ino != inode]
    assert changed in ([back / "pages" / "1"], [])
    assert differences(tree, back) == []
    (back / "pages" / "1").write_bytes(b"PAGE 1\n")
    os.utime(back / "pages" / "1", ns=(0, 1_700_000_000_123_456_790))
    await world.engine.restore(request)
    assert (back / "pages" / "1").read_bytes() == b"PAGE 1\n"
    verified = RestoreRequest(
        "latest:tree", str(target), host="server", overwrite="if-changed", is_verified=True
    )
    await world.engine.restore(verified)
    assert (back / "pages" / "1").read_bytes() == b"page 1\n"


async def test_nothing_is_deleted_at_the_root_of_a_host(world: World, tree: Path) -> None:
    """Also where a link leads there."""
    root = world.directory / "root"
    root.symlink_to("/")
    for place in ("/", str(root)):
        with pytest.raises(errors.RefusedError, match="refused at the root"):
            await world.engine.restore(
                RestoreRequest("latest:tree", place, host="server", is_deleting=True, include=("/nowhere",))
            )
