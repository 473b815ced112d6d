"""What a database holds, asked for in one session: for the manifest in the dump's own snapshot, for a restored database as it is now."""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import SourceError
from engine.model.manifest import EXACT_ROWS_LIMIT, DatabaseFacts, SequenceFacts, TableFacts
from engine.sources.postgres import quoting
from engine.sources.postgres.session import Row, Session

COUNTED_AT_ONCE = 200
"""Statements that are sent together: one way over the network for all of them, and far less text than a pipe holds."""

_OURS = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
_NO_MEMBER = "not exists (select from pg_depend d where d.classid = '{0}'::regclass and d.objid = {1}.oid and d.deptype = 'e')"
"""What an extension made comes back with the extension."""
IS_OURS = f"{_OURS} and c.relpersistence <> 't' and {_NO_MEMBER.format('pg_class', 'c')}"
"""Of a class `c` in a schema `n`: whether a dump holds it for its own sake."""

_DATABASE = """
select pg_get_userbyid(d.datdba) as owner, pg_encoding_to_char(d.encoding) as encoding, d.datcollate as collate, d.datctype as ctype,
coalesce(to_jsonb(d)->>'datlocprovider', 'c') as provider, coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') as locale,
pg_database_size(d.oid) as size from pg_database d where d.datname = current_database()"""
_TABLES = f"""
select c.oid::bigint as oid, n.nspname as schema, c.relname as name, c.relkind as kind, c.reltuples::bigint as estimate,
coalesce(pg_total_relation_size(c.oid), 0) as size
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'f') and {IS_OURS}"""
_INDEXES = f"""
select n.nspname as schema, c.relname as name from pg_index x join pg_class c on c.oid = x.indexrelid
join pg_namespace n on n.oid = c.relnamespace where (x.indisvalid or c.relkind = 'I') and {IS_OURS} and {{of}} x.indrelid {{among}}"""
_CONSTRAINTS = f"""
select n.nspname as schema, c.relname || '.' || k.conname || case when k.convalidated then '' else ' (not validated)' end as name
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
where k.contype in ('c', 'f', 'p', 'u', 'x') and coalesce((to_jsonb(k)->>'conparentid')::bigint, 0) = 0 and {IS_OURS}
and {{of}} (k.conrelid {{among}} and (k.contype <> 'f' or k.confrelid {{among}}))"""
_TRIGGERS = f"""
select n.nspname as schema, c.relname || '.' || t.tgname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and coalesce((to_jsonb(t)->>'tgparentid')::bigint, 0) = 0 and {IS_OURS} and {{of}} t.tgrelid {{among}}"""
_SEQUENCES = f"""
select n.nspname as schema, c.relname as name, s.last_value as last from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_sequences s on s.schemaname = n.nspname and s.sequencename = c.relname where c.relkind = 'S' and {IS_OURS}
and {{of}} exists (select from pg_depend o where o.classid = 'pg_class'::regclass and o.objid = c.oid
and o.refclassid = 'pg_class'::regclass and o.deptype in ('a', 'i') and o.refobjid {{among}})"""
_VIEWS = f"""
select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and {IS_OURS}"""
_ROUTINES = f"""
select n.nspname as schema, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as name
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {_OURS} and {_NO_MEMBER.format("pg_proc", "p")}"""
_EXTENSIONS = "select '' as schema, extname as name from pg_extension"
_OF_TEMPLATE = f"{_EXTENSIONS} where extname = 'plpgsql'"
"""Every new database has it, so a restored table is not alone either."""
_SERVER = """
select current_setting('server_version') as version, extract(epoch from now())::float8 as now,
case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as position,
case when has_function_privilege('pg_control_system()', 'execute') then (select system_identifier from pg_control_system())::text end as system,
case when (select rolsuper from pg_roles where rolname = current_user) or pg_has_role(current_user, 'pg_read_all_settings', 'member')
then (select setting from pg_settings where name = 'data_directory') end as folder, current_setting('port') as port,
has_table_privilege('pg_authid', 'select') as passwords, coalesce(inet_server_addr()::text, '') as address"""
DATABASES = """
select datname as name, pg_database_size(oid) as size from pg_database
where datallowconn and not datistemplate and has_database_privilege(oid, 'connect') order by datname"""
DATA_FOLDER = "select setting as folder from pg_settings where name = 'data_directory'"
"""Hidden from accounts without pg_read_all_settings: then there is no row."""

_MAY_HOLD_BYTES = 24
"""The least that a row takes in a table (its header), to guess at tables that were never analysed."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server, and the instant of the session's transaction."""

    version: str
    taken_s: float
    """Seconds since 1970, by the server's clock."""
    position: str
    identity: str
    has_passwords: bool
    """Whether this account may read the roles' passwords."""


