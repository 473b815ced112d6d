"""The options of storages on the command line: a group for each kind, and what is said of one that means nothing to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.cli import definitions
from engine.cli.command import Call, Parser, StandardInput
from engine.cli.options import add_option
from engine.model import storage_options
from engine.model.definitions import OptionValue
from engine.model.storage_options import BY_NAME, KINDS, OF_EVERY_KIND, OPTIONS, Kind, check, kinds_of

STOOD_IN_FOR: Final = ("b2", "dropbox", "gcs", "gdrive", "onedrive")
"""Kinds whose service no test has seen: stand-ins answer as its documentation says."""
HELP: Final = (
    f"one of {', '.join(KINDS)}; tested against stand-ins of the service only: {', '.join(STOOD_IN_FOR)}"
)
"""What a storage's kind may be."""

KEPT: Final = tuple(each.kept_as for each in OPTIONS)


def declare(parser: Parser, usage: str) -> None:
    """Every option of every kind, in a group of its own for each kind, one for those that several take, and one for those that all take."""
    parser.usage = f"{parser.prog} {usage}"
    for kind, known in KINDS.items():
        own = [each for each in OPTIONS if kinds_of(each.name) == (kind,)]
        group = parser.add_argument_group(f"kind {kind}", _about(known))
        for each in own:
            add_option(group, each)
    group = parser.add_argument_group("of several kinds")
    for each in OPTIONS:
        if len(kinds := kinds_of(each.name)) > 1:
            add_option(
                group,
                each,
                each.help
                if ": " in each.help and each.help.startswith(kinds)
                else f"{', '.join(kinds)}: {each.help}",
            )
    group = parser.add_argument_group("of every kind")
    for name in OF_EVERY_KIND:
        add_option(group, BY_NAME[name])


def _about(known: Kind) -> str:
    """What is said of a kind above its options."""
    needed = " ".join(BY_NAME[each].flag for each in known.needed)
    more = " ".join(BY_NAME[each].flag for each in known.optional if len(kinds_of(each)) > 1)
    return "; ".join(filter(None, (needed and f"needs {needed}", more and f"takes {more}")))


async def read(call: Call, name: str, kind: str) -> dict[str, OptionValue]:
    """The options that were given for the storage `name` of that kind. A secret from standard input is sealed in the vault.

    Raises: UsageError for one that is missing, or that the kind does not know.
    """
    found = definitions.given(call.arguments, KEPT)
    check(kind, found)
    return await shaped(call, name, kind, found)


async def shaped(
    call: Call, name: str, kind: str, options: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """As the catalog keeps them: paths on this machine absolute, a typed secret sealed."""
    kept = storage_options.shaped(kind, options, definitions.absolute)
    for option, value in options.items():
        if isinstance(value, StandardInput):
            sealed = f"storage.{name}.{option.removesuffix('_ref')}"
            await call.engine.keep_secret(sealed, "-")
            kept[option] = f"vault:{sealed}"
    return kept
