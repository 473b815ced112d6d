"""The options of storages, by kind: what each takes, what it must have, and which of them are secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.cli import definitions
from engine.cli.command import Call, Parser, StandardInput, reference
from engine.cli.options import count, hours, size
from engine.errors import UsageError
from engine.model.definitions import OptionValue


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it is typed; a secret is kept as a REF, under its name with `_ref` behind it."""

    name: str
    """With `_` for `-`."""
    help: str
    metavar: str | None = None
    type: Callable[[str], object] | None = None
    choices: tuple[str, ...] = ()
    is_secret: bool = False
    is_flag: bool = False

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def kept_as(self) -> str:
        """What the catalog calls it."""
        return f"{self.name}_ref" if self.is_secret else self.name


OPTIONS: Final = (
    Option("path", "local: the directory of the repository", "DIR"),
    Option("connections", "calls at once", "N", count),
    Option("limit_upload", "KiB a second, always", "KIB", count),
    Option("limit_download", "KiB a second, always", "KIB", count),
    Option("limit_hours", "the local hours in which these limits hold: 08:00-18:00", "HOURS", hours),
    Option("max_size", "packs beyond this are refused: 500G", "SIZE", size),
)
_OF_EVERY_KIND: Final = ("connections", "limit_upload", "limit_download", "limit_hours", "max_size")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the storages of one kind are told."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, without those of every kind."""
        return self.needed + self.optional


KINDS: Final[Mapping[str, Kind]] = {
    "local": Kind(needed=("path",)),
}
"""Kinds that other packages add take every option."""

_BY_NAME: Final = {each.name: each for each in OPTIONS}
KEPT: Final = tuple(each.kept_as for each in OPTIONS)


def declare(parser: Parser) -> None:
    """Every option of every kind."""
    for each in OPTIONS:
        keywords: dict[str, Any] = {"dest": each.kept_as, "help": each.help}
        if each.is_flag:
            keywords |= {"action": "store_true", "default": None}
        else:
            keywords |= {"metavar": each.metavar or ("REF" if each.is_secret else None)}
            keywords |= {"type": reference if each.is_secret else each.type}
        if each.choices:
            keywords |= {"choices": each.choices}
        parser.add_argument(each.flag, **keywords)


async def read(call: Call, name: str, kind: str) -> dict[str, OptionValue]:
    """The options that were given for the storage `name` of that kind. A secret from standard input is sealed in the vault.

    Raises: UsageError for one that is missing, or that the kind does not know.
    """
    found = definitions.given(call.arguments, KEPT)
    known = KINDS.get(kind)
    if known is not None:
        missing = [each for each in known.needed if _BY_NAME[each].kept_as not in found]
        if missing:
            flags = " ".join(_BY_NAME[each].flag for each in missing)
            raise UsageError(f"a storage of kind {kind} needs {flags}", hint="holdfast storage add --help")
    check(kind, found)
    return await shaped(call, name, kind, found)


def check(kind: str, options: Mapping[str, OptionValue]) -> None:
    """Raises: UsageError for an option that storages of that kind do not take."""
    known = KINDS.get(kind)
    if known is None:
        return
    kept = {_BY_NAME[each].kept_as for each in (*known.names, *_OF_EVERY_KIND)}
    for option in options:
        if option not in kept:
            flag = "--" + option.removesuffix("_ref").replace("_", "-")
            flags = " ".join(_BY_NAME[each].flag for each in (*known.names, *_OF_EVERY_KIND))
            raise UsageError(f"{flag} means nothing to a storage of kind {kind}", hint=f"it takes {flags}")


async def shaped(
    call: Call, name: str, kind: str, options: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """As the catalog keeps them: a local path absolute, a typed secret sealed."""
    kept = dict(options)
    path = kept.get("path")
    if kind == "local" and isinstance(path, str):
        kept["path"] = definitions.absolute(path)
    for option, value in options.items():
        if isinstance(value, StandardInput):
            sealed = f"storage.{name}.{option.removesuffix('_ref')}"
            await call.engine.keep_secret(sealed, "-")
            kept[option] = f"vault:{sealed}"
    return kept
