"""A destination: where people are told. Its address is a secret, and only what may be shown of it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.model import destination_options
from engine.model.alerts import Destination
from engine.model.options import Option
from engine.model.secret import Secret
from engine.model.typed import is_reference
from tui.dialogs.fields import Field, Values
from tui.dialogs.wizards import option_fields
from tui.dialogs.wizards.wizard import Wizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_OPTIONS = tuple(each for each in destination_options.OPTIONS if each.name != "kind")


class DestinationWizard(Wizard[Destination]):
    """Of a destination."""

    noun = "destination"

    def fields(self) -> list[Field]:
        """Kind and address first."""
        begun = self.old or Destination("", "apprise", "")
        values = destination_options.said_by(begun)
        fields = option_fields.fields_of(
            _OPTIONS, values, self._is_taken, wanted=[each.kept_as for each in _OPTIONS]
        )
        fields = option_fields.with_checks(
            fields,
            url={
                "check": self.check_address,
                "is_needed": True,
                "explained": "mailto://USER:PASSWORD@HOST?to=ME, ntfy://HOST/TOPIC, json://HOST/PATH; or a REF",
            },
            on={"offers": self.occasions},
        )
        name = Field("name", "name", "", "what it is called", is_needed=True, check=self.check_name_field)
        kind = Field(
            "kind",
            "kind",
            begun.kind,
            "apprise: mail, chat, webhook; ping: calls people when it was not called",
            destination_options.KINDS,
        )
        enabled = Field(
            "enabled",
            "enabled",
            "yes" if begun.is_enabled else "no",
            "no: nothing is told there for now",
            ("yes", "no"),
        )
        return [kind, name, *fields] if self.old is None else [kind, *fields, enabled]

    def _is_taken(self, option: Option, values: Values) -> bool:
        return option.name not in ("start_url", "fail_url") or values.get("kind") == "ping"

    async def occasions(self, _values: Values) -> Sequence[tuple[str, str]]:
        """What may be told."""
        return [(each, each) for each in destination_options.OCCASIONS]

    def definition(self, values: Values) -> tuple[Destination, Mapping[str, Secret]]:
        """Raises: UsageError."""
        name = self.old.name if self.old is not None else values.get("name") or "ops"
        given = option_fields.read(_OPTIONS, values, lambda _option: f"notify.{name}")
        begun = Destination(name, "", "", template=self.old.template if self.old is not None else "")
        shown = self.old.shown if self.old is not None else ""
        said = {"kind": values.get("kind"), "enabled": values.get("enabled", "yes") == "yes", **given.options}
        return dataclasses.replace(destination_options.applied(said, begun), shown=shown), given.typed

    async def check_address(self, values: Values) -> str:
        """Whether it can be an address, and what may be shown of it."""
        if not values.get("url"):
            return ""
        destination, typed = self.definition(values)
        found = await self.engine.try_destination(destination, typed.get(destination.url))
        return f"{found.shown or found.kind}{'' if is_reference(values['url']) else ', sealed in the vault'}"

    async def save(self, values: Values) -> None:
        """Raises: errors of the engine."""
        destination, typed = self.definition(values)
        self.require_name(destination.name)
        change = self.engine.add_destination if self.old is None else self.engine.edit_destination
        self.done = await change(destination, address=typed.get(destination.url))


async def add_destination(console: ConsoleApp) -> Destination | None:
    """A new destination."""
    taken = [each.destination.name for each in await console.engine.destinations()]
    done = await DestinationWizard(console, taken=taken).run()
    if done is not None:
        console.tell(f"{done.name} is told at {done.shown}; holdfast notify test {done.name} tries it")
    return done


async def edit_destination(console: ConsoleApp, name: str) -> Destination | None:
    """Another address, other occasions. Raises: UnknownNameError."""
    done = await DestinationWizard(console, await console.engine.show_destination(name)).run()
    if done is not None:
        console.tell(f"destination {name} is changed")
    return done
