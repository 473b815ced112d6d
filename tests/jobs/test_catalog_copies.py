"""A machine is lost with its home: one storage and the recovery kit bring back all that was defined, and it goes on as before."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import VaultError
from engine.events import Warned
from engine.jobs import recovery_kit
from engine.jobs.catalog_copies import KEPT, OWN_TAG
from engine.jobs.recovery_kit import Kit
from engine.model.definitions import Host, Source, Storage
from engine.model.plans import Plan, PlanStep
from engine.model.requests import CopyCatalogRequest, ForgetRequest, KeepPolicy, RestoreRequest
from engine.model.secret import Secret
from engine.repository import repository
from engine.storages import registry
from tests.jobs.world import World, open_world

pytestmark = pytest.mark.slow


class _Clock(SystemClock):
    """The machine's, set off."""

    shift = datetime.timedelta()

    def now(self) -> datetime.datetime:
        """Off by the shift."""
        return super().now() + self.shift


@pytest.fixture
def clock() -> _Clock:
    """Can be set forward."""
    return _Clock()


@pytest.fixture
async def world(tmp_path: Path, clock: _Clock) -> AsyncIterator[World]:
    """A storage whose password the vault made, a host, a source with a secret, a plan, and a source `tree` that was backed up."""
    async with open_world(tmp_path / "lost", clock, copies_catalog=True) as opened:
        root = opened.directory / "tree"
        root.mkdir()
        (root / "file").write_bytes(b"content")
        opened.place("").mkdir()
        await opened.engine.add_storage(
            Storage("near", "local", {"path": str(opened.place("near")), "connections": 3}), is_default=True
        )
        await opened.engine.add_host(Host("db1", "ssh", "backup@db1.example.org"))
        await opened.engine.set_secret("shop", Secret("swordfish"))
        await opened.engine.add_source(Source("shop", "redis", "db1", {"port": 6379, "secret": "vault:shop"}))
        await opened.add_files("tree", root)
        await opened.engine.add_plan(Plan("all", (PlanStep("tree", RestoreRequest("latest:tree", "/r")),)))
        done = await opened.one_backup("tree")
        await opened.engine.protect_backup(done.backup_id, is_protected=True, hold_reason="case 7")
        yield opened


async def kit_of(world: World) -> Kit:
    """What was printed and locked away."""
    return recovery_kit.read(await world.engine.recovery_kit("near"))


async def copies(world: World) -> int:
    """How many copies of the catalog lie in the storage."""
    kit = await kit_of(world)
    async with registry.open_storage(
        "local", {"path": str(world.place("near"))}, clock=SystemClock()
    ) as storage:
        found = await repository.open_repository(
            storage, kit.password, cache_directory=None, clock=SystemClock()
        )
        return sum(OWN_TAG in each.tags for _, each in await found.snapshots())


async def found_again(world: World, kit: Kit, vault_key: bool) -> World:
    """Recovers into this empty home from what the kit says."""
    for name, secret in {"password": kit.password, "key": kit.vault_key}.items():
        assert secret is not None
        (world.directory / name).write_bytes(secret.reveal())
    storage = Storage("recovered", kit.kind, kit.options, f"file:{world.directory}/password", is_default=True)
    done = await world.engine.recover(storage, f"file:{world.directory}/key" if vault_key else "")
    assert (done.storage, done.has_secrets) == ("near", vault_key)
    assert done.catalog_at is not None
    return world


async def test_all_that_was_defined_comes_back_and_goes_on(
    world: World, tmp_path: Path, clock: _Clock
) -> None:
    """Hosts, sources, plans, secrets, holds, proofs and the audit log; the next backup needs nothing more."""
    clock.shift = datetime.timedelta(days=1, minutes=1)
    before = await world.one_backup("tree")
    kit = await kit_of(world)
    old = world.engine
    async with open_world(tmp_path / "new", clock, copies_catalog=True) as new:
        await found_again(new, kit, vault_key=True)
        assert await new.engine.hosts() == await old.hosts()
        assert await new.engine.sources() == await old.sources()
        assert await new.engine.plans() == await old.plans()
        assert [name for name, _ in await new.engine.secrets()] == ["shop", "storage.near"]
        newest, *older = await new.engine.backups()
        lost, *rest = await old.backups()
        assert older == rest
        assert (newest.backup_id, newest.created_at) == (
            lost.backup_id,
            lost.created_at,
        )  # by its snapshot: it is newer than the copy
        assert [each.hold_reason for each in await new.engine.backups()] == ["", "case 7"]
        (storage,) = await new.engine.storages()
        (known,) = await old.storages()
        assert dataclasses.replace(storage, options={}) == dataclasses.replace(known, options={})
        assert {name: str(value) for name, value in storage.options.items()} == {
            name: str(value) for name, value in known.options.items()
        }
        assert await new.engine.verify_audit() == []
        again = await new.one_backup("tree")
        assert again.backup_id != before.backup_id
        assert (again.files_unmodified, again.files_new) == (1, 0)


