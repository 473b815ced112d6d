"""What a job takes a place at: its sources, their hosts, its storages, and the cleaning of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.model.plans import PlanRequest
from engine.model.requests import (
    BackupRequest,
    DrillRequest,
    ForgetRequest,
    PruneRequest,
    RestoreRequest,
    RollbackRequest,
    ShipRequest,
)


def slots_of(
    request: object, hosts: Mapping[str, str], default_storage: str, enabled: Sequence[str] = ()
) -> Sequence[str]:
    """Its slots. `hosts` gives each source's, `enabled` the storages that are switched on; what nobody knows is left for the job to tell.

    A restore takes none: whoever needs files back waits for no backup. Of those that want a repository for themselves alone one at a time
    begins, so that they do not wait for each other with places at the storage in their hands; and workers begin one where nothing else works
    at the storage: see engine/catalog/turns.py.
    """
    if isinstance(request, RestoreRequest | RollbackRequest | DrillRequest | PlanRequest):
        return ()
    if isinstance(request, ShipRequest):
        # Beside whatever keeps host and storage busy: a base that takes hours must not leave the log behind.
        return tuple(f"log:{name}" for name in dict.fromkeys(request.sources))
    names = getattr(request, "sources", ())
    slots = [f"source:{name}" for name in names]
    slots += [f"host:{hosts[name]}" for name in names if name in hosts]
    storages = getattr(request, "storages", ())
    if isinstance(request, BackupRequest) and not storages and default_storage:
        storages = [default_storage]
    if isinstance(request, ForgetRequest) and not storages:
        storages = enabled
    one = [getattr(request, name, "") for name in ("storage", "from_storage", "to_storage")]
    places = [name for name in (*storages, *one) if name]
    slots += [f"storage:{name}" for name in places]
    if isinstance(request, ForgetRequest | PruneRequest) and not request.is_dry_run:
        slots += [f"cleaning:{name}" for name in places]
    return tuple(dict.fromkeys(slots))
