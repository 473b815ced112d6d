"""What an erasure did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.model.results import PruneResult


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased from one storage, or would be."""

    storage: str
    backups: Sequence[str]
    """Ids of those that held the path."""
    snapshots: int
    """Rewritten; also those that the catalog knows no backup of."""
    files: int
    """Over all of these backups together."""
    size_bytes: int
    still_needed_bytes: int
    """Content of the path that other files hold as well: it stays."""
    prune: PruneResult | None = None


@dataclass(frozen=True, slots=True)
class EraseResult:
    """What an erasure did, or would do."""

    job_id: str
    status: str
    source: str
    path: str
    reason: str
    storages: Sequence[Erased]
    warnings: Sequence[str] = ()
    is_dry_run: bool = False
