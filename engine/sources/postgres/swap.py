"""Putting a restored database in the place of the live one: the statements, and the properties that stay with the name. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.sources.postgres import quoting
from engine.sources.postgres.session import Row

_LISTS = frozenset((
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces",
    "unix_socket_directories",
))  # fmt: skip
"""Settings that are lists of names: the server keeps them quoted one by one. Source: PostgreSQL, variable_is_guc_list_quote."""

_END_SESSIONS = """\
do $holdfast$
begin
  for round in 1..100 loop
    perform pg_stat_clear_snapshot();
    exit when not exists (select from pg_stat_activity where datid in ({oids}) and pid <> pg_backend_pid());
    perform pg_terminate_backend(pid) from pg_stat_activity where datid in ({oids}) and pid <> pg_backend_pid();
    perform pg_sleep(0.05);
  end loop;
end $holdfast$;
"""
"""By number, not by name: no name can end the quoted text."""

TO_THE_END = (
    'trap \'\' HUP INT PIPE TERM; if command -v setsid >/dev/null 2>&1; then setsid "$@"; else "$@"; fi'
)
"""Runs psql so that it finishes what it was given whatever becomes of us: in a session of its own, deaf to signals."""
PROPERTIES = """
select d.oid::bigint as oid, pg_get_userbyid(d.datdba) as owner, d.datconnlimit as most, d.datallowconn as open,
d.datacl is not null as has_grants, shobj_description(d.oid, 'pg_database') as comment from pg_database d where d.datname = {0}"""
GRANTS = """
select case when a.grantee = 0 then null else pg_get_userbyid(a.grantee) end as role, a.privilege_type as privilege, a.is_grantable as grantable
from pg_database d, aclexplode(d.datacl) a where d.datname = {0}"""
SETTINGS = """
select case when s.setrole = 0 then null else pg_get_userbyid(s.setrole) end as role, entry from pg_db_role_setting s
join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) entry where d.datname = {0}"""


@dataclass(frozen=True, slots=True)
class Properties:
    """What belongs to the name of a database, and not to its content."""

    owner: str
    most_connections: int
    is_open: bool
    comment: str | None
    has_grants: bool
    """Whether its privileges differ from those that every database has."""
    grants: Sequence[Row]
    settings: Sequence[Row]

    def statements(self, name: str) -> list[str]:
        """What gives them to a database of that name."""
        database = quoting.identifier(name)
        made = [
            f"alter database {database} owner to {quoting.identifier(self.owner)};",
            f"alter database {database} with connection limit {self.most_connections};",
        ]
        if self.comment is not None:
            made.append(f"comment on database {database} is {quoting.literal(self.comment)};")
        if self.has_grants:
            made.append(f"revoke all on database {database} from public;")
            made.append(f"revoke all on database {database} from {quoting.identifier(self.owner)};")
        made += [_grant(database, row) for row in self.grants]
        made += [_setting(database, row) for row in self.settings]
        return made


@dataclass(frozen=True, slots=True)
class Names:
    """The three names of a swap, as `base.Database.swap` has them."""

    fresh: str
    live: str
    aside: str


def end_sessions(oids: Sequence[int]) -> str:
    """Ends every session of the databases with these numbers, and waits five seconds for them to be gone."""
    return _END_SESSIONS.format(oids=", ".join(map(str, oids)))


def script(names: Names, kept: Properties, oids: Sequence[int]) -> str:
    """All of the swap. Its heart is one transaction; whatever becomes of that, the live name is open again at the end.

    It is sent as a whole and psql goes on after an error, so that a connection that is lost half-way leaves no closed database behind.
    """
    old, new, gone = map(quoting.identifier, (names.live, names.fresh, names.aside))
    lines = [
        r"\set ON_ERROR_STOP off",
        f"alter database {old} with allow_connections false;",
        f"alter database {new} with allow_connections false;",
        end_sessions(oids),
        "begin;",
        f"alter database {old} rename to {gone};",
        f"alter database {new} rename to {old};",
        *kept.statements(names.live),
        "commit;",
        *(f"alter database {each} with allow_connections true;" for each in (old, new, gone) if kept.is_open),
    ]
    return "\n".join(lines) + "\n"


def _grant(database: str, row: Row) -> str:
    role = "public" if row["role"] is None else quoting.identifier(row["role"])
    option = " with grant option" if row["grantable"] else ""
    return f"grant {row['privilege']} on database {database} to {role}{option};"


def _setting(database: str, row: Row) -> str:
    name, _, value = row["entry"].partition("=")
    of = (
        f"database {database}"
        if row["role"] is None
        else f"role {quoting.identifier(row['role'])} in database {database}"
    )
    parts = quoting.list_elements(value) or [""] if name.lower() in _LISTS else [value]
    # A setting of an extension has a dot between two names.
    variable = ".".join(quoting.identifier(part) for part in name.split("."))
    return f"alter {of} set {variable} to {', '.join(map(quoting.literal, parts))};"
