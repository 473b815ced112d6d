"""What a copy of a server's files goes on from: the log sequence number up to which an earlier copy has every page.

mariadb-backup keeps it in a file beside the copy, and so it lies in the repository; the host keeps nothing. It sends the pages that bear a higher
number, so that the number must be of this very server's files: one that is too high gives an empty increment and status 0 (measured, 10.11.18).
Files that were brought back, or made anew, lie in another folder than before, which its inode and its time of birth tell; a machine that was set
back as a whole is found by its number, as long as that is behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import DamagedError, PathMissingError
from engine.model.manifest import Manifest
from engine.sources.chaining import EarlierBackup
from engine.sources.incremental import NoIncrementError
from engine.sources.mariadb import physical
from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.connection import Connection
from engine.sources.mariadb.server import Server, ask_server, version_numbers

_NOTES = ("xtrabackup_checkpoints", "mariadb_backup_checkpoints")
"""By the version of the program."""
_MOST_NOTE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Increment:
    """What is taken in place of a full copy."""

    since_lsn: int
    folders: tuple[str, ...]
    """All increments then, the new one last."""


async def planned(connection: Connection, earlier: EarlierBackup) -> Increment:
    """The increment onto that backup. Raises: NoIncrementError where there can be none; SourceError, HostError, DamagedError, StorageError."""
    manifest = earlier.manifest
    server = await ask_server(connection)
    found = await physical.look(connection, server)
    _require_same(manifest, server, found.files_id)
    newest = (manifest.folder, *manifest.increments)[-1]
    note = await _note(earlier, newest)
    ends, last = note.get("to_lsn", ""), note.get("last_lsn", "")
    if not ends.isdecimal() or not last.isdecimal():
        raise NoIncrementError("the backup before does not say where it ends")
    (status,) = await connection.results("SHOW GLOBAL STATUS LIKE 'Innodb_lsn_current'")
    now = texts(status[0])[1] if status else ""
    if not now.isdecimal() or int(now) < int(last):
        raise NoIncrementError(
            f"the server is at {now or 'no'} in its own count, behind the backup before, which ends at {last}: it was set back"
        )
    number = len(manifest.increments) + 1
    return Increment(int(ends), (*manifest.increments, f"{physical.INCREMENTS}/{number:04}"))


def _require_same(manifest: Manifest, server: Server, files_id: str) -> None:
    """Raises: NoIncrementError."""
    if manifest.identity != server.identity:
        raise NoIncrementError("the backup before is of another server")
    if manifest.files_id != files_id:
        raise NoIncrementError("the server's files are others than those of the backup before")
    if version_numbers(manifest.server_version) != version_numbers(server.version):
        raise NoIncrementError(f"the backup before is of version {manifest.server_version}")


async def _note(earlier: EarlierBackup, folder: str) -> Mapping[str, str]:
    """What the program said of that copy; nothing where it is not there."""
    pieces: list[bytes] = []

    async def write(data: bytes) -> None:
        pieces.append(data)
        if sum(map(len, pieces)) > _MOST_NOTE_BYTES:
            raise DamagedError(f"what mariadb-backup says in {folder} has no end")

    for name in _NOTES:
        try:
            await earlier.read(f"{folder}/{name}", write)
        except PathMissingError:
            continue
        return physical.fields(b"".join(pieces).decode(errors="replace"))
    return {}
