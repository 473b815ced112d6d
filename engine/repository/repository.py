"""A repository that is open: its unpacked files, its snapshots, its index, its blobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final

from engine.clock import Clock
from engine.errors import (
    DamagedError,
    HoldfastError,
    NoRepositoryError,
    ObjectExistsError,
    ObjectMissingError,
    RepositoryExistsError,
    ShortReadError,
    StorageError,
    UnknownSnapshotError,
)
from engine.format import config_file, polynomial, snapshot, unpacked
from engine.format.config_file import Config
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import BlobType
from engine.format.snapshot import Snapshot
from engine.model.secret import Secret
from engine.repository import cache, keys
from engine.repository.blobs import BlobCache, BlobDecoder, Wanted
from engine.repository.index import Index
from engine.repository.keys import Kdf, Unlocked
from engine.repository.snapshot_memory import SNAPSHOTS
from engine.scope import task_scope
from engine.storages.base import Key, Kind, Listed, OpenStorage

TREE_CACHE_BYTES: Final = 32 << 20
"""Trees kept in memory: neighbours in a walk, and the upper levels of many snapshots, are asked for again and again."""

_INLINE_BYTES: Final = 64 << 10
"""Shorter things are opened on the event loop: handing them to a thread would take longer."""

_WORDS: Final = {Kind.SNAPSHOT: "snapshot", Kind.INDEX: "index file", Kind.LOCK: "lock"}


class Repository:
    """An open repository. Whoever opened the storage closes it; the repository itself needs no closing.

    All methods belong to the event loop's thread; `sealer()` makes what other threads need.
    """

    def __init__(self, storage: OpenStorage, config: Config, unlocked: Unlocked, clock: Clock, cache_directory: Path | None) -> None:  # fmt: skip
        self.storage = storage
        self.config = config
        self.key_name = unlocked.name
        self.master: MasterKey = unlocked.master
        self.clock = clock
        self.index = Index()
        self.decoder = BlobDecoder(unlocked.master)
        self.cache_directory = cache_directory / config.id if cache_directory is not None else None
        self._sealer = Sealer(unlocked.master)
        self._trees = BlobCache(TREE_CACHE_BYTES)

    @property
    def id(self) -> str:
        """The repository's own id, 64 hex digits; the same wherever it is moved."""
        return self.config.id

    @property
    def chunker_seed(self) -> int:
        """What the chunker is salted with. Loads the chunker's library, which only writers pay for."""
        from engine.format import chunker

        return chunker.seed_from_polynomial(self.config.chunker_polynomial)

    @property
    def location(self) -> str:
        """Where it lies, for people."""
        return self.storage.location

    def sealer(self) -> Sealer:
        """A new sealer, for one thread."""
        return Sealer(self.master)

    async def names(self, kind: Kind) -> list[str]:
        """Names of all objects of that kind, sorted."""
        return sorted([listed.key.name async for listed in self.storage.list(kind)])

    async def load_unpacked(self, kind: Kind, name: str) -> bytes:
        """The JSON of an index file, snapshot or lock. One whose bytes do not fit its name is read a second time.

        Raises: DamagedError, naming the file; ObjectMissingError.
        """
        stored = await self.storage.get(Key(kind, name))
        try:
            return await self._decoded(name, stored)
        except DamagedError:
            stored = await self.storage.get(Key(kind, name))
        try:
            return await self._decoded(name, stored)
        except DamagedError as error:
            raise DamagedError(
                f"the {_WORDS[kind]} {name} at {self.location} is damaged: {error}",
                hint="look at all that it touches with verify",
            ) from error

    async def save_unpacked(self, kind: Kind, json: bytes) -> str:
        """Stores an index file, snapshot or lock, after reading it back in memory. Returns its name."""
        name, parts = await self.seal_unpacked(json)
        await self.storage.put(Key(kind, name), parts)
        return name

    async def seal_unpacked(self, *json: bytes) -> tuple[str, list[bytes | bytearray]]:
        """As `sealed_unpacked`, in a thread where it takes its time: for who may have to store the same file twice."""
        if sum(map(len, json)) <= _INLINE_BYTES:
            return self.sealed_unpacked(*json)
        name, stored = await asyncio.to_thread(unpacked.encode, self.sealer(), *json)
        return name, [stored]

    def sealed_unpacked(self, *json: bytes) -> tuple[str, list[bytes | bytearray]]:
        """The name and the bytes of an unpacked file, whose JSON comes in parts, for who must know the name before it is stored."""
        name, stored = unpacked.encode(self._sealer, *json)
        return name, [stored]

    async def delete(self, kind: Kind, name: str) -> None:
        """Removes an object. Idempotent."""
        await self.storage.delete(Key(kind, name))

    async def snapshots(
        self,
        on_damaged: Callable[[str, DamagedError], None] | None = None,
        *,
        is_memory_enough: bool = False,
    ) -> list[tuple[str, Snapshot]]:
        """All snapshots with their ids, oldest first. With `on_damaged` one that cannot be read is handed to it, else it raises.

        One that is removed while the list is read is left out. Where `is_memory_enough`, one that this process read before is not read
        again: nothing is proved of its file then but that it is there.
        """
        found: list[tuple[str, Snapshot]] = []
        waiting = iter(await self.names(Kind.SNAPSHOT))

        async def read_some() -> None:
            for name in waiting:
                try:
                    known = SNAPSHOTS.get(name) if is_memory_enough else None
                    found.append((name, known or await self.load_snapshot(name)))
                except ObjectMissingError:
                    continue
                except DamagedError as error:
                    if on_damaged is None:
                        raise
                    on_damaged(name, error)

        async with task_scope() as group:
            for _ in range(self.storage.traits.connections):
                group.create_task(read_some())
        return sorted(found, key=lambda each: (each[1].time, each[0]))

    async def load_snapshot(self, name: str) -> Snapshot:
        """The snapshot of that full id. Raises: DamagedError, naming it; ObjectMissingError."""
        json = await self.load_unpacked(Kind.SNAPSHOT, name)
        try:
            found = snapshot.decode(json)
        except DamagedError as error:
            raise DamagedError(f"the snapshot {name} at {self.location} is damaged: {error}") from error
        SNAPSHOTS.put(name, found)
        return found

    async def find_snapshot(self, prefix: str) -> tuple[str, Snapshot]:
        """The one snapshot whose id begins with `prefix`, or the newest for `latest`.

        Raises: UnknownSnapshotError where there is none, or several.
        """
        if prefix == "latest":
            everything = await self.snapshots()
            if everything:
                return everything[-1]
            raise UnknownSnapshotError(f"the repository at {self.location} holds no snapshot yet")
        matching = [name for name in await self.names(Kind.SNAPSHOT) if name.startswith(prefix.lower())]
        if len(matching) == 1:
            return matching[0], await self.load_snapshot(matching[0])
        if matching:
            some = ", ".join(name[: len(prefix) + 4] for name in matching[:5])
            raise UnknownSnapshotError(
                f"{prefix} is the beginning of {len(matching)} snapshots: {some}", hint="give more digits"
            )
        raise UnknownSnapshotError(f"the repository at {self.location} holds no snapshot {prefix}")

    async def load_index(self, on_damaged: Callable[[bytes, DamagedError], None] | None = None) -> Index:
        """Reads what is new of the index and makes it `self.index`, anew each time. With a lock held it is complete.

        With `on_damaged` an index file that cannot be read is handed to it and left out, else it raises. Where a file goes away while
        it is read, which a prune does to those who hold no lock, everything is listed once more.
        """
        try:
            self.index = await self._load_index(on_damaged)
        except ObjectMissingError:
            self.index = await self._load_index(on_damaged)
        return self.index

    async def _load_index(self, on_damaged: Callable[[bytes, DamagedError], None] | None) -> Index:
        directory = await asyncio.to_thread(self._index_directory)
        names = {bytes.fromhex(name) for name in await self.names(Kind.INDEX)}
        return await cache.load_index(names, self._load_index_file, directory, self.clock, on_damaged)

    async def load_blob(self, type_: BlobType, blob_id: bytes) -> bytes:
        """One blob, verified. A damaged one is read once more, then at its other places. Trees are kept in memory.

        Raises: DamagedError, naming the blob, where it is damaged at all its places or no index file names it.
        """
        if type_ == "tree" and (kept := self._trees.get(blob_id)) is not None:
            return kept
        plain = await self.load_anywhere(type_, blob_id)
        if type_ == "tree":
            self._trees.put(blob_id, plain)
        return plain

    def wanted(self, type_: BlobType, blob_id: bytes) -> Wanted:
        """That blob with its place. Raises: DamagedError where no index file names it."""
        location = self.index.lookup(type_, blob_id)
        if location is None:
            raise DamagedError(
                f"the {type_} blob {blob_id.hex()} is missing from the index of {self.location}",
                hint="verify names the backups that it touches",
            )
        return Wanted(type_, blob_id, location)

    async def load_at(self, blob: Wanted) -> bytes:
        """One blob at that place, verified; a damaged one is read once more.

        Raises: DamagedError, also where the pack is missing or too short.
        """
        try:
            return await self._read_blob(blob)
        except DamagedError:
            return await self._read_blob(blob)

    async def load_anywhere(self, type_: BlobType, blob_id: bytes) -> bytes:
        """One blob from the first of its places where it is sound. Raises: DamagedError, of its first place."""
        wanted = self.wanted(type_, blob_id)
        try:
            return await self.load_at(wanted)
        except DamagedError as error:
            damage = error
        for place in self.index.lookup_all(type_, blob_id):
            if place != wanted.location:
                try:
                    return await self.load_at(wanted._replace(location=place))
                except DamagedError:
                    continue
        raise damage

    async def _read_blob(self, blob: Wanted) -> bytes:
        key = Key(Kind.PACK, blob.location.pack.hex())
        try:
            stored = await self.storage.get(key, blob.location.offset, blob.location.length)
        except (ObjectMissingError, ShortReadError) as error:
            raise DamagedError(
                f"the {blob.type} blob {blob.id.hex()} cannot be read from pack {key.name}: {error}"
            ) from error
        if len(stored) <= _INLINE_BYTES:
            return self.decoder.decode(blob, stored)
        return await asyncio.to_thread(self.decoder.decode, blob, stored)

    async def _decoded(self, name: str, stored: bytes) -> bytes:
        if len(stored) > _INLINE_BYTES:
            return await asyncio.to_thread(_checked_decode, self.sealer(), name, stored)
        return _checked_decode(self._sealer, name, stored)

    async def _load_index_file(self, index_id: bytes) -> bytes:
        return await self.load_unpacked(Kind.INDEX, index_id.hex())

    def _index_directory(self) -> Path:
        """Where packed index files go; without a cache a private directory that is removed with this object."""
        if self.cache_directory is None:
            self.cache_directory = Path(tempfile.mkdtemp(prefix="holdfast-index-"))
            weakref.finalize(self, shutil.rmtree, self.cache_directory, ignore_errors=True)
        return self.cache_directory


