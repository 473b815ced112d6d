"""A MongoDB server at an instant: the dump before it, and of the oplog behind it what was done until then, as mongorestore takes both.

Written to the documented tool, and untested against a real server: see the package. The slices of the log are checked, joined and cut while
they go by, so that what lies there leads to the instant by itself; the command for a person has the limit all the same. A slice knows whole
seconds: all of the second is in, or none of it. What the dump brings of the oplog itself is replayed again, which changes nothing.
Source: "mongorestore", options --oplogReplay and --oplogLimit.
"""

from __future__ import annotations

import datetime
import posixpath
import re
import shlex
from collections.abc import Sequence
from typing import Final

from engine.errors import IncompleteDumpError, UsageError
from engine.hosts.base import Command
from engine.sources.logs import Laying, Replay
from engine.sources.mongodb import entries
from engine.sources.mongodb.entries import Entries
from engine.sources.tar_members import Piece, TarMembers

FOLDER: Final = "replay"
_NAME: Final = re.compile(r"([0-9]{1,12})-[0-9]{1,12}\.bson", re.ASCII)
_LOOK: Final = r"""
folder=$1 needed=$2
[ ! -e "$folder" ] && [ ! -L "$folder" ] || { echo "there is something at $folder already" >&2; exit 73; }
while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
set -- $(df -P -k "$folder" | tail -n 1)
[ "${4:-$needed}" -ge "$needed" ] || { echo "$4 KiB are free in $folder, and $needed are needed" >&2; exit 73; }
"""
_LAY: Final = r"""
umask 077
mkdir "$1" && cat >"$1/oplog.partial" || exit 73
"""
# A stream that was cut off ends like any other: only what is as long as was sent gets its name.
_FINISH: Final = r"""
[ "$(wc -c <"$1/oplog.partial")" -eq "$2" ] && mv "$1/oplog.partial" "$1/oplog.bson" ||
  { echo "not all of the oplog came to $1" >&2; exit 73; }
"""


class OplogCut:
    """An archive of slices on its way into one oplog. See `logs.LogPassing`."""

    def __init__(self, first: int, before_s: int | None) -> None:
        """`first`: the slice that follows the dump's. `before_s`: entries of this second and later are left out; None: none."""
        self.size_bytes = 0
        """Of what went on."""
        self._first = first
        self._before_s = before_s
        self._members = TarMembers()
        self._entries = Entries()
        self._slice: int | None = None
        self._last = (0, 0)

    @property
    def said(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def feed(self, data: bytes) -> bytes:
        """See `logs.LogPassing.feed`. Raises: IncompleteDumpError where slices have a gap, or entries no order."""
        found = []
        for piece in self._members.feed(data):
            named = _NAME.fullmatch(piece.name)
            if named is not None:
                found += self._take(int(named[1]), piece)
        passed = b"".join(found)
        self.size_bytes += len(passed)
        return passed

    def end(self) -> bytes:
        """See `logs.LogPassing.end`. Raises: IncompleteDumpError where the last slice is cut short."""
        if self._members.is_within:
            raise IncompleteDumpError("the oplog was not read to its end")
        self._entries.require_whole()
        return b""

    def _take(self, begin_s: int, piece: Piece) -> list[bytes]:
        """The entries that are whole now, and wanted."""
        if not piece.at:
            self._begin(entries.slice_of(begin_s))
        found = []
        for entry in self._entries.feed(bytes(piece.content)):
            at = entries.timestamp_of(entry)
            if at <= self._last or entries.slice_of(at[0]) != self._slice:
                raise IncompleteDumpError(f"the oplog that is kept is out of order at {at[0]}.{at[1]}")
            self._last = at
            is_new = self._slice is not None and self._slice >= self._first
            if is_new and (self._before_s is None or at[0] < self._before_s):
                found.append(entry)
        if piece.is_last:
            self._entries.require_whole()
        return found

    def _begin(self, number: int) -> None:
        wanted = self._first if self._slice is None else self._slice + 1
        # What the dump has already may come too; it goes no further.
        is_early = self._slice is None and number < wanted
        if number != wanted and not is_early:
            raise IncompleteDumpError(
                f"the oplog that is kept has no slice {entries.name_of(wanted)}: the next is {entries.name_of(number)}"
            )
        self._slice = number


def limit_s(replay: Replay) -> int | None:
    """The second from which on nothing is replayed; None where all is. Raises: UsageError for another target than a time."""
    if replay.transaction or replay.point:
        raise UsageError(
            "what was done in an oplog is found by its time alone", hint="say --at WHEN, to the second"
        )
    if replay.until is None:
        return None
    second = int(replay.until.astimezone(datetime.UTC).timestamp())
    return second if replay.is_exclusive else second + 1


def laying(replay: Replay, folder: str, version: str, needed_bytes: int) -> Laying:
    """See `logs.Laying`. Raises: UsageError for a target that an oplog does not know."""
    before_s = limit_s(replay)
    cut = OplogCut(replay.base.number + 1, before_s)
    place = posixpath.join(folder, FOLDER)

    def shell(script: str, *words: str, is_fed: bool = False) -> Command:
        line = ("sh", "-c", script, "sh", *words)
        return Command(line, input="stream") if is_fed else Command(line)

    def tell(target: str) -> str:
        return (
            f"an empty server of version {version} comes to {target} by these two, in this order: {_restore(folder)}; "
            f"{_replay(place, before_s)}. Written to the documented tool, and untested against a real server"
        )

    return Laying(
        shell(_LOOK, place, str(needed_bytes >> 10)),
        shell(_LAY, place, is_fed=True),
        cut,
        lambda: shell(_FINISH, place, str(cut.size_bytes)),
        tell,
    )


def _restore(folder: str) -> str:
    archive = posixpath.join(folder, "databases", "dump.archive")
    return shlex.join(
        ("mongorestore", "--uri", "URI", "--stopOnError", "--oplogReplay", f"--archive={archive}")
    )


def _replay(place: str, before_s: int | None) -> str:
    limit = (f"--oplogLimit={before_s}:0",) if before_s is not None else ()
    return shlex.join(("mongorestore", "--uri", "URI", "--oplogReplay", *limit, place))
