"""Calls of opendal's: each with a time of its own, and with its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection
from typing import Final, TypeVar

import opendal
from opendal import types

from engine import errors
from engine.storages.opendal import failures

Result = TypeVar("Result")

STALL_S: Final = 60
"""Seconds that a call may take, and as many for every SPAN_BYTES that it carries."""
SPAN_BYTES: Final = 2 << 20
"""35 KiB a second and call is the slowest line that is not taken for a stalled one: opendal does not tell how an upload gets on."""


class Calls:
    """Makes the calls of one storage. `what` is always the sentence that the reason of a failure follows."""

    def __init__(self, location: str, hidden: Collection[str], stall_s: float) -> None:
        """`hidden` are the texts that no message may hold."""
        self._location = location
        self._hidden = hidden
        self._stall_s = stall_s

    async def call(self, call: Awaitable[Result], what: str, size_bytes: int = 0) -> Result:
        """One call of opendal's, with its time and its errors in our words."""
        try:
            async with self.limit(size_bytes, what):
                return await call
        except failures.RAISED as error:
            # Not chained: the text of the cause holds the URL, and the URL may hold a signature.
            raise failures.translated(self.read(error), what) from None

    @contextlib.asynccontextmanager
    async def limit(self, size_bytes: int, what: str) -> AsyncIterator[None]:
        """Ends a call that stands still. Raises: StorageUnreachableError."""
        limit_s = self._stall_s * (1 + size_bytes // SPAN_BYTES)
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            raise errors.StorageUnreachableError(
                f"{what}: no answer in {limit_s:.0f} s", hint="is the service up, and the line?"
            ) from None

    async def step(self, entries: AsyncIterator[types.Entry], what: str) -> types.Entry | None:
        """The next entry, or None behind the last."""
        try:
            return await self.call(anext(entries), what)
        except StopAsyncIteration:
            return None

    async def walk(self, operator: opendal.AsyncOperator, folder: str) -> AsyncGenerator[types.Entry, None]:
        """Everything below a folder; nothing where it is missing."""
        what = f"{self.named(folder)} could not be listed"
        entries = aiter(await self.call(operator.list(folder, recursive=True), what))
        with contextlib.suppress(errors.ObjectMissingError):
            while (entry := await self.step(entries, what)) is not None:
                yield entry

    def named(self, path: str) -> str:
        """The object or folder as people are told of it."""
        return f"{self._location.rstrip('/')}/{path}"

    def read(self, error: BaseException) -> failures.Failure:
        """What an exception says, without anything that is to be hidden."""
        return failures.read(error, self._hidden)
