"""What stock restic backed up comes back through us, in every fact."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.model.secret import Secret
from engine.repository import diff, dump, reader, repository, restore
from engine.repository.patterns import Selection
from engine.repository.repository import Repository
from engine.repository.restore import RestoreOptions
from engine.storages.registry import open_storage
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.restic import PASSWORD, Restic, ResticProgram
from tests.servers.tools import require_root, require_tool
from tests.servers.tree_compare import differences, swollen

pytestmark = pytest.mark.slow

_RAW_TARGETS = (0, 16)
"""The first restic that keeps the bytes of a link's target that is no UTF-8."""


@pytest.fixture
def nasty(tmp_path: Path, restic_program: ResticProgram) -> Path:
    """The tree that this restic can back up whole."""
    require_root()
    root = tmp_path / "nasty"
    make_nasty_tree(root, has_odd_link_targets=restic_program.number >= _RAW_TARGETS)
    return root


@pytest.fixture
def restic(tmp_path: Path, restic_program: ResticProgram) -> Restic:
    """A repository of this restic."""
    made = Restic(restic_program, tmp_path / "repository", tmp_path / "temporary")
    made.begin()
    return made


@asynccontextmanager
async def _opened(restic: Restic, tmp_path: Path) -> AsyncIterator[Repository]:
    clock = SystemClock()
    async with open_storage("local", {"path": str(restic.repository)}, clock=clock) as storage:
        opened = await repository.open_repository(
            storage, Secret(PASSWORD), cache_directory=tmp_path / "cache", clock=clock
        )
        await opened.load_index()
        yield opened


async def test_a_nasty_tree_comes_back_identical(restic: Restic, nasty: Path, tmp_path: Path) -> None:
    """Names, modes, owners, attributes, links, devices, holes and times, from both ends of restic's versions."""
    restic.backup(nasty)
    async with _opened(restic, tmp_path) as opened:
        named = await reader.find_snapshot(opened, "latest")
        options = RestoreOptions(str(tmp_path / "out"), is_verifying=True)
        tally = await restore.restore(opened, named.snapshot, options)
    restored = tmp_path / "out" / nasty.relative_to("/")
    assert tally.failures == []
    assert differences(nasty, restored) == []
    assert swollen(nasty, restored) == []


async def test_a_restore_over_another_state_comes_out_identical(
    restic: Restic, nasty: Path, tmp_path: Path
) -> None:
    """What was changed, added, removed and replaced since is put right, and only that is fetched."""
    restic.backup(".", cwd=nasty)
    target = tmp_path / "out"
    async with _opened(restic, tmp_path) as opened:
        named = await reader.find_snapshot(opened, "latest")
        options = RestoreOptions(str(target), is_deleting=True)
        await restore.restore(opened, named.snapshot, options)
        subprocess.run(
            """
            set -e
            printf changed > names/plain.txt; rm names/-rf; mkdir names/-rf; touch names/-rf/x
            rm links/two; echo other > links/two; ln -sfn /etc links/to-folder
            rm -r times; ln -s ../beside times; chmod 777 ./modes/*; chown -h 7:7 ./owners/*
            setfattr -n user.more -v 1 attributes/user; setfacl -b attributes/folder
            rm devices/fifo; touch devices/fifo; echo more >> contents/long; mkdir -p extra/deep
            """,  # noqa: S609 -- the folder is the test's own
            shell=True,
            check=True,
            cwd=target,
        )
        tally = await restore.restore(opened, named.snapshot, options)
    assert tally.failures == []
    assert differences(nasty, target, ignores=lambda path, _fact: path == b".") == []
    assert tally.fetched_bytes < 10_000


async def test_a_dump_is_what_was_backed_up(restic: Restic, nasty: Path, tmp_path: Path) -> None:
    """A file byte by byte, a directory through GNU tar."""
    tar = require_tool("tar")
    restic.backup(".", cwd=nasty)
    pieces: list[bytes] = []

    async def write(piece: bytes) -> None:
        pieces.append(piece)

    async with _opened(restic, tmp_path) as opened:
        named = await reader.find_snapshot(opened, "latest")
        await dump.dump(opened, named.snapshot, b"contents/long", write)
        assert b"".join(pieces) == (nasty / "contents" / "long").read_bytes()
        pieces.clear()
        await dump.dump(opened, named.snapshot, b"", write)
    (tmp_path / "out").mkdir()
    command = [str(tar), "--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", "-"]
    subprocess.run(command, input=b"".join(pieces), cwd=tmp_path / "out", check=True, capture_output=True)
    found = differences(
        nasty, tmp_path / "out", ignores=lambda path, fact: fact == "linked_with" or path == b"."
    )
    assert found == []


async def test_one_folder_comes_back_alone(restic: Restic, nasty: Path, tmp_path: Path) -> None:
    """The everyday restore."""
    restic.backup(".", cwd=nasty)
    async with _opened(restic, tmp_path) as opened:
        named = await reader.find_snapshot(opened, "latest")
        selection = Selection.parse(["/names/folders"])
        options = RestoreOptions(str(tmp_path / "out"), selection=selection)
        tally = await restore.restore(opened, named.snapshot, options)
    assert tally.failures == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["names"]
    assert differences(nasty / "names" / "folders", tmp_path / "out" / "names" / "folders") == []


async def test_our_diff_tells_what_restics_tells(restic: Restic, nasty: Path, tmp_path: Path) -> None:
    """One question, one answer."""
    restic.backup(".", cwd=nasty)
    (nasty / "names" / "plain.txt").write_text("changed")
    (nasty / "names" / "new").write_text("new")
    (nasty / "contents" / "text").unlink()
    restic.backup(".", cwd=nasty)
    async with _opened(restic, tmp_path) as opened:
        first, second = [reader.Named(*each) for each in await opened.snapshots()]
        changes = {each.path: each.kind async for each in diff.diff(opened, first.snapshot, second.snapshot)}
    assert changes == {
        b"names/plain.txt": "modified",
        b"names/new": "added",
        b"contents/text": "removed",
    }
    said = restic.run("diff", first.id, second.id).stdout.decode()
    assert all(line in said for line in ("M    /names/plain.txt", "+    /names/new", "-    /contents/text"))
