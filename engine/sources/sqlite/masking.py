"""The SQL that masks columns of a SQLite file. Pure: sqlite3 reads it on standard input, for it holds the key.

SQLite has no SHA-256: its shell's own SHA3-256 of the key and the value serves, which needs no HMAC. Source: FIPS 202.
"""

# Names and values become SQL by `_name` and `_text` alone.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from engine.errors import UsageError
from engine.model.masking import Column, MaskRule, Reference, chosen_columns

QUESTION = """\
SELECT 'holdfast column ' || hex(m.name) || ' ' || hex(c.name) || ' ' || (c."notnull" OR c.pk) || ' ' || (c.hidden <> 0) \
FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table'; \
SELECT 'holdfast reference ' || hex(m.name) || ' ' || hex(f."from") || ' ' || hex(f."table") || ' ' || hex(coalesce(f."to", '')) \
FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'; \
SELECT 'holdfast trigger ' || hex(tbl_name) || ' ' || hex(sql) FROM sqlite_master WHERE type = 'trigger'; \
"""
_ON_UPDATE = re.compile(r"\bUPDATE\b", re.IGNORECASE)
_DIGITS = 12
"""Hexadecimal ones of the hash that become a number."""


def script(lines: Iterable[bytes], rules: Mapping[str, Sequence[MaskRule]], key: bytes) -> str:
    """The statements, from what `QUESTION` said. Raises: UnknownNameError, UsageError."""
    columns: list[Column] = []
    references: list[Reference] = []
    for line in lines:
        match line.decode(errors="replace").split(" "):
            case ["holdfast", "column", table, column, required, generated]:
                columns.append(
                    Column(_read(table), _read(column), "", None, required == "1", generated == "1")
                )
            case ["holdfast", "reference", table, column, to_table, to_column]:
                references.append(Reference(_read(table), _read(column), _read(to_table), _read(to_column)))
            case ["holdfast", "trigger", table, sql]:
                _require_quiet(_read(table), _read(sql), rules)
            case _:
                continue
    chosen = chosen_columns(rules, columns, references)
    updates = "".join(_update(table, chosen, key) for table in rules)
    return f"PRAGMA secure_delete = ON;\nBEGIN IMMEDIATE;\n{updates}COMMIT;\nVACUUM;\n"


def _require_quiet(table: str, sql: str, rules: Mapping[str, Sequence[MaskRule]]) -> None:
    head = re.split(r"\bON\b", sql, maxsplit=1, flags=re.IGNORECASE)[0]
    if table in rules and _ON_UPDATE.search(head):
        raise UsageError(
            f"table {table} has triggers that would run when it is masked, and could keep what is masked",
            hint="leave the table out, or mask it after the restore",
        )


def _update(table: str, chosen: Sequence[tuple[MaskRule, Column]], key: bytes) -> str:
    values = ", ".join(
        f"{_name(column.name)} = {_value(rule, column, key)}"
        for rule, column in chosen
        if column.table == table
    )
    return f"UPDATE {_name(table)} SET {values};\n"


def _value(rule: MaskRule, column: Column, key: bytes) -> str:
    if rule.how == "null":
        return "NULL"
    if rule.how == "replace":
        return _text(rule.text)
    value = _name(column.name)
    digits = f"lower(hex(sha3('{key.hex()}' || hex({value}), 256)))"
    places = " + ".join(
        f"((instr('0123456789abcdef', substr(h, {place + 1}, 1)) - 1) << {4 * (_DIGITS - 1 - place)})"
        for place in range(_DIGITS)
    )
    number = f"(SELECT {places} FROM (SELECT {digits} AS h))"
    return f"CASE typeof({value}) WHEN 'null' THEN NULL WHEN 'integer' THEN {number} ELSE {digits} END"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return f"CAST(x'{text.encode('utf-8', 'surrogateescape').hex()}' AS TEXT)"


def _read(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-8", "backslashreplace")
