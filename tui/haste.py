"""What lets the first screen come sooner, in a process of the console alone: nothing here changes what anything does.

Of 450 ms that were spent in imports, 250 went into making dataclasses, for each of which Python compiles half a dozen functions; 50 into looking
for garbage among what stays. Measured on 290 classes with Python 3.11.
"""

from __future__ import annotations

import dataclasses
import gc
import operator
import sys
from collections.abc import Callable, Sequence
from reprlib import recursive_repr
from typing import Any, Final

_KNOWN: Final = ((3, 11), (3, 12))
"""Versions of Python whose dataclasses are made in this way."""


def begin() -> None:
    """To be called before anything is imported that takes long."""
    gc.disable()
    if sys.version_info[:2] in _KNOWN:
        make_dataclasses_quickly()


def end() -> None:
    """The first screen is there: garbage is looked for again, but not among what was made so far."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def make_dataclasses_quickly() -> None:
    """Has dataclasses share functions where each would get its own compiled: all but `__init__`."""
    for name, function in (
        ("_repr_fn", _repr), ("_cmp_fn", _compare), ("_hash_fn", _hash), ("_frozen_get_del_attr", _frozen),
    ):  # fmt: skip
        setattr(dataclasses, name, function)


def _values(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """What gives the values of these attributes."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    if not names:
        return lambda _: ()
    (name,) = names
    return lambda each: (getattr(each, name),)


def _repr(fields: Sequence[Any], _globals: object) -> Callable[[Any], str]:
    names = [each.name for each in fields]

    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({shown})"

    return __repr__


def _compare(name: str, sign: str, own: str, other: str, globals: object) -> Callable[[Any, Any], bool]:  # noqa: A002 -- called so
    if sign != "==":
        return _compiled_compare(name, sign, own, other, globals)
    values = _values([each.removeprefix("self.") for each in own.strip("()").split(",") if each])

    def __eq__(self: Any, other: Any) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(fields: Sequence[Any], _globals: object) -> Callable[[Any], int]:
    values = _values([each.name for each in fields])

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _frozen(
    cls: type, fields: Sequence[Any], _globals: object
) -> tuple[Callable[..., None], Callable[..., None]]:
    owner: Any = cls
    names = frozenset(each.name for each in fields)

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(owner, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(owner, self).__delattr__(name)

    return __setattr__, __delattr__


_compiled_compare: Final = getattr(dataclasses, "_cmp_fn", None) or (lambda *_: NotImplemented)
