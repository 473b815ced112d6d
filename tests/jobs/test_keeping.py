"""Backups after they were taken: looked into, protected, forgotten, copied, recovered, and who did it."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from engine import errors
from engine.model.backup import Backup, Proof
from engine.model.definitions import Storage
from engine.model.requests import (
    CopyRequest,
    ForgetRequest,
    KeepPolicy,
    PruneRequest,
    RestoreRequest,
    VerifyRequest,
)
from engine.model.results import Difference
from engine.model.secret import Secret
from tests.jobs.world import World, open_world
from tests.servers.restic import ResticProgram
from tests.servers.tree_compare import differences

pytestmark = pytest.mark.slow


@pytest.fixture
async def tree(world: World) -> Path:
    """A small tree, source `tree` of this machine, and two storages for it."""
    root = world.directory / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"one")
    (root / "two").write_bytes(b"two")
    await world.add_storages("first", "second")
    await world.add_files("tree", root)
    return root


async def _three(world: World, tree: Path) -> list[Backup]:
    """Three backups of a tree that changes, oldest first."""
    backups = []
    for number in range(3):
        (tree / "two").write_bytes(b"version %d" % number)
        backups.append(await world.one_backup("tree"))
    return backups


async def _ids(world: World) -> set[str]:
    return {each.backup_id for each in await world.engine.backups()}


async def test_what_is_in_a_backup_is_listed_and_dumped(world: World, tree: Path) -> None:
    """Most restores begin with a look, and many end with one file."""
    backup = await world.one_backup("tree")
    top = [item.path async for item in world.engine.ls(backup.backup_id, str(tree))]
    assert {f"{tree}/folder", f"{tree}/two"} <= set(top)
    everything = [item.path async for item in world.engine.ls(backup.backup_id[:6], is_recursive=True)]
    assert f"{tree}/folder/one" in everything
    pieces: list[bytes] = []

    async def keep(piece: bytes) -> None:
        pieces.append(bytes(piece))

    assert await world.engine.dump("latest:tree", f"{tree}/folder/one", keep) == 3
    assert b"".join(pieces) == b"one"
    with pytest.raises(errors.PathMissingError):
        await world.engine.dump("latest:tree", f"{tree}/folder/none", keep)


async def test_a_file_is_found_in_every_backup_that_has_it(world: World, tree: Path) -> None:
    """Nobody remembers on which day a file was last there."""
    first, *_ = await _three(world, tree)
    (tree / "folder" / "one").unlink()
    last = await world.one_backup("tree")
    found = {each.backup_id async for each in world.engine.find("one")}
    assert first.backup_id in found
    assert last.backup_id not in found
    assert len(found) == 3


async def test_two_backups_are_compared_path_by_path(world: World, tree: Path) -> None:
    """What changed last night is the first question after a bad night."""
    before = await world.one_backup("tree")
    (tree / "two").write_bytes(b"longer than before")
    (tree / "three").write_bytes(b"3")
    (tree / "folder" / "one").unlink()
    after = await world.one_backup("tree")
    told: list[Difference] = []
    await world.engine.diff(before.backup_id, after.backup_id, told.append)
    found = {
        each.path: (each.change, each.size_bytes_before, each.size_bytes_after)
        for each in told
        if each.change != "metadata"
    }
    assert found == {
        f"{tree}/two": ("modified", 3, 18),
        f"{tree}/three": ("added", None, 1),
        f"{tree}/folder/one": ("removed", 3, None),
    }


async def test_forget_keeps_what_the_policy_and_people_keep(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """A protected backup outlives every rule; a dry run changes nothing and says the same."""
    first, second, third = await _three(world, tree)
    await world.engine.protect_backup(first.backup_id, is_protected=True)
    request = ForgetRequest(KeepPolicy(last=1), source="tree")
    planned = await world.engine.forget(ForgetRequest(request.policy, "tree", is_dry_run=True))
    assert await _ids(world) == {first.backup_id, second.backup_id, third.backup_id}
    done = await world.engine.forget(request)
    assert done.fates == planned.fates
    reasons = {each.backup_id: (each.is_kept, tuple(each.reasons)) for each in done.fates}
    assert reasons[first.backup_id] == (True, ("protected",))
    assert not reasons[second.backup_id][0]
    assert reasons[third.backup_id][0]
    assert await _ids(world) == {first.backup_id, third.backup_id}
    assert len(world.restic(restic_newest, "first").snapshots()) == 2


async def test_a_forget_that_looks_wrong_stops_until_a_person_says_that_it_is_meant(
    world: World, tree: Path
) -> None:
    """A tag with a typing error would leave one backup of hundreds: what is previewed is what stops, and then what is done."""
    for number in range(6):
        (tree / "two").write_bytes(b"version %d" % number)
        await world.one_backup("tree")
    request = ForgetRequest(KeepPolicy(tags=("yaerly",)), storages=("first",))
    planned = await world.engine.forget(dataclasses.replace(request, is_dry_run=True))
    assert [each.name for each in planned.doubts] == ["emptying"]
    with pytest.raises(errors.RefusedError, match="no rule keeps any of the backups of tree") as caught:
        await world.engine.forget(request)
    assert "--despite emptying" in (caught.value.hint or "")
    assert len(await _ids(world)) == 6
    done = await world.engine.forget(dataclasses.replace(request, despite=("emptying",)))
    assert (done.fates, len(await _ids(world))) == (planned.fates, 1)
    with pytest.raises(errors.UsageError, match="no doubt emtying"):
        await world.engine.forget(dataclasses.replace(request, despite=("emtying",)))


async def test_forget_in_a_storage_or_of_a_source_that_is_not_there_is_a_mistake(
    world: World, tree: Path
) -> None:
    """A mistyped name must not look like a success that freed nothing."""
    await world.one_backup("tree")
    with pytest.raises(errors.UnknownNameError):
        await world.engine.forget(ForgetRequest(KeepPolicy(last=1), storages=("fisrt",)))
    with pytest.raises(errors.UnknownNameError, match="no source named teer") as raised:
        await world.engine.forget(ForgetRequest(KeepPolicy(last=1), "teer"))
    assert raised.value.hint == "did you mean tree?"


async def test_forget_goes_on_where_one_storage_is_gone(world: World, tree: Path) -> None:
    """An unplugged disk must not keep the other from being tidied."""
    for number in range(2):
        (tree / "two").write_bytes(b"%d" % number)
        await world.one_backup("tree", ("first", "second"))
    world.place("first").rename(world.directory / "unplugged")
    done = await world.engine.forget(ForgetRequest(KeepPolicy(last=1)))
    assert done.status == "incomplete"
    assert {each.storage for each in done.fates} == {"second"}
    with pytest.raises(errors.HoldfastError):
        await world.engine.forget(ForgetRequest(KeepPolicy(last=1), storages=("first",)))


async def test_prune_frees_what_nothing_needs_and_nothing_else(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """Disks fill up; the backups that are left must not pay for it."""
    (tree / "large").write_bytes(b"".join(number.to_bytes(4, "big") * 3 for number in range(300_000)))
    await world.one_backup("tree")
    (tree / "large").unlink()
    last = await world.one_backup("tree")
    await world.engine.forget(ForgetRequest(KeepPolicy(last=1)))
    planned = await world.engine.prune(PruneRequest("first", is_dry_run=True))
    done = await world.engine.prune(PruneRequest("first"))
    assert done.freed_bytes == planned.freed_bytes > 0
    assert done.packs_deleted + done.packs_rewritten > 0
    world.restic(restic_newest, "first").check()
    back = await world.restore(last.backup_id, world.directory / "back")
    assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_a_protected_backup_is_not_deleted_and_another_is_gone_everywhere(
    world: World, tree: Path, restic_newest: ResticProgram
) -> None:
    """Delete must be possible, complete, and never a slip of the finger."""
    first = await world.one_backup("tree", ("first", "second"))
    (tree / "two").write_bytes(b"changed")
    second = await world.one_backup("tree", ("first", "second"))
    await world.engine.protect_backup(first.backup_id, is_protected=False, hold_reason="the auditors ask")
    with pytest.raises(errors.RefusedError, match="the auditors ask") as caught:
        await world.engine.delete_backups((second.backup_id, first.backup_id))
    assert caught.value.exit_code == 5
    assert await _ids(world) == {first.backup_id, second.backup_id}
    looked = await world.engine.delete_backups((second.backup_id,), is_dry_run=True)
    assert [each.storage for each in looked.only] == ["first", "second"]
    assert all(each.size_bytes > 0 for each in looked.only)
    assert await _ids(world) == {first.backup_id, second.backup_id}
    await world.engine.delete_backups((second.backup_id,))
    assert await _ids(world) == {first.backup_id}
    for storage in ("first", "second"):
        (left,) = world.restic(restic_newest, storage).snapshots()
        assert left["id"] in {copy.snapshot_id for copy in first.copies}


async def test_a_copy_is_a_backup_of_its_own(world: World, tree: Path, restic_newest: ResticProgram) -> None:
    """The second place is worth something only if it serves alone."""
    await _three(world, tree)
    done = await world.engine.copy(CopyRequest("first", "second", is_all=True))
    assert (len(done.copied), done.skipped) == (3, 0)
    again = await world.engine.copy(CopyRequest("first", "second", is_all=True))
    assert (len(again.copied), again.skipped) == (0, 3)
    world.place("first").rename(world.directory / "lost")
    world.restic(restic_newest, "second").check()
    back = await world.restore("latest:tree", world.directory / "back")
    assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_verify_names_what_damage_touches_and_lowers_nothing_else(world: World, tree: Path) -> None:
    """Whoever reads the verdict must know which backups to take again."""
    backup = await world.one_backup("tree", ("first", "second"))
    passed = await world.engine.verify(VerifyRequest(backup=backup.backup_id, is_reading_data=True))
    assert (passed.status, passed.storage) == ("passed", "first")
    assert (await world.engine.show_backup(backup.backup_id)).proof is Proof.VERIFIED
    for pack in (world.place("second") / "data").glob("*/*"):
        pack.chmod(0o600)
        stored = bytearray(pack.read_bytes())
        stored[10] ^= 1
        pack.write_bytes(stored)
    damaged = await world.engine.verify(VerifyRequest(storage="second", is_reading_data=True))
    assert damaged.status == "damaged"
    assert backup.backup_id in {each for found in damaged.damaged for each in found.backups}
    assert (
        await world.engine.verify(VerifyRequest(storage="first", is_reading_data=True))
    ).status == "passed"


async def test_a_restore_takes_the_storage_that_answers(world: World, tree: Path) -> None:
    """On the day of the restore one of the two places is usually the reason for it."""
    backup = await world.one_backup("tree", ("first", "second"))
    world.place("first").rename(world.directory / "lost")
    back = await world.restore(backup.backup_id, world.directory / "back")
    assert differences(tree, back / str(tree).lstrip("/")) == []


async def test_a_dry_run_of_a_restore_writes_nothing(world: World, tree: Path) -> None:
    """It is asked for by somebody who is afraid of what the restore would do."""
    backup = await world.one_backup("tree")
    target = world.directory / "back"
    planned = await world.engine.restore(RestoreRequest(backup.backup_id, str(target), is_dry_run=True))
    assert (planned.is_dry_run, planned.restored_files, planned.restored_bytes) == (True, 2, 6)
    assert not target.exists()


async def test_a_lost_catalog_is_rebuilt_from_the_repository_alone(
    tmp_path: Path, world: World, tree: Path
) -> None:
    """The machine that ran holdfast burns down too."""
    known = await _three(world, tree)
    async with open_world(tmp_path / "new machine") as other:
        password = f"file:{world.directory}/password"
        definition = Storage("found", "local", {"path": str(world.place("first"))}, password)
        done = await other.engine.recover(definition)
        assert list(done.sources) == ["tree"]
        assert await _ids(other) == {each.backup_id for each in known}
        newest = await other.engine.show_backup("latest:tree")
        assert newest.backup_id == known[-1].backup_id
        assert newest.size_bytes == known[-1].size_bytes
        assert newest.created_at == known[-1].created_at
        back = await other.restore("latest:tree", other.directory / "back")
        assert differences(tree, back / str(tree).lstrip("/")) == []
        again = await other.one_backup("tree", ("found",))
        assert again.files_unmodified == 2
        assert list((await other.engine.recover(definition)).backups) == []


@asynccontextmanager
async def _closed(world: World) -> AsyncIterator[sqlite3.Connection]:
    with closing(sqlite3.connect(world.engine.home.catalog)) as database, database:
        yield database


def _edit(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET record = replace(record, '\"done\"', '\"failed\"') WHERE sequence = 2")


def _delete(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE sequence = 2")


def _reorder(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET sequence = -sequence WHERE sequence IN (2, 3)")
    database.execute("UPDATE audit SET sequence = 5 + sequence WHERE sequence < 0")


def _cut_tail(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE sequence > 2")


@pytest.mark.parametrize("tamper", [_edit, _delete, _reorder, _cut_tail], ids=lambda each: each.__name__)
async def test_a_tampered_audit_log_is_found_out(
    world: World, tree: Path, tamper: Callable[[sqlite3.Connection], None]
) -> None:
    """Whoever hides a deed edits the log."""
    await world.one_backup("tree")
    assert list(await world.engine.verify_audit()) == []
    async with _closed(world) as database:
        tamper(database)
    assert await world.engine.verify_audit()


@pytest.mark.parametrize("is_key_new", [False, True], ids=["under the old key", "under a new key"])
async def test_an_audit_log_that_was_written_anew_is_found_out_by_the_anchors(
    tmp_path: Path, world: World, tree: Path, *, is_key_new: bool
) -> None:
    """Whoever has the catalog and its key can write a log that is whole in itself; what the storages hold they have not."""
    await world.one_backup("tree")
    assert list(await world.engine.verify_audit()) == []
    async with _closed(world) as database:
        database.execute("DELETE FROM audit")
        if is_key_new:
            database.execute("DELETE FROM secrets WHERE name LIKE '%audit-key%'")
    async with open_world(world.directory) as forger:
        for number in range(5):
            await forger.engine.set_secret(f"harmless-{number}", Secret("harmless"))
        assert {each.kind for each in await forger.engine.verify_audit()} == {"rewritten"}


async def test_other_homes_and_earlier_lives_accuse_nobody(tmp_path: Path, world: World, tree: Path) -> None:
    """Several machines may share a storage, and a catalog may be lost: an alarm that is always on is none."""
    await world.one_backup("tree")
    async with open_world(tmp_path / "other") as other:
        password = f"file:{world.directory}/password"
        await other.engine.recover(Storage("same", "local", {"path": str(world.place("first"))}, password))
        await other.one_backup("tree", ("same",))
        assert list(await other.engine.verify_audit()) == []
    assert list(await world.engine.verify_audit()) == []


async def test_every_deed_is_in_the_audit_log(world: World, tree: Path) -> None:
    """Those who failed or were refused too."""
    backup = await world.one_backup("tree")
    await world.engine.protect_backup(backup.backup_id, is_protected=True)
    with pytest.raises(errors.RefusedError):
        await world.engine.delete_backups((backup.backup_id,))
    with pytest.raises(errors.UnknownNameError):
        await world.backup("nothing of that name")
    log = [(each.verb, each.outcome) for each in await world.engine.audit_log()]
    assert ("backup", "done") in log
    assert ("protect", "done") in log
    assert ("delete", "refused") in log
    assert ("backup", "failed") in log


async def test_no_secret_shows_in_what_a_bug_report_holds(world: World, tree: Path) -> None:
    """It will be pasted where everybody reads it."""
    await world.one_backup("tree")
    said = repr(await world.engine.doctor())
    assert str(tree) not in said
    assert (world.directory / "password").read_text(encoding="ascii") not in said
