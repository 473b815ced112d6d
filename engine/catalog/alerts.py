"""Alerts that stand and stood, and silences."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec

from engine.catalog.database import (
    Database,
    Row,
    Transaction,
    Value,
    to_instant,
    to_microseconds,
    to_optional_instant,
    to_optional_microseconds,
    to_text,
)
from engine.catalog.notices import NewNotice, notice_row
from engine.errors import CatalogDamagedError, UnknownNameError, UsageError
from engine.model.alerts import Alert, Condition, MaintenanceWindow, Silence
from engine.model.names import check_name, is_id_prefix

_LIST = "`holdfast alerts list` shows what stands"


class Alerts:
    """The alerts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self) -> list[Alert]:
        """Those that stand, oldest first."""
        return [_to_alert(row) for row in await self._database.fetch_all("list_standing_alerts")]

    async def newest(self, limit: int) -> list[Alert]:
        """The newest, also those that are over; newest first."""
        return [_to_alert(row) for row in await self._database.fetch_all("list_alerts", limit=limit)]

    async def last_told(self, since: datetime.datetime) -> dict[tuple[Condition, str], datetime.datetime]:
        """When each condition of a subject was told last, of those that were since then."""
        rows = await self._database.fetch_all("last_told_alerts", since=to_microseconds(since))
        return {(Condition(condition), subject): to_instant(at) for condition, subject, at in rows}

    async def apply(
        self,
        raised: Sequence[Alert],
        changed: Sequence[Alert],
        notices: Sequence[NewNotice],
        over_before: datetime.datetime,
    ) -> None:
        """Writes what an evaluation found, and what is to be told of it, in one transaction; alerts that were `over_before` are forgotten.

        Of two processes that find the same at once, one alert and one notice stay.
        """
        is_news = bool(raised or changed or notices)
        async with self._database.transaction(is_lasting=is_news) as transaction:
            await transaction.execute_many("add_alert", [_row(each) for each in raised])
            await transaction.execute_many("update_alert", [_row(each) for each in changed])
            await transaction.execute_many(
                "add_notice", [notice_row(each, self._database.now) for each in notices]
            )
            await transaction.execute("remove_old_alerts", before=to_microseconds(over_before))

    async def acknowledge(self, text: str, by: str, note: str) -> Alert:
        """Says that somebody sees to it. Raises: UnknownNameError, UsageError where it is over."""
        alert_id = await self.find(text)
        async with self._database.transaction() as transaction:
            changed = await transaction.execute(
                "acknowledge_alert",
                alert_id=alert_id,
                at=self._database.now,
                by=to_text(by),
                note=to_text(note),
            )
        if not changed:
            raise UsageError(f"alert {alert_id} is over already", hint=_LIST)
        return next(each for each in await self.newest(-1) if each.alert_id == alert_id)

    async def find(self, text: str) -> str:
        """The id of an alert, from an unambiguous beginning of it. Raises: UnknownNameError, UsageError."""
        if not is_id_prefix(text):
            raise UsageError(f"{text!r} is no id of an alert", hint=_LIST)
        rows = await self._database.fetch_all("alerts_by_prefix", prefix=text)
        if not rows:
            raise UnknownNameError(f"there is no alert {text}", hint=_LIST)
        if len(rows) > 1 and rows[0][0] != text:
            raise UsageError(
                f"several alerts begin with {text}: {rows[0][0]}, {rows[1][0]}, …", hint="add more letters"
            )
        return str(rows[0][0])


