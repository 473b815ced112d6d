"""Files of this machine that a person names: read whole, or written where nothing is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.errors import UsageError

MOST_BYTES: Final = 32 << 20
"""Of a file that is read."""


def write_new(name: str, data: bytes) -> Path:
    """Writes a file that was not there, for its owner alone. Raises: UsageError."""
    path = Path(name).expanduser()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="name a file that is not there yet"
        ) from error
    return path


def read_text(name: str) -> str:
    """A file's text. Raises: UsageError."""
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(f"{path} cannot be read: {reason}", hint="name another file") from error
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} is over {MOST_BYTES >> 20} MiB long")
    return text
