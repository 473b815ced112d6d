"""What a recovery kit says of databases: how what stock restic restored becomes live again, by the databases' own tools."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from engine.model.definitions import Source

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
INSTANT: Final = "2026-01-31 14:05:30+00"
"""Stands in the kit for an instant that the person chooses, and, where there is no zone…"""
STOP: Final = "2026-01-31 14:05:30"
"""…this."""
NUMBER: Final = "29000000"
"""Stands in the kit for that of a minute, which a snapshot's tag tells."""
_POSTGRES_LOG: Final = f"""\
Or to an instant, of which the log is there as well: with the newest base from before it (restic's snapshots have it by its time: name it in place of latest),
and before the server's first start. Without the line of recovery_target_time it goes to the last byte that was shipped. It is there
once it takes writes; its log says the last transaction's time. A tablespace that the log makes is made where the old server had it: go no further than
that where the old server runs on the same machine. Where logs holds several servers, the base's tag holdfast:log-position names the one.

%(cd)s  server=$(ls logs)
  size=$(wc -c <"$(ls -d data/pg_wal/???????????????????????? | head -n 1)")
  for tail in logs/"$server"/*/*.partial; do
    [ ! -e "$tail" ] || [ -e "${{tail%%.partial}}" ] || {{ truncate -s "$size" "$tail" && mv "$tail" "${{tail%%.partial}}"; }}
  done
  echo "restore_command = 'cp $PWD/logs/$server/*/%%f %%p || cp $PWD/logs/$server/%%f %%p'" >>data/postgresql.auto.conf
  echo "recovery_target_time = '{INSTANT}'" >>data/postgresql.auto.conf
  echo "recovery_target_action = 'promote'" >>data/postgresql.auto.conf
  echo "archive_mode = 'off'" >>data/postgresql.auto.conf
  touch data/recovery.signal
  chown -R postgres: data logs
  chmod a+x . .. ../..

"""
_MARIADB_LOG: Final = f"""\
Or to an instant, of which the log is there as well: with the newest base from before it (restic's snapshots have it by its time: name it in place of latest),
once the server runs from data and `mariadb` reaches it, as an account that may do all. What was committed from that second on is left
out; without the line of stop-datetime, which is in UTC, it goes to the last byte that was shipped. Where logs holds several servers, the base's tag
holdfast:log-position names the one.

%(cd)s  export TZ=UTC
  server=$(ls logs)
  set -- $(cat data/*_binlog_info)
  first=$1 position=$2
  set --
  for log in $(ls "logs/$server"/*/"${{first%%.*}}".[0-9]* -d | sort -t / -k 4V); do
    [ $# = 0 ] && [ "${{log##*/}}" != "$first" ] || set -- "$@" "$log"
  done
  until=--stop-datetime='{STOP}'
  mariadb-binlog --start-position="$position" ${{until:+"$until"}} "$@" | mariadb --binary-mode --local-infile=1 --max-allowed-packet=1G

"""
_MONGODB_LOG: Final = f"""\
Or to a second, of which the oplog is there as well: with the newest dump from before it (restic's snapshots have it by its time: name it in place of latest),
on an empty server. What was done from that second on, which is in UTC, is left out. The dump's tag holdfast:log-position=SERVER/oplog/NUMBER@... has the
number of the last minute that it holds whole.

%(cd)s  server=$(ls logs)
  number={NUMBER}
  mkdir replay
  for slice in $(ls "logs/$server"/*/*.bson | sort -t / -k 4); do
    name=${{slice##*/}}
    [ "${{name%%%%-*}}" -le $((number * 60)) ] || cat "$slice" >>replay/oplog.bson
  done
  mongorestore --oplogReplay --archive=databases/dump.archive
  mongorestore --oplogReplay --oplogLimit="$(date -u -d '{STOP}' +%%s):0" replay

"""
_LOGS: Final[Mapping[str, str]] = {
    "postgres": _POSTGRES_LOG,
    "mariadb": _MARIADB_LOG,
    "mongodb": _MONGODB_LOG,
}
_WAYS: Final[Mapping[str, Sequence[str]]] = {
    "postgres": ("log_spool", "log_slot"),
    "mariadb": ("log_binlog",),
    "mongodb": ("log_oplog",),
}
"""Of each kind whose log can be replayed by hand: the options that have it shipped."""
_LINES: Final[Mapping[str, str]] = {
    "postgres": _POSTGRES,
    "mariadb": _MARIADB,
    "mysql": _MARIADB.replace("mariadb", "mysql"),
    "redis": "  cp databases/dump.rdb THE-STOPPED-SERVERS-FOLDER/dump.rdb\n",
    "mongodb": '  for dump in databases/*.archive; do mongorestore --archive="$dump"; done\n',
    "sqlite": "  ls databases  # each file is the database as it was\n",
}
_MARIADB_FILES: Final = """\
  mariadb-backup --prepare --target-dir=data
  for each in increments/*/; do [ ! -d "$each" ] || mariadb-backup --prepare --target-dir=data --incremental-dir="$each" || break; done
  chown -R mysql: data
"""
_POSTGRES_FILES: Final = """\
  mkdir tablespaces
  for each in data/pg_tblspc/*; do
    [ ! -d "$each" ] || { mv "$each" tablespaces/ && ln -s "$PWD/tablespaces/${each##*/}" "$each"; }
  done
  chown -R postgres: data tablespaces
"""
_PHYSICAL: Final[Mapping[str, str]] = {
    "postgres": _POSTGRES_FILES,
    "mariadb": _MARIADB_FILES,
    "mysql": _MARIADB_FILES,
}


def has_log(source: Source) -> bool:
    """Whether its log is shipped, and what is shipped can be replayed by hand."""
    is_logged = any(source.options.get(each) for each in _WAYS.get(source.kind, ()))
    return is_logged and (source.kind == "mongodb" or bool(source.options.get("physical")))


def lines(source: Source) -> str:
    """The commands for one source, in the folder that restic restored it to; empty where its files are all that there is to it."""
    name, kind, is_physical = source.name, source.kind, bool(source.options.get("physical"))
    found = (_PHYSICAL if is_physical else _LINES).get(kind, "")
    if not found:
        return ""
    words = "a server of that version starts from data:" if is_physical else "each database:"
    folder = f"  cd {shlex.quote(f'{FOLDER}/{kind}/{name}')}\n"
    log = _LOGS[kind] % {"cd": folder} if has_log(source) else ""
    return f"Of {name}, {kind}, {words}\n\n{folder}{found}\n{log}"
