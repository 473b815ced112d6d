"""Frozen values to JSON objects and back: requests as the catalog keeps them, results as scripts read them."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from engine.errors import CatalogDamagedError

T = TypeVar("T")


def to_object(value: object) -> dict[str, Any]:
    """A frozen value as a JSON object: datetimes as RFC 3339 text, enumerations as their value."""
    return cast("dict[str, Any]", msgspec.to_builtins(value))


def from_object(kind: type[T], value: object) -> T:
    """The frozen value that `to_object` took apart. Raises: CatalogDamagedError where it is none."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CatalogDamagedError(
            f"the catalog holds a {kind.__name__} that cannot be understood: {error}"
        ) from error
