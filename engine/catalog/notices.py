"""Where people are told, and the outbox: what they are to be told, and to whom of them it was.

A notice is written once for each key. It is routed once: made into a message, and a delivery for each destination that wants it. A delivery
that is being sent is put off by a lease, in the transaction that takes it up: when the sender dies, it is due again, at once where somebody
sees that it is dead. So each message arrives at least once.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from engine.catalog.database import Database, Row, Transaction, Value, to_instant, to_microseconds, to_text
from engine.errors import CatalogDamagedError, UnknownNameError, UsageError
from engine.model.alerts import Delivery, Destination, Message, Occasion
from engine.model.names import check_name, nearest
from engine.process import ProcessIdentity

if TYPE_CHECKING:
    from engine.model.reports import ToldLine


class Destinations:
    """The destinations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Destination]:
        """All, by name."""
        return [_to_destination(row) for row in await self._database.fetch_all("list_destinations")]

    async def get(self, name: str) -> Destination:
        """The one of that name. Raises: UnknownNameError."""
        row = await self._database.fetch_one("get_destination", name=name)
        if row is None:
            raise _unknown(name, [each.name for each in await self.all()])
        return _to_destination(row)

    async def add(self, destination: Destination) -> None:
        """Adds one. Raises: UsageError where the name is taken or no name."""
        async with self._database.transaction() as transaction:
            if await transaction.fetch_one("get_destination", name=destination.name) is not None:
                raise UsageError(
                    f"there is a destination named {destination.name} already",
                    hint=f"`holdfast notify edit {destination.name}`",
                )
            await self.put_in(transaction, destination)

    async def replace(self, destination: Destination) -> None:
        """Puts this in place of the one of the same name. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            changed = await transaction.execute("replace_destination", **_destination_row(destination))
        if not changed:
            await self.get(destination.name)

    async def put_in(self, transaction: Transaction, definition: Destination) -> None:
        """Adds it, or puts it in place of the one of its name. Raises: UsageError for a wrong name."""
        if not await transaction.execute("replace_destination", **_destination_row(definition)):
            check_name("destination", definition.name)
            await transaction.execute("add_destination", **_destination_row(definition))

    async def remove(self, name: str) -> None:
        """Forgets one, with what it was still to be told. Raises: UnknownNameError; UsageError while a schedule names it."""
        async with self._database.transaction() as transaction:
            await self.remove_in(transaction, name)

    async def remove_in(self, transaction: Transaction, name: str) -> None:
        """See `remove`."""
        naming = await transaction.fetch_all("list_schedules_naming", destination=name)
        if naming:
            raise UsageError(
                f"schedule {naming[0][0]} names {name} to be told",
                hint=f"holdfast schedule edit {naming[0][0]} --unset notify, or name another one there",
            )
        await transaction.execute("remove_deliveries_to", name=name)
        if not await transaction.execute("remove_destination", name=name):
            raise _unknown(
                name,
                [_to_destination(row).name for row in await transaction.fetch_all("list_destinations")],
            )


@dataclass(frozen=True, slots=True)
class NewNotice:
    """Something to be told."""

    key: str
    """The same key twice is one notice."""
    message: Message
    job_id: str = ""
    destination: str = ""
    """To this one alone; empty: to whoever wants it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was not routed yet."""

    notice_id: int
    key: str
    at: datetime.datetime
    job_id: str
    message: Message | None
    """None where it is still to be made, from the job."""
    destination: str


@dataclass(frozen=True, slots=True)
class Routed:
    """A notice, what it says, and who gets it."""

    notice: Notice
    message: Message | None
    """None where there is nothing to say any more."""
    destinations: Sequence[str]


class Notices:
    """The outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, notices: Sequence[NewNotice]) -> None:
        """Adds what is to be told; nothing where nobody is told anything."""
        async with self._database.transaction() as transaction:
            await transaction.execute_many(
                "add_notice", [notice_row(each, self._database.now) for each in notices]
            )

    async def digested_at(self, name: str) -> datetime.datetime | None:
        """When it got its last digest."""
        row = await self._database.fetch_one("get_digested", name=name)
        return None if row is None or row[0] is None else to_instant(row[0])

    async def add_digest(self, notice: NewNotice, at: datetime.datetime) -> None:
        """Adds a digest, and says in the same transaction that its destination has one up to `at`."""
        async with self._database.transaction() as transaction:
            await transaction.execute("add_notice", **notice_row(notice, self._database.now))
            await transaction.execute("set_digested", name=notice.destination, at=to_microseconds(at))

    async def begin_digests(self, destination: str, at: datetime.datetime) -> None:
        """Says from when on the first digest tells."""
        async with self._database.transaction() as transaction:
            await transaction.execute("set_digested", name=destination, at=to_microseconds(at))

    async def unrouted(self, limit: int) -> list[Notice]:
        """The oldest that were not routed yet."""
        return [
            Notice(notice_id, key, to_instant(at), job_id, _to_message(message), destination)
            for notice_id, key, at, job_id, message, destination in await self._database.fetch_all(
                "list_unrouted", limit=limit
            )
        ]

    async def told_of_job(self, job_id: str) -> dict[str, Occasion]:
        """The destinations that got a job's end to tell, and as what."""
        rows = await self._database.fetch_all("destinations_of_notice", notice_key=f"job:{job_id}:ended")
        return {destination: Occasion(occasion) for destination, occasion in rows}

    async def route(self, routed: Sequence[Routed]) -> None:
        """Gives notices to their destinations, in one transaction. Twice is once."""
        now = self._database.now
        async with self._database.transaction() as transaction:
            for each in routed:
                notice_id = each.notice.notice_id
                text = _text(each.message) if each.message else "{}"
                if await transaction.execute("route_notice", notice_id=notice_id, message=text):
                    rows: list[Mapping[str, Value]] = [
                        {"notice_id": notice_id, "destination": name, "next_at": now}
                        for name in each.destinations
                    ]
                    await transaction.execute_many("add_delivery", rows)

    async def take_due(
        self, destination: str, limit: int, lease_s: float, owner: ProcessIdentity
    ) -> list[Delivery]:
        """What is due for that destination, oldest first; no other process takes it up before the lease ends, or the owner's deliveries are released."""
        now = self._database.now
        # Mostly there is nothing, and then nothing is written.
        if not await self._database.fetch_all(
            "list_due_deliveries", destination=destination, now=now, limit=1
        ):
            return []
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all(
                "list_due_deliveries", destination=destination, now=now, limit=limit
            )
            until = now + int(lease_s * 1_000_000)
            await transaction.execute_many(
                "set_delivery",
                [
                    _delivery(row[0], destination, "waiting", next_at=until, taken_by=str(owner))
                    for row in rows
                ],
            )
        found = []
        for notice_id, text, at, attempts in rows:
            message = _to_message(text)
            assert message is not None
            found.append(Delivery(notice_id, destination, message, to_instant(at), attempts))
        return found

    async def holders(self) -> list[str]:
        """The processes that are sending something, or were when they were last heard of; see `ProcessIdentity.parse`."""
        return [row[0] for row in await self._database.fetch_all("list_delivery_holders")]

    async def release(self, holder: str) -> None:
        """What that process was sending is due now: it is dead."""
        async with self._database.transaction() as transaction:
            await transaction.execute("release_deliveries", taken_by=holder, now=self._database.now)

    async def put_back(
        self,
        deliveries: Sequence[Delivery],
        next_at: datetime.datetime,
        error: str | None = None,
        *,
        is_final: bool = False,
    ) -> None:
        """They were not sent: due again at that time, or never. With an error that was an attempt; without one they were not tried."""
        at = to_microseconds(next_at)
        state = "failed" if is_final else "waiting"
        attempts = 0 if error is None else 1
        await self._set(
            [
                _delivery(each.notice_id, each.destination, state, next_at=at, attempts=attempts, error=error)
                for each in deliveries
            ]
        )

    async def sent(self, deliveries: Sequence[Delivery]) -> None:
        """They arrived, in one message."""
        now = self._database.now
        await self._set(
            [
                _delivery(each.notice_id, each.destination, "sent", next_at=now, sent_at=now, error="")
                for each in deliveries
            ]
        )

    async def sent_since(
        self, destination: str, since: datetime.datetime
    ) -> tuple[int, datetime.datetime | None]:
        """How many messages arrived there since, and when the first of them did."""
        row = await self._database.fetch_one(
            "count_sent", destination=destination, since=to_microseconds(since)
        )
        return (0, None) if not row or row[1] is None else (row[0], to_instant(row[1]))

    async def waiting(self) -> int:
        """How many notices are still to be told."""
        row = await self._database.fetch_one("count_waiting_deliveries")
        return row[0] if row else 0

    async def last(self) -> dict[str, tuple[str, int, str, datetime.datetime]]:
        """Of each destination what became of its newest delivery: state, attempts, error, when."""
        return {
            name: (state, attempts, error, to_instant(at))
            for name, state, attempts, error, at in await self._database.fetch_all("last_deliveries")
        }

    async def told(self, since: datetime.datetime, until: datetime.datetime) -> list[ToldLine]:
        """Who was told of what came up in that time, and whether it arrived; oldest first. Messages of long ago are forgotten."""
        from engine.model.reports import ToldLine  # with all else that reports tell

        rows = await self._database.fetch_all(
            "list_told", since=to_microseconds(since), until=to_microseconds(until)
        )
        found = []
        for at, destination, state, text in rows:
            message = _to_message(text)
            if message is not None:
                subject = message.facts.get("subject", "")
                found.append(ToldLine(to_instant(at), destination, subject, message.title, state == "sent"))
        return found

    async def purge(self, before: datetime.datetime, routine_before: datetime.datetime) -> None:
        """Forgets what was told before the first instant; that a job began, or ended well, before the second, which is later."""
        async with self._database.transaction() as transaction:
            await transaction.execute(
                "purge_notices",
                before=to_microseconds(before),
                routine_before=to_microseconds(routine_before),
            )

    async def _set(self, rows: Sequence[dict[str, Value]]) -> None:
        async with self._database.transaction() as transaction:
            await transaction.execute_many("set_delivery", rows)


