"""A cluster's data folder that takes the place of the live one, which is put aside: both lie beside each other, so that a name is all that changes.

The server is stopped and started by the person's own commands; what runs is never touched. What was put aside starts again under its old name.
"""

from __future__ import annotations

from engine.hosts.base import Command
from engine.model.manifest import Manifest
from engine.sources.logs import Replay, Wanted, WholePlace, WholeSwap
from engine.sources.postgres import laying, spaces
from engine.sources.postgres.scratch import has_spaces_within
from engine.sources.postgres.space_filter import SpaceFilter

_RUNS = r"""
runs() {
  pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] && ps -p "$pid" >/dev/null 2>&1 || return 1
  echo "a server still runs in $1, as process $pid: the hook before the restore, or you, must stop it first" >&2
  exit 75
}
"""
_LOOK = (
    r"""
look() {
data=$1 new=$2 wal=$3 aside=$4 needed=$5
[ -s "$data/PG_VERSION" ] || { echo "there is no data folder of a server at $data" >&2; exit 66; }
for each in "$data" "$data/pg_wal"; do
  [ ! -L "$each" ] || { echo "$each is a link, so it cannot be put aside by its name" >&2; exit 73; }
done
[ "$(df -P "$data" | awk 'NR == 2 { print $6 }')" != "$data" ] ||
  { echo "$data is a file system of its own, so it cannot be put aside by its name" >&2; exit 73; }
[ -w "$(dirname "$data")" ] || { echo "this account may not write in $(dirname "$data")" >&2; exit 77; }
for each in "$new" "$wal" "$aside"; do
  [ ! -e "$each" ] || { echo "there is something at $each already: of a restore that was discarded by nobody" >&2; exit 73; }
done
set -- $(df -P -k "$data" | tail -n 1)
[ "${4:-$needed}" -ge "$needed" ] || { echo "$4 KiB are free beside $data, and $needed are needed" >&2; exit 73; }
}
look "$@"
shift 5
"""
    + spaces.LOOK
)
_BASE = (
    spaces.PLACE
    + r"""
data=$1 new=$2 depth=$3
shift 3
umask 077
mkdir "$new" && tar -x -o -f - -C "$new" --strip-components="$depth" || exit 73
if [ "$(id -u)" = 0 ]; then chown -R "$(ls -nd "$data" | awk '{ print $3 ":" $4 }')" "$new" || exit 73; fi
place "$new" "$@"
"""
)
_SWAP = (
    _RUNS
    + r"""
data=$1 new=$2 aside=$3
runs "$data"
[ -d "$new" ] && [ ! -e "$aside" ] || { echo "there is no $new, or $aside is there already" >&2; exit 73; }
mv "$data" "$aside" || exit 73
mv "$new" "$data" || { mv "$aside" "$data"; exit 73; }
"""
)
_CLEAR = r"""
data=$1 aside=$2 new=$3 wal=$4 within=$5
[ -e "$data" ] && [ ! -e "$aside" ] || { echo "$data is not what was live" >&2; exit 74; }
shift 5
for pair; do
  to=${pair#*=}
  # Only what was put there by the restore: it was empty before.
  [ "$(readlink "$new/pg_tblspc/${pair%%=*}" 2>/dev/null)" != "$to" ] || rm -rf "$to" || exit 73
done
rm -rf "$new" "$wal" "$within" || exit 73
"""
# Each line may be done already: by one that was cut off in between.
_BACK = (
    _RUNS
    + r"""
data=$1 aside=$2 kept=$3 new=$4 wal=$5 is_left=$6
if [ -e "$aside" ]; then
  said=back
  if [ -e "$data" ]; then
    runs "$data"
    [ ! -e "$kept" ] || { echo "$kept is there already" >&2; exit 73; }
    mv "$data" "$kept" || exit 73
    said=kept
  fi
  mv "$aside" "$data" || { [ ! -e "$kept" ] || mv "$kept" "$data"; exit 73; }
elif [ -n "$is_left" ] && [ -e "$data" ]; then
  said=never
else
  echo "there is no $aside: it was discarded or brought back already" >&2
  exit 66
fi
if [ -e "$new" ]; then
  # Its tablespaces, where nobody said otherwise, are of no use without it.
  rm -rf "$new" "$data.tablespaces-${aside##*.before-}" || exit 73
fi
[ -e "$kept/recovery.signal" ] || rm -rf "$wal" || exit 73
echo "$said"
"""
)
_DISCARD = r"""
data=$1 aside=$2 new=$3 wal=$4
[ -e "$data" ] || { echo "there is nothing at $data: bring back what was live" >&2; exit 66; }
[ ! -e "$data/recovery.signal" ] || { echo "the server at $data has not replayed its log yet: start it first" >&2; exit 75; }
major=$(cat "$aside/PG_VERSION" 2>/dev/null)
for link in "$aside/pg_tblspc"/*; do
  [ -L "$link" ] && to=$(readlink "$link") || continue
  for other in "$data/pg_tblspc"/*; do
    [ ! -L "$other" ] || [ "$(readlink "$other")" != "$to" ] || to=
  done
  # Of another version's server there may be something beside it.
  [ -z "$to" ] || rm -rf "$to/PG_${major}_"* || exit 73
done
rm -rf "$aside" "$new" "$wal" || exit 73
"""


def swap(
    data: str, replay: Replay, depth: int, base: Manifest, wanted: Wanted, as_user: str | None
) -> WholeSwap:
    """See `logs.WholeSource.whole`. What is in tablespaces goes beside the data folder, or where it is wanted; the old ones stay where they are."""
    new, log = _beside(data)
    aside = f"{data}.before-{wanted.stamp}"
    within = f"{data}.tablespaces-{wanted.stamp}"
    places = spaces.pairs(base.tablespaces, wanted.tablespaces, within, data)

    def shell(script: str, *words: str, is_fed: bool = False) -> Command:
        line = ("sh", "-c", script, "sh", *words)
        return Command(line, as_user=as_user, input="stream") if is_fed else Command(line, as_user=as_user)

    settings = laying.settings(replay, log)
    passing = SpaceFilter(is_within=has_spaces_within(base.server_version))
    looks = (data, new, log, aside, str(wanted.needed_bytes >> 10))
    return WholeSwap(
        aside,
        shell(_LOOK, *looks, *places),
        shell(_BASE, data, new, str(depth), *places, is_fed=True),
        shell(laying.LAY, new, log, str(replay.segment_bytes), settings, "", is_fed=True),
        passing,
        lambda: shell(laying.WITHIN, new) if passing.found else None,
        shell(_SWAP, data, new, aside),
        shell(_SWAP, data, aside, new),
        spaces.lines(base.tablespaces, places),
        shell(_CLEAR, data, aside, new, log, within, *places),
    )


def back(place: WholePlace, kept: str, as_user: str | None) -> Command:
    """See `logs.WholeSource.whole_back`."""
    words = (place.data, place.aside, kept, *_beside(place.data), "1" if place.is_left else "")
    return Command(("sh", "-c", _BACK, "sh", *words), as_user=as_user)


def discard(place: WholePlace, as_user: str | None) -> Command:
    """See `logs.WholeSource.whole_discard`."""
    return Command(
        ("sh", "-c", _DISCARD, "sh", place.data, place.aside, *_beside(place.data)), as_user=as_user
    )


def _beside(data: str) -> tuple[str, str]:
    """Where the new folder is made, and where its log lies."""
    return f"{data}.holdfast-new", f"{data}.holdfast-wal"
