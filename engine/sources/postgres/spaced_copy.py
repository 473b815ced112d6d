"""A base backup of a cluster with tablespaces, spoken to the server by us: pg_basebackup writes one archive alone to its standard output.

The server sends an archive for each tablespace, then that of the data folder, then the manifest, in one copy. Its answer says where each
tablespace lies. Source: PostgreSQL, "Streaming Replication Protocol", BASE_BACKUP, as it is from version 15 on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import IncompleteDumpError, SourceError
from engine.model.manifest import Tablespace
from engine.sources.postgres import replication
from engine.sources.postgres.base_backup import BaseReader, Event
from engine.sources.postgres.dumping import Wanted
from engine.sources.postgres.replication import Replication

FIRST_VERSION: Final = 15
COMMAND: Final = "BASE_BACKUP ( LABEL 'holdfast', CHECKPOINT 'fast', WAL, WAIT false, TABLESPACE_MAP false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256' )"
SINCE: Final = COMMAND.replace(" )", ", INCREMENTAL )")
SPACES: Final = """
select oid::text as oid, spcname as name from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by 2"""
SERVER: Final = """
select current_user::text as account, current_setting('port')::int as port, current_setting('server_version_num')::int as version,
(select setting from pg_settings where name = 'unix_socket_directories') as sockets"""
_ARCHIVE: Final = re.compile(rb"([^\0]*)\0([^\0]*)\0", re.DOTALL)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_PROGRESS: Final = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class _Announced:
    """A tablespace as the server's answer has it."""

    oid: str
    location: str


class SpacedCopy:
    """See `physical.Copy`. Made by `opened`."""

    def __init__(
        self, stream: Replication, names: Mapping[str, str], announced: Sequence[_Announced]
    ) -> None:
        self.reader = BaseReader()
        self._stream = stream
        self._names = names
        self._announced = {each.oid: each for each in announced}
        self._is_manifest = False

    async def next(self) -> Sequence[Event] | None:
        """See `physical.Copy.next`. Raises: IncompleteDumpError, SourceError, HostError."""
        body = await self._stream.copied()
        if not body:
            return None
        kind, rest = body[:1], body[1:]
        if kind == b"d":
            return self.reader.feed_manifest(rest) if self._is_manifest else self.reader.feed(rest)
        if kind == b"n":
            self.reader.begin_archive(self._space(rest))
        elif kind == b"m":
            self._is_manifest = True
        elif kind != b"p" or len(rest) != _PROGRESS.size:
            raise IncompleteDumpError("the server sent what is no part of a base backup")
        return ()

    async def end(self) -> Sequence[str]:
        """See `physical.Copy.end`."""
        return ()

    def tablespaces(self) -> list[Tablespace]:
        """Those that came."""
        return [
            Tablespace(oid, self._names.get(oid, ""), self._announced[oid].location, size_bytes)
            for oid, size_bytes in self.reader.spaces.items()
        ]

    def _space(self, rest: bytes) -> str:
        """The number of the tablespace whose archive begins; empty for the data folder's. Raises: IncompleteDumpError."""
        found = _ARCHIVE.fullmatch(rest)
        name = found[1].decode("ascii", "replace") if found else ""
        number = name.removesuffix(".tar")
        if self._is_manifest or (name != "base.tar" and number not in self._announced):
            raise IncompleteDumpError(f"the server sent an archive {name!a}, which it did not announce")
        return "" if name == "base.tar" else number


@asynccontextmanager
async def opened(
    wanted: Wanted, server: Mapping[str, Any], names: Mapping[str, str], manifest: bytes = b""
) -> AsyncIterator[SpacedCopy]:
    """The copy of a server that answered `SERVER`, whose tablespaces have these names by number; leaving ends it. With the `manifest` of a copy
    before the server sends what changed since that (from version 17 on).

    Raises on entering: SourceError where the server does not let us in or is too old; HostError.
    """
    host, first = wanted.host.name, next(iter(names.values()), "")
    if server["version"] < FIRST_VERSION * 10_000:
        raise SourceError(
            f"the cluster of {host} has the tablespace {first!a}, which can be copied from version {FIRST_VERSION} on",
            hint="back its databases up as dumps, by --all instead of --physical",
        )
    place = replication.place(wanted.connection, server["account"], server["sockets"] or "", server["port"])
    try:
        async with replication.opened(wanted.host, wanted.connection, place) as stream:
            if manifest:
                await stream.upload("UPLOAD_MANIFEST", manifest)
            answers = await stream.begin_copy(SINCE if manifest else COMMAND)
            yield SpacedCopy(stream, names, announced(answers))
    except SourceError as error:
        message = error.message.replace(
            f"the log of {host} cannot be streamed",
            f"the cluster of {host}, which has tablespaces, cannot be copied",
        )
        raise SourceError(message, hint=error.hint) from error


def announced(answers: Sequence[Sequence[Sequence[bytes | None]]]) -> list[_Announced]:
    """The tablespaces of the server's answer. Raises: IncompleteDumpError for what is none, or is announced twice."""
    found: dict[str, _Announced] = {}
    for row in answers[-1] if answers else ():
        if len(row) < 2 or row[0] is None:
            continue  # the data folder itself
        oid, location = row[0].decode("ascii", "replace"), (row[1] or b"").decode("utf-8", "surrogateescape")
        if not _NUMBER.fullmatch(oid) or oid in found:
            raise IncompleteDumpError(f"the server announced the tablespace {oid!a}")
        found[oid] = _Announced(oid, location)
    return list(found.values())
