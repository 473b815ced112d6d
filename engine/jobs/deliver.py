"""Delivery: the outbox to the people. Called by a worker and by `tick` again and again, and by `notify flush`; never by a job.

One that dies meanwhile loses nothing: a message that was being sent is due again as soon as the next one sees that its sender is dead, and when
its lease ends where that cannot be seen. Two at once share the work.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.alerting import telling, templates
from engine.catalog.catalog import Catalog
from engine.catalog.notices import NewNotice, Notice, Routed
from engine.clock import Clock
from engine.errors import HoldfastError, UnknownNameError
from engine.jobs import left_behind, named
from engine.model.alerts import (
    AlertSettings,
    Delivered,
    Delivery,
    Destination,
    MaintenanceWindow,
    Message,
    Silence,
)
from engine.model.secret import Secret
from engine.notifications import registry
from engine.notifications.base import TIMEOUT_S, Notifier, Opening, Traits
from engine.process import ProcessIdentity
from engine.schedule import maintenance
from engine.scope import task_scope

_log = logging.getLogger("holdfast.notifications")

_ROUTED_AT_ONCE: Final = 500
_DUE_AT_ONCE: Final = 500
_PINGS_AT_ONCE: Final = 20
_AT_ONCE: Final = 4
"""Destinations that are told at the same time: each is a process of 50 MiB for a second."""
_KEPT: Final = datetime.timedelta(days=400)
"""So long it is remembered who was told that something is wrong, or is over: a report may cover a year."""
_ROUTINE_KEPT: Final = datetime.timedelta(days=30)
"""And so long that a job began or ended well: of these there may be thousands a day."""
_HOUR: Final = datetime.timedelta(hours=1)

Resolve = Callable[[str], Awaitable[Secret]]


@dataclass(frozen=True, slots=True)
class Post:
    """What delivery works with."""

    catalog: Catalog
    clock: Clock
    secrets: Resolve
    settings: AlertSettings = field(default_factory=AlertSettings)
    timeout_s: float = TIMEOUT_S
    """Of one message."""


async def deliver(post: Post) -> Delivered:
    """Routes what is new, makes digests that are due, and sends what is due, each destination by itself.

    Whatever a destination does, the others get theirs; it ends after one message's time-out for each message of the slowest.
    Raises: CatalogError.
    """
    destinations = await post.catalog.destinations.all()
    for each in destinations:
        await _digest(post, each)
    await route(post)
    await _release_left_behind(post)
    turn = asyncio.Semaphore(_AT_ONCE)
    counts: list[int] = []
    failed: list[str] = []

    async def send_to(destination: Destination) -> None:
        async with turn:
            sent, why = await _send_due(post, destination)
            while sent and not why:
                counts.append(sent)
                sent, why = await _send_due(post, destination)
        counts.append(sent)
        failed.extend(why)

    async with task_scope() as group:
        for each in destinations:
            if each.is_enabled:
                group.create_task(send_to(each))
    if counts and any(counts):
        now = post.clock.now()
        await post.catalog.notices.purge(now - _KEPT, now - _ROUTINE_KEPT)
    return Delivered(sum(counts), sorted(failed), await post.catalog.notices.waiting())


async def open_destination(post: Post, destination: Destination, address: Secret | None = None) -> Notifier:
    """The notifier of a destination; `address` is that of one whose own is not sealed yet. Raises: UnknownNameError for its kind, VaultError for its address."""
    references = {
        "url": destination.url,
        "start_url": destination.start_url,
        "fail_url": destination.fail_url,
    }
    urls = {} if address is None else {"url": address}
    for name, reference in references.items():
        if reference and name not in urls:
            urls[name] = await post.secrets(reference)
    return registry.open_notifier(destination.kind, Opening(urls, post.timeout_s))


def traits_of(kind: str) -> Traits:
    """What a kind is like; one that is not there any more tells nothing."""
    try:
        return registry.load(kind).traits
    except UnknownNameError:
        return Traits((), is_signal=False)


async def route(post: Post) -> None:
    """Makes messages of what is new in the outbox, and gives them to those who want them. Raises: CatalogError."""
    found = await post.catalog.notices.unrouted(_ROUTED_AT_ONCE)
    if not found:
        return
    destinations = await post.catalog.destinations.all()
    silences, windows = await post.catalog.silences.all(), await post.catalog.windows.all()
    hosts = {each.name: each.host for each in await post.catalog.sources.all()}
    router = _Router(post, destinations, silences, windows, await named.read(post.catalog))
    while found:
        routed: list[Routed] = []
        for notice in found:
            if routed and notice.job_id and not notice.key.startswith("job:"):
                await post.catalog.notices.route(routed)  # who was told of that job is looked up there
                routed = []
            message = notice.message or await _of_job(post, notice, hosts)
            wanted = await router.wanted(notice, message) if message else []
            routed.append(Routed(notice, message, wanted))
        await post.catalog.notices.route(routed)
        found = await post.catalog.notices.unrouted(_ROUTED_AT_ONCE)


async def _of_job(post: Post, notice: Notice, hosts: Mapping[str, str]) -> Message | None:
    """None where the job is forgotten already."""
    try:
        job = await post.catalog.jobs.get(notice.job_id)
    except UnknownNameError:
        return None
    return telling.of_job(telling.JobFacts(job, hosts, is_begin=notice.key.endswith(":began")))


@dataclass(frozen=True, slots=True)
class _Router:
    """Who gets what."""

    post: Post
    destinations: Sequence[Destination]
    silences: Sequence[Silence]
    windows: Sequence[MaintenanceWindow]
    named: named.Named

    async def wanted(self, notice: Notice, message: Message) -> list[str]:
        """The destinations of a notice. Raises: CatalogError."""
        if notice.destination:
            return [notice.destination]
        destinations, is_of_job = self.destinations, notice.key.startswith("job:")
        silences = maintenance.holding(self.silences, self.windows, notice.at) if is_of_job else ()
        if is_of_job and telling.is_silenced(message, silences, notice.at):
            # A switch that was told of the start is told of the end: it would call people otherwise.
            destinations = [each for each in destinations if traits_of(each.kind).is_signal]
        if notice.job_id and not is_of_job:
            told = await self.post.catalog.notices.told_of_job(notice.job_id)
            destinations = [each for each in destinations if telling.hears(each.name, message, told)]
        by_schedules = self.named.of(message)
        return [
            each.name
            for each in destinations
            if telling.is_wanted(
                message, each, traits_of(each.kind).occasions, is_named=each.name in by_schedules
            )
        ]


async def _digest(post: Post, destination: Destination) -> None:
    """Writes the digest of a destination where one is due. Of what was before it was defined, none tells."""
    if not destination.digest_at or not destination.is_enabled:
        return
    now = post.clock.now()
    last = await post.catalog.notices.digested_at(destination.name)
    if last is None:
        await post.catalog.notices.begin_digests(destination.name, now)
        return
    due = telling.digest_due(destination.digest_at, last, now, post.clock.local_offset(now))
    if due is None:
        return
    jobs = await post.catalog.jobs.ended_since(last)
    message = telling.digest(await post.catalog.alerts.standing(), jobs, last, now)
    key = f"digest:{destination.name}:{due.isoformat()}"
    await post.catalog.notices.add_digest(NewNotice(key, message, destination=destination.name), now)


async def _release_left_behind(post: Post) -> None:
    """What a process was sending that is proved dead is due at once."""
    for holder in await post.catalog.notices.holders():
        if left_behind.death_of(holder):
            await post.catalog.notices.release(holder)


async def _send_due(post: Post, destination: Destination) -> tuple[int, Sequence[str]]:
    """Sends what is due; how many messages arrived, and what went wrong."""
    is_signal = traits_of(destination.kind).is_signal
    limit = _PINGS_AT_ONCE if is_signal else _DUE_AT_ONCE
    parcels_at_most = limit if is_signal else telling.BURST
    # The lease outlives all that is sent under it: what one process sends no other takes up meanwhile.
    lease_s = post.timeout_s * (parcels_at_most + 1)
    due = await post.catalog.notices.take_due(destination.name, limit, lease_s, ProcessIdentity.current())
    if not due:
        return 0, ()
    now = post.clock.now()
    sent = telling.Sent(*await post.catalog.notices.sent_since(destination.name, now - _HOUR))
    parcels, until = telling.parcels(due, sent, post.settings, now, is_signal=is_signal)
    if until is not None:
        await post.catalog.notices.put_back(due, until)
        return 0, ()
    try:
        return await _send(post, destination, parcels)
    except BaseException:
        # What was not sent yet is due at once, for whoever comes next; what was sent is so, and stays so.
        await asyncio.shield(post.catalog.notices.put_back(due, post.clock.now()))
        raise


async def _send(
    post: Post, destination: Destination, parcels: Sequence[telling.Parcel]
) -> tuple[int, Sequence[str]]:
    """After one failure the rest waits as well: a server that hangs costs one time-out."""
    count = 0
    for number, parcel in enumerate(parcels):
        try:
            notifier = await open_destination(post, destination)
            await notifier.send(templates.apply(destination.template, parcel.message))
        except HoldfastError as error:
            await _put_off(post, parcels[number:], error.message)
            _log.warning("destination %s: %s", destination.name, error.message)
            return count, [f"{destination.name}: {error.message}"]
        await post.catalog.notices.sent(parcel.deliveries)
        count += 1
    return count, ()


async def _put_off(post: Post, parcels: Sequence[telling.Parcel], why: str) -> None:
    now = post.clock.now()
    by_attempts: dict[int, list[Delivery]] = {}
    for each in (each for parcel in parcels for each in parcel.deliveries):
        by_attempts.setdefault(each.attempts + 1, []).append(each)
    for attempts, deliveries in by_attempts.items():
        is_final = attempts >= telling.MOST_ATTEMPTS
        next_at = telling.next_try(now, attempts)
        await post.catalog.notices.put_back(deliveries, next_at, why, is_final=is_final)
