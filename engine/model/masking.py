"""Masking: what is put in place of the values of a column before anybody who should not see them gets the database. Pure.

A hash is an HMAC-SHA256 under a key of the home, cut to the column's type and length: the same value gives the same hash everywhere, so that
joins still fit, and who lacks the key cannot try values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import UnknownNameError, UsageError
from engine.model.definitions import Host, Source

STAGING = "staging"
_BLOCK_BYTES = 64
"""Of SHA-256, for HMAC. Source: RFC 2104."""
_RULE = re.compile(r"(?P<place>.+?)=(?P<how>hash|null|replace:(?P<text>.*))", re.DOTALL)
_HINT = "say --mask TABLE.COLUMN=hash, =null or =replace:TEXT"


@dataclass(frozen=True, slots=True)
class MaskRule:
    """What becomes of one column."""

    table: str
    """As the manifest has it, or without the schema `public`."""
    column: str
    how: Literal["hash", "null", "replace"]
    text: str = ""
    """What every row has afterwards; for `replace` alone."""

    @property
    def place(self) -> str:
        """Table and column, for messages."""
        return f"{self.table}.{self.column}"


def parse(text: str) -> MaskRule:
    """Reads `TABLE.COLUMN=hash|null|replace:TEXT`. Raises: UsageError."""
    found = _RULE.fullmatch(text)
    table, dot, column = found["place"].rpartition(".") if found else ("", "", "")
    if not found or not dot or not table or not column or "\0" in text:
        raise UsageError(f"{text!r} is no rule for masking", hint=_HINT)
    if found["text"] is not None:
        return MaskRule(table, column, "replace", found["text"])
    return MaskRule(table, column, "hash" if found["how"] == "hash" else "null")


def is_staging(host: Host) -> bool:
    """Whether the host was marked as one that holds no real data."""
    return host.options.get("stage") == STAGING


def stored(source: Source) -> tuple[str, ...]:
    """The rules that a source keeps."""
    value = source.options.get("mask")
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()


def joined(*given: Iterable[str]) -> list[MaskRule]:
    """All rules, one a column: the first that was given counts. Raises: UsageError."""
    found: dict[tuple[str, str], MaskRule] = {}
    for texts in given:
        for text in texts:
            rule = parse(text)
            found.setdefault((rule.table, rule.column), rule)
    return list(found.values())


def of_tables(rules: Iterable[MaskRule], tables: Iterable[str]) -> dict[str, list[MaskRule]]:
    """The rules by the manifest's name of their table; those of other tables are left out."""
    known = frozenset(tables)
    found: dict[str, list[MaskRule]] = {}
    for rule in rules:
        name = next((each for each in (rule.table, f"public.{rule.table}") if each in known), None)
        if name is not None:
            found.setdefault(name, []).append(rule)
    return found


def require_tables(rules: Iterable[MaskRule], tables: Iterable[str]) -> None:
    """Raises: UnknownNameError for a rule whose table is in none of the databases."""
    known = list(tables)
    for rule in rules:
        if not of_tables([rule], known):
            raise UnknownNameError(
                f"there is no table {rule.table} in the backup, which a rule would mask", hint=_HINT
            )


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database describes it."""

    table: str
    name: str
    type: str
    """By the database's own word, without length."""
    length: int | None = None
    """In characters or bytes, of types that have one."""
    is_required: bool = False
    """Whether it cannot be NULL."""
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """One column of a foreign key."""

    table: str
    column: str
    to_table: str
    to_column: str


def chosen_columns(
    rules: Mapping[str, Sequence[MaskRule]], columns: Iterable[Column], references: Iterable[Reference] = ()
) -> list[tuple[MaskRule, Column]]:
    """Each rule with its column; `rules` are by the manifest's name of the table.

    Raises: UnknownNameError for a column that is not there; UsageError for one that cannot be NULL, is computed from others, or is one side of
    a foreign key whose other side would no longer fit.
    """
    known = {(column.table, column.name): column for column in columns}
    found: dict[tuple[str, str], tuple[MaskRule, Column]] = {}
    for table, wanted in rules.items():
        for rule in wanted:
            column = known.get((table, rule.column))
            if column is None:
                raise UnknownNameError(f"table {table} has no column {rule.column}, which a rule would mask")
            if column.is_generated:
                raise UsageError(f"column {rule.place} is computed from others", hint="mask those")
            if rule.how == "null" and column.is_required:
                raise UsageError(f"column {rule.place} cannot be null", hint="say hash, or replace:TEXT")
            found[table, rule.column] = (rule, column)
    for each in references:
        _require_fit(each, found, known)
    return list(found.values())


def _require_fit(
    reference: Reference,
    found: Mapping[tuple[str, str], tuple[MaskRule, Column]],
    known: Mapping[tuple[str, str], Column],
) -> None:
    here, there = (reference.table, reference.column), (reference.to_table, reference.to_column)
    one, other = found.get(here), found.get(there)
    if (one is None and other is None) or (one is not None and one[0].how == "null"):
        return
    is_alike = one is not None and other is not None and one[0].how == other[0].how == "hash"
    if not is_alike or _shape(known.get(here)) != _shape(known.get(there)):
        raise UsageError(
            f"column {'.'.join(here)} refers to {'.'.join(there)}, and would not fit it any more",
            hint="give both the rule hash, which needs the same type, or the referring one null",
        )


def _shape(column: Column | None) -> tuple[str, int | None] | None:
    return (column.type, column.length) if column else None


def pads(key: bytes) -> tuple[str, str]:
    """The inner and the outer key of HMAC-SHA256, 128 hex digits each: `sha256(outer + sha256(inner + value))`. Source: RFC 2104."""
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return bytes(byte ^ 0x36 for byte in block).hex(), bytes(byte ^ 0x5C for byte in block).hex()
