"""Masks columns of a restored MariaDB database: by one statement a table, and so that no old row stays in its files."""

# Names and values become SQL by `connection`'s quoting alone.

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import UsageError
from engine.model.masking import Column, MaskRule, Reference, chosen_columns, pads
from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.connection import Connection, quote_name, quote_text
from engine.sources.mariadb.facts import is_name

_TIMEOUT_S = 24 * 3600.0
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_NUMBERS = {"smallint": (4, 32767), "mediumint": (6, 8388607), "int": (8, 2147483647), "bigint": (16, 9223372036854775807)}  # fmt: skip
"""Hex digits of the hash, and what keeps the sign away."""


async def mask(
    connection: Connection, name: str, rules: Mapping[str, Sequence[MaskRule]], key: bytes
) -> None:
    """Masks; `rules` are by table, `key` is the home's. Raises: UnknownNameError, UsageError; SourceError, HostError."""
    columns, references, triggers, versioned = await connection.results(
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, COALESCE(generation_expression, '') <> ''"
        f" FROM information_schema.columns WHERE {is_name('table_schema', name)};\n"
        "SELECT table_name, column_name, referenced_table_name, referenced_column_name FROM information_schema.key_column_usage"
        f" WHERE {is_name('table_schema', name)} AND {is_name('referenced_table_schema', name)};\n"
        f"SELECT event_object_table FROM information_schema.triggers WHERE {is_name('trigger_schema', name)} AND event_manipulation = 'UPDATE';\n"
        f"SELECT table_name FROM information_schema.tables WHERE {is_name('table_schema', name)} AND table_type = 'SYSTEM VERSIONED'"
    )
    known = [
        Column(
            table, column, kind.lower(), int(length) if length else None, nullable == "NO", generated == "1"
        )
        for table, column, kind, length, nullable, generated in map(texts, columns)
    ]
    chosen = chosen_columns(rules, known, [Reference(*texts(row)) for row in references])
    for rows, what in ((triggers, "triggers that would run when it is masked"), (versioned, "a history that keeps what is masked")):  # fmt: skip
        for (table,) in map(texts, rows):
            if table in rules:
                raise UsageError(
                    f"table {table} has {what}", hint="leave the table out, or mask it after the restore"
                )
    statements = [await _quiet(connection), "SET SESSION foreign_key_checks = 0;\n"]
    statements += [_update(table, chosen, key) for table in rules]
    # Builds the table anew: pages that were freed still hold old rows.
    statements += [f"ALTER TABLE {quote_name(table)} FORCE;\n" for table in rules]
    await connection.run("".join(statements), name, timeout_s=_TIMEOUT_S)


async def _quiet(connection: Connection) -> str:
    """What keeps the statements, which hold the key, out of the server's logs: its binary log must have rows, without the text beside them.

    An account that may not say so is refused by the server. Where nothing is logged nothing is said.
    """
    (rows,) = await connection.results(
        "SELECT @@GLOBAL.log_bin, @@SESSION.binlog_format, @@GLOBAL.general_log"
    )
    ((has_log, form, has_general_log),) = map(texts, rows)
    statements = "SET SESSION long_query_time = 31536000;\n"
    if has_log == "1":
        statements += "/*M! SET SESSION binlog_annotate_row_events = 0 */;\n"
        statements += "SET SESSION binlog_format = 'ROW';\n" if form != "ROW" else ""
    return statements + ("SET SESSION sql_log_off = 1;\n" if has_general_log == "1" else "")


def _update(table: str, chosen: Sequence[tuple[MaskRule, Column]], key: bytes) -> str:
    values = ", ".join(
        f"{quote_name(column.name)} = {_value(rule, column, key)}"
        for rule, column in chosen
        if column.table == table
    )
    return f"UPDATE {quote_name(table)} SET {values};\n"


def _value(rule: MaskRule, column: Column, key: bytes) -> str:
    if rule.how == "null":
        return "NULL"
    if rule.how == "replace":
        return quote_text(rule.text)
    value = quote_name(column.name)
    inner, outer = (f"x'{pad}'" for pad in pads(key))
    taken = value if column.type in _BYTES else f"CAST(CONVERT({value} USING utf8mb4) AS BINARY)"
    digits = f"SHA2(CONCAT({outer}, UNHEX(SHA2(CONCAT({inner}, {taken}), 256))), 256)"
    if column.type in _TEXTS:
        return f"LEFT({digits}, {column.length})" if column.length and column.length < 64 else digits
    if column.type in _BYTES:
        return f"LEFT(UNHEX({digits}), {column.length})" if column.length and column.length < 32 else f"UNHEX({digits})"  # fmt: skip
    if column.type in _NUMBERS:
        count, positive = _NUMBERS[column.type]
        return f"CAST(CONV(LEFT({digits}, {count}), 16, 10) AS UNSIGNED) & {positive}"
    raise UsageError(
        f"column {rule.place} is of type {column.type}, which cannot be hashed",
        hint="say null, or replace:TEXT",
    )
