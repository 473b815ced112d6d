"""How storages stand, out of the catalog alone. Connects to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from engine.alerting import conditions
from engine.jobs import presence, storage_report
from engine.model import standings
from engine.model.standings import Loss, StorageStanding
from engine.service import measured
from engine.service.parts import Parts


async def of_storages(parts: Parts) -> Sequence[StorageStanding]:
    """See `Engine.storage_standings`."""
    backups = parts.catalog.backups
    newest = await backups.newest_in_storages()
    counts, missing = await backups.count_by_storage(), await backups.count_missing_by_storage()
    proved = await parts.catalog.standing.proved_storages()
    looks = await parts.catalog.settings.beginning(presence.STORAGE_SEEN)
    logs = await storage_report.logs_in(parts.catalog)
    now = parts.clock.now()
    found = []
    for each in await parts.catalog.storages.all():
        look = conditions.from_object(each.name, looks[each.name]) if each.name in looks else None
        kept = await measured.measured(parts, each.name)
        added, span = await backups.growth(each.name, now - storage_report.GROWTH_WINDOW)
        free = look.free_bytes if look is not None else None
        found.append(
            StorageStanding(
                storage=each,
                backups=counts.get(each.name, 0),
                missing=missing.get(each.name, 0),
                newest_at=max(
                    (places[each.name] for places in newest.values() if each.name in places), default=None
                ),
                lag_s=standings.lag_s(each.name, newest),
                proved_at=proved.get(each.name),
                used_bytes=kept.used_bytes if kept is not None else None,
                free_bytes=free if free is not None or kept is None else kept.free_bytes,
                total_bytes=look.total_bytes if look is not None else None,
                growth_bytes_per_day=storage_report.per_day(added, span),
                days_until_full=look.days_until_full if look is not None else None,
                seen_at=look.seen_at if look is not None else None,
                error=look.error if look is not None else "",
                locks=look.locks if look is not None else (),
                logs=tuple(logs.get(each.name, ())),
            )
        )
    return found


async def of_loss(parts: Parts, storage: str) -> Loss:
    """See `Engine.storage_loss`."""
    await parts.catalog.storages.get(storage)
    return standings.loss_of(storage, await parts.catalog.backups.newest_in_storages())
