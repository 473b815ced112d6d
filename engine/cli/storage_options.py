"""The options of storages on the command line: a group for each kind, and what is said of one that means nothing to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.cli import definitions
from engine.cli.command import Call, Parser, StandardInput, reference
from engine.cli.options import count, hours, size
from engine.errors import UsageError
from engine.model.definitions import OptionValue
from engine.model.storage_options import (
    BY_NAME,
    FILES,
    KINDS,
    OF_EVERY_KIND,
    OPTIONS,
    PROXY,
    Kind,
    Option,
    kinds_of,
    missing,
    taken_by,
)

STOOD_IN_FOR: Final = ("b2", "dropbox", "gcs", "gdrive", "onedrive")
"""Kinds whose service no test has seen: stand-ins answer as its documentation says."""
HELP: Final = (
    f"one of {', '.join(KINDS)}; tested against stand-ins of the service only: {', '.join(STOOD_IN_FOR)}"
)
"""What a storage's kind may be."""

KEPT: Final = tuple(each.kept_as for each in OPTIONS)
_TYPES: Final[Mapping[str, Callable[[str], object]]] = {"count": count, "size": size, "hours": hours}


def declare(parser: Parser, usage: str) -> None:
    """Every option of every kind, in a group of its own for each kind, one for those that several take, and one for those that all take."""
    parser.usage = f"{parser.prog} {usage}"
    for kind, known in KINDS.items():
        own = [each for each in OPTIONS if kinds_of(each.name) == (kind,)]
        group = parser.add_argument_group(f"kind {kind}", _about(known))
        for each in own:
            _add(group, each, each.help)
    group = parser.add_argument_group("of several kinds")
    for each in OPTIONS:
        if len(kinds := kinds_of(each.name)) > 1:
            _add(
                group,
                each,
                each.help
                if ": " in each.help and each.help.startswith(kinds)
                else f"{', '.join(kinds)}: {each.help}",
            )
    group = parser.add_argument_group("of every kind")
    for name in OF_EVERY_KIND:
        _add(group, BY_NAME[name], BY_NAME[name].help)


def _about(known: Kind) -> str:
    """What is said of a kind above its options."""
    needed = " ".join(BY_NAME[each].flag for each in known.needed)
    more = " ".join(BY_NAME[each].flag for each in known.optional if len(kinds_of(each)) > 1)
    return "; ".join(filter(None, (needed and f"needs {needed}", more and f"takes {more}")))


def _add(group: Any, option: Option, text: str) -> None:
    keywords: dict[str, Any] = {"dest": option.kept_as, "help": text}
    if option.is_flag:
        keywords |= {"action": "store_true", "default": None}
    else:
        keywords |= {"metavar": option.metavar or ("REF" if option.is_secret else None)}
        keywords |= {"type": reference if option.is_secret else _TYPES.get(option.type)}
    if option.choices:
        keywords |= {"choices": option.choices}
    group.add_argument(option.flag, **keywords)


async def read(call: Call, name: str, kind: str) -> dict[str, OptionValue]:
    """The options that were given for the storage `name` of that kind. A secret from standard input is sealed in the vault.

    Raises: UsageError for one that is missing, or that the kind does not know.
    """
    found = definitions.given(call.arguments, KEPT)
    if lacking := missing(kind, found):
        flags = " ".join(each.flag for each in lacking)
        raise UsageError(f"a storage of kind {kind} needs {flags}", hint="holdfast storage add --help")
    check(kind, found)
    return await shaped(call, name, kind, found)


def check(kind: str, options: Mapping[str, OptionValue]) -> None:
    """Raises: UsageError for an option that storages of that kind do not take."""
    if kind not in KINDS:
        return
    known = taken_by(kind)
    kept = {each.kept_as for each in known}
    for option in options:
        if option not in kept:
            name = option.removesuffix("_ref")
            takers = kinds_of(name)
            who = f"{', '.join(takers)} {'takes' if len(takers) == 1 else 'take'} it"
            flags = " ".join(each.flag for each in known)
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing to a storage of kind {kind}: {who}",
                hint=_instead(kind) if name in PROXY else f"it takes {flags}",
            )


def _instead(kind: str) -> str:
    """How a storage of that kind goes by way of a proxy."""
    if kind == "sftp":
        return "its host is reached by way of another one: holdfast host edit HOST --jump OTHER"
    if kind in ("local", "ftp"):
        return "it goes by way of none"
    return "one for all storages of such kinds stands in the environment: HTTPS_PROXY or ALL_PROXY"


async def shaped(
    call: Call, name: str, kind: str, options: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """As the catalog keeps them: paths on this machine absolute, a typed secret sealed."""
    kept = dict(options)
    for option in ("path", *FILES) if kind == "local" else FILES:
        path = kept.get(option)
        if isinstance(path, str):
            kept[option] = definitions.absolute(path)
    for option, value in options.items():
        if isinstance(value, StandardInput):
            sealed = f"storage.{name}.{option.removesuffix('_ref')}"
            await call.engine.keep_secret(sealed, "-")
            kept[option] = f"vault:{sealed}"
    return kept
