"""The parent snapshot's trees, read fast and compared without being parsed.

A node of restic's JSON begins with all that a listing tells (name to links) and ends with what it does not (extended attributes, device,
content). So a file is unchanged exactly when the beginning that its listing gives is the beginning of a node of the parent's tree: one
look-up in a dict, and the rest of the node is taken over as it stands.
"""

from __future__ import annotations

import binascii
import re
from collections import OrderedDict
from collections.abc import Sequence

from engine.errors import DamagedError, StorageError
from engine.format.compression import Decompressor
from engine.format.ids import digest
from engine.format.tree import split_nodes
from engine.repository.index import Index
from engine.repository.packed_index import Location
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind

_CACHED_PACKS = 3
_REST = re.compile(rb',"(?:extended_attributes|generic_attributes|device|content)":')
_CONTENT_ID = re.compile(rb'[\[,]"([0-9a-f]{64})"')
_SUBTREE = b',"subtree":"'


class ParentTree:
    """One directory of the parent snapshot."""

    __slots__ = ("_names", "blob", "id", "rest_by_prefix")

    def __init__(self, tree_id: bytes, blob: bytes, lacking: set[bytes]) -> None:
        self.id = tree_id
        self.blob = blob
        self.rest_by_prefix: dict[bytes, bytes] = {}
        self._names: set[bytes] | None = None
        for node in split_nodes(blob):
            found = _REST.search(node)
            if found is None:
                continue
            cut = found.start()
            rest = node[cut:]
            if lacking and any(each in lacking for each in content_ids(rest)):
                continue
            self.rest_by_prefix[node[:cut]] = rest

    def has_name(self, prefix: bytes) -> bool:
        """Whether the parent holds an entry of this name and type, changed or not; `prefix` is the new node's beginning."""
        if self._names is None:
            self._names = {_name_and_type(each) for each in self.rest_by_prefix}
        return _name_and_type(prefix) in self._names

    def subtree(self, prefix: bytes) -> bytes | None:
        """The id of the subtree of the directory of that name, whatever else changed; None where there is none."""
        rest = self.rest_by_prefix.get(prefix)
        if rest is None:
            name = _name_and_type(prefix)
            rest = next(
                (each for key, each in self.rest_by_prefix.items() if _name_and_type(key) == name), b""
            )
        at = rest.find(_SUBTREE)
        return None if at < 0 else binascii.unhexlify(rest[at + len(_SUBTREE) : at + len(_SUBTREE) + 64])


def content_ids(rest: bytes) -> list[bytes]:
    """The blob ids of a node's content list; `rest` is the node from its content on, or any JSON text of it."""
    begin = rest.find(b'"content":[')
    if begin < 0:
        return []
    end = rest.find(b"]", begin)
    return [binascii.unhexlify(each) for each in _CONTENT_ID.findall(rest, begin, end)]


def _name_and_type(prefix: bytes) -> bytes:
    return prefix[: prefix.find(b'","mode":')]


class ParentTrees:
    """Reads trees of a repository in the order of a backup. Whole packs are fetched: the trees of one backup lie side by side in a few."""

    def __init__(self, repository: Repository, indexes: Sequence[Index]) -> None:
        """`indexes` are those of the repositories in which each blob of a file must be found for it to count as unchanged."""
        self._repository = repository
        self._indexes = indexes
        self._sealer = repository.sealer()
        self._decompressor = Decompressor()
        self._packs: OrderedDict[bytes, bytes] = OrderedDict()
        self.damaged: set[bytes] = set()
        """Trees that the index knows and that are damaged at all their places: to be stored anew though they are known."""

    async def load(self, tree_id: bytes) -> ParentTree | None:
        """The tree, or None where it is missing or damaged: its files are then read again, which heals the repository."""
        location = self._repository.index.lookup("tree", tree_id)
        if location is None:
            return None
        blob = await self._read(location)
        if blob is None or digest(blob) != tree_id:
            blob = await self._read_anywhere(tree_id)
        return None if blob is None else ParentTree(tree_id, blob, self._lacking(blob))

    async def _read(self, location: Location) -> bytes | None:
        try:
            whole = await self._pack(location.pack)
            blob = self._sealer.open(whole[location.offset : location.offset + location.length])
            if location.uncompressed_length:
                blob = self._decompressor.decompress(blob, location.uncompressed_length)
        except (DamagedError, StorageError):
            return None
        return blob

    async def _read_anywhere(self, tree_id: bytes) -> bytes | None:
        try:
            return await self._repository.load_anywhere("tree", tree_id)
        except DamagedError:
            self.damaged.add(tree_id)
        except StorageError:
            pass
        return None

    def _lacking(self, blob: bytes) -> set[bytes]:
        """Content that not all of the repositories hold."""
        if not self._indexes:
            return set()
        joined = binascii.unhexlify(b"".join(_CONTENT_ID.findall(blob)))
        lacking = set()
        for index in self._indexes:
            has = index.has
            for begin in range(0, len(joined), 32):
                blob_id = joined[begin : begin + 32]
                if not has("data", blob_id):
                    lacking.add(blob_id)
        return lacking

    async def _pack(self, pack_id: bytes) -> bytes:
        found = self._packs.get(pack_id)
        if found is None:
            found = await self._repository.storage.get(Key(Kind.PACK, pack_id.hex()))
            self._packs[pack_id] = found
            if len(self._packs) > _CACHED_PACKS:
                self._packs.popitem(last=False)
        self._packs.move_to_end(pack_id)
        return found
