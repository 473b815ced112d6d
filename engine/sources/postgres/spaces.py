"""Tablespaces of a data folder that was restored: from the folder where a backup has them to places of their own, with a link from there.

Where they lay on the server that was backed up is no place for them: that may be a live server's. So each goes below the target of the restore, or
where a person says. What a backup says of them is untrusted.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Final

from engine.errors import DamagedError, UsageError
from engine.hosts.base import Command
from engine.model.manifest import Tablespace
from engine.model.names import nearest
from engine.model.text import printable
from engine.sources.server_files import Placing

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
LOOK: Final = r"""
for pair; do
  to=${pair#*=}
  if [ -L "$to" ] || { [ -e "$to" ] && { [ ! -d "$to" ] || [ -n "$(ls -A "$to")" ]; }; }; then
    echo "there is something at $to already, where a tablespace is to go" >&2
    exit 73
  fi
  while [ ! -d "$to" ]; do to=$(dirname "$to"); done
  [ -w "$to" ] || { echo "this account may not write in $to, where a tablespace is to go" >&2; exit 77; }
done
"""
PLACE: Final = r"""
place() {
  data=$1
  shift
  [ ! -s "$data/tablespace_map" ] || { echo "$data has a tablespace_map, by which a server would link to other places" >&2; exit 73; }
  linked=$(find "$data" -type l | head -n 1)
  [ -z "$linked" ] || { echo "the backup has the link $linked, by which a server would write elsewhere" >&2; exit 73; }
  owner=$(ls -nd "$data" | awk '{ print $3 ":" $4 }')
  for each in "$data/pg_tblspc"/*; do
    [ -e "$each" ] || [ -L "$each" ] || continue
    to=
    for pair; do
      [ "${pair%%=*}" != "${each##*/}" ] || to=${pair#*=}
    done
    if [ -z "$to" ] || [ -L "$each" ] || [ ! -d "$each" ]; then
      echo "$each is no tablespace that the backup tells of" >&2
      exit 73
    fi
    (umask 022 && mkdir -p "$to") && [ -z "$(ls -A "$to")" ] || { echo "$to is not empty" >&2; exit 73; }
    for part in "$each"/*; do
      [ ! -e "$part" ] || mv "$part" "$to/" || exit 73
    done
    rmdir "$each" && ln -s "$to" "$each" && chmod 700 "$to" || exit 73
    if [ "$(id -u)" = 0 ]; then chown "$owner" "$to" && chown -h "$owner" "$each" || exit 73; fi
  done
}
"""


def pairs(spaces: Sequence[Tablespace], mapping: Sequence[str], within: str, data: str) -> list[str]:
    """NUMBER=PLACE of each, for the scripts: as `mapping` has it (OLD=NEW, OLD by its place or name), else below `within`.

    Raises: DamagedError for what no server has; UsageError for a mapping that means nothing, or one place for two.
    """
    numbers = [each.oid for each in spaces]
    for space in spaces:
        if not _NUMBER.fullmatch(space.oid) or numbers.count(space.oid) > 1:
            raise DamagedError(
                f"the backup tells of the tablespace {space.oid!a}, and no server has such a one"
            )
    found = {each: posixpath.join(within, each) for each in numbers}
    for given in mapping:
        space, place = _read(spaces, given)
        found[space.oid] = place
    for number, place in found.items():
        others = [data, *(each for other, each in found.items() if other != number)]
        if any(_is_within(place, each) or _is_within(each, place) for each in others):
            raise UsageError(f"a tablespace cannot go to {place}, where other files of the server go")
    return [f"{number}={place}" for number, place in found.items()]


def _read(spaces: Sequence[Tablespace], given: str) -> tuple[Tablespace, str]:
    """The tablespace that is meant, and where it goes. Either path may hold a `=`. Raises: UsageError."""
    cuts = [at for at, letter in enumerate(given) if letter == "="]
    for at in cuts:
        old, new = given[:at], given[at + 1 :]
        for space in spaces:
            if old in (space.location, space.location.rstrip("/"), space.name) and old:
                if (
                    not new.startswith("/")
                    or "\0" in new
                    or posixpath.normpath(new) != new.rstrip("/")
                    or new.startswith("//")
                ):
                    raise UsageError(
                        f"{new!a} is no place for the tablespace {old}: it must be a path from the root, without . and .."
                    )
                return space, new.rstrip("/")
    if not cuts:
        raise UsageError(f"{given!r} maps nothing", hint="say --tablespace-mapping OLD=NEW")
    known = [each.location for each in spaces]
    near = nearest(given.partition("=")[0], known)
    raise UsageError(
        f"the backup has no tablespace at {given.partition('=')[0]}",
        hint=f"did you mean {near}?" if near else f"it has {', '.join(known) or 'none'}",
    )


def _is_within(place: str, other: str) -> bool:
    return place == other or place.startswith(other.rstrip("/") + "/")


def placing(spaces: Sequence[Tablespace], data: str, mapping: Sequence[str]) -> Placing:
    """See `server_files.Placing`; by default they go beside the data folder. Raises: as `pairs`."""
    found = pairs(spaces, mapping, posixpath.join(posixpath.dirname(data), "tablespaces"), data)
    return Placing(_shell(LOOK, *found), _shell(f'{PLACE}place "$@"', data, *found), lines(spaces, found))


def lines(spaces: Sequence[Tablespace], found: Sequence[str]) -> list[str]:
    """Where each goes, for a person."""
    places: Mapping[str, str] = dict(each.split("=", 1) for each in found)
    return [
        f"tablespace {printable(each.name or each.oid)}, which was at {printable(each.location)}, goes to {places[each.oid]}"
        for each in spaces
    ]


def _shell(script: str, *words: str) -> Command:
    return Command(("sh", "-c", script, "sh", *words))
