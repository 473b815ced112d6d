"""Alerts, and where people are told of them and of jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.alerting import templates
from engine.errors import UnknownNameError, UsageError
from engine.model.alerts import (
    Delivered,
    Destination,
    DestinationStatus,
    Message,
    Occasion,
    Tone,
)
from engine.model.names import check_name
from engine.service.parts import Methods

if TYPE_CHECKING:
    from engine.jobs.deliver import Post

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


class AlertMethods(Methods):
    """What is wrong, and who is told."""

    async def add_destination(
        self, destination: Destination, *, is_address_given: bool = False
    ) -> Destination:
        """Defines where people are told; its address is looked at, and nothing is sent. Gives it back with what may be shown of the address.

        Where it `is_address_given`, the address is read from standard input, and sealed as the secret that `destination.url` names.

        Raises: UsageError, UnknownNameError for its kind, ConfigurationError for its address or template, VaultError.
        """
        check_name("destination", destination.name)
        if destination.template:
            templates.check(destination.template)
        if destination.digest_at and not _TIME_OF_DAY.fullmatch(destination.digest_at):
            raise UsageError(f"{destination.digest_at!r} is no time of day", hint="say 08:00")
        from engine.jobs import deliver

        given = await self._parts.secrets("-") if is_address_given else None
        notifier = await deliver.open_destination(self._post(), destination, given)
        if notifier.traits.is_signal and (destination.digest_at or destination.template):
            raise UsageError(f"a {destination.kind} is read by a machine: it has no digest and no template")
        defined = dataclasses.replace(destination, shown=await notifier.describe())
        await self._parts.catalog.destinations.add(defined)
        if given is not None:
            await self._parts.vault.set(secret_name(defined.name), given)
        await self._parts.write_down("notify add", defined.name)
        return defined

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
        """Forgets it, with what it was still to be told, and its address where that was sealed for it. Raises: UnknownNameError."""
        await self._parts.catalog.destinations.remove(name)
        with contextlib.suppress(UnknownNameError):
            await self._parts.vault.remove(secret_name(name))
        await self._parts.write_down("notify remove", name)

    async def flush_notices(self) -> Delivered:
        """Sends what waits in the outbox and is due. What is not taken waits on. Raises: CatalogError."""
        from engine.jobs import deliver

        return await deliver.deliver(self._post())

    def _post(self) -> Post:
        from engine.jobs.deliver import Post  # loaded by the verbs that tell somebody something

        parts = self._parts
        return Post(parts.catalog, parts.clock, parts.secrets, parts.settings.alerts)


def secret_name(name: str) -> str:
    """What the vault calls the address of a destination that was typed."""
    return f"notify.{name}"
