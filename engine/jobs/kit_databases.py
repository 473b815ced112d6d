"""What a recovery kit says of databases: how what stock restic restored becomes live again, by the databases' own tools."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

FOLDER: Final = "/some/empty/folder"
"""Stands in the kit for a folder that the person chooses."""

_POSTGRES: Final = """\
  psql -d postgres -f globals.sql
  for dump in databases/*.dump; do
    name=$(basename "$dump" .dump)
    createdb "$name"
    pg_restore -d "$name" --section=pre-data "$dump"
    for part in "databases/$name.data"/*; do [ ! -e "$part" ] || pg_restore -d "$name" --section=data "$part"; done
    pg_restore -d "$name" --section=data --section=post-data "$dump"
  done
"""
_MARIADB: Final = """\
  mariadb < globals.sql
  for dump in databases/*.sql; do
    name=$(basename "$dump" .sql)
    mariadb -e "CREATE DATABASE \\`$name\\`"
    mariadb "$name" < "$dump"
  done
"""
_LINES: Final[Mapping[str, str]] = {
    "postgres": _POSTGRES,
    "mariadb": _MARIADB,
    "mysql": _MARIADB.replace("mariadb", "mysql"),
    "redis": "  cp databases/dump.rdb THE-STOPPED-SERVERS-FOLDER/dump.rdb\n",
    "mongodb": '  for dump in databases/*.archive; do mongorestore --archive="$dump"; done\n',
    "sqlite": "  ls databases  # each file is the database as it was\n",
}
_PHYSICAL: Final[Mapping[str, str]] = {
    "postgres": "  chown -R postgres: data\n",
    "mariadb": "  mariadb-backup --prepare --target-dir=data && chown -R mysql: data\n",
    "mysql": "  mariadb-backup --prepare --target-dir=data && chown -R mysql: data\n",
}


def lines(name: str, kind: str, *, is_physical: bool) -> str:
    """The commands for one source, in the folder that restic restored it to; empty where its files are all that there is to it."""
    found = (_PHYSICAL if is_physical else _LINES).get(kind, "")
    if not found:
        return ""
    words = "a server of that version starts from data:" if is_physical else "each database:"
    return f"Of {name}, {kind}, {words}\n\n  cd {shlex.quote(f'{FOLDER}/{kind}/{name}')}\n{found}\n"
