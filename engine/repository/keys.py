"""Keys: the files that a password opens the repository's master key with. A repository may have several.

Deriving a key takes a fifth of a second of one core and tens of MiB: it runs in a thread.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import DamagedError, HoldfastError, NoRepositoryError, RefusedError, WrongPasswordError
from engine.format import ids, key_file, unpacked
from engine.format.crypto import MasterKey
from engine.model.secret import Secret
from engine.storages.base import Key, Kind, OpenStorage


@dataclass(frozen=True, slots=True)
class Kdf:
    """How costly guessing a password is made: scrypt's parameters. These take 32 MiB and a fifteenth of a second of a server's core."""

    n: int = key_file.N_DEFAULT
    r: int = key_file.R_DEFAULT
    p: int = 1
    """What restic's calibration chooses on a modest machine; every run of a worker pays this once for each storage."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key file, as far as it can be read without its password."""

    name: str
    username: str
    hostname: str
    created: str
    """RFC 3339 as it was written; empty where the writer left it out."""
    is_current: bool
    """Whether the repository was opened with this one."""
    damage: str = ""
    """What is wrong with the file; empty for a sound one."""


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The key that the password opened."""

    name: str
    master: MasterKey


class KnownKeys:
    """What passwords opened before, for whoever opens the same repositories again and again: a job that looks each few seconds would spend
    most of its time on deriving keys. A key file that is gone opens nothing here either.
    """

    def __init__(self) -> None:
        self._opened: dict[tuple[str, bytes], MasterKey] = {}

    def find(self, name: str, password: Secret) -> MasterKey | None:
        """What that file, which is still there, was opened to by that password."""
        return self._opened.get(_told(name, password))

    def put(self, name: str, password: Secret, master: MasterKey) -> None:
        """A file's name is the digest of its content, so that it stands for one key alone."""
        self._opened[_told(name, password)] = master


def _told(name: str, password: Secret) -> tuple[str, bytes]:
    return name, ids.digest(password.reveal())


async def names(storage: OpenStorage) -> list[str]:
    """Names of all key files."""
    return sorted([listed.key.name async for listed in storage.list(Kind.KEY)])


async def unlock(
    storage: OpenStorage, password: Secret, hint: str = "", known: KnownKeys | None = None
) -> Unlocked:
    """Tries the password on the key files, at most 20 of them, the one named `hint` first.

    Raises: WrongPasswordError where it opens none; DamagedError, naming the file, where one that might have been it is damaged;
    NoRepositoryError where there is no key at all.
    """
    found = await names(storage)
    if not found:
        raise NoRepositoryError(f"{storage.location} holds no key of a repository")
    found.sort(key=lambda name: name != hint)
    damage: HoldfastError | None = None
    for name in found[: key_file.TRIED_KEYS]:
        try:
            return Unlocked(name, await _unlock_one(storage, name, password, known))
        except WrongPasswordError:
            continue
        except DamagedError as error:
            damage = error
    if damage is not None:
        raise damage
    raise WrongPasswordError(
        f"the password opens no key of the repository at {storage.location}",
        hint=f"{min(len(found), key_file.TRIED_KEYS)} of {len(found)} keys were tried; "
        "check the password's source, or the recovery kit",
    )


async def listing(storage: OpenStorage, current: str = "") -> list[KeyInfo]:
    """What can be said of each key without its password."""
    found = []
    for name in await names(storage):
        try:
            parsed = await _read(storage, name)
        except DamagedError as error:
            found.append(KeyInfo(name, "", "", "", name == current, error.message))
        else:
            is_current = name == current
            found.append(KeyInfo(name, parsed.username, parsed.hostname, parsed.created, is_current))
    return found


async def add(storage: OpenStorage, master: MasterKey, password: Secret, *, clock: Clock, kdf: Kdf) -> str:
    """Stores a further key that opens `master` with `password`, and proves it by opening it as stored. Returns its name.

    Raises: RefusedError for an empty password; DamagedError where it does not open.
    """
    if not password.reveal():
        raise RefusedError(
            "an empty password protects nothing", hint="give a password of at least one character"
        )
    stored = await asyncio.to_thread(_create, master, password, clock, kdf)
    name = ids.digest(stored).hex()
    await storage.put(Key(Kind.KEY, name), [stored])
    if await _unlock_one(storage, name, password) != master:
        raise DamagedError(f"the key {name} that was just stored at {storage.location} opens something else")
    return name


async def remove(storage: OpenStorage, name: str, *, current: str) -> None:
    """Removes a key. Raises: RefusedError for the one in use and for the last one."""
    if name == current:
        raise RefusedError(
            f"the key {name[:8]} is the one in use", hint="open the repository with another password first"
        )
    if await names(storage) == [name]:
        raise RefusedError(f"the key {name[:8]} is the last one: without it nothing can be read")
    await storage.delete(Key(Kind.KEY, name))


async def change_password(
    storage: OpenStorage, unlocked: Unlocked, new: Secret, *, clock: Clock, kdf: Kdf
) -> Unlocked:
    """Adds a key with the new password, and only when that opens removes the old one. Interrupted, both passwords open."""
    name = await add(storage, unlocked.master, new, clock=clock, kdf=kdf)
    await remove(storage, unlocked.name, current=name)
    return Unlocked(name, unlocked.master)


async def _unlock_one(
    storage: OpenStorage, name: str, password: Secret, known: KnownKeys | None = None
) -> MasterKey:
    parsed = await _read(storage, name)
    if known is not None and (opened := known.find(name, password)) is not None:
        return opened
    opened = await asyncio.to_thread(parsed.unlock, password.reveal())
    if known is not None:
        known.put(name, password, opened)
    return opened


async def _read(storage: OpenStorage, name: str) -> key_file.KeyFile:
    """Raises: DamagedError, naming the file."""
    stored = await storage.get(Key(Kind.KEY, name))
    try:
        unpacked.check_name(name, stored)
        return key_file.parse(stored)
    except DamagedError as error:
        raise DamagedError(
            f"the key {name} at {storage.location} is damaged: {error}",
            hint="put it back from the recovery kit, or open the repository with another password",
        ) from error


def _create(master: MasterKey, password: Secret, clock: Clock, kdf: Kdf) -> bytes:
    return key_file.create(
        password.reveal(),
        master,
        username=user_name(),
        hostname=platform.node(),
        created=clock.now(),
        salt=os.urandom(key_file.SALT_BYTES),
        n=kdf.n,
        r=kdf.r,
        p=kdf.p,
    )


def user_name() -> str:
    """The account that this process runs as; its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