def _checked_decode(sealer: Sealer, name: str, stored: bytes) -> bytes:
    unpacked.check_name(name, stored)
    return unpacked.decode(sealer, stored)


async def create(
    storage: OpenStorage,
    password: Secret,
    *,
    clock: Clock,
    polynomial_: int | None = None,
    kdf: Kdf | None = None,
    cache_directory: Path | None = None,
) -> Repository:
    """Makes a new repository: folders, first key, config. The config comes last: before it is there, nothing is a repository.

    `polynomial_` is that of another repository, so that both cut alike and copies deduplicate.
    Raises: RepositoryExistsError, and nothing is changed.
    """
    await _refuse_existing(storage)
    master = MasterKey.generate()
    chosen = polynomial_ if polynomial_ is not None else await asyncio.to_thread(polynomial.generate)
    config = Config(config_file.VERSION, os.urandom(32).hex(), chosen)
    name = await keys.add(storage, master, password, clock=clock, kdf=kdf or Kdf())
    try:
        await _put_config(storage, config_file.encode(Sealer(master), config))
    except RepositoryExistsError:
        # Under the same password it would be taken for a key of the repository that the other made.
        with contextlib.suppress(StorageError):
            await storage.delete(Key(Kind.KEY, name))
        raise
    if storage.traits.put_new is not None:
        await _clear_keys(storage, but=name)
    if name not in await keys.names(storage):
        raise _made_by_another(storage)
    return Repository(storage, config, Unlocked(name, master), clock, cache_directory)


