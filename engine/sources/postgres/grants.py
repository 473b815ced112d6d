"""What an account needs to back databases up, as SQL to paste. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sources.postgres import quoting

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
