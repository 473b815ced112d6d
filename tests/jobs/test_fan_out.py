"""One backup in several storages: one that is slow or gone costs the others nothing, catches up later, and any one of them is enough."""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from engine import errors, events
from engine.jobs import anchors, opening
from engine.model.backup import Backup, BackupStatus
from engine.model.definitions import OptionValue, Storage
from engine.model.requests import CopyRequest, Limits, VerifyRequest
from engine.storages import registry
from engine.storages.base import Kind
from tests.jobs import held
from tests.jobs.world import World
from tests.servers.ceph import Ceph
from tests.servers.restic import PASSWORD, ResticProgram
from tests.servers.sshd import Sshd
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow

STORAGES = ("first", "second", "third")


@pytest.fixture
async def tree(world: World) -> Path:
    """A tree, as source `tree`."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"one")
    (root / "large").write_bytes(random.Random(1).randbytes(2 << 20))
    await world.add_files("tree", root)
    return root


def _missing(backup: Backup) -> list[str]:
    return [copy.storage for copy in backup.copies if not copy.snapshot_id]


async def test_what_a_storage_missed_is_caught_up_without_the_source(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """The disk is plugged in again in the morning, when the night's data is long gone."""
    await world.add_storages("first", "second")
    await world.one_backup("tree", ("first", "second"))
    world.place("second").rename(world.directory / "unplugged")
    missed = []
    for number in range(2):
        (tree / f"new{number}").write_bytes(b"%d" % number)
        done = await world.backup("tree", to=("first", "second"))
        assert done.status == "incomplete"
        missed.append(await world.engine.show_backup(done.backups[0].backup_id))
    assert [_missing(each) for each in missed] == [["second"], ["second"]]
    status = await world.engine.status()
    assert "holdfast copy --missing --to second" in [each.remedy for each in status.concerns]
    expected = shutil.copytree(tree, world.directory / "expected", symlinks=True)
    shutil.rmtree(tree)
    (world.directory / "unplugged").rename(world.place("second"))
    caught_up = await world.engine.copy(CopyRequest("", "second", is_missing=True))
    assert (caught_up.status, len(caught_up.copied), caught_up.skipped) == ("completed", 2, 0)
    for each in missed:
        now = await world.engine.show_backup(each.backup_id)
        assert (now.status, _missing(now)) == (BackupStatus.COMPLETED, [])
    again = await world.engine.copy(CopyRequest("", "second", is_missing=True))
    assert (len(again.copied), again.skipped) == (0, 0)
    world.restic(restic_newest, "second").check()
    back = await world.restore(missed[1].backup_id, world.directory / "back", "second")
    assert differences(expected, back / str(tree).lstrip("/")) == []


