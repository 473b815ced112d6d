"""Files that come back to their own paths, here and over SSH, and to a directory of another host: what could go wrong costs nothing."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import errors, events
from engine.model.backup import SAFETY_TAG
from engine.model.job import JobStatus
from engine.model.requests import ForgetRequest, KeepPolicy, RestoreRequest, RollbackRequest
from engine.model.results import RestoreResult
from tests.families.hosts import wait_until
from tests.jobs.command_line import CommandLine
from tests.jobs.nasty import nasty_tree_kept
from tests.jobs.world import World
from tests.servers.sshd import Sshd
from tests.servers.tree_compare import describe, differences, swollen

pytestmark = pytest.mark.slow

HOSTS = ["localhost", "server"]


@pytest.fixture(params=HOSTS)
async def site(world: World, sshd: Sshd, request: pytest.FixtureRequest) -> Path:
    """A tree, the source `site` of it on this machine or behind SSH, backed up, and changed since."""
    root = world.directory / "site"
    (root / "pages").mkdir(parents=True)
    for number in range(50):
        (root / "pages" / f"{number}.html").write_text(f"page {number}\n", encoding="ascii")
    (root / "index").symlink_to("pages/0.html")
    await world.add_storages("first")
    if request.param == "server":
        await world.add_host(sshd)
    await world.add_files("site", root, host=request.param)
    await world.one_backup("site")
    (root / "pages" / "1.html").write_text("spoiled\n", encoding="ascii")
    (root / "pages" / "2.html").unlink()
    (root / "pages" / "new.html").write_text("made since\n", encoding="ascii")
    return root


async def test_files_come_back_in_place_and_what_was_there_comes_back_by_rollback_or_by_itself(
    world: World, site: Path
) -> None:
    """The wrong day was chosen: one command, and every byte and time is as it was; what came since is never touched."""
    before = describe(site)
    done = await world.engine.restore(RestoreRequest("latest:site", is_in_place=True))
    assert done.status == "completed"
    assert (site / "pages/1.html").read_text(encoding="ascii") == "page 1\n"
    assert (site / "pages/2.html").exists()
    assert (site / "pages/new.html").exists()
    kept = await world.engine.show_backup(done.safety_backup_id)
    assert SAFETY_TAG in kept.tags
    assert (await world.engine.show_backup("latest:site")).backup_id == done.backup_id
    back = await world.engine.rollback(RollbackRequest(done.job_id))
    assert back.status == "completed"
    assert describe(site) == before
    # Now one that fails half-way: it is rolled back by itself, and the hooks learn of it.
    told = world.directory / "told"
    before_hook, after_hook = f"echo before >{told}", f"echo $HOLDFAST_OUTCOME >>{told}"
    _damage(world)
    with pytest.raises(errors.HoldfastError):
        await world.engine.restore(
            RestoreRequest("latest:site", is_in_place=True, before_hook=before_hook, after_hook=after_hook)
        )
    assert describe(site) == before
    assert told.read_text(encoding="ascii") == "before\nfailed\n"


async def test_a_policy_lets_a_safety_backup_alone_and_a_person_discards_it(world: World, tree: Path) -> None:
    """The newest of a source is not what somebody wanted to be rid of."""
    good = await world.engine.show_backup("latest:tree")
    (tree / "file").write_bytes(b"spoiled")
    done = await world.engine.restore(RestoreRequest("latest:tree", is_in_place=True))
    fates = await world.engine.forget(ForgetRequest(KeepPolicy(last=1), is_dry_run=True))
    kept = [done.safety_backup_id, good.backup_id]
    assert [(each.backup_id, each.is_kept) for each in fates.fates] == [(each, True) for each in kept]
    await world.engine.rollback(RollbackRequest(done.job_id, is_discarding=True))
    with pytest.raises(errors.UnknownNameError):
        await world.engine.show_backup(done.safety_backup_id)
    with pytest.raises(errors.UsageError, match="kept no safety backup"):
        await world.engine.rollback(RollbackRequest(done.job_id, is_discarding=True))


async def test_a_restore_in_place_that_was_killed_is_rolled_back_by_its_job(
    world: World, tmp_path: Path
) -> None:
    """The machine that restored lost its power: whatever it had written by then, one command brings back what was there."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(8):
        (tree / f"{number}").write_bytes(random.Random(number).randbytes(1 << 20))
    await world.add_storages("first")
    await world.add_files("tree", tree)
    await world.one_backup("tree")
    (tree / "0").unlink()
    for number in range(1, 8):
        (tree / f"{number}").write_bytes(b"changed since")
    before = describe(tree)
    words = ("restore", "latest:tree", "--in-place", "--yes", "--limit-download", "4000")
    line = CommandLine(world.directory)
    with line.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        # A first file may be back at the instant that it is killed, or none: both must be undone.
        await wait_until(lambda: (tree / "0").exists() or child.poll() is not None, 60.0)
        child.kill()
    (job,) = await world.engine.jobs(verb="restore")
    assert (tree / "0").exists()
    await world.engine.rollback(RollbackRequest(job.job_id))
    assert describe(tree) == before


async def _wait(world: World, is_it: Callable[[events.Event], bool]) -> None:
    """Until the engine tells such a thing."""
    while not any(map(is_it, world.heard)):
        world.more.clear()
        await world.more.wait()


