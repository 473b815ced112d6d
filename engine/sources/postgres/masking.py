"""Masks columns of a restored PostgreSQL database: by one statement a table, and so that no old row stays in its files.

With a superuser's session neither triggers nor foreign keys get in the way, and the server logs nothing of the statements, which hold the key.
"""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import UsageError
from engine.model.masking import Column, MaskRule, Reference, chosen_columns, pads
from engine.sources.postgres import quoting
from engine.sources.postgres.session import Session

_TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_NUMBERS = {"int2": (4, "bit(16)::int", 32767), "int4": (8, "bit(32)::int", 2147483647), "int8": (16, "bit(64)::bigint", 9223372036854775807)}  # fmt: skip
"""Hex digits of the hash, what they become, and what keeps the sign away."""
_HEAD_BYTES = 4
"""What pg_attribute.atttypmod has more than the length of a text."""
_COLUMNS = """
select n.nspname || '.' || c.relname as "table", a.attname as name, coalesce(b.typname, t.typname) as type,
case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as modifier, a.attnotnull or t.typnotnull as required,
a.attgenerated <> '' as generated
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"""
_REFERENCES = """
select n.nspname || '.' || r.relname as "table", a.attname as name, m.nspname || '.' || s.relname as "to_table", b.attname as to_name
from pg_constraint k cross join lateral unnest(k.conkey, k.confkey) as pair (here, there)
join pg_class r on r.oid = k.conrelid join pg_namespace n on n.oid = r.relnamespace
join pg_class s on s.oid = k.confrelid join pg_namespace m on m.oid = s.relnamespace
join pg_attribute a on a.attrelid = k.conrelid and a.attnum = pair.here
join pg_attribute b on b.attrelid = k.confrelid and b.attnum = pair.there where k.contype = 'f'"""
_TRIGGERS = """
select distinct n.nspname || '.' || c.relname as "table" from pg_trigger t join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace where not t.tgisinternal and t.tgenabled in ({})"""
_VIEWS = "select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'm' and c.relispopulated order by c.oid"
_IS_SUPERUSER = "select rolsuper as yes from pg_roles where rolname = current_user"
_FREE = """\
set session_replication_role = replica;
set log_statement = 'none'; set log_min_duration_statement = -1; set log_min_error_statement = 'panic'; set log_transaction_sample_rate = 0;
"""


async def mask(asked: Session, rules: Mapping[str, Sequence[MaskRule]], key: bytes) -> None:
    """Masks; `rules` are by table, `key` is the home's. Raises: UnknownNameError, UsageError; SourceError."""
    columns = [
        Column(row["table"], row["name"], row["type"], _length(row["type"], row["modifier"]), row["required"], row["generated"])
        for row in await asked.rows(_COLUMNS)
    ]  # fmt: skip
    references = [
        Reference(row["table"], row["name"], row["to_table"], row["to_name"])
        for row in await asked.rows(_REFERENCES)
    ]
    chosen = chosen_columns(rules, columns, references)
    is_superuser = (await asked.row(_IS_SUPERUSER))["yes"]
    firing = _TRIGGERS.format("'R', 'A'" if is_superuser else "'O', 'R', 'A'")
    for row in await asked.rows(firing):
        if row["table"] in rules:
            raise UsageError(
                f"table {row['table']} has triggers that would run when it is masked, and could keep what is masked",
                hint="restore as a superuser, or leave the table out",
            )
    names = {
        f"{row['schema']}.{row['name']}": f"{quoting.identifier(row['schema'])}.{quoting.identifier(row['name'])}"
        for row in await asked.rows(
            "select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p')"
        )
    }
    if is_superuser:
        await asked.run(_FREE)
    await asked.run(
        "begin;\n" + "".join(_update(names[table], chosen, table, key) for table in rules) + "commit;"
    )
    for table in rules:
        await asked.run(f"set client_min_messages = error; vacuum (full, analyze) {names[table]};")
    for row in await asked.rows(_VIEWS):
        view = f"{quoting.identifier(row['schema'])}.{quoting.identifier(row['name'])}"
        await asked.run(
            f"set search_path to default; refresh materialized view {view}; set search_path = pg_catalog;"
        )


def _length(kind: str, modifier: int) -> int | None:
    return modifier - _HEAD_BYTES if kind in ("varchar", "bpchar") and modifier > _HEAD_BYTES else None


def _update(table: str, chosen: Sequence[tuple[MaskRule, Column]], name: str, key: bytes) -> str:
    values = ", ".join(
        f"{quoting.identifier(column.name)} = {_value(rule, column, key)}"
        for rule, column in chosen
        if column.table == name
    )
    return f"update {table} set {values};\n"


def _value(rule: MaskRule, column: Column, key: bytes) -> str:
    if rule.how == "null":
        return "null"
    if rule.how == "replace":
        return quoting.literal(rule.text)
    value = quoting.identifier(column.name)
    inner, outer = (rf"'\x{pad}'::bytea" for pad in pads(key))
    taken = value if column.type == "bytea" else f"convert_to({value}::text, 'UTF8')"
    digest = f"sha256({outer} || sha256({inner} || {taken}))"
    digits = f"encode({digest}, 'hex')"
    if column.type in _TEXTS:
        return f"left({digits}, {column.length})" if column.length else digits
    if column.type in _NUMBERS:
        count, cast, positive = _NUMBERS[column.type]
        number = f"(('x' || left({digits}, {count}))::{cast} & {positive})"
        return f"{number}::int2" if column.type == "int2" else number
    if column.type == "uuid":
        return f"left({digits}, 32)::uuid"
    if column.type == "bytea":
        return digest
    raise UsageError(
        f"column {rule.place} is of type {column.type}, which cannot be hashed",
        hint="say null, or replace:TEXT",
    )