class Silences:
    """The silences, of now and announced."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Silence]:
        """All that are not over, by their beginning."""
        now = self._database.clock.now()
        rows = await self._database.fetch_all("list_silences")
        found = [
            Silence(name, subject, condition, to_instant(begins), to_instant(ends), reason, by)
            for name, subject, condition, begins, ends, reason, by in rows
        ]
        return [each for each in found if each.ends_at > now]

    async def add(self, silence: Silence) -> None:
        """Adds one."""
        async with self._database.transaction() as transaction:
            await transaction.execute(
                "add_silence",
                silence_id=silence.silence_id,
                subject=silence.subject,
                condition=silence.condition,
                begins_at=to_microseconds(silence.begins_at),
                ends_at=to_microseconds(silence.ends_at),
                reason=to_text(silence.reason),
                made_by=to_text(silence.made_by),
            )

    async def end(self, text: str) -> Silence:
        """Ends one now, by its id or the beginning of it. Raises: UnknownNameError, UsageError."""
        found = [each for each in await self.all() if each.silence_id.startswith(text)]
        if not found or not text:
            raise UnknownNameError(
                f"there is no silence {text}", hint="`holdfast alerts list` shows those that hold"
            )
        if len(found) > 1:
            raise UsageError(f"several silences begin with {text}", hint="add more letters")
        async with self._database.transaction() as transaction:
            await transaction.execute("end_silence", silence_id=found[0].silence_id)
        return found[0]


class Windows:
    """The maintenance windows that come again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[MaintenanceWindow]:
        """All, by name."""
        return [_to_window(row) for row in await self._database.fetch_all("list_windows")]

    async def add(self, window: MaintenanceWindow) -> None:
        """Adds one. Raises: UsageError where the name is taken or no name."""
        async with self._database.transaction() as transaction:
            if await transaction.fetch_one("get_window", name=window.name) is not None:
                raise UsageError(
                    f"there is a maintenance window named {window.name} already",
                    hint=f"`holdfast alerts unsilence {window.name}` ends that one",
                )
            await self.put_in(transaction, window)

    async def remove(self, name: str) -> MaintenanceWindow:
        """Forgets one. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            return await self.remove_in(transaction, name)

    async def put_in(self, transaction: Transaction, definition: MaintenanceWindow) -> None:
        """Adds it, or puts it in place of the one of its name. Raises: UsageError for a wrong name."""
        check_name("maintenance window", definition.name)
        text = to_text(msgspec.json.encode(definition).decode())
        await transaction.execute("put_window", name=definition.name, definition=text)

    async def remove_in(self, transaction: Transaction, name: str) -> MaintenanceWindow:
        """See `remove`."""
        row = await transaction.fetch_one("get_window", name=name)
        if row is None:
            raise UnknownNameError(f"there is no maintenance window named {name}", hint=_LIST)
        await transaction.execute("remove_window", name=name)
        return _to_window(row)


def _to_window(row: Row) -> MaintenanceWindow:
    """Raises: CatalogDamagedError."""
    try:
        return msgspec.json.decode(row[0], type=MaintenanceWindow)
    except msgspec.MsgspecError as error:
        raise CatalogDamagedError(
            f"the catalog holds a maintenance window that cannot be understood: {error}"
        ) from error


def _row(alert: Alert) -> dict[str, Value]:
    return {
        "alert_id": alert.alert_id,
        "condition": alert.condition.value,
        "subject": alert.subject,
        "is_risk": alert.is_risk,
        "reason": to_text(alert.reason),
        "remedy": to_text(alert.remedy),
        "raised_at": to_microseconds(alert.raised_at),
        "seen_at": to_microseconds(alert.seen_at),
        "recovered_at": to_optional_microseconds(alert.recovered_at),
        "told_at": to_optional_microseconds(alert.told_at),
        "acknowledged_at": to_optional_microseconds(alert.acknowledged_at),
        "acknowledged_by": to_text(alert.acknowledged_by),
        "note": to_text(alert.note),
        "host": alert.host,
        "job_id": alert.job_id,
    }


def _to_alert(row: Row) -> Alert:
    (
        alert_id,
        condition,
        subject,
        is_risk,
        reason,
        remedy,
        raised,
        seen,
        recovered,
        told,
        acknowledged,
        *rest,
    ) = row
    by, note, host, job_id = rest
    return Alert(
        alert_id,
        Condition(condition),
        subject,
        bool(is_risk),
        reason,
        remedy,
        to_instant(raised),
        to_instant(seen),
        to_optional_instant(recovered),
        to_optional_instant(told),
        to_optional_instant(acknowledged),
        by,
        note,
        host,
        job_id,
    )
