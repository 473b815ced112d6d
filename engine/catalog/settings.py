"""Small things that are kept by name: settings, accepted keys of hosts, proofs of packs, the vault's sealed secrets."""

from __future__ import annotations

import datetime
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Set
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from engine.catalog.database import (
    Database,
    Transaction,
    Value,
    to_instant,
    to_json,
    to_microseconds,
)


class Settings:
    """Values of the program itself, by name: JSON."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Any:
        """The value, or None."""
        row = await self._database.fetch_one("get_setting", name=name)
        return None if row is None else json.loads(row[0])

    async def put(self, name: str, value: object, *, is_lasting: bool = True) -> None:
        """Sets the value; None removes it. What is not lasting may be lost by a power cut."""
        async with self._database.transaction(is_lasting=is_lasting) as transaction:
            if value is None:
                await transaction.execute("remove_setting", name=name)
            else:
                await transaction.execute("put_setting", name=name, value=to_json(value))

    async def swap(self, name: str, old: object, new: object) -> bool:
        """Sets the value where it is `old` still; whether it was."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one("get_setting", name=name)
            if row is None or json.loads(row[0]) != json.loads(to_json(old)):
                return False
            await transaction.execute("put_setting", name=name, value=to_json(new))
            return True

    async def all(self) -> dict[str, Any]:
        """All, by name."""
        return {row[0]: json.loads(row[1]) for row in await self._database.fetch_all("list_settings")}

    async def beginning(self, prefix: str) -> dict[str, Any]:
        """Those whose names begin so, by what comes behind; the prefix is ASCII."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = await self._database.fetch_all("list_settings_between", begin=prefix, end=end)
        return {row[0].removeprefix(prefix): json.loads(row[1]) for row in rows}


class HostKey(NamedTuple):
    """A key that a person accepted for an SSH host."""

    address: str
    """As known_hosts writes it: HOST, or [HOST]:PORT."""
    key: str
    """Algorithm and base64, as in known_hosts."""
    accepted_at: datetime.datetime


class HostKeys:
    """Keys of SSH hosts, beside those of known_hosts files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, address: str = "") -> list[HostKey]:
        """The keys of an address, or all."""
        rows = await self._database.fetch_all("list_host_keys", address=address)
        return [HostKey(address, key, to_instant(at)) for address, key, at in rows]

    async def accept(self, address: str, key: str) -> None:
        """Adds a key. Idempotent."""
        async with self._database.transaction() as transaction:
            await transaction.execute(
                "add_host_key", address=address, key=key, accepted_at=self._database.now
            )

    async def remove(self, address: str) -> None:
        """Forgets all keys of an address. Idempotent."""
        async with self._database.transaction() as transaction:
            await transaction.execute("remove_host_keys", address=address)


class PackProofs:
    """When each pack of a repository was last read whole and found good."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, repository_id: str, packs: Iterable[bytes], at: datetime.datetime) -> None:
        """Writes down that these packs (ids of 32 bytes) were good at `at`."""
        proven_at = to_microseconds(at)
        rows: list[Mapping[str, Value]] = [
            {"repository_id": repository_id, "pack": pack, "proven_at": proven_at} for pack in packs
        ]
        async with self._database.transaction() as transaction:
            await transaction.execute_many("add_pack_proof", rows)

    async def all(self, repository_id: str) -> dict[bytes, datetime.datetime]:
        """When each pack was proved last, of those that ever were."""
        rows = await self._database.fetch_all("list_pack_proofs", repository_id=repository_id)
        return {pack: to_instant(at) for pack, at in rows}

    async def remove(self, repository_id: str, packs: Iterable[bytes]) -> None:
        """Forgets packs that are gone or damaged. Idempotent."""
        async with self._database.transaction() as transaction:
            await transaction.execute_many(
                "remove_pack_proof", [{"repository_id": repository_id, "pack": pack} for pack in packs]
            )

    async def keep_only(self, repository_id: str, packs: Set[bytes]) -> None:
        """Forgets what was proved of packs that are not among these: prune and repair removed them."""
        await self.remove(
            repository_id, [pack for pack in await self.all(repository_id) if pack not in packs]
        )


class SealedRows:
    """The vault's rows inside one transaction."""

    def __init__(self, transaction: Transaction, now: int) -> None:
        self._transaction = transaction
        self._now = now

    async def all(self) -> list[tuple[str, bytes]]:
        """Name and sealed secret, by name."""
        return [(row[0], row[1]) for row in await self._transaction.fetch_all("list_secrets")]

    async def put(self, name: str, sealed: bytes) -> None:
        """Sets a secret."""
        await self._transaction.execute("put_secret", name=name, sealed=sealed, changed_at=self._now)

    async def reseal(self, name: str, sealed: bytes) -> None:
        """Puts another sealing of the same secret in place: when it was set stays."""
        await self._transaction.execute("reseal_secret", name=name, sealed=sealed)

    async def remove(self, name: str) -> bool:
        """Removes a secret; whether one was there."""
        return bool(await self._transaction.execute("remove_secret", name=name))


class SealedSecrets:
    """Where the vault keeps what it sealed (its protocol `SealedStore`). Nothing in here opens anything."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> bytes | None:
        """The sealed secret of that name."""
        row = await self._database.fetch_one("get_secret", name=name)
        return None if row is None else row[0]

    async def all(self) -> list[tuple[str, bytes, datetime.datetime]]:
        """Name, sealed secret, and when it was set; by name."""
        return [
            (name, sealed, to_instant(at))
            for name, sealed, at in await self._database.fetch_all("list_secrets")
        ]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SealedRows]:
        """Changes that all take effect or none, with no other writer, of this process or another, in between."""
        async with self._database.transaction() as transaction:
            yield SealedRows(transaction, self._database.now)
