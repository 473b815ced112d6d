"""Where a key of a TOML document stands: tomllib does not tell."""

from __future__ import annotations

import re


def line_of(text: str, table: str, key: str) -> int:
    """The line, from 1, that sets a key in its table (empty: the document itself), or else the last that names it at all, or else 1."""
    current = ""
    fallback = 1
    pattern = re.compile(rf'\s*\[?\s*(?:[\w.-]+\.)?["\']?{re.escape(key)}["\']?\s*[=.\]]')
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            if current == table or line.lstrip().startswith("["):
                return number
            fallback = number
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            current = header[1].strip()
    return fallback
