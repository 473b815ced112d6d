"""What a prune would do, as a value. Pure: from the index, the blobs in use and the sizes of the packs.

The choice is restic's (internal/repository/prune.go): packs of which nothing is used go; packs that hold trees are cleared of all that is
unused; of the others those with the most waste are rewritten until the waste is within bounds; small packs are merged once there are ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import DamagedError
from engine.repository.index import Index, IndexedBlob
from engine.repository.packed_index import Location
from engine.repository.tree_sweep import BlobMap

SMALL_COUNT: Final = 10
"""As many small packs make it worth while to merge them."""
_SMALLEST_TARGET_BYTES: Final = 4 << 20
"""restic's smallest target for packs."""
_SMALL_SHARE: Final = 0.8
"""What is below this part of the size that nearly all packs have counts as small."""
_USUAL_PERCENTILE: Final = 3
"""Packs below this percentile of sizes say nothing of the size that was aimed at."""


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """How far a prune goes."""

    max_unused_percent: float = 5.0
    """Of the packs' bytes; more unused bytes than that are cleared away. Packs of nothing but unused blobs go in any case."""


@dataclass(slots=True)
class PackUse:
    """How much of a pack is used."""

    id: bytes
    stored_bytes: int
    """As the storage lists it."""
    used_blobs: int = 0
    used_bytes: int = 0
    unused_blobs: int = 0
    unused_bytes: int = 0
    duplicate_blobs: int = 0
    """Blobs that are used and lie elsewhere too; first counted among the unused."""
    has_data: bool = False
    has_trees: bool = False

    @property
    def waste(self) -> float:
        """The unused part of its blobs, 0 to 1."""
        return self.unused_bytes / ((self.used_bytes + self.unused_bytes) or 1)

    @property
    def is_wasteful(self) -> bool:
        """Whether something in it is unused, or trees and data share it, which restic's cache cannot make use of."""
        return self.unused_blobs > 0 or (self.has_data and self.has_trees)

    @property
    def is_needed_anyway(self) -> bool:
        """Whether a further blob may as well be used here: others are, or it holds nothing but copies, as an interrupted prune leaves."""
        return self.used_blobs > 0 or self.duplicate_blobs == self.unused_blobs

    def count(self, place: Location, *, is_used: bool) -> None:
        """Counts one blob."""
        if is_used:
            self.used_blobs += 1
            self.used_bytes += place.length
        else:
            self.unused_blobs += 1
            self.unused_bytes += place.length

    def take_over(self, place: Location) -> None:
        """Makes this the place where a blob of several places is used."""
        self.count(place, is_used=True)
        self.unused_blobs -= 1
        self.unused_bytes -= place.length
        self.duplicate_blobs -= 1


@dataclass(frozen=True, slots=True)
class PruneFigures:
    """What there is and what a prune frees. Bytes of sealed blobs."""

    used_blobs: int
    used_bytes: int
    unused_blobs_before: int
    unused_bytes_before: int
    """Blobs that nothing needs and further copies of those that are needed."""
    unused_bytes_after: int
    orphan_bytes: int
    """Of packs that no index file names."""
    rewritten_bytes: int
    """Used blobs that move into new packs."""
    freed_bytes: int
    """By how much what is stored shrinks, orphans included."""


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What to do, in the order of the fields."""

    orphans: tuple[bytes, ...]
    """Packs in no index file: deleted first."""
    rewritten: frozenset[bytes]
    """Packs whose wanted blobs are copied before they are deleted."""
    doomed: frozenset[bytes]
    """Packs that leave the index and are then deleted: `rewritten`, and those of which nothing is used."""
    absent: frozenset[bytes]
    """Packs that are missing and of which nothing is used: they leave the index."""
    wanted: BlobMap
    """The blobs to copy."""
    figures: PruneFigures

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do with packs."""
        return not (self.orphans or self.doomed or self.absent)


def plan_prune(
    index: Index, used: BlobMap, stored: Mapping[bytes, int], options: PruneOptions | None = None
) -> PrunePlan:
    """Decides. `used` marks the blobs that snapshots need, `stored` gives the size of each pack that the storage lists.

    Takes some microseconds a blob: for a thread. Raises: DamagedError where a pack that is needed is missing or is not of the size that
    its index says.
    """
    packs = _count_use(index, used, stored)
    _refuse_damaged(index, packs, stored)
    absent = frozenset(pack_id for pack_id in packs if pack_id not in stored)
    present = [use for use in packs.values() if use.id in stored]
    unneeded = [use for use in present if not use.used_blobs]
    rewritten = _choose_rewritten(
        [use for use in present if use.used_blobs], unneeded, options or PruneOptions()
    )
    doomed = frozenset(use.id for use in (*unneeded, *rewritten))
    return PrunePlan(
        orphans=tuple(sorted(pack_id for pack_id in stored if pack_id not in packs)),
        rewritten=frozenset(use.id for use in rewritten),
        doomed=doomed,
        absent=absent,
        wanted=_wanted(index, used, doomed, stored) if rewritten else BlobMap(index),
        figures=_figures(present, doomed, sum(size for each, size in stored.items() if each not in packs)),
    )


