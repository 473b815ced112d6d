"""What shipments of logs did."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from engine.model.logs import LogGap


@dataclass(frozen=True, slots=True)
class ShippedLog:
    """One source's part of a shipment."""

    source: str
    status: str
    """completed, incomplete, failed."""
    segments: int = 0
    """That were brought into storages; those that were there already do not count."""
    size_bytes: int = 0
    added_bytes: int = 0
    released: int = 0
    """That were removed from the host, since each storage has them."""
    waiting: int = 0
    """That are still on the host."""
    recoverable_to: datetime.datetime | None = None
    """By the host's clock."""
    gaps: Sequence[LogGap] = ()
    storages: Sequence[str] = ()
    """That have all of it now."""
    error: str = ""
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ShipResult:
    """What a shipment of logs did."""

    job_id: str
    status: str
    logs: Sequence[ShippedLog]
    duration_s: float
    polls: int = 1
