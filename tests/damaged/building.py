"""Small repositories made blob by blob, so that each thing in them can be damaged by itself."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.clock import Clock
from engine.format import index as index_format
from engine.format import snapshot as snapshot_format
from engine.format import tree as tree_format
from engine.format.blob import BlobCoder
from engine.format.ids import BlobType, digest
from engine.format.pack import BlobEntry, PackBuilder
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.model.secret import Secret
from engine.repository import repository as repositories
from engine.repository.keys import Kdf
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind, OpenStorage
from tests.fakes.memory_storage import MemoryStorage

PASSWORD = "correct horse"
QUICK = Kdf(n=16, r=1, p=1)
POLYNOMIAL = 0x3DA3358B4DC173
TIME = datetime.datetime(2026, 11, 1, 3, 0, tzinfo=datetime.UTC)
STAMP = "2026-10-31T12:00:00Z"


@dataclass(slots=True)
class Builder:
    """Makes the objects of a repository one by one."""

    repository: Repository
    storage: MemoryStorage
    plain: dict[tuple[BlobType, bytes], bytes] = field(default_factory=dict)
    indexed: list[tuple[bytes, Sequence[BlobEntry]]] = field(default_factory=list)

    def data(self, content: bytes) -> bytes:
        """Notes a data blob."""
        self.plain["data", digest(content)] = content
        return digest(content)

    def tree(self, *nodes: Node) -> bytes:
        """Notes a tree."""
        content = tree_format.encode_tree([tree_format.encode_node(node) for node in nodes])
        self.plain["tree", digest(content)] = content
        return digest(content)

    def raw_tree(self, content: bytes) -> bytes:
        """Notes a tree of any bytes."""
        self.plain["tree", digest(content)] = content
        return digest(content)

    async def pack(self, *blobs: tuple[BlobType, bytes], wrong_by: int = 0) -> bytes:
        """Stores a pack of these blobs. `wrong_by` is added to the lengths before compression that it says."""
        sealer = self.repository.sealer()
        coder = BlobCoder("auto")
        builder = PackBuilder(sealer)
        for type_, blob_id in blobs:
            content = self.plain[type_, blob_id]
            encoded = coder.encode(content, type_)
            length = encoded.uncompressed_length
            told = length + wrong_by if length is not None else None
            builder.add(type_, blob_id, coder.seal_verified(sealer, encoded, content), told)
        finished = builder.finish()
        await self.storage.put(Key(Kind.PACK, finished.id.hex()), finished.parts)
        self.indexed.append((finished.id, finished.entries))
        return finished.id

    async def index(self, packs: Sequence[tuple[bytes, Sequence[BlobEntry]]] | None = None) -> str:
        """Stores an index file of these packs, or of all packs so far."""
        wanted = self.indexed if packs is None else packs
        return await self.repository.save_unpacked(Kind.INDEX, index_format.encode(wanted))

    async def snapshot(self, tree_id: bytes, day: int = 1) -> str:
        """Stores a snapshot."""
        taken = Snapshot(TIME.replace(day=day), tree_id, ("/srv",), "host", "root")
        return await self.repository.save_unpacked(Kind.SNAPSHOT, snapshot_format.encode(taken))


async def builder(clock: Clock, storage: MemoryStorage | None = None) -> Builder:
    """A builder on a new repository in memory."""
    storage = storage or MemoryStorage()
    opened = await repositories.create(
        storage, Secret(PASSWORD), clock=clock, polynomial_=POLYNOMIAL, kdf=QUICK
    )
    return Builder(opened, storage)


def file(name: str, size: int, *content: bytes, inode: int = 1, links: int = 1, mode: int = 0o644) -> Node:
    """A file's node."""
    return Node(
        name.encode(), "file", mode, STAMP, STAMP, STAMP,
        inode=inode, device_id=7, size=size, links=links, content=content,
    )  # fmt: skip


def folder(name: str, subtree: bytes, mode: int = 1 << 31 | 0o755) -> Node:
    """A directory's node."""
    return Node(name.encode(), "dir", mode, STAMP, STAMP, STAMP, subtree=subtree)


@dataclass(slots=True)
class Small:
    """Two snapshots: `first` of /srv with a and b in it, `second` with a folder `more` and its file c besides."""

    builder: Builder
    first: str
    second: str
    shared_pack: bytes
    """The content of a and b."""
    own_pack: bytes
    """The content of c."""
    tree_pack: bytes
    index_name: str
    more_tree: bytes

    @property
    def storage(self) -> MemoryStorage:
        """Where it lies."""
        return self.builder.storage

    @property
    def repository(self) -> Repository:
        """The open repository."""
        return self.builder.repository

    def change(self, kind: Kind, name: str | bytes, offset: int) -> None:
        """Flips a bit of an object."""
        key = Key(kind, name if isinstance(name, str) else name.hex())
        stored = bytearray(self.storage.objects[key])
        stored[offset] ^= 1
        self.storage.objects[key] = bytes(stored)

    def remove(self, kind: Kind, name: str | bytes) -> None:
        """Removes an object."""
        del self.storage.objects[Key(kind, name if isinstance(name, str) else name.hex())]

    def cut(self, pack_id: bytes, by: int) -> None:
        """Cuts bytes off a pack's end."""
        key = Key(Kind.PACK, pack_id.hex())
        self.storage.objects[key] = self.storage.objects[key][:-by]


def text(letter: str, size: int = 3_000) -> bytes:
    """Content that compresses."""
    return (letter * 60 + "\n").encode() * (size // 61)


async def small(clock: Clock, *, wrong_by: int = 0) -> Small:
    """A sound repository, or one whose pack of c says wrong lengths."""
    made = await builder(clock)
    a, a_rest, b, c = (made.data(text(letter)) for letter in "axbc")
    size = len(text("a"))
    more = made.tree(file("c", size, c, inode=3))
    files = (file("a", 2 * size, a, a_rest, inode=1), file("b", size, b, inode=2))
    first = made.tree(folder("srv", made.tree(*files)))
    second = made.tree(folder("srv", made.tree(*files, folder("more", more))))
    shared = await made.pack(("data", a), ("data", a_rest), ("data", b))
    own = await made.pack(("data", c), wrong_by=wrong_by)
    trees = [(type_, blob_id) for type_, blob_id in made.plain if type_ == "tree"]
    tree_pack = await made.pack(*trees)
    index_name = await made.index()
    return Small(
        made, await made.snapshot(first, 1), await made.snapshot(second, 2), shared, own, tree_pack, index_name, more
    )  # fmt: skip


async def of_nodes(clock: Clock, contents: Sequence[bytes], *nodes: Node) -> tuple[Builder, str]:
    """A repository with one snapshot, whose root holds these nodes."""
    made = await builder(clock)
    root = made.tree(*nodes)
    if contents:
        await made.pack(*(("data", made.data(content)) for content in contents))
    await made.pack(("tree", root))
    await made.index()
    return made, await made.snapshot(root)


def lay_out(storage: MemoryStorage, directory: Path) -> None:
    """Writes a repository out of memory into a directory, for stock restic to read."""
    for kind in Kind:
        if kind is not Kind.CONFIG:
            (directory / kind.value).mkdir(parents=True, exist_ok=True)
    for key, stored in storage.objects.items():
        path = directory / key.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored)


async def reopen(storage: OpenStorage, clock: Clock) -> Repository:
    """The repository as another process finds it."""
    return await repositories.open_repository(storage, Secret(PASSWORD), cache_directory=None, clock=clock)
