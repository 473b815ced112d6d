"""What all wizards share: values become a definition, which is previewed, tried and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from engine.errors import UsageError
from engine.model.command_lines import Definition
from engine.model.names import check_name
from engine.model.secret import Secret
from tui.dialogs.fields import Field, Values
from tui.dialogs.form import Form

if TYPE_CHECKING:
    from engine.service import Engine
    from tui.app import ConsoleApp

Noun = TypeVar("Noun", bound=Definition)


class Wizard(Generic[Noun]):
    """A definition that is made or changed. A subclass gives `fields`, `definition` and `save`."""

    noun = ""

    def __init__(self, console: ConsoleApp, old: Noun | None = None, taken: Sequence[str] = ()) -> None:
        self.console, self.old, self.taken = console, old, taken
        self.done: Noun | None = None

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self.console.engine

    def fields(self) -> list[Field]:
        """From top to bottom."""
        raise NotImplementedError

    def definition(self, values: Values) -> tuple[Noun, Mapping[str, Secret]]:
        """What the values amount to, and the secrets that were typed, by their REF. Raises: UsageError."""
        raise NotImplementedError

    async def save(self, values: Values) -> None:
        """Keeps it, and sets `done`. Raises: errors of the engine; `Left`."""
        raise NotImplementedError

    def preview(self, values: Values) -> Sequence[str]:
        """Command line and TOML. Raises: UsageError."""
        definition, typed = self.definition(values)
        if not definition.name:
            return []
        text = self.engine.definition_text(definition, self.old, typed=tuple(typed))
        return [text.command_line, "", *text.toml.splitlines()]

    def require_name(self, name: str) -> str:
        """The name, where it may be one and is free. Raises: UsageError."""
        check_name(self.noun, name)
        if self.old is None and name in self.taken:
            raise UsageError(f"there is a {self.noun} named {name} already", hint="choose another name")
        return name

    async def check_name_field(self, values: Values) -> str:
        """Beside the name."""
        name = self.definition(values)[0].name
        if not name:
            return ""
        self.require_name(name)
        return "is free" if values.get("name") else f"{name}, free"

    async def run(self, title: str = "") -> Noun | None:
        """Opens the form, and gives what was defined."""
        heading = title or (f"New {self.noun}" if self.old is None else f"Edit {self.noun} {self.old.name}")
        await self.console.ask(Form(heading, self.fields(), self.save, self.preview))
        return self.done
