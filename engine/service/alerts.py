"""Alerts, and where people are told of them and of jobs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from engine.alerting import destinations, scope, standing, templates
from engine.catalog.logs import NEWS
from engine.catalog.notices import NewNotice
from engine.errors import HoldfastError, UnknownNameError, UsageError
from engine.model.alerts import (
    Alert,
    AlertRound,
    Alerts,
    Delivered,
    Destination,
    DestinationStatus,
    MaintenanceWindow,
    Message,
    Occasion,
    Silence,
    Tone,
)
from engine.model.definitions import LOCAL_HOST
from engine.model.names import check_name, nearest, new_id
from engine.model.secret import Secret
from engine.model.spans import span
from engine.schedule import maintenance
from engine.service import facts
from engine.service.parts import Methods, Parts

if TYPE_CHECKING:
    from engine.jobs.deliver import Post

_EVALUATED: Final = "alerts-evaluated"
"""The setting that holds when everything was last looked at."""
_log = logging.getLogger("holdfast.alerts")

_TEND_S: Final = 10.0
_LAST_S: Final = 45.0
"""So long a worker that ends tries to tell what its last jobs left; a server that hangs is given 30 s."""
"""Between two looks at whether anything is to be told."""
_LOOKED: Final = "storages-looked-at"
_LOOK_EVERY: Final = datetime.timedelta(hours=1)
_EVALUATE_EVERY: Final = datetime.timedelta(minutes=5)
"""It costs half a second of a processor where there are 2,000 sources."""
_SOON: Final = datetime.timedelta(seconds=30)
_KEPT: Final = datetime.timedelta(days=400)
"""So long it is remembered that an alert stood: a report may cover a year."""


class AlertMethods(Methods):
    """What is wrong, and who is told."""

    async def add_destination(
        self, destination: Destination, *, is_address_given: bool = False, address: Secret | None = None
    ) -> Destination:
        """Defines where people are told; its address is looked at, and nothing is sent. Gives it back with what may be shown of the address.

        Where it `is_address_given`, the address is read from standard input, and sealed as the secret that `destination.url` names; so is
        `address`, what a person typed.

        Raises: UsageError, UnknownNameError for its kind, ConfigurationError for its address or template, VaultError.
        """
        check_name("destination", destination.name)
        given = await self._given(address, is_address_given=is_address_given)
        defined = await self._addressed(destination, given)
        await self._parts.catalog.destinations.add(defined)
        if given is not None:
            await self._parts.vault.set(secret_name(defined.name), given)
        await self._parts.write_down("notify add", defined.name)
        return defined

    async def edit_destination(
        self, destination: Destination, *, is_address_given: bool = False, address: Secret | None = None
    ) -> Destination:
        """Puts this in place of the one of its name, as `add_destination` defines one; what it was still to be told goes there.

        Raises: UnknownNameError, and as `add_destination`: then nothing is changed.
        """
        old = await self._parts.catalog.destinations.get(destination.name)
        given = await self._given(address, is_address_given=is_address_given)
        if given is not None or destinations.addresses(old) != destinations.addresses(destination):
            defined = await self._addressed(destination, given)
        else:
            await self._check_destination(destination)
            defined = destination
        if given is not None:
            await self._parts.vault.set(secret_name(defined.name), given)
        await self._parts.catalog.destinations.replace(defined)
        if given is None and defined.url != old.url:
            await forget_address(self._parts, defined.name)
        await self._parts.write_down("notify edit", defined.name)
        return defined

    async def _check_destination(self, destination: Destination) -> None:
        from engine.notifications import registry

        destinations.check(destination, is_signal=registry.load(destination.kind).traits.is_signal)

    async def _given(self, address: Secret | None, *, is_address_given: bool) -> Secret | None:
        return await self._parts.secrets("-") if address is None and is_address_given else address

    async def _addressed(self, destination: Destination, given: Secret | None) -> Destination:
        """The destination with what may be shown of its address, which is `given` where it was typed. Raises: see `add_destination`."""
        from engine.jobs import deliver

        await self._check_destination(destination)
        if destination.url == "-" and given is None:
            raise UsageError(
                "an address that is needed again and again is not read from standard input",
                hint="seal it first: holdfast vault set NAME, and name it as vault:NAME",
            )
        notifier = await deliver.open_destination(self._post(), destination, given)
        return dataclasses.replace(destination, shown=await notifier.describe())

    async def try_destination(self, destination: Destination, address: Secret | None = None) -> Destination:
        """The destination with what may be shown of its address; nothing is sent, nothing is kept. Raises: as `add_destination`."""
        return await self._addressed(destination, address)

    async def destinations(self) -> Sequence[DestinationStatus]:
        """All places where people are told, with what became of the newest message."""
        last = await self._parts.catalog.notices.last()
        found = []
        for each in await self._parts.catalog.destinations.all():
            state, _, error, at = last.get(each.name, ("", 0, "", None))
            found.append(DestinationStatus(each, state, at, error))
        return found

    async def show_destination(self, name: str) -> Destination:
        """One of them. Raises: UnknownNameError."""
        return await self._parts.catalog.destinations.get(name)

    async def test_destination(self, name: str) -> Destination:
        """Sends a message there at once. Raises: UnknownNameError, VaultError; NotificationError where it is not taken."""
        from engine.jobs import deliver

        destination = await self._parts.catalog.destinations.get(name)
        at = self._parts.clock.now()
        message = Message(
            Occasion.TEST,
            Tone.INFO,
            "holdfast: a test",
            f"Messages of this home arrive here, as {name}.",
            {"reason": "a person asked for it", "at": at.isoformat()},
        )
        notifier = await deliver.open_destination(self._post(), destination)
        await notifier.send(templates.apply(destination.template, message))
        await self._parts.write_down("notify test", name)
        return destination

    async def remove_destination(self, name: str) -> None:
        """Forgets it, with what it was still to be told, and its address where that was sealed for it.

        Raises: UnknownNameError; UsageError while a schedule names it.
        """
        await self._parts.catalog.destinations.remove(name)
        await forget_address(self._parts, name)
        await self._parts.write_down("notify remove", name)

    async def evaluate_alerts(
        self, expectations: facts.Expectations | None = None, *, is_worker_wanted: bool = False
    ) -> AlertRound:
        """Looks at all that is known, and writes down what is raised and what is over, with what people are to be told of it.

        Connects to nothing: `look_at_storages` does, less often. What schedules want comes in as `expectations`, and whether anything is
        to run by itself. Raises: CatalogError: then nothing is written.
        """
        from engine.jobs import deliver

        parts = self._parts
        post = self._post()
        await deliver.route(post)  # who was told of a job's failure is not told again by its alert
        now = parts.clock.now()
        everything = await facts.gather(parts, expectations, is_worker_wanted=is_worker_wanted)
        before = standing.Before(
            await parts.catalog.alerts.standing(),
            await facts.silences_at(parts, now),
            await parts.catalog.alerts.last_told(
                now - datetime.timedelta(minutes=parts.settings.alerts.quiet_minutes)
            ),
            {job.job_id for job in await parts.catalog.jobs.running()},
        )
        found = standing.evaluate(
            everything.concerns(parts), before, parts.settings.alerts, now, lambda: new_id(os.urandom)
        )
        notices = [NewNotice(each.key, each.message, each.job_id) for each in found.tellings]
        notices += await self._heartbeat(found.standing, now)
        await parts.catalog.alerts.apply(found.raised, found.changed, notices, now - _KEPT)
        await parts.catalog.jobs.forget_logs(now)
        await parts.catalog.settings.put(_EVALUATED, now.isoformat(), is_lasting=False)
        return AlertRound(now, found.raised, found.recovered, found.standing)

    async def _heartbeat(self, alerts: Sequence[Alert], now: datetime.datetime) -> list[NewNotice]:
        known = await self._parts.catalog.destinations.all()
        wanting = [each for each in known if each.is_enabled and Occasion.HEARTBEAT in each.occasions]
        if not wanting:
            return []
        risks = sum(1 for each in alerts if each.is_risk)
        title = f"holdfast is alive: {risks} at risk"
        message = Message(Occasion.HEARTBEAT, Tone.INFO, title, "", {"at": now.isoformat(), "reason": title})
        return [
            NewNotice(f"heartbeat:{now:%Y%m%dT%H%M}:{each.name}", message, destination=each.name)
            for each in wanting
        ]

    async def alerts(self, *, is_past_included: bool = False, limit: int = 200) -> Alerts:
        """What stands, oldest first; or the newest `limit`, also those that are over, newest first."""
        parts = self._parts
        now = parts.clock.now()
        evaluated = await parts.catalog.settings.get(_EVALUATED)
        if is_past_included:
            found = await parts.catalog.alerts.newest(limit)
        else:
            found = await facts.standing_alerts(parts, now)
        at = datetime.datetime.fromisoformat(evaluated) if evaluated else None
        windows = [(each, maintenance.upcoming(each, now)) for each in await parts.catalog.windows.all()]
        return Alerts(at, found, await parts.catalog.silences.all(), windows)

    async def acknowledge_alert(self, alert: str, note: str = "") -> Alert:
        """Says that this person sees to it: it is told no more while it stands. Raises: UnknownNameError, UsageError where it is over."""
        found = await self._parts.catalog.alerts.acknowledge(alert, self._parts.actor.user, note)
        await self._parts.write_down(
            "alerts acknowledge", found.subject, detail=f"{found.condition.value}: {note}"
        )
        return found

    async def silence(
        self,
        subject: str,
        ends_at: datetime.datetime,
        reason: str,
        *,
        begins_at: datetime.datetime | None = None,
        condition: str = "",
    ) -> Silence:
        """Tells nobody of these subjects until then: from now on, or in a maintenance window to come. `subject` is a pattern.

        Raises: UsageError where it would never hold, has no reason, or names no condition.
        """
        now = self._parts.clock.now()
        begins = begins_at or now
        if ends_at <= max(begins, now):
            raise UsageError("a silence ends after it begins, and after now", hint="--until 2h")
        scope.check(subject, condition, reason)
        await self._require_subject(subject)
        made = Silence(
            new_id(os.urandom), subject, condition, begins, ends_at, reason, self._parts.actor.user
        )
        await self._parts.catalog.silences.add(made)
        await self._parts.write_down(
            "alerts silence",
            subject,
            detail=f"from {begins.isoformat()} until {ends_at.isoformat()}: {reason}",
        )
        return made

    async def _require_subject(self, subject: str) -> None:
        """Raises: UnknownNameError where it names what there is not; a pattern may be of what comes later."""
        noun, _, name = subject.partition(" ")
        catalog = self._parts.catalog
        tables: Mapping[str, Any] = {
            "source": catalog.sources,
            "host": catalog.hosts,
            "storage": catalog.storages,
            "destination": catalog.destinations,
        }
        if noun not in tables or any(each in name for each in "*?["):
            return
        names = [each.name for each in await tables[noun].all()]
        if name not in names and not (noun == "host" and name == LOCAL_HOST):
            near = nearest(name, names)
            raise UnknownNameError(
                f"there is no {noun} named {name} to be silent of",
                hint=f"did you mean {near}?"
                if near
                else f"a pattern, as '{noun} {name}*', may be of what comes later",
            )

    async def add_window(self, window: MaintenanceWindow) -> MaintenanceWindow:
        """Defines a maintenance window that comes again: while it holds, nobody is told of its subjects.

        Raises: UsageError where its name is taken, where it would never hold or never be over, has no reason, or names no condition.
        """
        scope.check(window.subject, window.condition, window.reason)
        await self._require_subject(window.subject)
        now = self._parts.clock.now()
        maintenance.check(window, now)
        if window.ends_at is not None and window.ends_at <= now:
            raise UsageError("a window ends after now", hint="--until 2026-12-31, or leave it out")
        made = dataclasses.replace(window, made_by=self._parts.actor.user)
        await self._parts.catalog.windows.add(made)
        await self._parts.write_down(
            "alerts silence",
            made.subject,
            detail=f"window {made.name}: {made.every}, for {span(made.duration_s)}: {made.reason}",
        )
        return made

    async def unsilence(self, silence: str) -> Silence | MaintenanceWindow:
        """Ends a silence now, by the beginning of its id, or a maintenance window for good, by its name. Raises: UnknownNameError, UsageError."""
        names = {each.name for each in await self._parts.catalog.windows.all()}
        ended = (
            await self._parts.catalog.windows.remove(silence)
            if silence in names
            else await self._parts.catalog.silences.end(silence)
        )
        await self._parts.write_down("alerts unsilence", ended.subject)
        return ended

    async def look_at_storages(self) -> Sequence[str]:
        """Opens every storage that is switched on, and writes down what room it has, who locks it, and whether it answers; the names of those
        that do not. What it finds is judged by the next evaluation."""
        from engine.service import looking

        return await looking.look_at_storages(self._parts)

    async def look_at_hosts(self, *, is_all: bool = False) -> Sequence[str]:
        """Connects to hosts that could not be reached, some of them where they are many, or to all that have sources; writes down whether they
        are reached, and gives the names of those that are not. What it finds is judged by the next evaluation."""
        from engine.service import looking

        return await looking.look_at_hosts(self._parts, is_all=is_all)

    async def tend_alerts(self, *, is_looking: bool = True) -> Delivered:
        """What a worker and `tick` call again and again, in a task of its own: looks at the storages, and at hosts that were silent, each hour, evaluates every five minutes, and
        soon after a job ended where somebody wants to hear of it, and delivers what is due.

        Cheap while nothing is to be done; when it was done last is in the catalog, so that whoever calls it need not know. It may take as
        long as a storage or a mail server does, and may be cancelled at any point: nothing is lost. Without `is_looking` it connects to no host
        and no storage. Raises: CatalogError.
        """
        now = self._parts.clock.now()
        if is_looking and await self._is_past(_LOOKED, now, _LOOK_EVERY):
            await self._parts.catalog.settings.put(_LOOKED, now.isoformat(), is_lasting=False)
            await self.look_at_storages()
            await self.look_at_hosts()
        is_news = bool(await self._parts.catalog.notices.unrouted(1)) or await self._is_log_news()
        if await self._is_past(_EVALUATED, now, _SOON if is_news else _EVALUATE_EVERY):
            from engine.jobs import expectations

            wanted = await expectations.expected(self._parts.catalog, now)
            await self.evaluate_alerts(wanted.sources, is_worker_wanted=wanted.is_worker_wanted)
        return await self.flush_notices()

    async def _is_log_news(self) -> bool:
        """Whether something of a log went wrong, or well again, since everything was last looked at."""
        settings = self._parts.catalog.settings
        news, evaluated = await settings.get(NEWS), await settings.get(_EVALUATED)
        return bool(news and evaluated) and datetime.datetime.fromisoformat(
            news
        ) >= datetime.datetime.fromisoformat(evaluated)

    async def keep_tending(self) -> NoReturn:
        """Calls `tend_alerts` for as long as it is let: what a worker runs beside its jobs, and cancels at its end. A catalog that takes nothing
        for a while ends it as little as a server that hangs."""
        while True:
            try:
                await self.tend_alerts(is_looking=self._parts.settings.worker.schedules)
            except HoldfastError as error:
                _log.warning("alerts could not be tended: %s", error.message)
            except Exception:  # noqa: BLE001 -- what nobody thought of ends no jobs
                _log.exception("alerts could not be tended")
            await asyncio.sleep(_TEND_S)

    async def tell_the_last(self) -> None:
        """What a worker's last jobs left to tell, before it ends: tried for a moment; what is not taken waits for the next worker."""
        try:
            async with asyncio.timeout(_LAST_S):
                await self.flush_notices()
        except (TimeoutError, HoldfastError) as error:
            _log.warning("the last messages wait: %s", error)

    async def hand_over_notices(self) -> None:
        """Starts a worker that tells what a job of this process left to tell, where none lives: the person who waits for the job waits for no mail
        server."""
        notices = self._parts.catalog.notices
        try:
            if await notices.unrouted(1) or await notices.waiting():
                await self.require_worker()
        except HoldfastError as error:
            _log.warning("messages wait for a worker: %s", error.message)

    async def _is_past(self, setting: str, now: datetime.datetime, span: datetime.timedelta) -> bool:
        """Whether it was done so long ago; or in a time to come, by a clock that was set back since."""
        last = await self._parts.catalog.settings.get(setting)
        return last is None or not datetime.timedelta() <= now - datetime.datetime.fromisoformat(last) < span

    async def flush_notices(self) -> Delivered:
        """Sends what waits in the outbox and is due. What is not taken waits on. Raises: CatalogError."""
        from engine.jobs import deliver

        return await deliver.deliver(self._post())

    def _post(self) -> Post:
        return post_of(self._parts)


def post_of(parts: Parts) -> Post:
    """What delivery works with."""
    from engine.jobs.deliver import Post  # loaded by the verbs that tell somebody something

    return Post(parts.catalog, parts.clock, parts.secrets, parts.settings.alerts)


async def forget_address(parts: Parts, name: str) -> None:
    """Forgets the address that was sealed for a destination, unless one that is still defined names it. Idempotent."""
    reference = f"vault:{secret_name(name)}"
    known = await parts.catalog.destinations.all()
    if any(reference in destinations.addresses(each) for each in known):
        return
    with contextlib.suppress(UnknownNameError):
        await parts.vault.remove(secret_name(name))


def secret_name(name: str) -> str:
    """What the vault calls the address of a destination that was typed."""
    return f"notify.{name}"