async def open_repository(
    storage: OpenStorage,
    password: Secret,
    *,
    cache_directory: Path | None,
    clock: Clock,
    key_hint: str = "",
    known: keys.KnownKeys | None = None,
) -> Repository:
    """Opens the repository that lies on the storage. Reads the config while the password's key is derived.

    Without `cache_directory` the index is kept in a temporary directory for as long as the repository is used.
    Raises: NoRepositoryError, WrongPasswordError, UnsupportedRepositoryError, DamagedError naming the config or key.
    """
    async with task_scope() as group:
        unlocking = group.create_task(_unlock(storage, password, key_hint, known))
        # What is wrong with the place itself says more than what is wrong with the keys in it.
        sealed = await _read_config(storage)
    unlocked = unlocking.result()
    if isinstance(unlocked, HoldfastError):
        raise unlocked
    try:
        config = config_file.decode(Sealer(unlocked.master), sealed)
    except DamagedError as error:
        raise DamagedError(
            f"the config of the repository at {storage.location} is damaged: {error}",
            hint="put it back from the recovery kit",
        ) from error
    return Repository(storage, config, unlocked, clock, cache_directory)


async def _unlock(
    storage: OpenStorage, password: Secret, key_hint: str, known: keys.KnownKeys | None
) -> Unlocked | HoldfastError:
    try:
        return await keys.unlock(storage, password, key_hint, known)
    except HoldfastError as error:
        return error


