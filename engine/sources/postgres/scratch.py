"""A throwaway server from the host's own binaries, whose life is one channel's: an empty one, or one of a backup's own files.

One shell on the host makes the folder, runs the server in it and waits for the end of its standard input. That comes when we close it,
are killed, or lose the connection; then it stops the server and removes the folder. It waits for no signal, so nobody needs to be there
to send one. As root it starts the server as `postgres`, or `nobody`: servers refuse root.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from engine.errors import SourceError, ToolMissingError
from engine.hosts.base import Command, OpenHost, Process, require_started
from engine.model.backup import Scope
from engine.model.manifest import Manifest
from engine.sources import tar_feed
from engine.sources.base import Database, ItemStream
from engine.sources.logs import NamedFiles, Replay, Replayed, Replaying, is_short
from engine.sources.postgres import quoting, session, spaced_copy, wal, words
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.database import PostgresDatabase
from engine.sources.postgres.dumping import DumpItem, Gathered, GlobalsItem, Wanted
from engine.sources.postgres.space_filter import SpaceFilter
from engine.sources.server_files import Revival

START_TIMEOUT_S = 120.0
REACHED = "select extract(epoch from pg_last_xact_replay_timestamp())::float8 as last, not pg_is_in_recovery() as over"
_PREPARED = "select gid, database::text from pg_prepared_xacts"
_DATABASE = "select datname as name from pg_database where datallowconn and oid::text = {number}"
_FILES = """
select c.relfilenode::text as file, n.nspname || '.' || c.relname as name, c.relkind in ('r', 'm') and n.nspname <> 'pg_catalog' as is_table
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relfilenode::text in ({wanted})"""
_NO_BINARIES = 69
"""EX_UNAVAILABLE of sysexits.h, which no program of PostgreSQL ends with."""

_SCRIPT = r"""
version=$1 depth=$2 needed=$3
umask 077
for bin in "/usr/lib/postgresql/$version/bin" "/usr/pgsql-$version/bin" "/usr/lib/postgresql$version/bin" "/usr/libexec/postgresql$version" \
  "/opt/homebrew/opt/postgresql@$version/bin" "$(pg_config --bindir 2>/dev/null </dev/null)" "$(dirname "$(command -v postgres)" 2>/dev/null)"; do
  [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] || continue
  case $("$bin/postgres" --version </dev/null) in *" $version"[.\ a-z]*|*" $version") found=$bin; break ;; esac
done
[ -n "${found-}" ] || { echo "there is no postgres and initdb of version $version" >&2; exit 69; }
folder= server=
end() {
  trap '' HUP INT PIPE TERM
  # Again and again: until it takes signals it ignores this one, as all that a shell starts beside itself.
  [ -z "$server" ] || { while kill -QUIT "$server"; do sleep 0.02; done; wait "$server"; }
  cd /
  # In a session of its own, so that no signal for this one ends it half-way.
  [ -z "$folder" ] || setsid rm -rf "$folder" || rm -rf "$folder"
} >/dev/null 2>&1
trap end EXIT
trap 'exit 143' HUP INT PIPE TERM
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/hf.XXXXXXXX") || exit 73
as() { exec "$@"; }
if [ "$(id -u)" = 0 ]; then
  account=postgres
  id -u postgres >/dev/null 2>&1 || account=nobody
  chown "$account:" "$folder" || exit 73
  if command -v setpriv >/dev/null 2>&1; then
    as() { exec setpriv --reuid="$account" --regid="$(id -g "$account")" --clear-groups -- "$@"; }
  else
    as() { exec runuser -u "$account" -- "$@"; }
  fi
fi
cd "$folder" || exit 73
[ "$(printf %%s "$folder/.s.PGSQL.5432" | wc -c)" -lt 107 ] || { echo "$folder is too long for the path of a socket" >&2; exit 73; }
%(make)s
as "$found/postgres" -D "$folder/data" -k "$folder" -p 5432 -c listen_addresses= -c fsync=off -c full_page_writes=off \
  -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB -c autovacuum=off -c archive_mode=off \
  -c logging_collector=off -c log_destination=stderr -c log_min_error_statement=panic -c log_error_verbosity=terse \
  -c max_locks_per_transaction=256 %(more)s </dev/null >"$folder/log" 2>&1 3<&- 4<&- &
server=$!
while ! "$found/pg_isready" -q -h "$folder" -p 5432 -U postgres -t 3 </dev/null; do
  kill -0 "$server" 2>/dev/null || { tail -n 5 "$folder/log" >&2; server=; exit 1; }
  %(beside)s
  sleep 0.1
