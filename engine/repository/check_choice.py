"""Which packs a check reads where it may not read all: those first that were not proved for the longest time. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.repository.check_packs import Expected


@dataclass(frozen=True, slots=True)
class Slice:
    """At most so much is read: a part of all bytes, or a number of them."""

    percent: float | None = None
    size_bytes: int | None = None

    def limit_bytes(self, total_bytes: int) -> int:
        """Of a repository of that size."""
        share = total_bytes if self.percent is None else int(total_bytes * self.percent / 100)
        return share if self.size_bytes is None else min(share, self.size_bytes)


def longest_unproved(
    packs: Iterable[Expected], proved_at: Mapping[bytes, datetime.datetime], limit_bytes: int
) -> list[Expected]:
    """As many as fit into the limit, and always one: those that were never proved, then from the oldest proof on."""

    def by_proof(each: Expected) -> tuple[float, bytes]:
        at = proved_at.get(each.id)
        return (at.timestamp() if at is not None else float("-inf"), each.id)

    found: list[Expected] = []
    taken_bytes = 0
    for each in sorted(packs, key=by_proof):
        taken_bytes += each.size_bytes
        if found and taken_bytes > limit_bytes:
            break
        found.append(each)
    return found
