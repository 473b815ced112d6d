"""Hosts, sources, storages and recovery plans: what a person defined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from engine.catalog.database import Database, Row, Transaction, Value, to_json, to_object
from engine.errors import CatalogDamagedError, UnknownNameError, UsageError
from engine.model.definitions import LOCAL_HOST, Host, Source, Storage
from engine.model.names import check_name, nearest

if TYPE_CHECKING:
    from engine.model.plans import Plan  # with all that its steps ask for: loaded when a plan is read

_T = TypeVar("_T", bound="Host | Source | Storage | Plan")


class _Definitions(Generic[_T]):
    """What they have in common: rows that are added, listed, replaced and removed by name."""

    _change = "edit"
    """The verb that is named where a name is taken."""

    def __init__(
        self,
        database: Database,
        noun: str,
        to_row: Callable[[_T], Mapping[str, Value]],
        from_row: Callable[[Row], _T],
    ) -> None:
        self._database = database
        self._noun = noun
        self._to_row = to_row
        self._from_row = from_row

    async def all(self) -> list[_T]:
        """All, by name."""
        return [self._from_row(row) for row in await self._database.fetch_all(f"list_{self._noun}s")]

    async def get(self, name: str) -> _T:
        """The one of that name. Raises: UnknownNameError, with the nearest known name as hint."""
        row = await self._database.fetch_one(f"get_{self._noun}", name=name)
        if row is None:
            raise self._unknown(name, [each.name for each in await self.all()])
        return self._from_row(row)

    async def _add(self, transaction: Transaction, definition: _T) -> None:
        check_name(self._noun, definition.name)
        if await transaction.fetch_one(f"get_{self._noun}", name=definition.name) is not None:
            raise UsageError(
                f"there is a {self._noun} named {definition.name} already",
                hint=f"`holdfast {self._noun} {self._change} {definition.name}`",
            )
        await transaction.execute(f"add_{self._noun}", **self._to_row(definition))

    async def _replace(self, transaction: Transaction, definition: _T) -> None:
        if not await transaction.execute(f"replace_{self._noun}", **self._to_row(definition)):
            raise await self._unknown_in(transaction, definition.name)

    async def _remove(self, transaction: Transaction, name: str) -> None:
        if not await transaction.execute(f"remove_{self._noun}", name=name):
            raise await self._unknown_in(transaction, name)

    async def put_in(self, transaction: Transaction, definition: _T) -> None:
        """Adds it, or puts it in place of the one of its name. Raises: as adding and replacing."""
        if await transaction.fetch_one(f"get_{self._noun}", name=definition.name) is None:
            await self._add(transaction, definition)
        else:
            await self._replace(transaction, definition)

    async def remove_in(self, transaction: Transaction, name: str) -> None:
        """Forgets the one of that name. Raises: as `remove`."""
        await self._remove(transaction, name)

    async def _unknown_in(self, transaction: Transaction, name: str) -> UnknownNameError:
        return self._unknown(name, [row[0] for row in await transaction.fetch_all(f"list_{self._noun}s")])

    def _unknown(self, name: str, known: list[str]) -> UnknownNameError:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"`holdfast {self._noun} list` names them all"
        return UnknownNameError(f"there is no {self._noun} named {name}", hint=hint)


class Hosts(_Definitions[Host]):
    """The hosts. This machine, `localhost`, is there without being added; adding it gives it options."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "host", _host_row, _to_host)

    async def get(self, name: str) -> Host:
        """The host of that name. Raises: UnknownNameError."""
        try:
            return await super().get(name)
        except UnknownNameError:
            if name == LOCAL_HOST:
                return Host(LOCAL_HOST, kind="local")
            raise

    async def add(self, host: Host) -> None:
        """Adds a host. Raises: UsageError where the name is taken or no name."""
        async with self._database.transaction() as transaction:
            await self._add(transaction, host)

    async def replace(self, host: Host) -> None:
        """Puts this in place of the host of the same name. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            await self._replace(transaction, host)

    async def remove(self, name: str) -> None:
        """Forgets a host; its backups stay known. Raises: UnknownNameError; UsageError while sources or storages lie on it."""
        async with self._database.transaction() as transaction:
            await self.remove_in(transaction, name)

    async def remove_in(self, transaction: Transaction, name: str) -> None:
        """See `remove`."""
        for noun, query in (("sources", "list_sources_of_host"), ("storages", "list_storages_of_host")):
            found = await transaction.fetch_all(query, host=name)
            if found and name != LOCAL_HOST:
                named = ", ".join(row[0] for row in found[:5]) + (", …" if len(found) > 5 else "")
                raise UsageError(
                    f"host {name} still has {noun}: {named}", hint="remove those first, or move them"
                )
        await self._remove(transaction, name)


class Sources(_Definitions[Source]):
    """The sources."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "source", _source_row, _to_source)

    async def add(self, source: Source) -> None:
        """Adds a source. Raises: UsageError where the name is taken or no name; UnknownNameError for its host."""
        async with self._database.transaction() as transaction:
            await self._require_host(transaction, source)
            await self._add(transaction, source)

    async def replace(self, source: Source) -> None:
        """Puts this in place of the source of the same name. Raises: UnknownNameError, for it or its host."""
        async with self._database.transaction() as transaction:
            await self._require_host(transaction, source)
            await self._replace(transaction, source)

    async def remove(self, name: str) -> None:
        """Forgets a source; its backups stay known. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            await self._remove(transaction, name)

    async def put_in(self, transaction: Transaction, definition: Source) -> None:
        """See `_Definitions.put_in`. Raises: UnknownNameError for its host."""
        await self._require_host(transaction, definition)
        await super().put_in(transaction, definition)

    async def _require_host(self, transaction: Transaction, source: Source) -> None:
        if source.host == LOCAL_HOST or await transaction.fetch_one("get_host", name=source.host) is not None:
            return
        raise UnknownNameError(
            f"there is no host named {source.host}, which source {source.name} lies on",
            hint=f"`holdfast host add {source.host}` adds it",
        )


class Storages(_Definitions[Storage]):
    """The storages; at most one of them is the default."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "storage", _storage_row, _to_storage)

    async def add(self, storage: Storage) -> None:
        """Adds a storage; the first is the default from then on. Raises: UsageError where the name is taken or no name."""
        async with self._database.transaction() as transaction:
            await self._add(transaction, storage)
            await self._settle_default(transaction, storage)

    async def put_in(self, transaction: Transaction, definition: Storage) -> None:
        """See `_Definitions.put_in`."""
        await super().put_in(transaction, definition)
        await self._settle_default(transaction, definition)

    async def _add(self, transaction: Transaction, definition: Storage) -> None:
        is_first = not await transaction.fetch_all("list_storages")
        chosen = replace(definition, is_default=definition.is_default or is_first)
        await super()._add(transaction, chosen)

    async def replace(self, storage: Storage) -> None:
        """Puts this in place of the storage of the same name. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            await self._replace(transaction, storage)
            await self._settle_default(transaction, storage)

    async def move(self, storage: Storage, snapshots: Mapping[str, str]) -> None:
        """As `replace`, of one whose content went to another place: `snapshots` gives the new ids of its snapshots by the old. Raises: UnknownNameError."""
        moves = b"".join(bytes.fromhex(old + new) for old, new in snapshots.items())
        async with self._database.transaction() as transaction:
            await self._replace(transaction, storage)
            await self._settle_default(transaction, storage)
            for query in ("move_copies", "move_log_heads"):
                await transaction.execute(query, storage=storage.name, moves=moves)

    async def make_default(self, name: str) -> None:
        """Makes it the one that backups go to where nothing else is said. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one("get_storage", name=name)
            if row is None:
                raise await self._unknown_in(transaction, name)
            chosen = replace(_to_storage(row), is_default=True)
            await self._replace(transaction, chosen)
            await self._settle_default(transaction, chosen)

    async def remove(self, name: str) -> None:
        """Forgets a storage and its copies of backups, and the backups that had no other; the repository itself is not touched, and
        `recover` brings all of it back. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            await self.remove_in(transaction, name)

    async def remove_in(self, transaction: Transaction, name: str) -> None:
        """See `remove`."""
        await self._remove(transaction, name)
        for query in (
            "remove_log_heads_of_storage",
            "remove_log_runs_of_storage",
            "remove_log_tails_of_storage",
        ):
            await transaction.execute(query, storage=name)
        if await transaction.execute("remove_copies_of_storage", storage=name):
            await transaction.execute("remove_backups_without_copies")

    async def _settle_default(self, transaction: Transaction, storage: Storage) -> None:
        if storage.is_default:
            await transaction.execute("clear_other_defaults", name=storage.name)


class Plans(_Definitions["Plan"]):
    """The recovery plans. What they name is looked up when they are run."""

    _change = "remove"

    def __init__(self, database: Database) -> None:
        super().__init__(database, "plan", _plan_row, _to_plan)

    async def add(self, plan: Plan) -> None:
        """Adds a plan. Raises: UsageError where the name is taken or no name."""
        async with self._database.transaction() as transaction:
            await self._add(transaction, plan)

    async def replace(self, plan: Plan) -> None:
        """Puts a plan in place of the one of its name."""
        async with self._database.transaction() as transaction:
            await self.put_in(transaction, plan)

    async def put_in(self, transaction: Transaction, definition: Plan) -> None:
        """See `_Definitions.put_in`."""
        await transaction.execute("remove_plan", name=definition.name)
        await self._add(transaction, definition)

    async def remove(self, name: str) -> None:
        """Forgets a plan. Raises: UnknownNameError."""
        async with self._database.transaction() as transaction:
            await self._remove(transaction, name)


def _plan_row(plan: Plan) -> Mapping[str, Value]:
    steps = msgspec.json.encode(plan.steps).decode()
    return {"name": plan.name, "steps": steps, "budget_s": plan.budget_s, "note": plan.note}


def _to_plan(row: Row) -> Plan:
    """Raises: CatalogDamagedError."""
    from engine.model.plans import Plan, PlanStep

    name, steps, budget_s, note = row
    try:
        return Plan(name, msgspec.json.decode(steps, type=tuple[PlanStep, ...]), budget_s, note)
    except msgspec.MsgspecError as error:
        raise CatalogDamagedError(
            f"the catalog holds a plan {name} that cannot be understood: {error}"
        ) from error


def _host_row(host: Host) -> Mapping[str, Value]:
    return {
        "name": host.name,
        "kind": host.kind,
        "address": host.address,
        "options": to_json(dict(host.options)),
    }


def _to_host(row: Row) -> Host:
    name, kind, address, options = row
    return Host(name, kind, address, to_object(options))


def _source_row(source: Source) -> Mapping[str, Value]:
    return {
        "name": source.name,
        "kind": source.kind,
        "host": source.host,
        "options": to_json(dict(source.options)),
    }


def _to_source(row: Row) -> Source:
    name, kind, host, options = row
    return Source(name, kind, host, to_object(options))


def _storage_row(storage: Storage) -> Mapping[str, Value]:
    return {
        "name": storage.name,
        "kind": storage.kind,
        "options": to_json(dict(storage.options)),
        "password": storage.password,
        "repository_id": storage.repository_id,
        "is_enabled": storage.is_enabled,
        "is_default": storage.is_default,
    }


def _to_storage(row: Row) -> Storage:
    name, kind, options, password, repository_id, is_enabled, is_default = row
    return Storage(
        name, kind, to_object(options), password, repository_id, bool(is_enabled), bool(is_default)
    )
