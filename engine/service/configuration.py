"""The fleet in one file: written, checked, applied. See engine/fleet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final

from engine.alerting import destinations, scope
from engine.catalog.schedules import Judged, SourcePlace
from engine.errors import ConfigurationError, HoldfastError
from engine.model.alerts import Destination, MaintenanceWindow
from engine.model.definitions import Source
from engine.model.fleet import Change, ConfigApplied, ConfigPlan
from engine.model.schedules import Schedule
from engine.model.storage_results import StorageCreated
from engine.schedule import maintenance, order
from engine.service import alerts
from engine.service.definitions import DefinitionMethods

if TYPE_CHECKING:
    from engine.fleet.comparison import Fleet, Wanted
    from engine.jobs.known import Known


class ConfigurationMethods(DefinitionMethods):
    """Definitions of all kinds at once, as a document."""

    async def export_config(self, text: str = "", file: str = "the document") -> str:
        """All definitions as TOML: secrets by their REFs alone. With the text of an older document, that one, changed only where it differs.

        Raises: ConfigurationError where the older one holds a mistake.
        """
        from engine.fleet import writing

        return writing.write(await self._fleet(), text, file)

    async def config_schema(self) -> Mapping[str, Any]:
        """The document in JSON Schema, for editors."""
        from engine.fleet import writing

        return writing.schema()

    async def plan_config(self, text: str, file: str, *, is_pruning: bool = False) -> ConfigPlan:
        """What applying the document would change; all of it is checked. Connects to nothing.

        Raises: ConfigurationError, with file and line, and with all other mistakes besides.
        """
        current = await self._fleet()
        wanted, changes = await self._compared(text, file, current, is_pruning=is_pruning)
        return ConfigPlan(
            defined=sum(len(found) for found in wanted.definitions.values()),
            changes=changes,
            unlisted=() if is_pruning else tuple(_nouns(wanted.left_out(current))),
            opened=tuple(each.name for each in changes if each.noun == "storage" and each.what == "add"),
            missing_secrets=await self._missing_secrets(wanted),
        )

    async def apply_config(self, text: str, file: str, *, is_pruning: bool = False) -> ConfigApplied:
        """Makes what is defined as the document says, all of it or nothing. What it does not list goes with `is_pruning` alone, and only of
        those nouns that it has a table for. Repositories of new storages are opened or made first; those stay where a later step fails.

        Raises: ConfigurationError, with file and line; for a new storage: WrongPasswordError, VaultError, StorageError.
        """
        current = await self._fleet()
        wanted, changes = await self._compared(text, file, current, is_pruning=is_pruning)
        tables = _tables()
        created: list[StorageCreated] = []
        puts: list[tuple[str, Any]] = []
        removals: list[tuple[str, str]] = []
        for each in changes:
            table = tables[each.noun]
            if each.what == "remove":
                removals.append((table, each.name))
                continue
            definition = wanted.definitions[table][each.name]
            if each.noun == "storage" and each.what == "add":
                definition, made = await self._prepared(definition, wanted)
                created.append(made)
            if each.noun == "destination":
                definition = await self._shown(definition, wanted)
            if isinstance(definition, Schedule):
                definition = await self._judged(definition, _to_be(wanted, current, changes))
            puts.append((table, definition))
        await self._parts.catalog.apply(puts, removals)
        for table, name in removals:
            if table == "destinations":
                await alerts.forget_address(self._parts, name)
        written = [(_verb(each), each.name) for each in changes]
        await self._parts.write_down_all(written, f"by {file}")
        return ConfigApplied(changes, tuple(created))

    async def secret_users(self) -> Mapping[str, Sequence[str]]:
        """What names each secret of the vault: `source shop`, by the secret's name. One that nothing names is not in it."""
        found: dict[str, list[str]] = {}
        nouns = {table: noun for noun, table in _tables().items()}
        for table, defined in (await self._fleet()).items():
            for name, definition in defined.items():
                for text in _texts(definition):
                    if text.startswith("vault:"):
                        found.setdefault(text.removeprefix("vault:"), []).append(f"{nouns[table]} {name}")
        return found

    async def _fleet(self) -> Fleet:
        catalog = self._parts.catalog
        return {
            table: {each.name: each for each in await getattr(catalog, table).all()}
            for table in _tables().values()
        }

    async def _compared(
        self, text: str, file: str, current: Fleet, *, is_pruning: bool
    ) -> tuple[Wanted, Sequence[Change]]:
        from engine.fleet import comparison
        from engine.fleet.document import Document

        document = Document.parse(text, file)
        wanted = comparison.look(document, current, is_pruning=is_pruning)
        changes = comparison.changes(wanted, current, is_pruning=is_pruning)
        for each in changes:
            if each.what == "remove":
                continue
            with document.noting():
                if each.noun == "source":
                    await self._require_source(wanted, wanted.definitions["sources"][each.name])
                if each.noun == "destination":
                    self._require_destination(wanted, wanted.definitions["destinations"][each.name])
                if each.noun == "window":
                    self._require_window(wanted, wanted.definitions["windows"][each.name])
        if wanted.is_settled:
            changed = {each.name for each in changes if each.noun == "schedule"}
            to_be = _to_be(wanted, current, changes)
            self._require_schedules(wanted, to_be, changed)
            if any(each.what == "remove" for each in changes):
                _require_unlisted(wanted, to_be)
        document.require_none()
        return wanted, changes

    async def _require_source(self, wanted: Wanted, source: Source) -> None:
        """What only the kind itself knows of its options. Raises: ConfigurationError, with file and line."""
        try:
            await self._check_options(source)
        except HoldfastError as error:
            path = wanted.entries["sources", source.name].path
            raise wanted.document.mistake(path, error.message, error.hint) from error

    def _require_destination(self, wanted: Wanted, destination: Destination) -> None:
        """What can be said of it without its address. Raises: ConfigurationError, with file and line."""
        from engine.notifications import registry

        try:
            is_signal = registry.load(destination.kind).traits.is_signal
            destinations.check(destination, is_signal=is_signal)
        except HoldfastError as error:
            path = wanted.entries["destinations", destination.name].path
            raise wanted.document.mistake(path, error.message, error.hint) from error

    def _require_window(self, wanted: Wanted, window: MaintenanceWindow) -> None:
        """That it comes, and is over each time. Raises: ConfigurationError, with file and line."""
        try:
            scope.check(window.subject, window.condition, window.reason)
            maintenance.check(window, self._parts.clock.now())
        except HoldfastError as error:
            path = wanted.entries["windows", window.name].path
            raise wanted.document.mistake(path, error.message, error.hint) from error

    async def _shown(self, destination: Destination, wanted: Wanted) -> Destination:
        """With what may be shown of its address, where that can be had already: a secret may be set later, and is told to be missing.

        Raises: ConfigurationError, with file and line, where there is an address, and it is none.
        """
        from engine.jobs import deliver

        try:
            notifier = await deliver.open_destination(alerts.post_of(self._parts), destination)
        except HoldfastError:
            return dataclasses.replace(destination, shown="")
        try:
            return dataclasses.replace(destination, shown=await notifier.describe())
        except ConfigurationError as error:
            path = wanted.entries["destinations", destination.name].path
            raise wanted.document.mistake((*path, "url"), error.message, error.hint) from error

    def _require_schedules(self, wanted: Wanted, to_be: Fleet, changed: Set[str]) -> None:
        """That those that changed can run, and that what the others name is not what goes: notes what is not so, with file and line."""
        from engine.jobs import scheduled
        from engine.schedule import due

        leaders = {name: each.after for name, each in to_be["schedules"].items()}
        known = _known(to_be)
        for name, schedule in wanted.definitions.get("schedules", {}).items():
            try:
                if name in changed:
                    due.check(schedule, self._parts.clock.now())
                    order.require_sound(schedule, leaders)
                scheduled.check(schedule, known)
            except HoldfastError as error:
                path = wanted.entries["schedules", name].path
                with wanted.document.noting():
                    raise wanted.document.mistake(path, error.message, error.hint) from error

    async def _judged(self, schedule: Schedule, to_be: Fleet) -> Judged:
        """A smart one starts at a quiet time from the first, whoever defines it."""
        from engine.jobs import ticking

        now = self._parts.clock.now()
        samples = await ticking.samples_of(self._parts.catalog, schedule, _known(to_be), now)
        return Judged(schedule, samples)

    async def _prepared(self, storage: Any, wanted: Wanted) -> tuple[Any, StorageCreated]:
        from engine.service import repositories

        return await repositories.prepare(self._parts, storage, wanted.definitions.get("hosts", {}))

    async def _missing_secrets(self, wanted: Wanted) -> tuple[str, ...]:
        """Names of the vault that the document relies on and that are not set."""
        known = {name for name, _ in await self.secrets()}
        named = {
            text.removeprefix("vault:")
            for found in wanted.definitions.values()
            for definition in found.values()
            for text in _texts(definition)
            if text.startswith("vault:")
        }
        made = {
            f"storage.{name}"
            for name, each in wanted.definitions.get("storages", {}).items()
            if not each.password
        }
        return tuple(sorted(named - known - made))


