"""Figures for a monitoring system: families of samples, as Prometheus knows them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure."""

    value: float
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Family:
    """Figures of one name."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    """One sentence."""
    samples: Sequence[Sample] = field(default=())


@dataclass(frozen=True, slots=True)
class Metrics:
    """All families at one instant."""

    at: datetime.datetime
    families: Sequence[Family]
