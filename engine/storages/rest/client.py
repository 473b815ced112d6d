"""Objects behind a server of restic's REST protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from engine import errors
from engine.storages.base import (
    Buffer,
    Key,
    Kind,
    Listed,
    Space,
    Traits,
    check_range,
    count_bytes,
)
from engine.storages.rest import failures
from engine.storages.rest.listing import Listing
from engine.storages.turns import Turns

CONNECT_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 600.0
"""Without a byte: a bridge answers an upload only when the place behind it has taken all."""
SETTLE_TIMEOUT_S = 10.0
SETTLE_S, SETTLE_TRIES = 0.05, 10
"""So often we look whether the server has cleaned up by itself."""
PIECE_BYTES = 256 << 10
VERSION_2 = "application/vnd.x.restic.rest.v2"


def session(
    connector: aiohttp.BaseConnector,
    headers: Mapping[str, str],
    timeout_s: float = ANSWER_TIMEOUT_S,
    proxy: str | None = None,
) -> aiohttp.ClientSession:
    """A session for one server, with headers for every request, through that HTTP proxy; whoever makes it closes it."""
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s), connect=None, sock_read=timeout_s
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy,
    )


@dataclass(frozen=True, slots=True)
class Door:
    """A way to the server."""

    session: aiohttp.ClientSession
    url: str
    """With a slash at its end."""


FindDoor = Callable[[], Awaitable[Door]]


async def _no_space() -> Space:
    return Space(None, None)


@dataclass(frozen=True, slots=True)
class Behind:
    """What is particular to the server."""

    name: str
    """For messages."""
    location: str
    traits: Traits
    door: FindDoor
    """For all but deletions; nothing is overwritten through it."""
    deleting_door: FindDoor
    """For deletions, but those of locks."""
    last_log: Callable[[], str] = str
    """The last line of a bridge's log about an error; empty where there is none."""
    space: Callable[[], Awaitable[Space]] = _no_space


