"""Names and values as SQL, a connection string and a pattern of pg_dump take them for themselves. Pure."""

from __future__ import annotations

import re

from engine.errors import UsageError

_CONTROL = re.compile(r"([\x01-\x1f\x7f])")


def identifier(name: str) -> str:
    """A name in SQL. Raises: UsageError for a NUL or an empty one, which no name is."""
    if not name or "\0" in name:
        raise UsageError(f"{name!a} cannot be a name in PostgreSQL")
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text in SQL, whatever `standard_conforming_strings` says. Raises: UsageError for a NUL."""
    if "\0" in value:
        raise UsageError("a text for PostgreSQL holds a NUL byte")
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def setting(value: str) -> str:
    """A value in postgresql.conf. Raises: UsageError for what no line holds. Source: PostgreSQL's documentation, "Setting Parameters"."""
    if _CONTROL.search(value) or "\0" in value:
        raise UsageError(f"{value!a} cannot be the value of a setting")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def connection_string(database: str) -> str:
    """Names the database and nothing else: a bare name with `=` in it, or one that begins with `postgresql://`, would be taken apart.

    Source: PostgreSQL's documentation, "Connection Strings". Raises: UsageError.
    """
    if not database or "\0" in database:
        raise UsageError(f"{database!a} cannot be the name of a database")
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def pattern(schema: str, table: str) -> str:
    """Matches exactly this table, for `pg_dump --table`; it is one line without control characters, whatever the names hold.

    Outside of quotes a pattern is a regular expression, which has an escape for each of them. Source: psql's documentation, "Patterns".
    """
    return f"{_matching(schema)}.{_matching(table)}"


def _matching(name: str) -> str:
    parts = _CONTROL.split(identifier(name)[1:-1])
    quoted = [f"\\u{ord(part):04x}" if _CONTROL.fullmatch(part) else f'"{part}"' for part in parts if part]
    return "".join(quoted)


def list_elements(value: str) -> list[str]:
    """The elements of a setting that is a list of names (search_path), as the server keeps it: `"$user", public`."""
    elements: list[str] = []
    current: list[str] = []
    is_quoted = is_name = False
    position = 0
    while position < len(value):
        character = value[position]
        if is_quoted and value[position : position + 2] == '""':
            current.append('"')
            position += 1
        elif character == '"':
            is_quoted, is_name = not is_quoted, True
        elif is_quoted or character not in ", \t\n\r\f":
            current.append(character)
        elif character == ",":
            elements.append("".join(current))
            current, is_name = [], False
        position += 1
    if current or is_name:
        elements.append("".join(current))
    return elements