def _destination_row(destination: Destination) -> dict[str, Value]:
    return {
        "name": destination.name,
        "kind": destination.kind,
        "definition": msgspec.json.encode(destination).decode(),
    }


def _unknown(name: str, known: Sequence[str]) -> UnknownNameError:
    near = nearest(name, known)
    return UnknownNameError(
        f"nobody is told as {name}",
        hint=f"did you mean {near}?" if near else "`holdfast notify list` names them all",
    )


def notice_row(notice: NewNotice, now: int) -> dict[str, Value]:
    """The row of the query `add_notice`."""
    return {
        "notice_key": notice.key,
        "at": now,
        "job_id": notice.job_id,
        "message": _text(notice.message),
        "destination": notice.destination,
    }


def _delivery(  # noqa: PLR0913 -- the columns of a row
    notice_id: int,
    destination: str,
    state: str,
    *,
    next_at: int,
    attempts: int = 0,
    sent_at: int | None = None,
    error: str | None = None,
    taken_by: str = "",
) -> dict[str, Value]:
    return {
        "notice_id": notice_id,
        "destination": destination,
        "state": state,
        "attempts": attempts,
        "next_at": next_at,
        "sent_at": sent_at,
        "error": None if error is None else to_text(error),
        "taken_by": taken_by,
    }


def _text(message: Message) -> str:
    return to_text(msgspec.json.encode(_encodable(message)).decode())


def _encodable(message: Message) -> Message:
    """What is no Unicode, part of a file's name maybe, as a visible escape."""
    return Message(
        message.occasion,
        message.tone,
        to_text(message.title),
        to_text(message.body),
        {name: to_text(value) for name, value in message.facts.items()},
    )


def _to_message(text: str) -> Message | None:
    return None if text == "{}" else msgspec.json.decode(text, type=Message)


def _to_destination(row: Row) -> Destination:
    """Raises: CatalogDamagedError."""
    try:
        return msgspec.json.decode(row[0], type=Destination)
    except msgspec.MsgspecError as error:
        raise CatalogDamagedError(
            f"the catalog holds a destination that cannot be understood: {error}"
        ) from error
