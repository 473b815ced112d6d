"""Polynomials over GF(2), as integers whose bits are the coefficients: the config holds an irreducible one of degree 53.

Source: restic doc/design.rst, "Repository Format", and restic/chunker polynomials.go (Ben-Or's test).
"""

from __future__ import annotations

import functools
import secrets
from typing import Final

DEGREE: Final = 53
"""Of those that restic draws, and the highest that it accepts."""


def generate() -> int:
    """A random irreducible polynomial of degree 53."""
    while True:
        candidate = secrets.randbits(DEGREE) | 1 << DEGREE | 1
        if is_irreducible(candidate):
            return candidate


@functools.lru_cache(maxsize=64)
def is_irreducible(polynomial: int) -> bool:
    """Whether it has no factor but itself and one (Ben-Or: it shares none with x^(2^i) - x for i up to half its degree).

    Takes a millisecond at degree 53, once for each: a repository is opened by every job.
    """
    degree = polynomial.bit_length() - 1
    if degree < 1:
        return False
    power = 2
    for _ in range(degree // 2):
        power = _remainder(_square(power), polynomial)
        if _common_divisor(polynomial, power ^ 2) != 1:
            return False
    return True


def _square(value: int) -> int:
    """Squaring over GF(2) puts a zero between any two bits."""
    return int("0".join(f"{value:b}"), 2)


def _remainder(value: int, divisor: int) -> int:
    size = divisor.bit_length()
    while (excess := value.bit_length() - size) >= 0:
        value ^= divisor << excess
    return value


def _common_divisor(first: int, second: int) -> int:
    while second:
        first, second = second, _remainder(first, second)
    return first
