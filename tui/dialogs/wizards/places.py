"""Where a repository lies, or is to lie: a storage that moves, and one that a lost home comes back from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.errors import NoRepositoryError, UsageError
from engine.model import storage_options, told
from engine.model.command_lines import adding, line
from engine.model.definitions import Storage
from engine.model.options import Option
from engine.model.requests import MoveRequest, RecoverRequest
from engine.model.results import MoveResult, Recovered
from engine.model.secret import Secret
from engine.model.typed import is_reference
from tui.dialogs.fields import Field, Values
from tui.dialogs.reader import Reader
from tui.dialogs.wizards import option_fields
from tui.dialogs.wizards.storage import StorageWizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_VAULT_KEY = Option(
    "vault_key", "of the lost home, from its recovery kit; without it no secret comes back", is_secret=True
)


class MoveWizard(StorageWizard):
    """The place that a storage moves to. Secrets that are typed get names of their own: the old place is opened with the old ones."""

    typed: Mapping[str, Secret] = {}
    moving: Storage

    def fields(self) -> list[Field]:
        """Those of a storage, without a name."""
        return [each for each in super().fields() if each.name not in ("name", "default")]

    def definition(self, values: Values) -> tuple[Storage, Mapping[str, Secret]]:
        """Raises: UsageError."""
        place = f"{self.moving.name}.moved"
        found, typed = super().definition({**values, "name": place})
        return dataclasses.replace(found, name=self.moving.name), typed

    def preview(self, values: Values) -> Sequence[str]:
        """The command line alone: the file of the fleet has it when it is done."""
        storage, typed = self.definition(values)
        words = adding(storage, tuple(typed))
        return [
            line([*words[:2], "move", *words[3:]]),
            "",
            "The old place is left as it is. Everything is copied, then the storage lies here.",
        ]

    async def save(self, values: Values) -> None:
        """Whether it can be reached; the job is begun when the form is closed. Raises: errors of the engine."""
        storage, typed = self.definition(values)
        storage_options.check(storage.kind, storage.options)
        await self.engine.try_storage(storage, typed, is_writing=True)
        self.done, self.typed = storage, typed


class RecoverWizard(StorageWizard):
    """The storage that a lost home comes back from."""

    typed: Mapping[str, Secret] = {}
    vault_key = ""

    def fields(self) -> list[Field]:
        """With what the recovery kit says."""
        fields = [each for each in super().fields() if each.name != "default"]
        explained = {
            "name": "what it is called from now on; left empty: recovered",
            "password": "of the repository, from its recovery kit",
        }
        fields = [
            dataclasses.replace(
                each,
                explained=explained.get(each.name, each.explained),
                is_needed=each.is_needed or each.name == "password",
            )
            for each in fields
        ]
        return [*fields[:-1], *option_fields.fields_of([_VAULT_KEY], {}, wanted=("vault_key",)), fields[-1]]

    def _free_name(self, kind: str) -> str:
        del kind
        return "recovered"

    def definition(self, values: Values) -> tuple[Storage, Mapping[str, Secret]]:
        """Raises: UsageError."""
        found, typed = super().definition(values)
        key = values.get("vault_key", "")
        if key and not is_reference(key):
            typed = {**typed, f"vault:storage.{found.name}.vault-key": Secret(key)}
        return dataclasses.replace(found, is_default=True), typed

    def preview(self, values: Values) -> Sequence[str]:
        """The line that the kit has."""
        storage, typed = self.definition(values)
        words = adding(dataclasses.replace(storage, is_default=False), tuple(typed))
        key = values.get("vault_key", "")
        rest = ["--vault-key", key if is_reference(key) else "-"] if key else []
        return [
            line(
                [
                    words[0],
                    "recover",
                    "--storage-kind",
                    storage.kind,
                    *words[6:],
                    *rest,
                    "--name",
                    storage.name,
                ]
            )
        ]

    async def save(self, values: Values) -> None:
        """Whether a repository is there. Raises: errors of the engine."""
        storage, typed = self.definition(values)
        storage_options.check(storage.kind, storage.options)
        if not (await self.engine.try_storage(storage, typed)).has_repository:
            raise NoRepositoryError("no repository lies there", hint="the recovery kit says where it is")
        key = values.get("vault_key", "")
        self.vault_key = key if not key or is_reference(key) else f"vault:storage.{storage.name}.vault-key"
        self.done, self.typed = storage, typed


async def move_storage(console: ConsoleApp, name: str) -> None:
    """Asks where to, and has a worker move all that it holds. Raises: UnknownNameError."""
    hosts = [each.name for each in await console.engine.hosts() if each.kind == "ssh"]
    wizard = MoveWizard(console, hosts)
    wizard.moving = await console.engine.show_storage(name)
    storage = await wizard.run(f"Where does storage {name} move to?")
    if storage is None:
        return
    for reference, secret in wizard.typed.items():
        await console.engine.set_secret(reference.removeprefix("vault:"), secret)
    request = MoveRequest(name, storage.kind, storage.options, storage.password)
    moved = await console.finish("storage move", request, f"moving storage {name}", MoveResult)
    if moved is not None:
        await console.ask(Reader(f"Storage {name} moved", told.moved(moved)))


async def recover_home(console: ConsoleApp) -> None:
    """Asks for the storage of a lost home, and has a worker bring back what was defined, and all backups. Raises: UsageError where there is no need."""
    if await console.engine.sources() or await console.engine.storages():
        raise UsageError(
            "this home has definitions of its own", hint="recover into an empty one: holdfast --home DIR"
        )
    wizard = RecoverWizard(console, [])
    storage = await wizard.run("Bring a lost home back: what its recovery kit says")
    if storage is None:
        return
    for reference, secret in wizard.typed.items():
        await console.engine.set_secret(reference.removeprefix("vault:"), secret)
    request = RecoverRequest(
        storage.name, storage.kind, storage.options, storage.password, wizard.vault_key, is_default=True
    )
    found = await console.finish("recover", request, "bringing the home back", Recovered)
    if found is not None:
        await console.ask(Reader("The home is back", told.recovered(found)))
