"""Fills a home with the fleet: definitions by the catalog, the past at once, what is real by the Engine."""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.alerting import conditions, standing
from engine.catalog import bulk
from engine.catalog.bulk import BulkWriter
from engine.catalog.catalog import Catalog
from engine.catalog.schedules import Judged
from engine.cli.demo.fleet import past, real, roster
from engine.cli.demo.fleet.past import Past
from engine.clock import Clock
from engine.config import Home
from engine.jobs import presence, uncovered
from engine.model import names
from engine.model.alerts import Alert, AlertSettings, Condition, MaintenanceWindow, Silence
from engine.model.schedules import Pause, ScheduleState
from engine.model.secret import Secret
from engine.service import Engine, measured, open_engine
from engine.service.measured import Measured

SEED: Final = 20
SETTINGS: Final = """\
# Made by `holdfast demo --fleet`: most of what is defined here is nowhere to be found, so nothing starts by itself.
[worker]
schedules = false
"""
_LEAST: Final = 300 << 30
"""Of a small storage: the disk holds other things too."""
_DROPPED: Final = datetime.timedelta(days=400)
_SHARES: Final[dict[str, tuple[float | None, float | None]]] = {
    roster.CLOUD: (None, None),
    roster.VAULT: (0.06, 24.0),
    roster.NEAR: (0.71, None),
    roster.SPARE: (0.38, None),
}
"""By storage: how much of it is free, and in how many days it will be full."""
_SINCE: Final[dict[Condition, float]] = {
    Condition.UNREACHABLE: 51.0, Condition.FAILED: 40.0, Condition.OVERDUE: 6.2, Condition.SIZE_ANOMALY: 17.5, Condition.INCOMPLETE: 11.0,
    Condition.PROOF_FAILED: 33.0, Condition.STORAGE_LOW: 80.0, Condition.COPY_MISSING: 200.0,
}  # fmt: skip
"""How many hours ago what stands was found; a day, where nothing is said."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a home holds now."""

    hosts: int
    sources: int
    backups: int
    jobs: int
    alerts: int


async def fill(
    directory: Path,
    clock: Clock,
    *,
    seed: int = SEED,
    is_real: bool = True,
    tell: Callable[[str], None] = lambda _said: None,
) -> Filled:
    """Fills an empty folder, which becomes a home. Without `is_real` nothing in it can be backed up, and the same seed and instant give the same
    catalog, wherever it is: for pictures. `tell` is handed what is done next. Raises: HoldfastError, OSError."""
    home = Home(directory)
    home.ensure()
    home.settings.write_text(SETTINGS, encoding="ascii")
    async with open_engine(str(directory), clock=clock, environment={}) as engine:
        for name in roster.SECRETS:
            await engine.set_secret(name, Secret("nothing-is-protected-by-this"))
    if is_real:
        tell("backing up what is real")
        await real.make(directory, clock)
    tell("writing down a year of twenty hosts")
    now = clock.now()
    made = past.year(seed, now, is_real=is_real)
    async with Catalog.open(home.catalog, clock) as catalog:
        await _define(catalog, now, real.folder(directory) if is_real else None)
    with bulk.writing(home.catalog, now, BulkWriter) as writer:
        for each in made.done:
            writer.take(each)
        writer.add("add_schedule_run", [bulk.run_row(run) for run in made.skipped])
    async with open_engine(str(directory), clock=clock, environment={}) as engine:
        async with Catalog.open(home.catalog, clock) as catalog:
            await _observe(catalog, made, now)
        alerts = await _raise_alerts(engine, home, clock, seed)
        return Filled(
            len(roster.hosts()),
            len(await engine.sources()),
            await engine.count_backups(),
            len(made.done),
            alerts,
        )


