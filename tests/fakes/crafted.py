"""Snapshots made node by node, honest or hostile: what no program writes but a reader must survive."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace

from engine.format import index, snapshot, tree
from engine.format.blob import BlobCoder
from engine.format.ids import BlobType, digest
from engine.format.pack import BlobEntry, PackBuilder
from engine.format.snapshot import Snapshot
from engine.format.tree import Node
from engine.repository.reader import Named
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind

MTIME = "2024-05-06T07:08:09.123456789Z"
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


class Crafted:
    """Makes snapshots in a repository. What was added is stored by `commit`."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._packs: list[tuple[bytes, Sequence[BlobEntry]]] = []
        self._known: set[bytes] = set()
        self._coder = BlobCoder("auto")

    async def blob(
        self, data: bytes, blob_type: BlobType = "data", *, claimed_length: int | None = None
    ) -> bytes:
        """Stores a blob in a pack of its own; gives its id. `claimed_length` is a lie about its uncompressed length."""
        encoded = self._coder.encode(data, blob_type)
        if encoded.id in self._known:
            return encoded.id
        self._known.add(encoded.id)
        sealer = self.repository.sealer()
        sealed = self._coder.seal_verified(sealer, encoded, data)
        builder = PackBuilder(sealer)
        builder.add(blob_type, encoded.id, sealed, claimed_length or encoded.uncompressed_length)
        pack = builder.finish()
        await self.repository.storage.put(Key(Kind.PACK, pack.id.hex()), pack.parts)
        self._packs.append((pack.id, pack.entries))
        return encoded.id

    async def file(self, name: bytes, *chunks: bytes, node: Node | None = None) -> Node:
        """The node of a file with that content, each chunk a blob. `node` gives its other fields."""
        ids = tuple([await self.blob(chunk) for chunk in chunks])
        made = node or Node(name, "file", 0o644, mtime=MTIME, atime=MTIME, ctime=MTIME)
        return replace(made, name=name, size=made.size or sum(map(len, chunks)), content=ids)

    async def dealt_file(self, name: bytes, *chunks: bytes, packs: int = 2) -> Node:
        """The node of a file whose chunks, all of them different, lie by turns in that many packs."""
        sealer = self.repository.sealer()
        builders = [PackBuilder(sealer) for _ in range(packs)]
        for number, chunk in enumerate(chunks):
            encoded = self._coder.encode(chunk, "data")
            self._known.add(encoded.id)
            sealed = self._coder.seal_verified(sealer, encoded, chunk)
            builders[number % packs].add("data", encoded.id, sealed, encoded.uncompressed_length)
        for pack in [each.finish() for each in builders]:
            await self.repository.storage.put(Key(Kind.PACK, pack.id.hex()), pack.parts)
            self._packs.append((pack.id, pack.entries))
        return await self.file(name, *chunks)

    async def folder(self, name: bytes, nodes: Sequence[Node], mode: int = 0o755) -> Node:
        """The node of a directory that holds these nodes, in the order given."""
        subtree = await self.tree(nodes)
        return Node(
            name, "dir", tree.go_mode("d", mode), mtime=MTIME, atime=MTIME, ctime=MTIME, subtree=subtree
        )

    async def tree(self, nodes: Sequence[Node]) -> bytes:
        """Stores a tree of these nodes, in the order given, whatever they are; gives its id."""
        return await self.raw_tree(tree.encode_tree([tree.encode_node(node) for node in nodes]))

    async def raw_tree(self, json: bytes) -> bytes:
        """Stores bytes as a tree."""
        return await self.blob(json, "tree")

    async def commit(self, nodes: Sequence[Node] | bytes, **fields: object) -> Named:
        """Stores a snapshot of these nodes, or of the tree of that id, and loads the index."""
        root = nodes if isinstance(nodes, bytes) else await self.tree(nodes)
        if self._packs:
            await self.repository.save_unpacked(Kind.INDEX, index.encode(self._packs))
            self._packs = []
        made = replace(Snapshot(WHEN, root, ("/crafted",), "host"), **fields)  # type: ignore[arg-type]
        name = await self.repository.save_unpacked(Kind.SNAPSHOT, snapshot.encode(made))
        await self.repository.load_index()
        return Named(name, made)


def link(name: bytes, target: bytes) -> Node:
    """The node of a symbolic link."""
    return Node(
        name, "symlink", tree.go_mode("l", 0o777), mtime=MTIME, atime=MTIME, ctime=MTIME, linktarget=target
    )


def blob_id(data: bytes) -> bytes:
    """The id of a blob of that content."""
    return digest(data)
