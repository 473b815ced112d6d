"""What is read of the sources for their list, at one instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.model.job import Job, JobStatus, Mark
from engine.model.status import Status

if TYPE_CHECKING:
    from engine.service import Engine


@dataclass(frozen=True, slots=True)
class SourceLook:
    """All that their list shows, but for what runs."""

    status: Status
    sizes: Mapping[str, Sequence[int]]
    """By source: of its last backups, oldest first."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What the first screen shows."""

    sources: SourceLook
    jobs: Sequence[Job]
    """Those that run."""
    mark: Mark
    """What changed later was not seen."""


async def look_at_sources(engine: Engine) -> SourceLook:
    """Reads it. Raises: what the engine raises."""
    status = await engine.status((await engine.expectations()).sources)
    return SourceLook(status, await engine.recent_sizes())


async def look_first(engine: Engine) -> FirstLook:
    """Reads everything for the first screen. Raises: what the engine raises."""
    mark = await engine.mark()
    jobs = await engine.jobs(status=JobStatus.RUNNING)
    return FirstLook(await look_at_sources(engine), jobs, mark)
