"""The dumper's command for one database."""

from __future__ import annotations

from collections.abc import Sequence

from engine.hosts.base import Command
from engine.model.backup import Scope
from engine.sources.mariadb.connection import Connection, Tools, hides_events
from engine.sources.mariadb.partial import CONTENT_WORDS

_ALWAYS = (
    "--opt",
    "--comments",
    "--quote-names",
    "--single-transaction",
    "--quick",
    "--hex-blob",
    "--triggers",
)
"""Named although most are defaults: the host's option files may say otherwise."""
_MYSQL_ONLY = ("--set-gtid-purged=OFF", "--loose-column-statistics=0", "--no-tablespaces")
"""Without them a dump sets the target's replication state, or asks for what MariaDB lacks, or for the right PROCESS."""


def dump_command(
    connection: Connection, tools: Tools, name: str, scope: Scope, tables: Sequence[str], *, has_log: bool
) -> Command:
    """Dumps a database, or these of its tables alone; with its position in the log where `has_log`."""
    words = list(_ALWAYS)
    words += ["--skip-routines"] if tables else ["--routines"]
    words += ["--skip-events"] if tables or hides_events(name) else ["--events"]
    words += ["--no-data"] if scope is Scope.SCHEMA else []
    words += CONTENT_WORDS if scope is Scope.CONTENT else ()
    if tools.is_mysql:
        words += [*_MYSQL_ONLY, *(["--source-data=2"] if has_log else [])]
    elif has_log:
        words += ["--master-data=2", "--gtid"]
    return connection.command(
        tools.dumper, *words, "--", name, *tables, is_mysql=tools.is_mysql, is_text=True
    )