async def test_the_log_that_a_new_home_began_follows_the_lost_one(world: World, tmp_path: Path) -> None:
    """A storage over SFTP is found only by a host that is defined first: who did what before must not be lost for that."""
    kit = await kit_of(world)
    lost = (await world.engine.audit_log(limit=-1))[::-1]
    async with open_world(tmp_path / "new", copies_catalog=True) as new:
        await new.engine.add_host(Host("box", "ssh", "backup@box.example.org"))
        (begun,) = await new.engine.audit_log()
        await found_again(new, kit, vault_key=True)
        found = (await new.engine.audit_log(limit=-1))[::-1]
        known = [each for each in lost if each in found]
        assert found[: len(known)] == known == lost[: len(known)]
        join, moved, recovered = found[len(known) :]
        assert (join.verb, join.sequence) == ("audit join", len(known) + 1)
        assert dataclasses.replace(moved, sequence=begun.sequence) == begun
        assert (recovered.verb, recovered.sequence) == ("recover", len(known) + 3)
        assert await new.engine.audit_joins() == [join]
        assert await new.engine.verify_audit() == []
        await new.one_backup("tree")
        assert await new.engine.verify_audit() == []


async def test_without_the_vaults_key_all_but_the_secrets_comes_back(world: World, tmp_path: Path) -> None:
    """A kit that was printed before there were secrets."""
    kit = await kit_of(world)
    async with open_world(tmp_path / "new", copies_catalog=True) as new:
        await found_again(new, kit, vault_key=False)
        assert len(await new.engine.sources()) == 2
        assert await new.engine.secrets() == []
        assert (await new.one_backup("tree")).files_unmodified == 1


async def test_a_home_with_sources_of_its_own_takes_the_backups_alone(world: World, tmp_path: Path) -> None:
    """A storage that is another home's must not bring its hosts along."""
    kit = await kit_of(world)
    async with open_world(tmp_path / "new", copies_catalog=True) as new:
        await new.add_files("mine", new.directory)
        (new.directory / "password").write_bytes(kit.password.reveal())
        storage = Storage("recovered", kit.kind, kit.options, f"file:{new.directory}/password")
        done = await new.engine.recover(storage)
        assert (done.storage, done.catalog_at, len(done.backups)) == ("recovered", None, 1)
        assert [each.name for each in await new.engine.sources()] == [
            "mine",
            "tree",
        ]  # which the backup's tags tell
        assert "db1" not in {each.name for each in await new.engine.hosts()}
        assert any(isinstance(each, Warned) and "sources of its own" in each.message for each in new.heard)


async def test_a_key_that_is_another_changes_nothing(world: World, tmp_path: Path) -> None:
    """A secret that cannot be opened would be found out by the first backup that needs it."""
    kit = dataclasses.replace(await kit_of(world), vault_key=Secret("A" * 43 + "="))
    async with open_world(tmp_path / "new", copies_catalog=True) as new:
        with pytest.raises(VaultError, match="another key"):
            await found_again(new, kit, vault_key=True)
        assert (await new.engine.sources(), await new.engine.storages(), await new.engine.backups()) == (
            [],
            [],
            [],
        )


async def test_a_copy_is_made_when_something_changed_or_a_day_passed_and_old_ones_go(
    world: World, clock: _Clock
) -> None:
    """Not with each backup: a storage full of copies of the catalog would be another kind of loss."""

    assert await copies(world) == 1
    await world.one_backup("tree")
    assert await copies(world) == 1
    await world.engine.set_secret("shop", Secret("another"))
    await world.one_backup("tree")
    assert await copies(world) == 2
    for _ in range(KEPT):
        clock.shift += datetime.timedelta(days=1)
        await world.one_backup("tree")
    assert await copies(world) == 2 + KEPT
    await world.engine.forget(ForgetRequest(KeepPolicy(last=100)))
    assert await copies(world) == KEPT


async def test_a_damaged_copy_is_passed_over_for_an_older_one(world: World, tmp_path: Path) -> None:
    """The newest pack is the one that a failing disk takes."""
    await world.engine.set_secret("shop", Secret("another"))
    before = set(world.place("near").rglob("data/*/*"))
    await world.one_backup("tree")
    kit = await kit_of(world)
    for pack in set(world.place("near").rglob("data/*/*")) - before:
        content = bytearray(pack.read_bytes())
        content[:64] = bytes(64)
        pack.chmod(0o600)
        pack.write_bytes(content)
    async with open_world(tmp_path / "new", copies_catalog=True) as new:
        await found_again(new, kit, vault_key=True)
        assert any(isinstance(each, Warned) and "is passed over" in each.message for each in new.heard)
        assert len(await new.engine.sources()) == 2


async def test_what_was_defined_since_the_last_copy_is_advised_of_and_can_be_copied_at_once(
    world: World,
) -> None:
    """A machine may be lost before the next backup."""
    assert "catalog" not in {each.subject for each in (await world.engine.status()).concerns}
    await world.engine.set_secret("another", Secret("x"))
    (advice,) = [each for each in (await world.engine.status()).concerns if each.subject == "catalog"]
    assert (advice.is_risk, advice.remedy) == (False, "holdfast catalog copy")
    done = await world.engine.copy_catalog(CopyCatalogRequest())
    assert (done.status, done.storages, done.failed) == ("completed", ("near",), {})
    assert await copies(world) == 2
    assert "catalog" not in {each.subject for each in (await world.engine.status()).concerns}


async def test_the_kit_that_is_printed_after_a_rotation_opens_the_newest_copy(
    world: World, tmp_path: Path
) -> None:
    """Older copies are sealed under a key that no kit has any more."""
    await world.engine.rotate_vault()
    assert "catalog" in {each.subject for each in (await world.engine.status()).concerns}
    await world.one_backup("tree")
    kit = await kit_of(world)
    async with open_world(tmp_path / "new", copies_catalog=True) as new:
        await found_again(new, kit, vault_key=True)
        assert [name for name, _ in await new.engine.secrets()] == ["shop", "storage.near"]
