"""An object's parts as the body of a request: neither joined nor copied, and hashed once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.storages.base import Buffer, count_bytes

STEP_BYTES: Final = 256 << 10
"""How much is handed to the connection at once: more would be copied into its buffer."""
INLINE_BYTES: Final = 256 << 10
"""Shorter bodies are joined and hashed on the event loop: a thread, and a request that asks for leave first, would take longer."""


@dataclass(slots=True)
class Body:
    """What goes up. To botocore it looks like a stream, for which it asks the service's leave before it sends (Expect: 100-continue)."""

    parts: Sequence[memoryview]
    size_bytes: int
    sha256: str
    """In hex: signed with the request, so that the service refuses other bytes."""
    on_progress: Callable[[], None]
    """Called whenever the connection takes more."""

    def __len__(self) -> int:
        return self.size_bytes

    def __bool__(self) -> bool:
        return True

    def read(self, _size: int = -1) -> bytes:
        """Never called: its presence tells botocore that this is a stream, and aiohttp iterates instead."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        gathered: list[memoryview] = []
        gathered_bytes = 0
        for part in self.parts:
            if gathered and gathered_bytes + part.nbytes > STEP_BYTES:
                self.on_progress()
                yield b"".join(gathered)
                gathered, gathered_bytes = [], 0
            if part.nbytes < STEP_BYTES // 4:
                gathered.append(part)
                gathered_bytes += part.nbytes
                continue
            for begin in range(0, part.nbytes, STEP_BYTES):
                if gathered:
                    self.on_progress()
                    yield b"".join(gathered)
                    gathered, gathered_bytes = [], 0
                self.on_progress()
                yield part[begin : begin + STEP_BYTES]
        if gathered:
            self.on_progress()
            yield b"".join(gathered)
        self.on_progress()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is given to the client."""

    content: Body | bytes
    md5: str
    """In base64; empty where it was not asked for."""


async def prepare(parts: Sequence[Buffer], *, has_md5: bool, on_progress: Callable[[], None]) -> Prepared:
    """Hashes the parts, in a thread where that takes its time."""
    views = [view for part in parts if (view := memoryview(part).cast("B")).nbytes]
    size_bytes = count_bytes(views)
    if size_bytes <= INLINE_BYTES:
        return Prepared(b"".join(views), _hashed(views, has_md5)[1])
    sha256, md5 = await asyncio.to_thread(_hashed, views, has_md5)
    return Prepared(Body(views, size_bytes, sha256, on_progress), md5)


def _hashed(views: Sequence[memoryview], has_md5: bool) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    for view in views:
        sha256.update(view)
        if has_md5:
            md5.update(view)
    return sha256.hexdigest(), base64.b64encode(md5.digest()).decode() if has_md5 else ""


def cut(parts: Sequence[Buffer], part_bytes: int) -> list[list[memoryview]]:
    """The parts, dealt out to bodies of that size and a shorter last one."""
    bodies: list[list[memoryview]] = []
    room = 0
    for part in parts:
        view = memoryview(part).cast("B")
        while view.nbytes:
            if not room:
                bodies.append([])
                room = part_bytes
            bodies[-1].append(view[:room])
            room, view = room - min(room, view.nbytes), view[room:]
    return bodies
