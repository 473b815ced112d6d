"""Files whose content tar fills up with zeros: what they hold is never kept for theirs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.model.requests import RestoreRequest
from tests.jobs.world import World
from tests.servers.failing_disk import GOOD, failing_disk
from tests.servers.restic import ResticProgram
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow

_CUT_BYTES = 1_000_000
# The real tar. The first time its output is held up in the middle of the file, until that was cut.
_TAR = """#!/bin/bash
set -o pipefail
if [[ "$*" == *--create* ]] && mkdir {mark} 2>/dev/null; then
    (exec -a tar {tar} "$@") | {{ head -c 1048576; truncate -s {size} {file}; cat; }}
else
    exec -a tar {tar} "$@"
fi
"""


async def _restored(world: World, backup_id: str, root: Path) -> dict[str, bytes]:
    target = world.directory / f"back-{backup_id}"
    await world.engine.restore(RestoreRequest(backup_id, str(target)))
    below = target / str(root).lstrip("/")
    return {path.name: path.read_bytes() for path in below.iterdir() if path.is_file()}


async def test_files_on_a_disk_that_fails_are_named_and_not_kept(
    world: World, tmp_path: Path, restic_newest: ResticProgram
) -> None:
    """tar fills what it cannot read with zeros, and calls a file that breaks off in its middle one that shrank."""
    (tmp_path / "disk").mkdir()
    with failing_disk(tmp_path / "disk") as disk:
        await world.add_storages("first")
        await world.add_files("disk", disk)
        for _ in ("a first backup", "one with a parent"):
            done = await world.backup("disk")
            assert done.status == "incomplete"
            [backup] = done.backups
            named = [f"{disk}/{name} could not be read" for name in ("broken", "lost", "other")]
            assert sorted(backup.warnings) == named
            assert await _restored(world, backup.backup_id, disk) == {"good": GOOD}
    world.restic(restic_newest, "first").check()


async def test_a_file_that_became_shorter_is_read_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that was emptied is no disk that fails: it is kept as it is now, and the backup is whole."""
    root = tmp_path / "tree"
    root.mkdir()
    content = random.Random(3).randbytes(8 << 20)
    (root / "log").write_bytes(content)
    (root / "beside").write_bytes(b"beside")
    _put_in_front(tmp_path / "bin", root / "log")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    await world.add_storages("first")
    await world.add_files("tree", root)
    done = await world.backup("tree")
    assert (tmp_path / "bin" / "mark").exists()
    assert done.status == "completed"
    [backup] = done.backups
    assert list(backup.warnings) == [f"{root}/log changed while it was read"]
    expected = {"log": content[:_CUT_BYTES], "beside": b"beside"}
    assert await _restored(world, backup.backup_id, root) == expected


def _put_in_front(folder: Path, file: Path) -> None:
    folder.mkdir()
    program = folder / "tar"
    program.write_text(
        _TAR.format(mark=folder / "mark", tar=require_tool("tar"), size=_CUT_BYTES, file=file),
        encoding="ascii",
    )
    program.chmod(0o755)