async def test_a_storage_that_does_not_keep_up_is_dropped_told_and_caught_up(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line to the far copy is down to nothing tonight: the near one is taken all the same, and who looks sees why."""
    members = cast("MutableMapping[str, str]", registry.MEMBERS)
    monkeypatch.setitem(members, held.KIND, "tests.jobs.held:open_held")
    await world.add_storages("first")
    options = {"path": str(world.place("slow"))}
    await world.engine.add_storage(Storage("slow", held.KIND, options, f"file:{world.directory}/password"))
    _configure(world, "[catalog]\ncopies = false\n[spill]\nwait_s = 0\n")
    async with world.again() as later:
        done = await later.backup("tree", to=("first", "slow"))
        assert done.status == "incomplete"
        copies = {copy.storage: copy for copy in done.backups[0].storages}
        assert copies["first"].snapshot_id
        assert "too slow" in copies["slow"].error
        assert any(isinstance(each, events.Warned) and "too slow" in each.message for each in later.heard)
        assert not any((world.place("slow") / "snapshots").iterdir())
        held.GATES.clear()
        monkeypatch.setitem(members, held.KIND, "engine.storages.local:open_local")
        caught_up = await later.engine.copy(CopyRequest("", "slow", is_missing=True))
        assert len(caught_up.copied) == 1
        back = await later.restore(done.backups[0].backup_id, world.directory / "back", "slow")
        assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_a_storage_that_does_not_answer_is_not_waited_for(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket whose network is down is asked for a quarter of an hour; the disk at hand need not wait for that."""
    members = cast("MutableMapping[str, str]", registry.MEMBERS)
    monkeypatch.setitem(members, held.SILENT, "engine.storages.local:open_local")
    monkeypatch.setattr(opening, "LATE_S", 0.0)
    await world.add_storages("first")
    options = {"path": str(world.place("silent"))}
    await world.engine.add_storage(
        Storage("silent", held.SILENT, options, f"file:{world.directory}/password")
    )
    monkeypatch.setitem(members, held.SILENT, "tests.jobs.held:open_silent")
    done = await world.backup("tree", to=("silent", "first"))
    copies = {copy.storage: copy for copy in done.backups[0].storages}
    assert (done.status, copies["silent"].snapshot_id) == ("incomplete", "")
    assert "did not answer" in copies["silent"].error
    assert copies["first"].snapshot_id
    monkeypatch.setattr(anchors, "ANSWER_S", 0.25)
    assert await world.engine.verify_audit() == []
    assert "storage silent was not asked: no answer in 0 s" in [
        each.message for each in world.heard if isinstance(each, events.Warned)
    ]


async def test_a_buffer_that_is_nowhere_is_told_before_anything_is_read(world: World, tree: Path) -> None:
    """A slip in config.toml must not cost the second storage on the first slow night."""
    await world.add_storages("first", "second")
    _configure(world, '[spill]\nfolder = "/nowhere"\n')
    async with world.again() as later:
        with pytest.raises(errors.ConfigurationError, match=r"spill.folder /nowhere is not there"):
            await later.backup("tree", to=("first", "second"))


def _configure(world: World, text: str) -> None:
    (world.directory / "home" / "config.toml").write_text(text, encoding="ascii")


async def test_a_mirror_takes_each_backup_once_however_it_came_there(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """A backup that was made to both, and is copied as well, would be there twice, and forgotten once."""
    await world.add_storages("first", "second")
    await world.one_backup("tree", ("first", "second"))
    (tree / "new").write_bytes(b"new")
    await world.one_backup("tree", ("first",))
    packs = len(list((world.place("second") / "data").glob("*/*")))
    done = await world.engine.copy(CopyRequest("first", "second", is_all=True))
    assert (len(done.copied), done.skipped) == (1, 1)
    assert len(world.restic(restic_newest, "second").snapshots()) == 2
    assert done.copied_bytes < 100_000, "what is there already was cut anew"
    assert len(list((world.place("second") / "data").glob("*/*"))) <= packs + 2


async def test_a_mirror_says_what_it_left_out(world: World, tree: Path, restic_newest: ResticProgram) -> None:
    """Whoever throws the old disk away afterwards must know what was on it and nowhere else."""
    await world.add_storages("first", "second")
    kept = await world.one_backup("tree", ("first",))
    world.restic(restic_newest, "first").run("backup", str(tree))
    (tree / "large").write_bytes(random.Random(2).randbytes(2 << 20))
    hurt = await world.one_backup("tree", ("first",))
    newest = max((world.place("first") / "data").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
    newest.chmod(0o600)
    newest.write_bytes(bytes(newest.stat().st_size))
    done = await world.engine.copy(CopyRequest("first", "second", is_all=True))
    assert done.status == "incomplete"
    assert [each.backup_id for each in done.left_out] == [hurt.backup_id]
    assert "1 of restic's or another home's" in done.warnings[0]
    back = await world.restore(kept.backup_id, world.directory / "back", "second")
    assert (back / str(tree).lstrip("/") / "folder" / "one").read_bytes() == b"one"


async def _add_three(world: World, ceph: Ceph, sshd: Sshd) -> None:
    """A folder, a bucket, and a folder of a server."""
    secrets = {"password": PASSWORD, "id": ceph.access_key, "key": ceph.secret_key}
    for name, secret in secrets.items():
        (world.directory / name).write_text(secret, encoding="ascii")
    await world.add_host(sshd)
    room = sshd.directory / uuid.uuid4().hex
    kinds: dict[str, tuple[str, dict[str, OptionValue]]] = {
        "first": ("local", {"path": str(world.place("first"))}),
        "second": (
            "s3",
            {
                "bucket": f"b-{uuid.uuid4().hex}",
                "endpoint": ceph.endpoint,
                "addressing": "path",
                "access_key_id_ref": f"file:{world.directory}/id",
                "secret_key_ref": f"file:{world.directory}/key",
            },
        ),
        "third": ("sftp", {"host": "server", "path": str(room)}),
    }
    world.place("").mkdir()
    for name, (kind, options) in kinds.items():
        await world.engine.add_storage(Storage(name, kind, options, f"file:{world.directory}/password"))


async def test_a_backup_in_a_folder_a_bucket_and_on_a_server_survives_the_loss_of_any_one(
    world: World, tree: Path, ceph: Ceph, sshd: Sshd
) -> None:
    """One burns, one rots, one is left: what rotted is found, made whole from the one that is left, and restored; each in each part."""
    await _add_three(world, ceph, sshd)
    backup = await world.one_backup("tree", STORAGES)
    for number, lost in enumerate(STORAGES):
        rotten, sound = STORAGES[number - 1], STORAGES[number - 2]
        await world.engine.enable_storage(lost, is_enabled=False)
        await _rot(world, rotten)
        request = VerifyRequest(storage=rotten, is_reading_data=True, is_repairing=True, repair_from=(sound,))
        found = await world.engine.verify(request)
        assert (found.status, found.fetched_blobs > 0) == ("passed", True)
        assert {each for damage in found.repaired for each in damage.backups} == {backup.backup_id}
        back = await world.restore(backup.backup_id, world.directory / lost, rotten)
        assert differences(tree, back / str(tree).lstrip("/")) == []
        await world.engine.enable_storage(lost, is_enabled=True)


async def _rot(world: World, name: str) -> None:
    """Flips a bit in one pack, and loses another, by the storage's own means."""
    async with AsyncExitStack() as stack:
        definition = await world.engine.show_storage(name)
        context = world.engine._parts.context()
        storage = await opening.open_storage(context, definition, Limits(), stack)
        lost, hurt, *_ = sorted([each.key async for each in storage.list(Kind.PACK)])
        await storage.delete(lost)
        stored = bytearray(await storage.get(hurt))
        stored[10] ^= 1
        await storage.put(hurt, [stored])


async def test_missing_needs_a_storage_that_is_there(world: World, tree: Path) -> None:
    """A slip in a name gets one sentence."""
    await world.add_storages("first")
    with pytest.raises(errors.UnknownNameError, match="secnd"):
        await world.engine.copy(CopyRequest("", "secnd", is_missing=True))