done
%(after)s
printf 'ready\n%%s\n%%s\n' "$folder" "$found"
cat >/dev/null
"""
_EMPTY = '(as "$found/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions </dev/null >&2) || exit 1'
_OF_FILES = r"""
set -- $(df -P -k "$folder" 2>/dev/null </dev/null | tail -n 1)
[ "${4:-$needed}" -ge "$needed" ] || { echo "where $folder is $4 KiB are free, and $needed are needed" >&2; exit 73; }
(as mkdir data) || exit 73
printf 'taking\n\n\n'
(as tar -x -o -f - -C "$folder/data" --strip-components="$depth") || exit 73
linked=$(find data -type l | head -n 1)
[ -z "$linked" ] || { echo "the backup has the link $linked, by which a server would write elsewhere" >&2; exit 73; }
(as sh -c 'rm -f data/tablespace_map data/recovery.signal data/standby.signal && : >data/postgresql.auto.conf && : >postgresql.conf && : >ident &&
  echo "local all all trust" >access') </dev/null || exit 73
case $version in 9.*|1[0-4]) within= ;; *) within="-c allow_in_place_tablespaces=on" ;; esac
prepared=$("$found/pg_controldata" -D "$folder/data" </dev/null | sed -n 's/^max_prepared_xacts setting: *//p')
"""
"""The server has no settings but ours: its own may name files that
are not here, and what is archived or followed. What lies in tablespaces is in folders of the data folder's own, and no link leads out of it: so it
writes nowhere where a live server of the same host does. Of the log it needs room for as many prepared transactions as the old one had."""
_THEIR_OWN = '-c config_file="$folder/postgresql.conf" -c hba_file="$folder/access" -c ident_file="$folder/ident" -c max_prepared_transactions="${prepared:-0}" $within'
_NOTHING = {"beside": ":", "after": ""}
SCRIPT = _SCRIPT % {"make": _EMPTY, "more": "", **_NOTHING}
REVIVAL = _SCRIPT % {"make": _OF_FILES, "more": _THEIR_OWN, **_NOTHING}
_OF_LOGS = (
    "settings=$4 first=$5 size=$6"
    + _OF_FILES
    + r"""
(as mkdir wal) || exit 73
cat >fetch <<'END'
wal=$1 first=$2 size=$3 name=$4 to=$5
case $name in *.history) [ -s "$wal/$name" ] && exec cp "$wal/$name" "$to"; exit 1 ;; esac
[ "$(expr "x$name" \< "x$first")" = 1 ] && exit 1
while [ -d "$wal" ]; do
  [ -e "$wal/.end" ] && is_over=1
  [ -n "$(find "$wal/$name" -size "${size}c" 2>/dev/null)" ] && exec ln -f "$wal/$name" "$to"
  if [ -n "${is_over-}" ]; then
    # What came of the segment that the server was writing: behind it nothing was written.
    [ -s "$wal/$name.partial" ] && dd if=/dev/null of="$wal/$name.partial" bs=1 seek="$size" count=0 2>/dev/null &&
      exec ln -f "$wal/$name.partial" "$to"
    exit 1
  fi
  sleep 0.02
