"""Names that people give, and ids that holdfast gives: written so that neither can be the other.

A name begins with a letter, an id with a digit. `latest:SOURCE` is neither, for no name holds a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from engine.errors import UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}", re.ASCII)
_ID_PREFIX = re.compile(r"[0-9][0-9a-z]{0,15}", re.ASCII)
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's 32: no i, l, o, u, which are mistaken for others."""
ID_LENGTH = 16
"""Letters of an id: 78 bits of randomness."""


def check_name(noun: str, name: str) -> None:
    """Raises UsageError unless `name` may be a host's, source's or storage's (`noun` says which, for the message)."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {noun}",
            hint="a name begins with a letter and goes on with up to 63 letters, digits, dots, dashes and underscores",
        )


def new_id(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh id of a backup or job out of `random_bytes`, os.urandom outside of tests."""
    first, *rest = random_bytes(ID_LENGTH)
    return str(first % 10) + "".join(_LETTERS[byte % 32] for byte in rest)


def is_id_prefix(text: str) -> bool:
    """Whether the text can be an id or the beginning of one."""
    return _ID_PREFIX.fullmatch(text) is not None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant, or None where none is near."""
    import difflib  # two milliseconds that only a mistake pays for

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), None)
