"""Archives that links lead to, in a folder beside the repository's that restic does not look into."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import opendal

from engine.clock import Clock
from engine.storages.opendal.calls import Calls
from engine.storages.opendal.kinds import Sign

_FOLDER: Final = "shares/"
_BLOCK_BYTES: Final = 16 << 20
"""Azure takes 50,000 blocks of an object: 780 GiB."""


class OpendalSharing:
    """See `base.Sharing`."""

    longest_s = 365 * 86400.0
    """Azure sets no bound; the account's policy may."""

    def __init__(self, operator: opendal.AsyncOperator, calls: Calls, sign: Sign, clock: Clock) -> None:
        self._operator = operator
        self._calls = calls
        self._sign = sign
        self._clock = clock

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """In blocks, so that nothing is visible before the last request; what was sent in vain the service throws away by itself."""
        what = f"{self._calls.named(_FOLDER + name)} could not be written"
        size_bytes = 0
        file = await self._calls.call(self._operator.open(_FOLDER + name, "wb", chunk=_BLOCK_BYTES), what)
        async for piece in pieces:
            await self._calls.call(file.write(piece), what, _BLOCK_BYTES)
            size_bytes += len(piece)
        await self._calls.call(file.close(), what, _BLOCK_BYTES)
        return size_bytes

    async def link(self, name: str, expires_s: int) -> str:
        """Signed with the account's key; no request is sent."""
        return self._sign(_FOLDER + name, self._clock.now() + datetime.timedelta(seconds=expires_s))

    async def list(self) -> AsyncGenerator[tuple[str, int], None]:
        """By pages."""
        async for entry in self._calls.walk(self._operator, _FOLDER):
            if entry.metadata.is_file:
                yield entry.path.removeprefix(_FOLDER), entry.metadata.content_length

    async def delete(self, name: str) -> None:
        """One request."""
        what = f"{self._calls.named(_FOLDER + name)} could not be removed"
        await self._calls.call(self._operator.delete(_FOLDER + name), what)
