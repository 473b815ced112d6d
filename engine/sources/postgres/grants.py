"""What an account needs to back databases up, as SQL to paste. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sources.postgres import quoting

REASON = "PostgreSQL 14 or newer: an account that reads everything, and changes nothing; set its password by \\password in psql"


def statements(role: str, databases: Sequence[str]) -> str:
    """For that role. Connecting is every role's right unless somebody took it away, so it is granted where databases are named.

    `pg_read_all_data` reads every table, the roles' password hashes in pg_authid included. Rows behind a policy it reads with BYPASSRLS
    alone, and pg_dump would fail on them; `pg_read_all_settings` tells the data folder, by which two servers are told apart.
    """
    name = quoting.identifier(role)
    lines = [
        f"create role {name} login bypassrls;",
        f"grant pg_read_all_data, pg_read_all_settings to {name};",
        *(f"grant connect on database {quoting.identifier(database)} to {name};" for database in databases),
    ]
    return "\n".join(lines)
