"""Ids of backups and jobs: `b-` or `j-`, then twelve digits that sort by time. No name of a host, source or storage may look like one."""

from __future__ import annotations

import datetime
import re
import secrets
from typing import Literal

from engine.errors import ConfigurationError

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u, so that an id can be read out over a telephone."""
_TIME_DIGITS = 9
"""45 bits of milliseconds since 1970: enough until the year 3084."""
_RANDOM_DIGITS = 3
_NAME = re.compile(r"(?![bj]-)[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def new_id(prefix: Literal["b", "j"], instant: datetime.datetime) -> str:
    """A new id for something that begins at that instant."""
    number = int(instant.timestamp() * 1000)
    digits = [_DIGITS[number >> 5 * place & 31] for place in reversed(range(_TIME_DIGITS))]
    digits += [secrets.choice(_DIGITS) for _ in range(_RANDOM_DIGITS)]
    return f"{prefix}-{''.join(digits)}"


def is_backup_id(text: str) -> bool:
    """Whether that is a backup's id, or the beginning of one."""
    return re.fullmatch(rf"b-[{_DIGITS}]{{0,12}}", text) is not None


def checked_name(what: str, name: str) -> str:
    """The name itself. Raises: ConfigurationError where it is none that a host, source or storage may have."""
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{name!r} cannot be the name of a {what}",
            hint="use letters, digits, dot, dash and underscore, at most 63; begin with a letter or digit, and not with b- or j-",
        )
    return name
