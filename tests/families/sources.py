"""What the tests of sources share: sources bound to a host, and all that one gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

from engine.errors import HoldfastError
from engine.hosts.base import ByteStream, Command, Completed, Facts, FileAccess, OpenHost, Process
from engine.model.definitions import OptionValue, Source
from engine.model.entry import Entry, Failure
from engine.sources.base import ItemStream, OpenSource, TreeFeed
from engine.sources.registry import open_source


@dataclass(slots=True)
class Content:
    """What came for one wanted entry."""

    xattrs: tuple[tuple[bytes, bytes], ...]
    device: int
    data: bytes | None
    """None for a hard link to an earlier one."""


@dataclass(slots=True)
class TreeRead:
    """All that a feed gave."""

    entries: list[Entry] = field(default_factory=list)
    contents: dict[bytes, Content] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)
    failures: Sequence[Failure] = ()
    warnings: Sequence[str] = ()

    def named(self) -> dict[bytes, Entry]:
        """Entries by path."""
        return {entry.path: entry for entry in self.entries}

    def reasons(self) -> dict[bytes, str]:
        """Why single entries failed."""
        return {failure.path: failure.reason for failure in self.failures}


@asynccontextmanager
async def opened_source(host: OpenHost, kind: str, **options: OptionValue) -> AsyncIterator[OpenSource]:
    """A source of that kind, open."""
    async with open_source(Source("wares", kind, options=options), host) as source:
        yield source


async def read_tree(host: OpenHost, **options: OptionValue) -> TreeRead:
    """Reads a source of kind files whole: everything that is listed is wanted."""
    async with opened_source(host, "files", **options) as source, source.tree() as feed:
        return await read_feed(feed)


async def read_feed(feed: TreeFeed) -> TreeRead:
    """Wants everything, and takes it."""
    read = TreeRead()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_list(feed, read))
            group.create_task(_take(feed, read))
    except* HoldfastError as failures:  # the first of the two that failed is what a test wants to see
        raise failures.exceptions[0] from None
    read.failures = feed.failures()
    read.warnings = feed.warnings()
    return read


async def _list(feed: TreeFeed, read: TreeRead) -> None:
    async for batch in feed.entries():
        read.entries.extend(batch)
        await feed.want([entry.path for entry in batch])
    await feed.end_of_wants()


async def _take(feed: TreeFeed, read: TreeRead) -> None:
    async for batch in feed.contents():
        for fetched in batch:
            data = fetched.data
            if fetched.stream:
                data = b"".join([piece async for piece in fetched.stream])
            read.contents[fetched.path] = Content(fetched.xattrs, fetched.rdev, data)
            read.order.append(fetched.path)


async def read_item(source: OpenSource) -> tuple[str, bytes, Sequence[str]]:
    """The path, the bytes and the warnings of a source's first item; raises what its judge raises."""
    item = (await source.items())[0]
    async with item.open() as stream:
        data = await drain(stream)
        return item.path, data, await stream.judge()


async def drain(stream: ItemStream) -> bytes:
    """All of a stream."""
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    return b"".join(pieces)


class Equipped(OpenHost):
    """The host, but that it says of itself to have these tools and no others."""

    def __init__(self, host: OpenHost, *tools: str) -> None:
        self._host = host
        self._tools = tools

    @property
    def name(self) -> str:
        """See `base.OpenHost.name`."""
        return self._host.name

    @property
    def is_here(self) -> bool:
        """See `base.OpenHost.is_here`."""
        return self._host.is_here

    async def facts(self) -> Facts:
        """See `base.OpenHost.facts`."""
        facts = await self._host.facts()
        tools = {name: version for name, version in facts.tools.items() if name in self._tools}
        return replace(facts, tools=tools, has_gnu_find=False, has_gnu_tar=False)

    async def run(
        self,
        command: Command,
        *,
        input_bytes: bytes = b"",
        limit_bytes: int = 1 << 20,
        timeout_s: float = 60.0,
    ) -> Completed:
        """See `base.OpenHost.run`."""
        return await self._host.run(
            command, input_bytes=input_bytes, limit_bytes=limit_bytes, timeout_s=timeout_s
        )

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """See `base.OpenHost.start`."""
        return self._host.start(command)

    def files(self) -> AbstractAsyncContextManager[FileAccess]:
        """See `base.OpenHost.files`."""
        return self._host.files()

    def connect(self, address: str, port: int = 0) -> AbstractAsyncContextManager[ByteStream]:
        """See `base.OpenHost.connect`."""
        return self._host.connect(address, port)
