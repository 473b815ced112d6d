"""Archives that links lead to, in a folder beside the repository's that restic does not look into."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

import opendal

from engine.storages.opendal.calls import Calls
from engine.storages.opendal.kinds import Sign

_FOLDER: Final = "shares/"
_BLOCK_BYTES: Final = 16 << 20
"""Azure takes 50,000 blocks of an object, 780 GiB; Google Cloud 10,000, 156 GiB."""

FindOperator = Callable[[], Awaitable[opendal.AsyncOperator]]


class OpendalSharing:
    """See `base.Sharing`."""

    def __init__(self, find: FindOperator, calls: Calls, sign: Sign, longest_s: float) -> None:
        self.longest_s = longest_s
        self._find = find
        self._calls = calls
        self._sign = sign

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """In blocks, so that nothing is visible before the last request. What was sent in vain Azure throws away by itself; Google
        Cloud keeps it until a rule of the bucket's own for unfinished uploads removes it.
        """
        what = f"{self._calls.named(_FOLDER + name)} could not be written"
        size_bytes = 0
        operator = await self._find()
        file = await self._calls.call(operator.open(_FOLDER + name, "wb", chunk=_BLOCK_BYTES), what)
        async for piece in pieces:
            await self._calls.call(file.write(piece), what, _BLOCK_BYTES)
            size_bytes += len(piece)
        await self._calls.call(file.close(), what, _BLOCK_BYTES)
        return size_bytes

    async def link(self, name: str, expires_s: int) -> str:
        """Signed with the storage's own key; no request is sent."""
        return await self._sign(_FOLDER + name, expires_s)

    async def list(self) -> AsyncGenerator[tuple[str, int], None]:
        """By pages."""
        async for entry in self._calls.walk(await self._find(), _FOLDER):
            if entry.metadata.is_file:
                yield entry.path.removeprefix(_FOLDER), entry.metadata.content_length

    async def delete(self, name: str) -> None:
        """One request."""
        what = f"{self._calls.named(_FOLDER + name)} could not be removed"
        await self._calls.call((await self._find()).delete(_FOLDER + name), what)
