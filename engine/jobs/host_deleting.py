"""Deleting on a host what a backup does not hold: one name after the other, by a shell there, never through a link and never outside the target."""

from __future__ import annotations

from typing import Final

from engine.hosts.base import Command, Exit, OpenHost, Process, require_started
from engine.model.entry import Entry
from engine.repository.restore_values import Tally

# `$1` is the target by its real path, then come paths from it, each behind an f, or a d for a directory that is to be empty by then. Names
# of one directory go together. A directory is entered by `cd -P` and must then be what its path says: on the way there is no link.
_RUN = (
    "run() { "
    'cd -P -- "$r/$d" 2>/dev/null && [ "$PWD/" = "$r/$d" ] || { printf "%s is not there any more\\n" "$d" >&2; return; }; '
    '[ "$k" = d ] && rmdir -- "$@" || { [ "$k" = f ] && rm -f -- "$@"; }; }; '
)
_DELETE: Final = (
    _RUN + 'r=$1; shift; k=; d=; b=1; for i; do [ -z "$b" ] || { b=; set --; }; p=${i#?}; n=${p##*/}; '
    'e=${p%"$n"}; c=${i%"$p"}; '
    'if [ "$c/$e" != "$k/$d" ] && [ $# -gt 0 ]; then run "$@"; set --; fi; k=$c; d=$e; set -- "$@" "./$n"; done; '
    '[ $# -eq 0 ] || run "$@"; :'
)
_AT_ONCE: Final = "200"
_SCRIPT: Final = f'exec xargs -0 -n {_AT_ONCE} sh -c "$2" sh "$1"'


def command(place: str) -> Command:
    """What reads the paths, each ended by a NUL. `place` is the target's real path, without a slash at its end."""
    return Command(("sh", "-c", _SCRIPT, "sh", place, _DELETE), input="stream")


class Deleter:
    """Takes what a listing finds besides the backup, in the listing's order; a directory goes when nothing is left in it."""

    def __init__(self, host: OpenHost, process: Process, tally: Tally) -> None:
        """`process` runs `command`; it stays the caller's."""
        self._host = host
        self._process = process
        self._tally = tally
        self._open: list[tuple[bytes, bool]] = []
        """Directories to be deleted that the listing is in, and whether something in them stays."""
        self._alone = b""
        """What is mounted below, with a slash."""
        self._sent = 0

    async def surplus(self, entry: Entry, device: int) -> None:
        """One more, in a directory of that device. Raises: HostError."""
        path = entry.path
        if self._alone and path.startswith(self._alone):
            return
        await self._leave(path)
        if entry.device != device:
            self._tally.fail(path, "could not be deleted: it lies on another file system")
            self._alone = path + b"/"
            self._keep()
        elif entry.type == "d":
            self._open.append((path, False))
        else:
            await self._send(b"f", path)

    async def left(self, path: bytes) -> None:
        """One that stays. Raises: HostError."""
        await self._leave(path)
        self._keep()

    async def finish(self) -> None:
        """No more come: waits until all is deleted. What could not be is a failure of the tally. Raises: HostError."""
        await self._leave(b"")
        await self._process.close_input()
        while await self._process.read():
            pass
        self._judge(await self._process.wait())

    def _judge(self, ended: Exit) -> None:
        require_started(self._host.name, command(""), ended)
        said = ended.stderr.decode(errors="backslashreplace").splitlines()
        for line in said:
            self._tally.fail(b"", f"could not be deleted: {line}")
        if not ended.is_success and not said:
            self._tally.fail(b"", f"deleting on {self._host.name} ended with status {ended.status}")
        self._tally.deleted += max(0, self._sent - len(said))

    def _keep(self) -> None:
        self._open = [(path, True) for path, _is_kept in self._open]

    async def _leave(self, path: bytes) -> None:
        while self._open and not path.startswith(self._open[-1][0] + b"/"):
            left, is_kept = self._open.pop()
            if not is_kept:
                await self._send(b"d", left)

    async def _send(self, kind: bytes, path: bytes) -> None:
        self._sent += 1
        await self._process.write(kind + path + b"\0")
