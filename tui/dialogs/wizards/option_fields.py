"""Options of definitions as fields of a form, and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from engine.model.definitions import OptionValue
from engine.model.options import Option
from engine.model.secret import Secret
from engine.model.typed import is_reference
from tui.dialogs.fields import Check, Field, Values

MORE: Final = "more"
"""The field that shows all others."""
_NOTE: Final = (
    "a secret is sealed in the vault; or say where it is: env:NAME, file:PATH, command:CMD, vault:NAME"
)


@dataclass(slots=True)
class Given:
    """What the fields of a form say."""

    options: dict[str, OptionValue] = field(default_factory=dict)
    typed: dict[str, Secret] = field(default_factory=dict)
    """Secrets that were typed, by the REF under which they will be sealed."""


def fields_of(
    options: Iterable[Option],
    values: Mapping[str, OptionValue],
    is_taken: Callable[[Option, Values], bool] = lambda _option, _values: True,
    wanted: Collection[str] = (),
) -> list[Field]:
    """A field for each option; those that are not `wanted` first of all, and have no value yet, are shown when all are."""
    return [_field(each, values, is_taken, each.kept_as in wanted) for each in options]


def _field(
    option: Option,
    values: Mapping[str, OptionValue],
    is_taken: Callable[[Option, Values], bool],
    is_wanted: bool,
) -> Field:
    value = option.shown(values.get(option.kept_as))

    def is_shown(said: Values) -> bool:
        is_seen = (
            is_wanted
            or bool(value)
            or said.get(MORE) == "yes"
            or (bool(said.get(option.kept_as, "")) and not option.is_flag)
        )
        return is_taken(option, said) and is_seen

    choices: Sequence[str] = (
        ("no", "yes")
        if option.is_flag
        else ("", *option.choices)
        if option.choices and not option.is_several
        else ()
    )
    return Field(
        option.kept_as,
        option.flag.removeprefix("--"),
        value or ("no" if option.is_flag else ""),
        _NOTE if option.is_secret else option.help,
        choices,
        is_secret=option.is_secret,
        is_list=option.is_several,
        is_path=lambda _said: option.is_file,
        is_shown=is_shown,
        check=_said_of_secret(option) if option.is_secret else None,
    )


def _said_of_secret(option: Option) -> Check:
    async def check(values: Values) -> str:
        text = values.get(option.kept_as, "")
        if not text:
            return ""
        return "a REF: read where it is" if is_reference(text) else "is sealed in the vault"

    return check


def more_field() -> Field:
    """Shows all other options."""
    return Field(MORE, "all options", "no", "left and right: show every option that there is", ("no", "yes"))


def read(options: Iterable[Option], values: Values, seal_name: Callable[[Option], str]) -> Given:
    """What the fields say; `seal_name` gives the vault's name for a secret that was typed. Raises: UsageError, which names the option."""
    given = Given()
    for each in options:
        text = values.get(each.kept_as, "")
        if each.is_secret and text and not is_reference(text):
            reference = f"vault:{seal_name(each)}"
            given.typed[reference] = Secret(text)
            given.options[each.kept_as] = reference
            continue
        value = each.read(text)
        if value is not None:
            given.options[each.kept_as] = value
    return given


def with_checks(fields: Sequence[Field], **changes: Mapping[str, object]) -> list[Field]:
    """The fields, some of them with other properties."""
    return [replace(each, **changes[each.name]) if each.name in changes else each for each in fields]  # type: ignore[arg-type]


def differences(
    old: Mapping[str, OptionValue], new: Mapping[str, OptionValue], known: Collection[str]
) -> dict[str, OptionValue]:
    """What an edit changes among those options that the form knows: the new value, or None for one that goes."""
    changed: dict[str, OptionValue] = {
        name: value for name, value in new.items() if _plain(old.get(name)) != value
    }
    return changed | {name: None for name in known if name in old and name not in new}


def _plain(value: OptionValue) -> OptionValue:
    """A list of the catalog as fields give it."""
    return tuple(value) if isinstance(value, list) else value
