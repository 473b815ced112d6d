"""Amounts in words."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float | None) -> str:
    """Bytes: `1.2 GiB`."""
    if count is None:
        return "?"
    for unit in _UNITS[:-1]:
        if abs(count) < 1000:
            return f"{count:.0f} B" if unit == "B" else _three(count) + f" {unit}"
        count /= 1024
    return _three(count) + f" {_UNITS[-1]}"


def _three(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 99.95 else f"{number:.1f}"
