"""Keys: several passwords for one repository, and changing one without ever being locked out."""

from __future__ import annotations

import contextlib

import pytest

from engine.errors import RefusedError, StorageError, WrongPasswordError
from engine.format import key_file
from engine.format.crypto import MasterKey
from engine.model.secret import Secret
from engine.repository import keys, repository
from engine.repository.keys import Unlocked
from engine.repository.repository import Repository
from engine.storages.base import Kind
from tests.fakes.faulty_storage import Fault, FaultyStorage, Mode
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.conftest import PASSWORD, QUICK

NEW = Secret("battery staple")


def _current(opened: Repository) -> Unlocked:
    return Unlocked(opened.key_name, opened.master)


async def test_each_of_several_passwords_opens(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """The recovery kit's password and the worker's are not the same."""
    await keys.add(storage, opened.master, NEW, clock=clock, kdf=QUICK)
    for password in (PASSWORD, NEW):
        assert (await keys.unlock(storage, password)).master == opened.master


async def test_a_changed_password_replaces_the_old(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Somebody left who knew it."""
    await keys.change_password(storage, _current(opened), NEW, clock=clock, kdf=QUICK)
    assert (await keys.unlock(storage, NEW)).master == opened.master
    with pytest.raises(WrongPasswordError):
        await keys.unlock(storage, PASSWORD)


async def test_what_was_opened_before_is_not_derived_again_and_opens_nothing_once_its_file_is_gone(
    opened: Repository, storage: MemoryStorage, clock: LoopClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that looks each few seconds would derive keys all day; but a password that was taken back must end there, too."""
    known = keys.KnownKeys()
    derived: list[bytes] = []
    unlock = key_file.KeyFile.unlock

    def told(file: key_file.KeyFile, password: bytes) -> MasterKey:
        derived.append(password)
        return unlock(file, password)

    monkeypatch.setattr(key_file.KeyFile, "unlock", told)
    for _ in range(3):
        assert (await keys.unlock(storage, PASSWORD, known=known)).master == opened.master
    assert derived == [PASSWORD.reveal()]
    with pytest.raises(WrongPasswordError):
        await keys.unlock(storage, NEW, known=known)
    assert PASSWORD.reveal().decode() not in repr(vars(known))
    await keys.change_password(storage, _current(opened), NEW, clock=clock, kdf=QUICK)
    with pytest.raises(WrongPasswordError):
        await keys.unlock(storage, PASSWORD, known=known)
    assert (await keys.unlock(storage, NEW, known=known)).master == opened.master


@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER, Mode.POWER_LOSS])
@pytest.mark.parametrize("at", range(1, 8))
async def test_a_change_that_fails_leaves_a_password_that_opens(
    opened: Repository, storage: MemoryStorage, clock: LoopClock, mode: Mode, at: int
) -> None:
    """Being locked out of all backups is the worst that can happen."""
    faulty = FaultyStorage(storage, Fault(at=at, mode=mode))
    with contextlib.suppress(StorageError):
        await keys.change_password(faulty, _current(opened), NEW, clock=clock, kdf=QUICK)
    opening = []
    for password in (PASSWORD, NEW):
        try:
            opening.append((await keys.unlock(storage, password)).master)
        except WrongPasswordError:
            continue
    assert opening
    assert set(opening) == {opened.master}


async def test_the_key_in_use_and_the_last_key_are_not_removed(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Nothing could ever be read again."""
    with pytest.raises(RefusedError, match="in use"):
        await keys.remove(storage, opened.key_name, current=opened.key_name)
    with pytest.raises(RefusedError, match="last"):
        await keys.remove(storage, opened.key_name, current="")
    assert await keys.names(storage) == [opened.key_name]


async def test_an_empty_password_is_refused(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A variable that was not set must not become the password."""
    with pytest.raises(RefusedError):
        await keys.add(storage, opened.master, Secret(""), clock=clock, kdf=QUICK)
    assert await keys.names(storage) == [opened.key_name]


async def test_a_listing_shows_damaged_keys_too(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Somebody should put it back before it is needed."""
    added = await keys.add(storage, opened.master, NEW, clock=clock, kdf=QUICK)
    damaged = next(key for key in storage.objects if key.name == added)
    storage.objects[damaged] = b"{}"
    found = {info.name: info for info in await keys.listing(storage, opened.key_name)}
    assert found[opened.key_name].is_current
    assert found[opened.key_name].created.startswith("2026-01-01T00:00:00")
    assert "damaged" in found[added].damage


async def test_a_damaged_key_does_not_keep_another_from_opening(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """One bad file must not close a repository that has a second key."""
    for number in range(4):
        key = await keys.add(storage, opened.master, Secret(f"other {number}"), clock=clock, kdf=QUICK)
        storage.objects[next(each for each in storage.objects if each.name == key)] = b"{}"
    assert (await keys.unlock(storage, PASSWORD)).master == opened.master


async def test_at_most_twenty_keys_are_tried_the_hinted_one_first(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """A hostile storage with a million keys must not keep us busy for days."""
    for number in range(30):
        await keys.add(storage, opened.master, Secret(f"other {number}"), clock=clock, kdf=QUICK)
    watched = FaultyStorage(storage)
    with pytest.raises(WrongPasswordError) as caught:
        await keys.unlock(watched, NEW)
    assert [call.method for call in watched.calls].count("get") == key_file.TRIED_KEYS
    assert "20 of 31" in (caught.value.hint or "")
    assert (await keys.unlock(storage, PASSWORD, opened.key_name)).name == opened.key_name


async def test_a_repository_opens_by_its_hint(
    opened: Repository, storage: MemoryStorage, clock: LoopClock
) -> None:
    """Deriving one key takes long; the one that fitted last time is tried first."""
    found = await repository.open_repository(
        storage, PASSWORD, cache_directory=None, clock=clock, key_hint=opened.key_name
    )
    assert found.key_name == opened.key_name
    assert [key.kind for key in storage.objects].count(Kind.KEY) == 1
