"""What is read of the sources for their list, at one instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.model.status import Status

if TYPE_CHECKING:
    from engine.service import Engine


@dataclass(frozen=True, slots=True)
class SourceLook:
    """All that their list shows, but for what runs."""

    status: Status
    sizes: Mapping[str, Sequence[int]]
    """By source: of its last backups, oldest first."""


async def look_at_sources(engine: Engine) -> SourceLook:
    """Reads it. Raises: what the engine raises."""
    status = await engine.status((await engine.expectations()).sources)
    return SourceLook(status, await engine.recent_sizes())
