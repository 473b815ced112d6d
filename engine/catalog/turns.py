"""When a job that wants a storage for itself alone, a cleaner, has its turn there: spans of the query that finds what a worker takes next.

Backups of a storage overlap all night, so that no moment is free for a forget or a prune: one that has waited for a while makes others wait
behind it until the storage is free. It does so for spans that double, with as long between them, so that one of them outlasts any backup and a
backup of a day does not keep all others from the storage for that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PATIENCE_S: Final = 300
"""So long a cleaner waits before others begin to wait for it."""
AHEAD_S: Final = 3_600
"""What was queued so much longer ago does not wait for it: no cleaners, however many, keep a backup away for ever."""
BEGINS_S: Final = 900
"""So long after its beginning it may wait for a lock, of a restore, say: what jobs of schedules do where nothing else is said."""

SPANS: Final[Mapping[str, int]] = {
    "patience": PATIENCE_S * 1_000_000,
    "ahead": AHEAD_S * 1_000_000,
    "begins": BEGINS_S * 1_000_000,
}
"""In microseconds, as the query names them."""
