"""Some rows of live tables, each as the line that pg_dump writes for it: by the same COPY, with the same settings.

Text of `timestamptz` depends on the session's time zone, and of some other types on settings of the role and the database: these are the
same for a dump and for this session, as long as nobody changed them between the two.
"""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.errors import SourceError
from engine.model.contents import RowSample, Sampled
from engine.sources.postgres import quoting
from engine.sources.postgres.session import Row, Session
from engine.sources.rows import SampledRows, hash_of

_SETTINGS: Final = """\
set datestyle = iso;
set intervalstyle = postgres;
set extra_float_digits = 3;
select set_config('client_encoding', pg_encoding_to_char(encoding), false) from pg_database where datname = current_database();
begin isolation level repeatable read, read only;
"""
"""Source: PostgreSQL, src/bin/pg_dump/pg_dump.c, setup_connection."""
_TABLES: Final = """
select n.nspname as schema, c.relname as name, pg_relation_size(c.oid) / current_setting('block_size')::int as pages,
case when c.relpages > 0 and c.reltuples > 0 then c.reltuples / c.relpages end as density,
(select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
and not a.attisdropped and coalesce(to_jsonb(a)->>'attgenerated', '') = '') as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and c.relpersistence <> 't'"""
_MARK: Final = b"r\t"
"""Each line begins so: no row can be taken for the end of the answer."""
_FEW_PAGES: Final = 64
"""A table of so few is read whole, and of its rows some are chosen: choosing among its pages would be no choice."""
_FEWEST_PAGES: Final = 8
_LEAST_DENSITY: Final = 10.0
"""Rows a page where the server does not know."""
_MARGIN: Final = 1.5


async def sample(asked: Session, rows: Mapping[str, int], seed: int) -> Sampled:
    """See `base.SamplingDatabase.sample`. Pages are chosen, not rows: the server reads no more than it gives."""
    await asked.run(_SETTINGS)
    samples: dict[str, RowSample] = {}
    unread: dict[str, str] = {}
    for table in await asked.rows(_TABLES):
        name = f"{table['schema']}.{table['name']}"
        most = rows.get(name)
        if most is None:
            continue
        if not table["columns"]:
            unread[name] = "it has no columns"
            continue
        try:
            samples[name] = await _rows(asked, table, most, seed)
        except SourceError as error:
            # The session is over, and what is left of the tables with it.
            why = error.message
            return Sampled(samples, unread | {each: why for each in rows if each not in samples})
    return Sampled(samples, unread)


async def _rows(asked: Session, table: Row, most: int, seed: int) -> RowSample:
    columns = ", ".join(map(quoting.identifier, table["columns"]))
    among = f"only {quoting.identifier(table['schema'])}.{quoting.identifier(table['name'])}"
    pages = max(_FEWEST_PAGES, _MARGIN * most / (table["density"] or _LEAST_DENSITY))
    is_chosen = table["pages"] > max(_FEW_PAGES, pages)
    order = f" order by hashtext(ctid::text || '{seed}')"
    if is_chosen:
        order = ""
        among += f" tablesample system ({100 * pages / table['pages']:.6f}) repeatable ({seed})"
    found = SampledRows()
    # One more is asked for, which tells whether there are more.
    is_over = False

    def take(line: bytes) -> None:
        nonlocal is_over
        is_over = found.rows == most
        if not is_over:
            found.add([hash_of(line.removeprefix(_MARK))])

    await asked.each_line(
        f"copy (select 'r', {columns} from {among}{order} limit {most + 1}) to stdout;", take
    )
    name = f"{table['schema']}.{table['name']}"
    return found.sample(name, tuple(table["columns"]), is_whole=not is_chosen and not is_over)