_VERBS: Final = {"add": "add", "change": "edit", "remove": "remove"}
_OTHER_VERBS: Final = {
    "destination": {what: f"notify {verb}" for what, verb in _VERBS.items()},
    "window": {"add": "alerts silence", "change": "alerts silence", "remove": "alerts unsilence"},
}
"""Of nouns that the command line has no verbs of."""


def _verb(change: Change) -> str:
    """The verb that does the same by hand: what is looked for in the audit log."""
    others = _OTHER_VERBS.get(change.noun)
    return others[change.what] if others else f"{change.noun} {_VERBS[change.what]}"


def _to_be(wanted: Wanted, current: Fleet, changes: Sequence[Change]) -> Fleet:
    """The definitions as they will be."""
    found = {
        table: {**current.get(table, {}), **wanted.definitions.get(table, {})} for table in _tables().values()
    }
    tables = _tables()
    for each in changes:
        if each.what == "remove":
            found[tables[each.noun]].pop(each.name, None)
    return found


def _require_unlisted(wanted: Wanted, to_be: Fleet) -> None:
    """That schedules which the document does not list keep what they name: notes those that would not."""
    from engine.jobs import scheduled

    known = _known(to_be)
    for name, schedule in to_be["schedules"].items():
        if name not in wanted.definitions.get("schedules", {}):
            with wanted.document.noting():
                try:
                    scheduled.check(schedule, known)
                except HoldfastError as error:
                    said = f"{wanted.document.file}: schedule {name}, which it does not list and which stays, would lose what it names: {error.message}"
                    raise ConfigurationError(
                        said, hint=f"keep that, or first: holdfast schedule remove {name}"
                    ) from error


def _known(fleet: Fleet) -> Known:
    from engine.jobs.known import Known

    storages = fleet["storages"]
    default = next((name for name, each in storages.items() if each.is_default), next(iter(storages), ""))
    places = [SourcePlace(each.name, each.kind, each.host) for each in fleet["sources"].values()]
    return Known(places, list(storages), default)


def _tables() -> dict[str, str]:
    """The document's tables, by noun."""
    from engine.fleet.codecs import CODECS

    return {codec.noun: codec.table for codec in CODECS}


def _nouns(left_out: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    nouns = {table: noun for noun, table in _tables().items()}
    return ((nouns[table], name) for table, name in left_out)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a definition."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        for each in dataclasses.fields(value):
            yield from _texts(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
