"""A base backup of a cluster with tablespaces, spoken to the server by us: pg_basebackup writes one archive alone to its standard output.

The server sends an archive for each tablespace, then that of the data folder, then the manifest, in one copy. Its answer says where each
tablespace lies. Source: PostgreSQL, "Streaming Replication Protocol", BASE_BACKUP, as it is from version 15 on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.errors import IncompleteDumpError, SourceError
from engine.model.manifest import Tablespace
from engine.sources.postgres import replication
from engine.sources.postgres.base_backup import SPACES, BaseReader, Event
from engine.sources.postgres.dumping import Wanted
from engine.sources.postgres.replication import Replication

FIRST_VERSION: Final = 15
COMMAND: Final = "BASE_BACKUP ( LABEL 'holdfast', CHECKPOINT 'fast', WAL, WAIT false, TABLESPACE_MAP false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256' )"
SINCE: Final = COMMAND.replace(" )", ", INCREMENTAL )")
KNOWN: Final = """
select oid::text as oid, spcname as name,
case when has_tablespace_privilege(oid, 'create') or pg_has_role('pg_read_all_stats', 'member') then pg_tablespace_size(oid) else 0 end as size
from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by 2"""
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
        self, stream: Replication, known: Mapping[str, Tablespace], announced: Sequence[_Announced]
    ) -> None:
        self.reader = BaseReader()
        self._stream = stream
        self._known = known
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
        """Those that came, also those that lie in the data folder itself, which the server does not announce."""
        found = []
        for oid in dict.fromkeys((*self._announced, *self._known)):
            place = f"{SPACES}/{oid}"
            if self.reader.has_folder(place):
                location = self._announced[oid].location if oid in self._announced else place
                found.append(replace(self._known.get(oid, Tablespace(oid, "", "")), location=location))
        return found

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
    wanted: Wanted, server: Mapping[str, Any], known: Mapping[str, Tablespace], manifest: bytes = b""
) -> AsyncIterator[SpacedCopy]:
    """The copy of a server that answered `SERVER`, of whose tablespaces so much is known, by number; leaving ends it. With the `manifest` of a copy
    before the server sends what changed since that (from version 17 on).

    Raises on entering: SourceError where the server does not let us in or is too old; HostError.
    """
    async with connected(wanted, server, known) as stream:
        try:
            if manifest:
                await stream.upload("UPLOAD_MANIFEST", manifest)
            answers = await stream.begin_copy(SINCE if manifest else COMMAND)
        except SourceError as error:
            raise _worded(error, wanted.host.name) from error
        yield SpacedCopy(stream, known, announced(answers))


@asynccontextmanager
async def connected(
    wanted: Wanted, server: Mapping[str, Any], known: Mapping[str, Tablespace]
) -> AsyncIterator[Replication]:
    """The way to such a copy, which shows that it can be made. Raises on entering: as `opened`."""
    host, first = wanted.host.name, next((each.name for each in known.values()), "")
    if server["version"] < FIRST_VERSION * 10_000:
        raise SourceError(
            f"the cluster of {host} has the tablespace {first!a}, which can be copied from version {FIRST_VERSION} on",
            hint="back its databases up as dumps, by --all instead of --physical",
        )
    place = replication.place(wanted.connection, server["account"], server["sockets"] or "", server["port"])
    async with AsyncExitStack() as stack:
        try:
            stream = await stack.enter_async_context(
                replication.opened(wanted.host, wanted.connection, place)
            )
        except SourceError as error:
            raise _worded(error, host) from error
        yield stream


def _worded(error: SourceError, host: str) -> SourceError:
    """The same of a copy."""
    said = error.message.removeprefix(f"the log of {host} cannot be streamed: ")
    return SourceError(
        f"the cluster of {host}, which has tablespaces, cannot be copied: {said}", hint=error.hint
    )


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