async def _read_config(storage: OpenStorage) -> bytes:
    try:
        return await storage.get(Key(Kind.CONFIG))
    except ObjectMissingError as error:
        missing = error
    try:
        has_keys = await _holds(storage, Kind.KEY)
    except StorageError:
        has_keys = False
    if has_keys:
        raise DamagedError(
            f"the repository at {storage.location} has keys, but its config is missing",
            hint="put it back from the recovery kit",
        ) from missing
    raise NoRepositoryError(
        f"there is no repository at {storage.location}",
        hint="check the path, and whether its disk is mounted",
    ) from missing


async def _put_config(storage: OpenStorage, sealed: bytes) -> None:
    """Makes the place a repository. Raises: RepositoryExistsError where another process did so at the same time."""
    put = storage.traits.put_new or storage.put
    with contextlib.suppress(ObjectExistsError):
        await put(Key(Kind.CONFIG), [sealed])
    if await storage.get(Key(Kind.CONFIG)) != sealed:
        raise _made_by_another(storage)


def _made_by_another(storage: OpenStorage) -> RepositoryExistsError:
    return RepositoryExistsError(f"another process made a repository at {storage.location} at the same time")


async def _refuse_existing(storage: OpenStorage) -> None:
    try:
        await storage.size(Key(Kind.CONFIG))
    except ObjectMissingError:
        return await _clear_leftovers(storage)
    raise RepositoryExistsError(f"there is a repository at {storage.location} already")


async def _clear_leftovers(storage: OpenStorage) -> None:
    """Removes the keys that an interrupted `create` left: without config, packs or snapshots they open nothing.

    They must go, because the same password given again would open one of them, and the config is not sealed with it.
    """
    await storage.create()
    for kind in (Kind.SNAPSHOT, Kind.INDEX, Kind.PACK):
        if await _holds(storage, kind):
            raise RepositoryExistsError(
                f"{storage.location} holds parts of a repository, but no config",
                hint="a config that was lost is in the recovery kit; an empty place takes a new repository",
            )
    if storage.traits.put_new is None:
        await _clear_keys(storage)


async def _clear_keys(storage: OpenStorage, but: str = "") -> None:
    """Where one alone can write the config, only that one does so, and behind the config: these may be another's who makes one now."""
    for name in await keys.names(storage):
        if name != but:
            await storage.delete(Key(Kind.KEY, name))


async def _holds(storage: OpenStorage, kind: Kind) -> bool:
    async with aclosing(_listing(storage, kind)) as listing:
        async for _ in listing:
            return True
    return False


async def _listing(storage: OpenStorage, kind: Kind) -> AsyncGenerator[Listed, None]:
    async for listed in storage.list(kind):
        yield listed
