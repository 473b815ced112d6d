"""A storage: its kind first, then the fields of that kind. Its password is made and shown once, with the recovery kit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.errors import UsageError
from engine.model import storage_options
from engine.model.definitions import Storage
from engine.model.options import Option
from engine.model.secret import Secret
from engine.model.storage_results import StorageCreated
from engine.model.text import size
from engine.model.trials import StorageTrial
from engine.model.typed import is_reference
from tui import keys, paths
from tui.dialogs.fields import Check, Field, Values
from tui.dialogs.reader import Reader
from tui.dialogs.wizards import option_fields
from tui.dialogs.wizards.wizard import Wizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_KINDS: Final = tuple(storage_options.KINDS)
_WANTED: Final = (
    "path",
    "host",
    "bucket",
    "endpoint",
    "region",
    "prefix",
    "access_key_id_ref",
    "secret_key_ref",
    "user",
    "secret_ref",
)
_PASSWORD: Final = Option("password", "left empty: a strong one is made and shown once", is_secret=True)


class StorageWizard(Wizard[Storage]):
    """Of a storage; `begun` fills the fields of a new one."""

    noun = "storage"

    def __init__(
        self,
        console: ConsoleApp,
        hosts: Sequence[str],
        old: Storage | None = None,
        taken: Sequence[str] = (),
        begun: Storage | None = None,
    ) -> None:
        super().__init__(console, old, taken)
        self._hosts = hosts
        self._begun = old or begun or Storage("", "local")
        self.created: StorageCreated | None = None

    def fields(self) -> list[Field]:
        """The kind cannot be changed later; `holdfast storage move` takes all that it holds elsewhere."""
        begun = self._begun
        named: list[Field] = []
        if self.old is None:
            named = [
                Field(
                    "kind",
                    "kind",
                    begun.kind,
                    "left and right",
                    _KINDS,
                ),
                Field(
                    "name",
                    "name",
                    begun.name,
                    "left empty: after its kind",
                    check=self.check_name_field,
                    is_checked_by_all=True,
                ),
            ]
        else:
            named = [
                Field(
                    "kind",
                    "kind",
                    begun.kind,
                    "of this storage",
                    (begun.kind,),
                )
            ]
        fields = option_fields.fields_of(
            storage_options.OPTIONS, begun.options, self._is_taken, (*_WANTED, *_needed())
        )
        checks: dict[str, dict[str, object]] = {
            name: {
                "check": self._look_beside(name, is_writing=False),
                "test": self._look_beside(name, is_writing=True),
                "is_checked_by_all": True,
            }
            for name in _first_needed()
        }
        checks["path"]["is_path"] = lambda values: self._kind(values) == "local"
        checks["host"]["offers"] = self.hosts
        fields = option_fields.with_checks(fields, **checks)
        password = option_fields.fields_of(
            [_PASSWORD], {"password": begun.password} if begun.password else {}, wanted=("password",)
        )
        explained = (
            "left empty: a strong one is made, and shown once with the recovery kit"
            if self.old is None
            else "where its password is kept"
        )
        password = [dataclasses.replace(each, explained=explained) for each in password]
        default = [
            Field(
                "default",
                "default",
                "no",
                "use it where no storage is named; the first one is anyway",
                ("no", "yes"),
            )
        ]
        return [
            *named,
            *fields,
            *password,
            *(default if self.old is None and self.taken else []),
            option_fields.more_field(),
        ]

    def _kind(self, values: Values) -> str:
        return values.get("kind") or self._begun.kind

    def _is_taken(self, option: Option, values: Values) -> bool:
        return option in storage_options.taken_by(self._kind(values))

    async def hosts(self, _values: Values) -> Sequence[tuple[str, str]]:
        """Those that are known."""
        return [(each, each) for each in self._hosts]

    def definition(self, values: Values) -> tuple[Storage, Mapping[str, Secret]]:
        """Raises: UsageError."""
        kind = self._kind(values)
        name = self.old.name if self.old is not None else values.get("name") or self._free_name(kind)
        given = option_fields.read(
            storage_options.taken_by(kind), values, lambda option: f"storage.{name}.{option.name}"
        )
        options = storage_options.shaped(kind, given.options, paths.absolute)
        password, typed = values.get("password", ""), dict(given.typed)
        if password and not is_reference(password):
            typed[f"vault:storage.{name}"] = Secret(password)
            password = f"vault:storage.{name}"
        if self.old is not None:
            return dataclasses.replace(
                self.old, options=options, password=password or self.old.password
            ), typed
        is_default = bool(self.taken) and values.get("default") == "yes"
        return Storage(name, kind, options, password, is_default=is_default), typed

    def _free_name(self, kind: str) -> str:
        """`main`, then by its kind."""
        if not self.taken:
            return "main"
        return next(
            name
            for name in (kind, *(f"{kind}-{number}" for number in range(2, 9_999)))
            if name not in self.taken
        )

    def preview(self, values: Values) -> Sequence[str]:
        """What its kind must still be told, then command line and TOML. Raises: UsageError."""
        storage, _ = self.definition(values)
        lacking = [
            each.flag.removeprefix("--") for each in storage_options.missing(storage.kind, storage.options)
        ]
        needed = [f"still needed: {', '.join(lacking)}", ""] if lacking else []
        return [*needed, *super().preview(values)]

    def _look_beside(self, name: str, *, is_writing: bool) -> Check:
        """Looks whether it answers, and what is there, beside the first field that its kind must have."""

        async def look(values: Values) -> str:
            storage, typed = self.definition(values)
            if name != _main(storage.kind) or storage_options.missing(storage.kind, storage.options):
                return ""
            return trial_text(await self.engine.try_storage(storage, typed, is_writing=is_writing))

        return look

    async def save(self, values: Values) -> None:
        """Raises: errors of the engine."""
        storage, typed = self.definition(values)
        self.require_name(storage.name)
        storage_options.check(storage.kind, storage.options)
        if self.old is None:
            is_default = storage.is_default or not self.taken
            self.created = await self.engine.add_storage(storage, is_default=is_default, typed=typed)
            self.done = await self.engine.show_storage(storage.name)
            return
        if storage.password in typed:
            raise UsageError(
                "a password is not changed here",
                hint=f"{keys.of('storage.rotate')} in the list of storages changes it everywhere",
            )
        known = [each.kept_as for each in storage_options.OPTIONS]
        changes = option_fields.differences(self.old.options, storage.options, known)
        password = storage.password if storage.password != self.old.password else ""
        self.done = await self.engine.edit_storage(storage.name, changes, password, typed=typed)


def _needed() -> tuple[str, ...]:
    """What a kind must have is always shown."""
    names = {name for kind in storage_options.KINDS.values() for name in kind.needed}
    return tuple(storage_options.BY_NAME[each].kept_as for each in names)


def _main(kind: str) -> str:
    """The field beside which the test of the whole storage stands."""
    needed = storage_options.KINDS[kind].needed if kind in storage_options.KINDS else ()
    return "path" if "path" in needed else needed[0] if needed else "token_ref"


def _first_needed() -> set[str]:
    return {_main(kind) for kind in storage_options.KINDS} | {"host"}


def trial_text(trial: StorageTrial) -> str:
    """`writable, 1.1 TiB free`."""
    parts = ["writable" if trial.is_writable else f"answers in {trial.latency_s * 1000:.0f} ms"]
    parts += [f"{size(trial.free_bytes)} free"] if trial.free_bytes is not None else []
    parts += ["a repository is there: its password opens it"] if trial.has_repository else []
    return ", ".join(parts)


async def show_kit(console: ConsoleApp, created: StorageCreated) -> None:
    """The made password, this once, and the recovery kit."""
    kit = await console.engine.recovery_kit(created.name)
    lines = [
        f"storage {created.name}: repository {created.repository_id[:8]} {'created' if created.is_new else 'opened'} at {created.location}",
        "",
        f"Its password, shown this once:  {created.password}",
        keys.said(
            "Keep what follows off this machine; {storage.kit} in the list of storages shows it again, {text.save} writes it to a file."
        ),
        "",
        *kit.splitlines(),
    ]
    await console.ask(Reader(f"Recovery kit of {created.name}", lines))


async def add_storage(
    console: ConsoleApp, begun: Storage | None = None, *, title: str = ""
) -> Storage | None:
    """A new storage; `begun` fills the fields. A password that was made is shown."""
    wizard = await _wizard(console, begun=begun)
    done = await wizard.run(title)
    if done is not None and wizard.created is not None:
        if wizard.created.password:
            await show_kit(console, wizard.created)
        console.tell(f"storage {done.name} is defined")
    return done


async def edit_storage(console: ConsoleApp, name: str) -> Storage | None:
    """Other options. Raises: UnknownNameError."""
    done = await (await _wizard(console, old=await console.engine.show_storage(name))).run()
    if done is not None:
        console.tell(f"storage {name} is changed")
    return done


async def _wizard(
    console: ConsoleApp, old: Storage | None = None, begun: Storage | None = None
) -> StorageWizard:
    hosts = [each.name for each in await console.engine.hosts() if each.kind == "ssh"]
    taken = [each.name for each in await console.engine.storages()]
    return StorageWizard(console, hosts, old, taken, begun)
