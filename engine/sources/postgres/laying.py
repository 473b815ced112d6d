"""A cluster in a folder that has come as far as its base: the log beside it, and settings by which any server of its version replays that.

It never archives: what it would put into a spool is in the way of the live server's own log. Source: PostgreSQL, "Continuous Archiving".
"""

from __future__ import annotations

import posixpath
import shlex

from engine.errors import UsageError
from engine.hosts.base import Command
from engine.sources.logs import Laying, Replay
from engine.sources.postgres import quoting
from engine.sources.postgres.scratch import has_spaces_within, major_version, replay_settings
from engine.sources.postgres.space_filter import SpaceFilter

_FIRST_VERSION = 12
"""That reads the settings of a recovery from where its others are."""
_LOOK = r"""
data=$1 wal=$2 needed=$3
for each in "$data" "$wal"; do
  [ ! -e "$each" ] && [ ! -L "$each" ] || { echo "there is something at $each already" >&2; exit 73; }
done
while [ ! -d "$data" ]; do data=$(dirname "$data"); done
set -- $(df -P -k "$data" | tail -n 1)
[ "${4:-$needed}" -ge "$needed" ] || { echo "$4 KiB are free in $data, and $needed are needed" >&2; exit 73; }
"""
LAY = r"""
data=$1 wal=$2 size=$3 settings=$4 is_of_its_own=$5
umask 077
mkdir "$wal" && tar -x -o -f - -C "$wal" || exit 73
rm -f "$wal/.begin" "$wal/.end"
for tail in "$wal"/*.partial; do
  [ -e "$tail" ] && [ ! -e "${tail%.partial}" ] || continue
  dd if=/dev/null of="$tail" bs=1 seek="$size" count=0 2>/dev/null && mv "$tail" "${tail%.partial}" || exit 73
done
for name in postgresql.conf pg_hba.conf pg_ident.conf; do
  # A server whose settings lie elsewhere, as Debian's do, has none of these in its data folder.
  [ -e "$data/$name" ] || case $name in pg_hba.conf) echo "local all all peer" ;; esac >"$data/$name" || exit 73
done
rm -f "$data/standby.signal"
for name in postgresql.conf postgresql.auto.conf; do
  # Of a restore before: two targets are refused, and what one of them left out would be left out again.
  [ -s "$data/$name" ] && [ ! -L "$data/$name" ] || continue
  sed '/^[[:space:]]*recovery_target/d' "$data/$name" >"$wal/.settings" && cat "$wal/.settings" >"$data/$name" && rm "$wal/.settings" || exit 73
done
printf '\n%s\n' "$settings" >>"$data/postgresql.auto.conf" && : >"$data/recovery.signal" || exit 73
if [ "$(id -u)" = 0 ]; then
  owner=$(ls -nd "$data" | awk '{ print $3 ":" $4 }')
  (cd "$data" && chown -R "$owner" "$wal" && chown "$owner" postgresql.conf pg_hba.conf pg_ident.conf postgresql.auto.conf recovery.signal) || exit 73
  [ -n "$is_of_its_own" ] || exit 0
  # The owner must get there, through folders that the restore made.
  beside=$(dirname "$data") above=$(dirname "$(dirname "$data")")
  chmod a+x "$beside" "$above" || exit 73
  top=$(dirname "$above")
  [ "$(ls -A "$top")" != "${above##*/}" ] || chmod a+x "$top"
fi
"""


WITHIN = r"""
printf '\nallow_in_place_tablespaces = on\n' >>"$1/postgresql.auto.conf" || exit 73
"""
"""For a server whose log makes tablespaces in the data folder: it refuses to go on with one that it does not expect there."""


def laying(replay: Replay, data: str, version: str, needed_bytes: int) -> Laying:
    """See `logs.Laying`. Raises: UsageError for a version that is too old."""
    if int(major_version(version).partition(".")[0]) < _FIRST_VERSION:
        raise UsageError(
            f"a server of version {version} is not told in a folder how far to replay its log",
            hint="restore one of its databases: --into NAME",
        )
    log = posixpath.join(posixpath.dirname(data), "wal")
    lines = f"{settings(replay, log)}\narchive_mode = off"
    words = shlex.join(
        ("pg_ctl", "-D", data, "-o", "-p 5433", "-l", posixpath.join(posixpath.dirname(data), "log"), "start")
    )
    passing = SpaceFilter(is_within=has_spaces_within(version))
    return Laying(
        Command(("sh", "-c", _LOOK, "sh", data, log, str(needed_bytes >> 10))),
        Command(("sh", "-c", LAY, "sh", data, log, str(replay.segment_bytes), lines, "1"), input="stream"),
        passing,
        lambda: Command(("sh", "-c", WITHIN, "sh", data)) if passing.found else None,
        lambda target: (
            f"a server of version {version.split()[0]} comes up at {target}, in a new timeline, when the owner of its files starts it, "
            f"on a port that is free: {words}"
        ),
    )


def settings(replay: Replay, log: str) -> str:
    """Of postgresql.conf: how far the segments that lie in that folder are replayed."""
    place = shlex.quote(log).replace("%", "%%")
    fetch = f"test -f {place}/%f && cp {place}/%f %p"
    # What a standby runs on the way, and at its end, is about the live server's archive.
    lines = [
        f"restore_command = {quoting.setting(fetch)}",
        *("archive_cleanup_command = ''", "recovery_end_command = ''", "recovery_min_apply_delay = 0"),
        replay_settings(replay),
    ]
    return "\n".join(lines)