done
exit 1
END
chmod 755 fetch || exit 73
printf "restore_command = 'sh %s/fetch %s/wal %s %s %%f %%p'\n%s\n" "$folder" "$folder" "$first" "$size" "$settings" >>postgresql.conf || exit 73
(as sh -c ': >data/recovery.signal') </dev/null || exit 73
printf 'taking\n\n\n'
exec 4<&0
as tar -x -o -f - -C wal <&4 &
taking=$!
while [ ! -e wal/.begin ]; do kill -0 "$taking" 2>/dev/null || { wait "$taking"; exit 73; }; sleep 0.02; done
"""
)
_TAKING = 'kill -0 "$taking" 2>/dev/null || [ -e wal/.end ] || { echo "the log came to an end before its own" >&2; exit 73; }'
"""Whoever sent the log is gone: the server would wait for it for ever."""
_TAKEN = 'wait "$taking" || exit 73'
REPLAY = _SCRIPT % {
    "make": _OF_LOGS,
    "more": f"{_THEIR_OWN} -c hot_standby=off",
    "beside": _TAKING,
    "after": _TAKEN,
}
"""Segments come in while the server replays those before them; what it asks for is there once it has its full length. `.begin` lies behind
what belongs to series, which it does not wait for, and `.end` behind the last one."""
RECOVERY_TIMEOUT_S = 6 * 3600.0
"""How long a server may replay its log."""


@asynccontextmanager
async def started(host: OpenHost, as_user: str | None, version: str) -> AsyncIterator[Database]:
    """See `base.DatabaseSource.scratch`."""
    major = major_version(version)
    command = Command(("sh", "-c", SCRIPT, "sh", major, "0", "0"), as_user=as_user, input="stream")
    async with host.start(command) as process:
        try:
            yield await _Starting(host, command, process, major).database("postgres", START_TIMEOUT_S)
        finally:
            await tar_feed.stop(process)


@asynccontextmanager
async def revived(
    host: OpenHost, as_user: str | None, manifest: Manifest, depth: int
) -> AsyncIterator[Revival]:
    """See `server_files.PhysicalSource.revive`."""
    major = major_version(manifest.server_version)
    needed_kib = sum(each.size_bytes for each in manifest.databases) >> 10
    shell = ("sh", "-c", REVIVAL, "sh", major, str(depth), str(needed_kib))
    command = Command(shell, as_user=as_user, input="stream")
    async with host.start(command) as process:
        try:
            starting = _Starting(host, command, process, major)
            await starting.said("taking", START_TIMEOUT_S)
            superuser = manifest.roles[0] if manifest.roles else "postgres"
            start = functools.partial(starting.recovered, superuser, RECOVERY_TIMEOUT_S)
            yield tar_feed.TarFeed(process, starting.fail, start)
        finally:
            await tar_feed.stop(process)


@asynccontextmanager
async def replaying(
    host: OpenHost, as_user: str | None, manifest: Manifest, depth: int, replay: Replay
) -> AsyncIterator[Replaying]:
    """See `logs.ReplayingSource.replaying`."""
    major = major_version(manifest.server_version)
    needed_kib = (sum(each.size_bytes for each in manifest.databases) + replay.size_bytes) >> 10
    first = wal.segment_name(int(replay.base.series, 16), replay.base.number + 1, replay.segment_bytes)
    words = (major, str(depth), str(needed_kib), replay_settings(replay), first, str(replay.segment_bytes))
    command = Command(("sh", "-c", REPLAY, "sh", *words), as_user=as_user, input="stream")
    async with host.start(command) as process:
        try:
            starting = _Starting(host, command, process, major)
            await starting.said("taking", START_TIMEOUT_S)
            superuser = manifest.roles[0] if manifest.roles else "postgres"
            start = functools.partial(starting.recovered, superuser, RECOVERY_TIMEOUT_S)
            feed = tar_feed.TarFeed(process, starting.fail, start)
            yield _Replaying(host, starting, feed, replay.ends_at)
        finally:
            await tar_feed.stop(process)


class _Replaying:
    """See `logs.Replaying`."""

    def __init__(
        self,
        host: OpenHost,
        starting: _Starting,
        feed: tar_feed.TarFeed,
        ends_at: datetime.datetime | None,
    ) -> None:
        self._host = host
        self._starting = starting
        self._feed = feed
        self._ends_at = ends_at
        self._filter = SpaceFilter(is_within=has_spaces_within(starting.major))
        self._is_log = False

    async def write(self, data: bytes) -> None:
        """See `logs.Replaying.write`. Raises: SourceError where the log makes a tablespace that the server would make where the live one has it."""
        if self._is_log:
            data = await asyncio.to_thread(self._filter.feed, data)
        await self._feed.write(data)

    async def begin(self) -> None:
        """See `logs.Replaying.begin`."""
        await self._feed.end_archive()
        self._is_log = True
        await self._starting.said("taking", RECOVERY_TIMEOUT_S)

    async def finish(self) -> Replayed:
        """See `logs.Replaying.finish`."""
        await self._feed.write(self._filter.end())
        started = await self._feed.start()
        assert isinstance(started, PostgresDatabase)
        database = _ReplayedDatabase(self._host, started.connection, "postgres")
        async with session.opened(self._host, database.connection, "postgres") as asked:
            row = await asked.row(REACHED)
        last = last_of(row)
        if is_short(last, self._ends_at):
            raise SourceError(
                f"the server replayed its log to {last or 'no transaction'}, and it goes on to {self._ends_at}: a record between is damaged",
                hint="an earlier instant can be reached; what comes after can from a new base: holdfast backup SOURCE",
            )
        return Replayed(database, last, row["over"])


class _ReplayedDatabase(PostgresDatabase):
    """See `logs.DumpingDatabase`."""

    def dumping(self, name: str, tables: Sequence[str] = ()) -> AbstractAsyncContextManager[ItemStream]:
        """See `logs.DumpingDatabase.dumping`."""
        return DumpItem(self._wanted(tuple(tables)), name, Gathered()).open()

    def dumping_globals(self) -> AbstractAsyncContextManager[ItemStream]:
        """See `logs.DumpingDatabase.dumping_globals`."""
        return GlobalsItem(self._wanted(()), "postgres", has_passwords=True).open()

    async def named_files(self, database: str, files: Sequence[str]) -> NamedFiles:
        """See `logs.NamingDatabase.named_files`."""
        async with session.opened(self.host, self.connection, "postgres") as asked:
            named = await asked.rows(_DATABASE.format(number=quoting.literal(database)))
        if not named:
            return NamedFiles("", {})
        wanted = ", ".join(quoting.literal(each) for each in files)
        async with session.opened(self.host, self.connection, named[0]["name"]) as asked:
            rows = await asked.rows(_FILES.format(wanted=wanted))
        tables = {row["file"]: row["name"] for row in rows if row["is_table"]}
        return NamedFiles(
            named[0]["name"], tables, frozenset(row["file"] for row in rows if not row["is_table"])
        )

    def _wanted(self, tables: tuple[str, ...]) -> Wanted:
        return Wanted(self.host, self.connection, tables, Scope.ALL, 1)


def last_of(row: Mapping[str, Any]) -> datetime.datetime | None:
    """When the last transaction was that was replayed, of an answer to `REACHED`."""
    return datetime.datetime.fromtimestamp(row["last"], datetime.UTC) if row["last"] is not None else None


def replay_settings(replay: Replay) -> str:
    """The lines of postgresql.conf that say how far the log is replayed. Source: PostgreSQL, "Recovery Target"."""
    lines = [f"recovery_target_timeline = '{int(replay.series, 16)}'", "recovery_target_action = 'promote'"]
    if replay.until is not None:
        at = replay.until.astimezone(datetime.UTC)
        lines.append(f"recovery_target_time = '{at:%Y-%m-%d %H:%M:%S.%f}+00'")
    elif replay.transaction:
        lines.append(f"recovery_target_xid = {quoting.setting(replay.transaction)}")
    elif replay.point:
        lines.append(f"recovery_target_name = {quoting.setting(replay.point)}")
    if replay.is_exclusive:
        lines.append("recovery_target_inclusive = off")
    return "\n".join(lines)


def major_version(version: str) -> str:
    """`15` of `15.20 (Debian …)`, `9.6` of `9.6.24`. Raises: SourceError."""
    found = re.match(r"(9\.\d+|\d+)", version)
    if not found:
        raise SourceError(f"{version!a} is no version of PostgreSQL")
    return found[1]


def has_spaces_within(version: str) -> bool:
    """Whether servers of that version take tablespaces in the data folder itself (allow_in_place_tablespaces). Raises: SourceError."""
    return int(major_version(version).partition(".")[0]) >= spaced_copy.FIRST_VERSION


@dataclass(frozen=True, slots=True)
class _Starting:
    """The script that makes a server, as far as it is."""

    host: OpenHost
    command: Command
    process: Process
    major: str

    async def database(self, superuser: str, timeout_s: float) -> Database:
        """The server, once it is ready. Raises: ToolMissingError, SourceError, HostError."""
        folder, binaries = await self.said("ready", timeout_s)
        as_user = self.command.as_user
        connection = Connection(user=superuser, socket=folder, port=5432, as_user=as_user, folder=binaries)
        return PostgresDatabase(self.host, connection, "postgres")

    async def recovered(self, superuser: str, timeout_s: float) -> Database:
        """As `database`, without what was prepared and never committed: it is in no dump, and its locks would keep dumps waiting for ever."""
        database = await self.database(superuser, timeout_s)
        assert isinstance(database, PostgresDatabase)
        async with session.opened(self.host, database.connection, "postgres") as asked:
            prepared = await asked.rows(_PREPARED)
        for row in prepared:
            async with session.opened(self.host, database.connection, row["database"]) as asked:
                await asked.run(f"rollback prepared {quoting.literal(row['gid'])};")
        return database

    async def said(self, word: str, timeout_s: float) -> tuple[str, str]:
        """The two lines after that word's. Raises: as `database`."""
        answer = b""
        try:
            async with asyncio.timeout(timeout_s):
                while answer.count(b"\n") < 3 and (piece := await self.process.read()):
                    answer += piece
        except TimeoutError:
            raise SourceError(
                f"a server for a drill did not start on {self.host.name} within {timeout_s:g} seconds"
            ) from None
        lines = answer.decode(errors="surrogateescape").split("\n")
        if len(lines) < 4 or lines[0] != word:
            await self.fail()
        return lines[1], lines[2]

    async def fail(self) -> NoReturn:
        """Raises: why the script ended."""
        host, ended = self.host, await self.process.wait()
        if ended.status == _NO_BINARIES:
            raise ToolMissingError(
                f"{host.name} has no server of PostgreSQL {self.major}, of which the backup is",
                hint=f"install it there (Debian: `apt install --no-install-recommends postgresql-{self.major}`); it need not run",
            )
        require_started(host.name, self.command, ended)
        raise words.failure(ended, f"a server for a drill did not start on {host.name}")