@dataclass(frozen=True, slots=True)
class Locale:
    """How a database sorts, as one text in the manifest: `C.UTF-8`, or `collate=… ctype=… provider=icu locale=…`."""

    collate: str
    ctype: str
    provider: str = "c"
    locale: str = ""

    def __str__(self) -> str:
        if self.provider == "c" and self.collate == self.ctype:
            return self.collate
        return f"collate={self.collate} ctype={self.ctype} provider={self.provider} locale={self.locale}"

    @classmethod
    def parse(cls, text: str) -> Locale:
        """What `str` wrote."""
        found = re.fullmatch(r"collate=(.*) ctype=(.*) provider=(\w) locale=(.*)", text)
        return cls(*found.groups()) if found else cls(text, text)


@dataclass(frozen=True, slots=True)
class TableName:
    """A table that was found."""

    oid: int
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


async def server(session: Session) -> ServerFacts:
    """Raises: SourceError."""
    row = await session.row(_SERVER)
    place = row["folder"] or f"port {row['port']} {row['address']}".strip()
    return ServerFacts(
        version=row["version"],
        taken_s=row["now"],
        position=row["position"] or "",
        identity=f"{row['system'] or 'unknown'} {place}",
        has_passwords=row["passwords"],
    )


async def find_tables(session: Session, wanted: Sequence[str]) -> list[TableName]:
    """The tables by the names that the manifest has, `schema.table`; `public` where no schema is named. Raises: SourceError where one is missing."""
    known = {f"{row['schema']}.{row['name']}": row for row in await session.rows(_TABLES)}
    found = []
    for name in dict.fromkeys(wanted):
        row = known.get(name) or known.get(f"public.{name}")
        if row is None:
            raise SourceError(f"there is no table {name!a}", hint="name it with its schema: public.orders")
        found.append(TableName(row["oid"], row["schema"], row["name"]))
    return found


async def gather(
    session: Session, name: str, tables: Iterable[TableName] = (), *, has_rows: bool = True
) -> DatabaseFacts:
    """All facts of the session's database, or of those tables alone; `has_rows` is false for a dump of the schema. Raises: SourceError."""
    chosen = [table.oid for table in tables]
    among = {"of": "" if chosen else "true or", "among": f"in ({', '.join(map(str, chosen or [0]))})"}
    row = await session.row(_DATABASE)
    found = [each for each in await session.rows(_TABLES) if not chosen or each["oid"] in chosen]
    sequences = await session.rows(_SEQUENCES.format(**among))
    return DatabaseFacts(
        name=name,
        owner=row["owner"],
        encoding=row["encoding"],
        collation=str(Locale(row["collate"], row["ctype"], row["provider"], row["locale"] or "")),
        size_bytes=row["size"],
        tables=sorted(await _tables(session, found, has_rows=has_rows), key=lambda each: each.name),
        indexes=await _names(session, _INDEXES.format(**among)),
        constraints=await _names(session, _CONSTRAINTS.format(**among)),
        sequences=sorted(
            (SequenceFacts(_full(each), each["last"] if has_rows else None) for each in sequences),
            key=lambda each: each.name,
        ),
        views=[] if chosen else await _names(session, _VIEWS),
        routines=[] if chosen else await _names(session, _ROUTINES),
        triggers=await _names(session, _TRIGGERS.format(**among)),
        extensions=await _names(session, _OF_TEMPLATE if chosen else _EXTENSIONS),
    )


async def _tables(session: Session, found: Sequence[Row], *, has_rows: bool) -> list[TableFacts]:
    if not has_rows:
        return [TableFacts(_full(each), 0, size_bytes=each["size"]) for each in found]
    counted = [each for each in found if each["kind"] == "r" and each["estimate"] <= EXACT_ROWS_LIMIT]
    rows: dict[int, int] = {each["oid"]: 0 for each in found if each["kind"] == "p"}
    for begin in range(0, len(counted), COUNTED_AT_ONCE):
        batch = counted[begin : begin + COUNTED_AT_ONCE]
        answers = await session.lines("\n".join(map(_count, batch)))
        rows |= {each["oid"]: int(answer) for each, answer in zip(batch, answers, strict=True)}
    return [_table(each, rows.get(each["oid"])) for each in found]


def _table(row: Row, counted: int | None) -> TableFacts:
    """Rows of a partitioned table are those of its partitions; foreign tables keep theirs elsewhere, and no dump holds them."""
    is_exact = counted is not None and counted <= EXACT_ROWS_LIMIT
    rows = counted if counted is not None and is_exact else max(row["estimate"], counted or 0, 0)
    return TableFacts(_full(row), rows, is_estimated=not is_exact, size_bytes=row["size"])


def _count(row: Row) -> str:
    """ONLY, so that a child's row is counted once. Where nobody knows the size, counting ends soon after the limit."""
    table = f"only {quoting.identifier(row['schema'])}.{quoting.identifier(row['name'])}"
    if row["estimate"] > 0 or row["size"] < EXACT_ROWS_LIMIT * _MAY_HOLD_BYTES:
        return f"select count(*) from {table};"
    return f"select count(*) from (select from {table} limit {EXACT_ROWS_LIMIT + 1}) counted;"


async def _names(session: Session, select: str) -> list[str]:
    return sorted(_full(row) for row in await session.rows(select))


def _full(row: Row) -> str:
    return f"{row['schema']}.{row['name']}" if row["schema"] else str(row["name"])