async def _define(catalog: Catalog, now: datetime.datetime, data: Path | None) -> None:
    """Hosts, sources, storages, schedules, a plan; what people paused, silenced and announced."""
    for host in roster.hosts():
        await catalog.hosts.add(host)
    storages = roster.past_storages() + ([] if data else roster.drawn_storages())
    for storage in storages:
        await catalog.storages.add(storage)
    sources = roster.sources() + ([] if data else roster.real_sources(Path("/srv")))
    for source in sources:
        await catalog.sources.add(source)
    await catalog.apply([("schedules", Judged(each)) for each in roster.schedules()])
    paused = Pause(now - roster.PAUSED_FOR, None, roster.PAUSE_REASON)
    await catalog.timetable.set_pause(roster.PAUSED, paused)
    late = next(each for each in roster.schedules() if each.name == roster.LATE)
    missed = past.missed(late, now)
    await catalog.timetable.replace(
        late, ScheduleState(missed - datetime.timedelta(minutes=1), missed, missed)
    )
    for plan in roster.plans(str(data / "recovered") if data else "/srv/recovered"):
        await catalog.plans.add(plan)
    await catalog.silences.add(
        Silence("5c1e7a40", "host build*", "", now - datetime.timedelta(days=2), now + datetime.timedelta(days=5), roster.PAUSE_REASON, "tom")
    )  # fmt: skip
    await catalog.windows.add(
        MaintenanceWindow("patch-day", "host web*", "0 22 * * tue", 7200.0, "the web servers are patched")
    )


async def _observe(catalog: Catalog, made: Past, now: datetime.datetime) -> None:
    """What looks at hosts and storages found."""
    backups = [backup for done in made.done for backup in done.backups]
    down = next(
        each.job for each in made.done if each.job.error and each.job.created_at > now - roster.DOWN_FOR
    )
    facts = conditions.HostFacts(
        roster.DOWN_HOST, down.created_at, now - datetime.timedelta(minutes=40), f"host {roster.DOWN_HOST} did not answer within 30 seconds"
    )  # fmt: skip
    await catalog.settings.put(presence.HOST_SEEN + roster.DOWN_HOST, conditions.host_to_object(facts))
    await uncovered.remember(
        catalog, "web2", ["PostgreSQL: blog_comments", "/srv/uploads"], now - datetime.timedelta(days=4)
    )
    seen_at = now - datetime.timedelta(minutes=24)
    for name in {copy.storage for each in backups for copy in each.copies}:
        used = past.used_bytes(name, backups)
        share, days = _SHARES[name]
        total = None if share is None else int(max(used, _LEAST) / (1 - share))
        free = None if total is None else total - used
        locks = (
            [("backup@vault02, process 4117", now - datetime.timedelta(hours=31))]
            if name == roster.VAULT
            else []
        )
        found = conditions.StorageFacts(name, seen_at, "", free, total, days, locks)
        await catalog.settings.put(presence.STORAGE_SEEN + name, conditions.to_object(found))
        await measured.keep(catalog, Measured(name, seen_at, True, seen_at, used, free, days))


async def _raise_alerts(engine: Engine, home: Home, clock: Clock, seed: int) -> int:
    """What stands, as an evaluation finds it, found when it began; and what stood before."""
    now, dice = clock.now(), random.Random(f"{seed} alerts")  # noqa: S311 -- a demo
    expected = await engine.expectations()
    status = await engine.status(expected.sources)
    found = standing.evaluate(
        status.concerns, standing.Before(), AlertSettings(), now, lambda: names.new_id(dice.randbytes)
    )
    raised = [_since(each, now) for each in found.raised]
    async with Catalog.open(home.catalog, clock) as catalog:
        await catalog.alerts.apply([*raised, *_over(dice, now)], (), (), now - _DROPPED)
        known = next(each for each in raised if each.condition is Condition.STORAGE_LOW)
        await catalog.alerts.acknowledge(known.alert_id, "mira", "two more disks are ordered")
    return len(raised)


def _since(alert: Alert, now: datetime.datetime) -> Alert:
    since = now - datetime.timedelta(hours=_SINCE.get(alert.condition, 24.0))
    return dataclasses.replace(alert, raised_at=since, told_at=since if alert.is_risk else None)


def _over(dice: random.Random, now: datetime.datetime) -> list[Alert]:
    """Some that are over."""
    found = []
    for number in range(24):
        kept = dice.choice(roster.KEPT)
        raised = now - datetime.timedelta(days=5 + number * 13, hours=dice.uniform(0, 20))
        ended = raised + datetime.timedelta(hours=dice.uniform(1, 30))
        found.append(
            Alert(
                names.new_id(dice.randbytes), Condition.FAILED, f"source {kept.name}", True, "its last backup failed: the host did not answer",
                f"holdfast backup {kept.name}", raised, ended, ended, raised, host=kept.host,
            )
        )  # fmt: skip
    return found
