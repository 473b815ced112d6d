"""Packs with which something is wrong: read once more, to tell which of their blobs are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from engine.errors import DamagedError, StorageError
from engine.format import pack
from engine.format.ids import BlobType, digest
from engine.repository.blobs import Wanted
from engine.repository.check_damage import Finding
from engine.repository.check_trees import Fault, TreeFindings
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind

EXAMINED: Final = 1_000
"""Packs that are looked at one by one; where more are damaged, the rest is only counted."""
_TREES_NAMED: Final = 100


class Examiner:
    """Examines packs. What is lost is what can be read at none of its places."""

    def __init__(self, repository: Repository, packs: Sequence[bytes], missing: AbstractSet[bytes]) -> None:
        self._repository = repository
        self._missing = missing
        self._blobs: dict[bytes, list[Wanted]] = {pack_id: [] for pack_id in packs}
        self._failed: dict[tuple[BlobType, bytes], set[bytes]] = {}
        """Blobs, and the packs in which they are damaged."""

    async def examine(self, reasons: Mapping[bytes, str], hints: list[str]) -> list[Finding]:
        """A finding for each pack that is damaged indeed; one that reads well the second time becomes a hint.

        A pack that the storage can list and not read, as on a failing disk, is lost. Raises: StorageError where the storage is out of reach.
        """
        if not self._blobs:
            return []
        await asyncio.to_thread(self._gather)
        damaged = []
        for pack_id, blobs in self._blobs.items():
            if await self._is_sound(pack_id, blobs):
                hints.append(
                    f"the pack {pack_id.hex()} was read wrong once and right the second time: {reasons[pack_id]}"
                )
            else:
                damaged.append(pack_id)
        return [self._finding(pack_id, reasons[pack_id]) for pack_id in damaged]

    def _gather(self) -> None:
        for blob in self._repository.index.blobs():
            found = self._blobs.get(blob.location.pack)
            if found is not None:
                found.append(Wanted(blob.type, blob.id, blob.location))

    async def _is_sound(self, pack_id: bytes, blobs: Sequence[Wanted]) -> bool:
        """Reads the pack; notes which blobs are damaged."""
        whole = b""
        if pack_id not in self._missing:
            try:
                whole = await self._repository.storage.get(Key(Kind.PACK, pack_id.hex()))
            except StorageError as error:
                if error.retryable:
                    raise
        return await asyncio.to_thread(self._decode, pack_id, blobs, whole)

    def _decode(self, pack_id: bytes, blobs: Sequence[Wanted], whole: bytes) -> bool:
        view = memoryview(whole)
        is_sound = True
        for blob in blobs:
            begin = blob.location.offset
            try:
                self._repository.decoder.decode(blob, view[begin : begin + blob.location.length])
            except DamagedError:
                self._failed.setdefault((blob.type, blob.id), set()).add(pack_id)
                is_sound = False
        return is_sound and digest(whole) == pack_id and self._is_as_indexed(whole, blobs)

    def _is_as_indexed(self, whole: bytes, blobs: Sequence[Wanted]) -> bool:
        try:
            entries = pack.parse_pack(self._repository.sealer(), whole)
        except DamagedError:
            return False
        header = {(entry.type, entry.id, *entry[2:]) for entry in entries}
        return header == {(blob.type, blob.id, *blob.location[1:]) for blob in blobs}

    def _finding(self, pack_id: bytes, reason: str) -> Finding:
        blobs = self._blobs[pack_id]
        failed = {
            (blob.type, blob.id) for blob in blobs if pack_id in self._failed.get((blob.type, blob.id), ())
        }
        lost = {blob for blob in failed if self._is_lost(blob)}
        message = f"the pack {pack_id.hex()} is damaged: {reason}"
        if pack_id in self._missing:
            message = f"the pack {pack_id.hex()} is missing"
        if not failed:
            message += "; all its blobs can be read"
        elif not lost:
            message += "; its blobs can be read from other packs"
        return Finding(pack_id.hex(), message, lost=lost)

    def _is_lost(self, blob: tuple[BlobType, bytes]) -> bool:
        places = self._repository.index.lookup_all(*blob)
        return all(place.pack in self._failed[blob] for place in places)


def tree_findings(repository: Repository, found: TreeFindings, earlier: Sequence[Finding]) -> list[Finding]:
    """What was found in the trees. A tree that is lost with its pack is in the pack's finding already."""
    findings = [Finding("", fault.value, fault=fault) for fault in sorted(found.faulty)]
    if found.suspect_links:
        findings.append(Finding("", Fault.LINKS.value, fault=Fault.LINKS))
    if found.missing:
        message = f"{found.missing_count} blobs that snapshots need are in no index file"
        findings.append(Finding("", message, lost=set(found.missing)))
    for tree_id, message in sorted(found.unreadable.items())[:_TREES_NAMED]:
        text = f"the tree {tree_id.hex()} makes no sense: {message}"
        findings.append(Finding("", text, lost={("tree", tree_id)}))
    known = set().union(*(finding.lost for finding in earlier))
    for tree_id, message in sorted(found.lost.items())[:_TREES_NAMED]:
        if ("tree", tree_id) not in known:
            location = repository.index.lookup("tree", tree_id)
            file = location.pack.hex() if location is not None else ""
            findings.append(Finding(file, message, lost={("tree", tree_id)}))
    return findings
