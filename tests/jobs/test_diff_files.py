"""A backup of files compared with what lies on the host now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.model.definitions import Source
from engine.model.results import Compared, Difference
from tests.jobs.command_line import CommandLine
from tests.jobs.world import World
from tests.servers.nasty_tree import NAMES
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


async def back_up_tree(world: World, host: str = "localhost") -> Path:
    """A tree with names of any bytes, the source `tree` of it, backed up."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        write(root, b"folder/" + name, b"%d" % number)
    for plain in ("grown", "touched", "silent", "gone", "type", "mode"):
        write(root, plain.encode(), b"before")
    (root / "link").symlink_to("grown")
    (root / "gone folder" / "below").mkdir(parents=True)
    write(root, b"gone folder/below/file", b"x")
    await world.add_storages("first")
    await world.add_files("tree", root, host=host)
    await world.one_backup("tree")
    return root


def write(root: Path, name: bytes, content: bytes) -> None:
    """A file of that name, which may be no text."""
    with open(os.fsencode(root) + b"/" + name, "wb") as file:  # noqa: PTH123 -- pathlib takes no bytes
        file.write(content)


async def _diff(world: World, tree: Path, *, is_checksum: bool = False) -> tuple[list[Difference], Compared]:
    """What is told of the tree; the folders above it are everybody's, and may change meanwhile."""
    told: list[Difference] = []
    compared = await world.engine.diff_live("latest:tree", told.append, is_checksum=is_checksum)
    return [each for each in told if each.path.startswith(f"{tree}/")], compared


def _damage(root: Path) -> None:
    """One of each kind of change; `silent` and a file with a newline in its name change without their times."""
    write(root, b"grown", b"after all")
    (root / "touched").touch()
    (root / "mode").chmod(0o600)
    for name in (b"silent", b"folder/new\nline"):
        path = os.fsencode(root) + b"/" + name
        before = os.stat(path)  # noqa: PTH116 -- pathlib takes no bytes
        write(root, name, b"AFTER!"[: before.st_size])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "gone").unlink()
    (root / "type").unlink()
    (root / "type").mkdir()
    write(root, b"type/new", b"x")
    (root / "link").unlink()
    (root / "link").symlink_to("silent")
    (root / "gone folder" / "below" / "file").unlink()
    (root / "gone folder" / "below").rmdir()


@pytest.mark.parametrize("host", ["localhost", "server"])
async def test_whatever_changed_on_the_host_is_told_and_how_far_it_was_looked(
    world: World, host: str, request: pytest.FixtureRequest
) -> None:
    """What a file holds is compared by SHA-256 on the host, so that a change which hides behind its time is found."""
    if host == "server":
        server: Sshd = request.getfixturevalue("sshd")
        await world.add_host(server)
    tree = await back_up_tree(world, host)
    told, compared = await _diff(world, tree)
    assert told == []
    assert any(each.startswith(f"SHA-256 of {len(NAMES) + 7} files") for each in compared.compared), compared
    _damage(tree)
    told, compared = await _diff(world, tree)
    found = {each.path.removeprefix(f"{tree}/"): (each.change, each.what) for each in told}
    assert found.pop("grown") == ("modified", "size,time")
    assert found == {
        "touched": ("metadata", "time"),
        "mode": ("metadata", "mode"),
        "silent": ("modified", "content"),
        "folder/new\nline": ("modified", "content"),
        "gone": ("removed", ""),
        "type": ("modified", "type"),
        "type/new": ("added", ""),
        "link": ("modified", "target,time"),
        "gone folder/below": ("removed", ""),
        "gone folder/below/file": ("removed", ""),
    }
    assert any("extended attributes" in each for each in compared.not_compared)
    sizes = {each.path: (each.size_bytes_before, each.size_bytes_after) for each in told}
    assert sizes[f"{tree}/grown"] == (6, 9)


async def test_what_cannot_be_hashed_or_is_not_taken_any_more_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never taken for the same, and never for gone."""
    tree = await back_up_tree(world)
    tools = world.directory / "tools"
    tools.mkdir()
    (tools / "xargs").write_text("#!/bin/sh\nexit 127\n", encoding="ascii")
    (tools / "xargs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    await world.engine.edit_source("tree", {"exclude": ("gone",)})
    (tree / "touched").touch()
    told, compared = await _diff(world, tree, is_checksum=True)
    assert [(each.path, each.change, each.what) for each in told] == [(f"{tree}/touched", "modified", "time")]
    assert any("xargs is missing" in each for each in compared.not_compared)
    assert f"{tree}/gone: the source does not take it any more" in compared.not_compared


async def test_a_command_has_nothing_live_to_be_compared_with(world: World) -> None:
    """It says so, and what to do."""
    await world.add_storages("first")
    options = {"run": "echo x", "filename": "x"}
    await world.engine.add_source(Source("made", "command", options=options))
    await world.one_backup("made")
    with pytest.raises(UsageError, match="cannot be asked for"):
        await world.engine.diff_live("latest:made", lambda _each: None)


def test_the_command_line_tells_it_to_people_and_scripts(tmp_path: Path) -> None:
    """Exit code 0 whether or not something differs, as with restic."""
    line = CommandLine(tmp_path)
    line.set_up()
    line.done("backup", "data")
    (line.data / "a").write_bytes(b"after it")
    result = line.json("diff", "latest:data", "--live", "--checksum")
    (item,) = [each for each in result["items"] if each["path"] == f"{line.data}/a"]
    assert item == {
        "path": f"{line.data}/a",
        "change": "modified",
        "size_bytes_before": 4,
        "size_bytes_after": 8,
        "what": "size,time",
    }
    assert result["not_compared"]
    out = line.done("diff", "latest:data", "--live").out
    assert f"M  {line.data}/a  (size,time; 4 B -> 8 B)" in out
    assert "\nnot compared: " in out
    assert line.run("diff", "latest:data").code == 2
