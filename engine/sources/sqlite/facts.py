"""What a SQLite file holds: the SQL that counts it, and the reading of its answer. Pure.

Names are any text, and a table is counted by a statement that has its name in it: so SQLite itself writes those statements, with its own
quoting, and runs them in a second step. The answer has one fact a line, each behind a word that nothing else on standard error begins
with; names are in hexadecimal digits.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Final

from engine.model.manifest import DatabaseFacts, TableFacts

MARK: Final = "holdfast"
GENERATE: Final = """\
SELECT 'SELECT ''holdfast encoding '' || encoding FROM pragma_encoding;'; \
SELECT 'SELECT ''holdfast ' || type || ' ' || hex(name) || ''';' FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'; \
SELECT 'SELECT ''holdfast rows ' || hex(name) || ' '' || count(*) FROM "' || replace(name, '"', '""') || '";' \
FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' AND type = 'table'; \
SELECT 'SELECT ''holdfast setting user_version='' || user_version FROM pragma_user_version;'; \
SELECT 'SELECT ''holdfast setting application_id='' || application_id FROM pragma_application_id;'; \
SELECT 'SELECT ''holdfast size '' || (page_count * page_size) FROM pragma_page_count, pragma_page_size;'; \
SELECT 'SELECT ''holdfast at '' || strftime(''%s'', ''now'');'; \
"""
"""Prints statements; what these print is for `parse`. One that fails (a module of a virtual table that is not there) leaves its rows unknown."""


def parse(name: str, lines: Iterable[bytes], path: str = "") -> DatabaseFacts:
    """Reads the answer; lines that are none of it are passed over. `name` is the database's, `path` where its dump lies."""
    encoding, size = "UTF-8", 0
    names: dict[str, set[str]] = {"table": set(), "index": set(), "view": set(), "trigger": set()}
    rows: dict[str, int] = {}
    settings: set[str] = set()
    for line in lines:
        words = line.decode(errors="replace").strip().split(" ")
        match words:
            case ["holdfast", "encoding", ("UTF-8" | "UTF-16le" | "UTF-16be") as word]:
                encoding = word
            case ["holdfast", "rows", word, count] if count.isdecimal():
                rows[_text(word, encoding)] = int(count)
            case ["holdfast", "setting", word]:
                settings.add(word)
            case ["holdfast", "size", word] if word.isdecimal():
                size = int(word)
            case ["holdfast", kind, word] if kind in names:
                names[kind].add(_text(word, encoding))
            case _:
                continue
    tables = [
        TableFacts(each, rows.get(each, 0), is_estimated=each not in rows) for each in sorted(names["table"])
    ]
    return DatabaseFacts(
        name,
        path=path,
        encoding=encoding,
        size_bytes=size,
        tables=tables,
        indexes=sorted(names["index"]),
        views=sorted(names["view"]),
        triggers=sorted(names["trigger"]),
        settings=sorted(settings),
    )


def instant(lines: Iterable[bytes]) -> datetime.datetime:
    """When it was counted, by the host's clock; the epoch where that is not told."""
    found = [int(line[12:22]) for line in lines if re.fullmatch(rb"holdfast at \d{10}", line)]
    seconds = found[0] if found else 0
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def without_facts(stderr: bytes) -> str:
    """What a tool said besides, as text."""
    lines = stderr.decode(errors="backslashreplace").splitlines()
    return "\n".join(line for line in lines if not line.startswith(f"{MARK} ")).strip()


def _text(digits: str, encoding: str) -> str:
    """hex() gives a text's bytes as the database keeps them."""
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return digits
    return data.decode(encoding if encoding.startswith("UTF-16") else "utf-8", "backslashreplace")