def _damage(world: World) -> None:
    """The pack of the pages, two of which are only in the repository now."""
    packs = [path for path in (world.place("first") / "data").rglob("*") if path.is_file()]
    path = min(packs, key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(path.read_bytes())
    content[::20] = bytes(len(content[::20]))
    path.chmod(0o600)
    path.write_bytes(content)


async def test_a_nasty_tree_comes_back_below_a_directory_of_a_host(
    world: World, sshd: Sshd, tmp_path: Path
) -> None:
    """Odd names, times, links, holes, attributes and ACLs cross the wire as they were; a link that lies in the way is replaced, not followed."""
    tree, outside, target = await nasty_tree_kept(world, sshd, tmp_path)
    done = await world.engine.restore(RestoreRequest("latest:tree", str(target), host="server"))
    assert (done.status, done.warnings) == ("completed", ())
    back = target / str(tree).lstrip("/")
    assert differences(tree, back) == []
    assert swollen(tree, back) == []
    assert list(outside.iterdir()) == []


async def test_a_connection_that_is_cut_in_mid_restore_fails_it_and_says_what_is_there(
    world: World, sshd: Sshd, tmp_path: Path
) -> None:
    """A restore that stopped must not be taken for one that ended; the first half is worth something all the same."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(12):
        (tree / f"{number:02}").write_bytes(random.Random(number).randbytes(4 << 20))
    await world.add_storages("first")
    await world.add_host(sshd)
    await world.add_files("tree", tree)
    await world.one_backup("tree")

    async def cut() -> None:
        await _wait(world, lambda each: isinstance(each, events.Progress) and each.step == "restore")
        sshd.drop_connections()

    async with asyncio.TaskGroup() as group:
        group.create_task(cut())
        with pytest.raises(errors.RestoreError, match=r"\d+ files were sent to .* may be cut off"):
            await world.engine.restore(
                RestoreRequest("latest:tree", str(tmp_path / "there"), host="server", after_hook="exit 3")
            )
    assert any("status 3" in each.message for each in world.heard if isinstance(each, events.Noted))


async def test_a_hook_that_fails_or_never_ends_changes_nothing(world: World, tree: Path) -> None:
    """An application that could not be stopped would write into what is restored."""
    there = world.directory / "there"

    async def restore(hook: str, timeout_s: float = 60.0) -> None:
        request = RestoreRequest("latest:tree", str(there), before_hook=hook, hook_timeout_s=timeout_s)
        await world.engine.restore(request)

    with pytest.raises(errors.RestoreError, match="ended with status 7: no such unit; nothing was changed"):
        await restore("echo no such unit >&2; exit 7")
    with pytest.raises(errors.RestoreError, match="longer than 0"):
        await restore("sleep 60", 0.1)
    assert tree.exists()
    assert not there.exists()


async def test_a_part_comes_to_a_host_and_what_is_there_can_be_left_alone(
    world: World, sshd: Sshd, tree: Path
) -> None:
    """One file, seen first, compared behind it, and never written over where nobody asked for that."""
    await world.add_host(sshd)
    there = world.directory / "there"
    back = there / str(tree).lstrip("/") / "file"

    async def restore(**how: object) -> RestoreResult:
        request: RestoreRequest = RestoreRequest("latest:tree", str(there), host="server", **how)  # type: ignore[arg-type]
        return await world.engine.restore(request)

    preview = await restore(is_dry_run=True, include=(f"{tree}/file",))
    assert (preview.restored_files, preview.restored_bytes, there.exists()) == (1, 7, False)
    await restore(include=(f"{tree}/file",), is_verified=True)
    assert [each for each in there.rglob("*") if each.is_file()] == [back]
    back.write_bytes(b"mine")
    await restore(overwrite="never")
    assert (back.read_bytes(), (back.parent / "empty").is_dir()) == (b"mine", True)


@pytest.fixture
async def tree(world: World) -> Path:
    """A small tree, source `tree` of this machine, backed up."""
    root = world.directory / "tree"
    (root / "empty").mkdir(parents=True)
    (root / "file").write_bytes(b"content")
    await world.add_storages("first")
    await world.add_files("tree", root)
    await world.one_backup("tree")
    return root


async def test_a_root_that_became_a_link_or_another_machine_is_never_written_in_place(
    world: World, sshd: Sshd, tree: Path
) -> None:
    """What lies behind the link may be anybody's."""
    moved = tree.rename(tree.with_name("moved"))
    parent = tree.parent
    inner = parent / "inner"
    (inner / "deep").mkdir(parents=True)
    await world.add_files("inner", inner / "deep")
    await world.one_backup("inner")
    inner.rename(parent / "elsewhere")
    inner.symlink_to(moved)
    with pytest.raises(errors.RefusedError, match="is a link now"):
        await world.engine.restore(RestoreRequest("latest:inner", is_in_place=True))
    done = await world.engine.restore(RestoreRequest("latest:tree", is_in_place=True))
    assert done.safety_backup_id == ""
    assert (tree / "file").read_bytes() == b"content"
    await world.engine.rollback(RollbackRequest(done.job_id))
    assert not tree.exists()


async def test_a_restore_in_place_that_is_cancelled_leaves_the_files_as_they_were(
    world: World, tmp_path: Path
) -> None:
    """Somebody saw that it was the wrong one, and pressed Ctrl-C."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number}").write_bytes(random.Random(number).randbytes(2 << 20))
    await world.add_storages("first")
    await world.add_files("tree", tree)
    await world.one_backup("tree")
    for path in tree.iterdir():
        path.write_bytes(b"changed since")
    before = describe(tree)
    async with asyncio.TaskGroup() as group:
        restore = group.create_task(world.engine.restore(RestoreRequest("latest:tree", is_in_place=True)))
        await _wait(world, lambda each: isinstance(each, events.Progress) and each.step == "restore")
        restore.cancel()
    assert describe(tree) == before
    (job,) = await world.engine.jobs(verb="restore")
    assert job.status is JobStatus.CANCELLED
