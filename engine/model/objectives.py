"""What a person wants a source to keep to, as the option `objective` of its definition: `NAME=VALUE` each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.errors import UsageError
from engine.model.definitions import Source
from engine.model.names import nearest
from engine.model.status import Objectives

OPTION: Final = "objective"
_FIELDS: Final = {
    "duration": "duration_s",
    "success": "success_percent",
    "recovery-point": "recovery_point_s",
    "recovery-time": "recovery_time_s",
}
NAMES: Final = tuple(_FIELDS)


def objectives_of(source: Source) -> Objectives:
    """The objectives of a source. Raises: UsageError where its definition holds one that is none."""
    given = source.options.get(OPTION)
    return parse([given] if isinstance(given, str) else given if isinstance(given, list | tuple) else [])


def parse(given: Iterable[str]) -> Objectives:
    """`duration=7200`, `success=95`, `recovery-point=86400`, `recovery-time=3600`: seconds and percent. Raises: UsageError."""
    found: dict[str, float] = {}
    for each in given:
        name, _, value = str(each).partition("=")
        field = _FIELDS.get(name)
        if field is None:
            near = nearest(name, NAMES)
            raise UsageError(
                f"there is no objective {name!r}",
                hint=f"did you mean {near}?" if near else f"there are: {', '.join(NAMES)}",
            )
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e12 or (name == "success" and number > 100):
            raise UsageError(
                f"objective {name} has no such value as {value!r}",
                hint=f"{name}=95" if name == "success" else f"{name}=2h",
            )
        found[field] = number
    return Objectives(**found)
