"""Dataclasses that are made quickly are as those that are not."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import dataclasses, pickle, sys
if sys.argv[1] == "quick":
    from tui import haste
    haste.begin()
    haste.end()
from dataclasses import dataclass, field, replace

@dataclass(frozen=True, slots=True)
class Empty: ...
@dataclass(frozen=True, slots=True)
class One:
    a: float
@dataclass(frozen=True, slots=True, order=True)
class Many:
    a: int
    b: list = field(default_factory=list, compare=False)
    c: str = field(default="c", repr=False)
@dataclass
class Loose:
    a: int
    b: object = None
@dataclass(frozen=True)
class Base:
    a: int
@dataclass(frozen=True)
class Derived(Base):
    b: int = 2

def tried(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

loose = Loose(1)
loose.b = loose
said = [repr(each) for each in (Empty(), One(1.5), Many(1, [2]), loose, Derived(1))]
said += [Empty() == Empty(), One(1) == One(1), One(1) == One(2), Many(1, [2]) == Many(1, [3]), Many(1) == Derived(1), Many(1) < Many(2)]
said += [hash(Empty()) == hash(Empty()), hash(One(1)) == hash(One(1)), hash(Many(1)), tried(lambda: hash(loose)), hash(Derived(1))]
for value in (One(1), Many(1), Derived(1)):
    said += [tried(lambda: setattr(value, "a", 2)), tried(lambda: delattr(value, "a")), tried(lambda: setattr(value, "z", 2))]
said += [replace(Many(1), a=5), dataclasses.astuple(Many(1, [2])), [each.name for each in dataclasses.fields(Many)]]
print(said)
"""


def test_a_dataclass_made_quickly_is_as_any_other() -> None:
    """Compared, hashed, shown, refused to be changed: word for word."""
    environment = {"PYTHONHASHSEED": "0", "PYTHONPATH": ":".join(sys.path)}
    quick, usual = (
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, env=environment, check=True
        ).stdout
        for how in ("quick", "usual")
    )
    assert "Many(a=1, b=[2])" in usual
    assert quick == usual
