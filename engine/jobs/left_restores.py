"""Restores of a whole server in place that ended without a word: what stands where on the host, by what was written down before each step.

Between the first change on the host and the job's result a record lies in the catalog, so that whoever looks next can say it, and `rollback` and
`discard` do for such a restore what they do for one that came to its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.catalog.catalog import Catalog
from engine.errors import UnknownNameError
from engine.jobs import values
from engine.model.job import Job
from engine.process import Liveness, ProcessIdentity

_PREFIX: Final = "whole-server."
"""Of the settings that hold the records, by job."""


class Stage(StrEnum):
    """How far the restore was at least when it was written down last."""

    LAYING = "laying"
    """Another folder is being made beside the live one, which nobody touches."""
    SWAPPING = "swapping"
    """The server is stopped, and two names are about to change."""
    SWAPPED = "swapped"
    """What was live is aside."""


@dataclass(frozen=True, slots=True)
class LeftRestore:
    """A restore of a whole server."""

    job_id: str
    source: str
    data: str
    """The server's data folder."""
    aside: str
    """Where what was live goes."""
    stage: Stage

    @property
    def sentence(self) -> str:
        """What stands where, of one that ended without a result."""
        began = f"restore {self.job_id} of {self.source} ended"
        match self.stage:
            case Stage.LAYING:
                return f"{began} while it laid another data folder beside {self.data}, which is what was live, untouched"
            case Stage.SWAPPING:
                return f"{began} while it put {self.data} aside: what was live is {self.aside}, or still {self.data} where that is not there"
            case Stage.SWAPPED:
                return (
                    f"{began} before anybody saw its server come up: {self.data} is what the restore brought, and {self.aside} what was live; "
                    f"discard keeps the one, rollback the other"
                )

    @property
    def remedy(self) -> str:
        """The command that brings back what was live."""
        return f"holdfast rollback {self.job_id}"


async def put(catalog: Catalog, record: LeftRestore) -> None:
    """Writes it down before the step. Raises: CatalogError."""
    await catalog.settings.put(_PREFIX + record.job_id, values.to_object(record))


async def reach(catalog: Catalog, record: LeftRestore, stage: Stage) -> None:
    """That it is there now. Raises: CatalogError."""
    await put(catalog, dataclasses.replace(record, stage=stage))


async def forget(catalog: Catalog, job_id: str) -> None:
    """Nothing of it is left on the host. Raises: CatalogError."""
    await catalog.settings.put(_PREFIX + job_id, None)


async def of_job(catalog: Catalog, job_id: str) -> LeftRestore | None:
    """What that job wrote down, however it ended; None where it wrote nothing, or brought all of it back."""
    found = await catalog.settings.get(_PREFIX + job_id)
    return values.from_object(LeftRestore, found) if found is not None else None


async def left(catalog: Catalog, source: str = "") -> Sequence[LeftRestore]:
    """Those, of that source where one is named, whose job is over and gave no result; by job. Raises: CatalogError."""
    found = []
    for job_id, kept in sorted((await catalog.settings.beginning(_PREFIX)).items()):
        record = values.from_object(LeftRestore, kept)
        try:
            job = await catalog.jobs.get(job_id)
        except UnknownNameError:
            continue
        if _is_over(job) and not job.result and source in ("", record.source):
            found.append(record)
    return found


def _is_over(job: Job) -> bool:
    """Whether it ended, or its process did and nobody wrote that down yet."""
    owner = ProcessIdentity.parse(job.owner)
    return job.status.is_final or (owner is not None and owner.liveness() is Liveness.DEAD)