def _count_use(index: Index, used: BlobMap, stored: Mapping[bytes, int]) -> dict[bytes, PackUse]:
    """Every pack of the index with what of it is used. A used blob that lies at several places counts as used at one of them."""
    packs: dict[bytes, PackUse] = {}
    twice = BlobMap(index)
    for blob, places in _places(index):
        is_used = used.has_position(blob.position)
        here = sum(place.pack in stored for place in places)
        is_twice = is_used and here > 1
        if is_twice:
            twice.add_position(blob.position)
        for place in places:
            use = packs.get(place.pack)
            if use is None:
                use = packs[place.pack] = PackUse(place.pack, stored.get(place.pack, 0))
            use.has_data |= blob.type == "data"
            use.has_trees |= blob.type == "tree"
            use.count(place, is_used=is_used and not is_twice and (place.pack in stored or not here))
            use.duplicate_blobs += is_twice
    for blob, places in _places(index):
        if twice.has_position(blob.position):
            present = [place for place in places if place.pack in stored]
            chosen = next((place for place in present if packs[place.pack].is_needed_anyway), present[-1])
            packs[chosen.pack].take_over(chosen)
    return packs


def _places(index: Index) -> Iterator[tuple[IndexedBlob, list[Location]]]:
    """Each blob once, by its first place, with all its places."""
    for blob in index.blobs():
        if index.position(blob.type, blob.id) == blob.position:
            yield blob, index.lookup_all(blob.type, blob.id)


def _refuse_damaged(index: Index, packs: Mapping[bytes, PackUse], stored: Mapping[bytes, int]) -> None:
    for info in index.packs():
        use = packs.get(info.id)
        if use is None or not use.used_blobs:
            continue
        if info.id not in stored:
            raise DamagedError(
                f"the pack {info.id.hex()} is missing, but snapshots need it; nothing was changed",
                hint="verify names the backups that it touches",
            )
        if stored[info.id] != info.size_bytes:
            raise DamagedError(
                f"the pack {info.id.hex()} has {stored[info.id]} bytes instead of {info.size_bytes}; nothing was changed",
                hint="verify names the backups that it touches; repair the index first",
            )


def _choose_rewritten(
    candidates: Sequence[PackUse], unneeded: Sequence[PackUse], options: PruneOptions
) -> list[PackUse]:
    """The packs to take apart: mixed ones, small ones where there are enough, and those with the most waste."""
    cutoff = _small_cutoff([use.stored_bytes for use in (*candidates, *unneeded)])
    small = [use for use in candidates if not use.is_wasteful and use.stored_bytes < cutoff]
    chosen_from = [use for use in candidates if use.is_wasteful]
    if len(small) >= SMALL_COUNT:
        chosen_from += small
    chosen_from.sort(key=lambda use: (not use.has_trees, use.stored_bytes >= cutoff, -use.waste, use.id))
    used_bytes = sum(use.used_bytes for use in candidates)
    percent = min(options.max_unused_percent, 99.9)
    allowed_bytes = used_bytes * percent / (100 - percent)
    unused_bytes = sum(use.unused_bytes for use in candidates)
    chosen = []
    for use in chosen_from:
        if use.has_trees or use.stored_bytes < cutoff or unused_bytes > allowed_bytes:
            chosen.append(use)
            unused_bytes -= use.unused_bytes
    return chosen


def _small_cutoff(sizes: Sequence[int]) -> float:
    ordered = sorted(sizes)
    usual = ordered[len(ordered) * _USUAL_PERCENTILE // 100] if ordered else 0
    return _SMALL_SHARE * max(_SMALLEST_TARGET_BYTES, usual)


def _wanted(index: Index, used: BlobMap, leaving: frozenset[bytes], stored: Mapping[bytes, int]) -> BlobMap:
    """The used blobs that no pack holds which stays."""
    wanted = BlobMap(index)
    for blob, places in _places(index):
        if used.has_position(blob.position) and not any(
            place.pack in stored and place.pack not in leaving for place in places
        ):
            wanted.add_position(blob.position)
    return wanted


def _figures(present: Sequence[PackUse], doomed: frozenset[bytes], orphan_bytes: int) -> PruneFigures:
    rewritten_bytes = sum(use.used_bytes for use in present if use.id in doomed)
    return PruneFigures(
        used_blobs=sum(use.used_blobs for use in present),
        used_bytes=sum(use.used_bytes for use in present),
        unused_blobs_before=sum(use.unused_blobs for use in present),
        unused_bytes_before=sum(use.unused_bytes for use in present),
        unused_bytes_after=sum(use.unused_bytes for use in present if use.id not in doomed),
        orphan_bytes=orphan_bytes,
        rewritten_bytes=rewritten_bytes,
        freed_bytes=sum(use.stored_bytes for use in present if use.id in doomed)
        - rewritten_bytes
        + orphan_bytes,
    )
