"""What an account needs to back databases up, as SQL to paste. Pure."""

# Names and values become SQL by `quoting` alone.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.sources.postgres import quoting

RESTORE_REASON = (
    "PostgreSQL 14 or newer: makes databases, ends the sessions of those that are replaced, and gives everything to whom it belonged. What belongs to a superuser, "
    "extensions that are not trusted, and --roles need a superuser"
)
LOG_REASONS: Final = {
    "spool": "The log is shipped from its spool: which server it is, and that it closes a segment at each look",
    "slot": "The log is streamed from a slot: which server it is, and its slot, which a base makes",
}
FORWARDING_REASON = "The log of a slot is streamed through sshd, to the server and nowhere else; over a socket, sshd_config must say `AllowStreamLocalForwarding` local or yes too"
PART_REASON = "`--only configuration` finds included files that set nothing now"
REASON = "PostgreSQL 14 or newer: an account that reads everything, and changes nothing; set its password by \\password in psql"


def statements(role: str, databases: Sequence[str], *, is_physical: bool = False) -> str:
    """For that role; a physical copy wants the right to replicate, and a line for it in pg_hba.conf. Connecting is every role's right unless somebody took it away, so it is granted where databases are named.

    `pg_read_all_data` reads every table, the roles' password hashes in pg_authid included. Rows behind a policy it reads with BYPASSRLS
    alone, and pg_dump would fail on them; `pg_read_all_settings` tells the data folder, by which two servers are told apart.
    """
    name = quoting.identifier(role)
    if is_physical:
        return f"create role {name} login replication;\ngrant pg_read_all_settings to {name};\n-- in pg_hba.conf: host replication {name} ADDRESS scram-sha-256"
    lines = [
        f"create role {name} login bypassrls;",
        f"grant pg_read_all_data, pg_read_all_settings to {name};",
        *(f"grant connect on database {quoting.identifier(database)} to {name};" for database in databases),
    ]
    return "\n".join(lines)


def log_statements(role: str, way: str) -> str:
    """For that role, besides `statements`, where the log is shipped. What anybody may call unless somebody took it away is named all the same."""
    name = quoting.identifier(role)
    lines = [
        f"grant execute on function pg_control_system() to {name};",
        f"grant execute on function pg_control_checkpoint() to {name};",
    ]
    if way == "spool":
        lines.append(f"grant execute on function pg_switch_wal() to {name};")
    else:
        lines += [
            f"alter role {name} replication;",
            f"grant execute on function pg_create_physical_replication_slot(name, boolean, boolean) to {name};",
            f"grant execute on function pg_drop_replication_slot(name) to {name};",
        ]
    return "\n".join(lines)


def forwarding(address: str, port: int) -> str:
    """What a key that is restricted in authorized_keys needs besides, for a stream of the log; no address: a socket."""
    to = f',permitopen="{address}:{port or 5432}"' if address and not address.startswith("/") else ""
    return f"# in authorized_keys, where the key has the word `restrict`: restrict,port-forwarding{to}"


def restore_statements(role: str, databases: Sequence[str]) -> str:
    """For that role, besides `statements`: in place and beside, masked or not. It may act as the owners of what is in these databases (in all,
    where none are named), but for superusers: as one of those it could do anything."""
    name, literal = quoting.identifier(role), quoting.literal(role)
    chosen = f" and datname in ({', '.join(map(quoting.literal, databases))})" if databases else ""
    allowed = f"datallowconn and not datistemplate{chosen}"
    body = (
        "declare owner name; begin for owner in select rolname from pg_roles where not rolsuper and oid in (\n"
        f"  select datdba from pg_database where {allowed} union select refobjid from pg_shdepend\n"
        "  join pg_database on dbid = pg_database.oid where refclassid = 'pg_authid'::regclass and deptype = 'o'\n"
        f"  and {allowed}) and rolname <> {literal} loop\n"
        f"  execute format('grant %I to %I', owner, {literal}); end loop; end"
    )
    tag = "$holdfast$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"alter role {name} createdb;\ngrant pg_signal_backend to {name};\ndo {tag} {body} {tag};"


def part_statements(role: str) -> str:
    """For that role, besides `statements`, where the configuration alone is backed up."""
    return f"grant execute on function pg_show_all_file_settings() to {quoting.identifier(role)};"