class RestStorage:
    """See `base.OpenStorage`. Whoever makes one closes what is behind the doors."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind
        self._turns = Turns()
        """Rclone shows an object while it is written, so that a second writer would mistake or spoil it."""

    @property
    def location(self) -> str:
        """As stock restic's `-r` takes it."""
        return self._behind.location

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return self._behind.traits

    async def create(self) -> None:
        """Asks the server to make the repository's folders."""
        async with self._asked("POST", "?create=true", "the repository could not be made"):
            pass

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Sends it, and asks for the size that then lies there. A server that overwrites nothing has the old object removed, unless it is the same."""
        async with self._turns.of(key):
            await self._put_or_settle(key, parts)

    async def _put_or_settle(self, key: Key, parts: Sequence[Buffer]) -> None:
        try:
            await self._put(key, parts)
        except BaseException:
            with contextlib.suppress(errors.StorageError, TimeoutError):
                async with asyncio.timeout(SETTLE_TIMEOUT_S):
                    await self._settle(key, count_bytes(parts))
            raise

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Asks for the range."""
        check_range(key, 1 << 63, offset, length)
        if length == 0:
            check_range(key, await self.size(key), offset, length)
            return b""
        headers = {}
        if offset or length is not None:
            headers["Range"] = f"bytes={offset}-" + ("" if length is None else str(offset + length - 1))
        path, failure = _path(key), f"{key.path()} could not be read"
        async with self._asked(
            "GET", path, failure, headers=headers, key=key, allowed=(200, 206, 416)
        ) as answer:
            # 416: the object ends before the range begins. 200: the server knows no ranges and sends all of it.
            skipped = offset if answer.status == 200 else 0
            found = b"" if answer.status == 416 else await self._body(answer, key, skipped, length)
        if not found or len(found) < (length or 0):
            available = offset + len(found) if found else await self.size(key)
            if check_range(key, available, offset, length):
                raise errors.StorageUnreachableError(f"{self._behind.name} sent nothing of {key.path()}")
        return found

    async def size(self, key: Key) -> int:
        """What the server says of its length."""
        path, failure = _path(key), f"{key.path()} could not be looked at"
        async with self._asked("HEAD", path, failure, key=key) as answer:
            said = answer.headers.get("Content-Length", "")
        if not (said.isascii() and said.isdigit()):
            raise errors.StorageError(f"{self._behind.name} does not say how long {key.path()} is")
        return int(said)

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """Takes the whole listing, then gives it."""
        if kind is Kind.CONFIG:
            with contextlib.suppress(errors.ObjectMissingError):
                yield Listed(Key(kind), await self.size(Key(kind)))
            return
        listing = Listing()
        failure = "the objects could not be listed"
        headers = {"Accept": VERSION_2}
        async with self._asked(
            "GET", f"{kind.value}/", failure, headers=headers, allowed=(200, 404)
        ) as answer:
            if answer.status == 404:
                # rclone says so of errors, too (its issue 7550); others of a folder that is not there.
                if answer.headers.get("Server", "").startswith("rclone/"):
                    raise failures.of_status(
                        500, f"{failure} on {self._behind.name}", self._behind.last_log()
                    )
                return
            async for piece in answer.content.iter_chunked(PIECE_BYTES):
                listing.feed(piece)
            listing.end()
        for name, size in listing.objects():
            yield Listed(Key(kind, name), size)

    async def delete(self, key: Key) -> None:
        """Removes it; locks through the door that overwrites nothing."""
        await self._removed(key, self._behind.door if key.kind is Kind.LOCK else self._behind.deleting_door)

    async def space(self) -> Space:
        """Not in the protocol; known where a bridge of ours tells it."""
        return await self._behind.space()

    async def clean(self, older_than_s: float) -> int:
        """Nothing to do: what an upload that was cut leaves is the server's to remove."""
        return 0

    async def _body(
        self, answer: aiohttp.ClientResponse, key: Key, skipped: int, length: int | None
    ) -> bytes:
        """The body without what is skipped, at most `length` bytes; all of it where that is None. Raises: StorageError for more than that."""
        found = bytearray()
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            left_out = min(skipped, len(piece))
            skipped -= left_out
            found += piece[left_out:]
            if length is not None and len(found) > length:
                if answer.status == 206:
                    raise errors.StorageError(
                        f"{self._behind.name} sent more of {key.path()} than was asked for"
                    )
                return bytes(found[:length])
        return bytes(found)

    async def _put(self, key: Key, parts: Sequence[Buffer]) -> None:
        path, failure = _path(key), f"{key.path()} could not be written"
        if not await self._sent(path, parts, failure, is_refusal_final=False):
            if await self._is_there(key, parts):
                return
            await self.delete(key)
            await self._sent(path, parts, failure, is_refusal_final=True)
        if (found := await self.size(key)) != count_bytes(parts):
            raise errors.StorageError(
                f"{self._behind.name} has {found} bytes of {key.path()} where {count_bytes(parts)} were written",
                hint="it was removed again; what is stored is safe",
            )

    async def _settle(self, key: Key, whole_bytes: int) -> None:
        """Sees to it that a write that broke off leaves nothing: some places behind rclone show an object while it is written."""
        for _ in range(SETTLE_TRIES):
            try:
                if await self.size(key) == whole_bytes:
                    return
            except errors.ObjectMissingError:
                return
            await asyncio.sleep(SETTLE_S)
        if key.kind is not Kind.CONFIG:
            # All others bear the name of what they hold: whatever is of another length is none of ours.
            await self.delete(key)

    async def _is_there(self, key: Key, parts: Sequence[Buffer]) -> bool:
        """Whether the object is there already with just these bytes, as after an answer that was lost."""
        wanted = count_bytes(parts)
        try:
            return await self.size(key) == wanted and await self.get(key, 0, wanted) == b"".join(parts)
        except errors.ObjectMissingError:
            return False

    async def _sent(
        self, path: str, parts: Sequence[Buffer], failure: str, *, is_refusal_final: bool
    ) -> bool:
        """Whether the server took it; False where it refuses, perhaps because something of that name is there."""
        allowed = (200, 201, 204) if is_refusal_final else (200, 201, 204, 403)
        headers = {"Content-Length": str(count_bytes(parts)), "Content-Type": "application/octet-stream"}
        async with self._asked("POST", path, failure, headers=headers, data=parts, allowed=allowed) as answer:
            return answer.status != 403

    async def _removed(self, key: Key, find: FindDoor) -> None:
        failure = f"{key.path()} could not be removed"
        async with self._asked("DELETE", _path(key), failure, find=find, allowed=(200, 204, 404)):
            pass

    @contextlib.asynccontextmanager
    async def _asked(  # noqa: PLR0913 -- the parts of a request, and how its answer is taken
        self,
        method: str,
        path: str,
        failure: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Sequence[Buffer] | None = None,
        key: Key | None = None,
        find: FindDoor | None = None,
        allowed: Sequence[int] = (200,),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request about the object `key`, whose errors become those of a storage."""
        failure = f"{failure} on {self._behind.name}"
        door = await (find or self._behind.door)()
        loop, patience_s = asyncio.get_running_loop(), door.session.timeout.sock_read or ANSWER_TIMEOUT_S
        try:
            # aiohttp counts the time for an answer from the end of the body: what stalls before is ended here.
            async with (
                asyncio.timeout(None if data is None else patience_s) as watch,
                door.session.request(
                    method,
                    door.url + path,
                    headers=headers,
                    data=None
                    if data is None
                    else _pieces(data, lambda: watch.reschedule(loop.time() + patience_s)),
                    # The server may refuse before it has read all: what is refused is not sent.
                    expect100=data is not None and count_bytes(data) > PIECE_BYTES,
                    allow_redirects=False,
                ) as answer,
            ):
                watch.reschedule(None)
                if answer.status == 404 and key is not None:
                    raise errors.ObjectMissingError(
                        f"{key.path()} is not there on {self._behind.name}",
                        hint="run verify to see which backups need it",
                    )
                if answer.status not in allowed:
                    raise failures.of_status(answer.status, failure, self._behind.last_log())
                yield answer
        except failures.CAUGHT as error:
            raise failures.translated(error, failure) from error


def _path(key: Key) -> str:
    """Without the folders of the packs. Raises: ValueError for a name that is none."""
    return key.path() if key.kind is not Kind.PACK else f"{key.path()[:5]}{key.name}"


async def _pieces(parts: Sequence[Buffer], moved: Callable[[], object]) -> AsyncIterator[bytes]:
    """In pieces that the socket's buffer takes, however the parts are cut; calls `moved` each time that one is wanted."""
    waiting = bytearray()
    moved()
    for part in parts:
        view = memoryview(part).cast("B")
        for begin in range(0, len(view), PIECE_BYTES):
            waiting += view[begin : begin + PIECE_BYTES]
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
                moved()
    if waiting:
        yield bytes(waiting)
        moved()
