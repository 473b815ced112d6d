"""Kind `files`: trees of files of a host, by GNU find and tar, or by plain file access where these are missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

from engine.errors import SourceError
from engine.hosts.base import Command, Facts, FileAccess, OpenHost
from engine.hosts.grants import Occasion
from engine.model.definitions import Source
from engine.model.entry import Entry, Failure, Fetched
from engine.scope import task_scope
from engine.sources.base import Item, Secrets, Traits, TreeFeed
from engine.sources.files import checksums, find, owners, walk
from engine.sources.files.excludes import Excludes, find_words
from engine.sources.files.journal import Journal
from engine.sources.files.owners import Owners
from engine.sources.files.roots import Request, normalise
from engine.sources.files.tar import COMMAND as TAR
from engine.sources.files.tar import TarFetcher
from engine.sources.options import Reader


class _Lister(Protocol):
    def entries(self) -> AsyncIterator[Sequence[Entry]]: ...

    def cancel(self) -> None: ...


class _Fetcher(Protocol):
    async def want(self, paths: Sequence[bytes]) -> None: ...

    async def end_of_wants(self) -> None: ...

    def contents(self) -> AsyncIterator[Sequence[Fetched]]: ...

    def cancel(self) -> None: ...


class FilesSource:
    """See `base.OpenSource`."""

    traits = Traits(kind="files", shape="tree", can_load=True)

    def __init__(self, definition: Source, host: OpenHost) -> None:
        """Raises: ConfigurationError."""
        given = Reader(definition)
        excludes = given.texts("exclude")
        Excludes(excludes)
        self._host = host
        self._request = Request(
            roots=normalise(given.texts("path")),
            excludes=excludes,
            find_words=tuple(find_words(excludes)),
            is_one_file_system=given.flag("one_file_system"),
        )
        given.require_no_more()

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[FilesSource]:
        """Opens it; there is no secret to know. Raises: ConfigurationError."""
        del secrets
        yield cls(definition, host)

    async def check(self) -> Mapping[str, str]:
        """See `base.OpenSource.check`. Raises: PathMissingError, SourceError, HostError."""
        facts = await self._host.facts()
        journal = Journal(lambda path: False)
        if facts.has_gnu_find:
            found = await find.existing_roots(self._host, self._request, journal)
        else:
            async with self._host.files() as files:
                found = await walk.existing_roots(files, self._request, journal)
        missing = [failure.path.decode(errors="backslashreplace") for failure in journal.failures()]
        return {
            "listing": facts.tools["find"] if facts.has_gnu_find else "plain file access",
            "reading": facts.tools["tar"] if facts.has_gnu_tar else "plain file access",
            "paths": ", ".join(root.decode(errors="backslashreplace") for root in found),
            **({"missing": ", ".join(missing)} if missing else {}),
        }

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`. None where plain file access serves. Raises: HostError."""
        facts = await self._host.facts()
        found: list[Command] = []
        if facts.has_gnu_find:
            roots = self._request.roots
            above = find.ancestor_paths(roots)
            found += [find.roots_command(roots), find.listing_command(self._request, roots), owners.ALL]
            found += [find.ancestors_command(above)] if above else []
        if facts.has_gnu_tar:
            found.append(TAR)
        return found

    async def occasions(self) -> Sequence[Occasion]:
        """See `base.OccasionalSource`: a comparison hashes what looks the same."""
        return [Occasion("diff", [checksums.COMMAND])]

    async def items(self) -> Sequence[Item]:
        """There are none. Raises: SourceError."""
        raise SourceError("a source of kind files has no items, but a tree")

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """See `base.OpenSource.tree`. Entering raises PathMissingError where no path is there."""
        return self._tree()

    @asynccontextmanager
    async def _tree(self) -> AsyncIterator[TreeFeed]:
        try:
            async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
                feed = await _Feed.begin(self._host, self._request, group, stack)
                try:
                    yield feed
                finally:
                    feed.cancel()
        except BaseExceptionGroup as failures:
            # The group wraps what the caller's own block raised; callers want to catch that by its class.
            if len(failures.exceptions) > 1:
                raise
            raise failures.exceptions[0] from failures.exceptions[0].__cause__


class _Feed:
    """See `base.TreeFeed`."""

    def __init__(
        self,
        journal: Journal,
        lister: _Lister,
        fetcher: _Fetcher,
        above: Mapping[bytes, Sequence[Entry]],
        *,
        is_here: bool,
    ) -> None:
        self.is_here = is_here
        self._journal = journal
        self._lister = lister
        self._fetcher = fetcher
        self._above = dict(above)
        self._leading = {entry.path for entries in above.values() for entry in entries}

    @classmethod
    async def begin(
        cls, host: OpenHost, request: Request, group: asyncio.TaskGroup, stack: AsyncExitStack
    ) -> _Feed:
        """Checks the roots and starts the listing. Raises: PathMissingError, SourceError, HostError."""
        journal = Journal(Excludes(request.excludes).leaves_out)
        facts = await host.facts()
        files: FileAccess | None = None
        if not (facts.has_gnu_find and facts.has_gnu_tar):
            files = await stack.enter_async_context(host.files())
            journal.warn(_fall_back(host, facts))
        lister: _Lister
        if files is None or facts.has_gnu_find:
            names = Owners()
            lister = finder = find.FindLister(host, request, journal, names)
            finder.start(group)
            # All at the same time: on many hosts it is the login shell that takes longest, a tenth of a second for each command.
            async with task_scope() as asking:
                asking.create_task(names.load(host))
                asked = asking.create_task(find.ask_ancestors(host, request.roots))
                roots = await find.existing_roots(host, request, journal)
            above = await find.list_ancestors(host, request, roots, names, asked.result())
        else:
            roots = await walk.existing_roots(files, request, journal)
            above = await walk.list_ancestors(files, roots)
            lister = walk.WalkLister(files, request, roots, journal)
        fetcher: _Fetcher
        if files is None or facts.has_gnu_tar:
            fetcher = TarFetcher(host, journal, group)
        else:
            fetcher = walk.WalkFetcher(files, journal)
        return cls(journal, lister, fetcher, above, is_here=host.is_here and facts.has_gnu_find)

    async def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """See `base.TreeFeed.entries`."""
        async for batch in self._lister.entries():
            yield self._with_ancestors(batch) if self._above else batch

    async def want(self, paths: Sequence[bytes]) -> None:
        """See `base.TreeFeed.want`."""
        await self._fetcher.want(paths)

    async def end_of_wants(self) -> None:
        """See `base.TreeFeed.end_of_wants`."""
        await self._fetcher.end_of_wants()

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        """See `base.TreeFeed.contents`."""
        async for batch in self._fetcher.contents():
            yield self._followed(batch) if any(each.type == "l" for each in batch) else batch

    def failures(self) -> Sequence[Failure]:
        """See `base.TreeFeed.failures`."""
        return self._journal.failures()

    def warnings(self) -> Sequence[str]:
        """See `base.TreeFeed.warnings`."""
        return self._journal.warnings()

    def cancel(self) -> None:
        """Ends what still runs on the host."""
        self._lister.cancel()
        self._fetcher.cancel()

    def _followed(self, batch: Sequence[Fetched]) -> Sequence[Fetched]:
        """The batch, where a link that leads to a root is the directory that it was listed as, without the link's own attributes."""
        return [
            each._replace(type="d", xattrs=()) if each.type == "l" and each.path in self._leading else each
            for each in batch
        ]

    def _with_ancestors(self, batch: Sequence[Entry]) -> Sequence[Entry]:
        """The batch, with the directories that lead to a root ahead of it."""
        led: list[Entry] = []
        for entry in batch:
            if entry.path in self._above:
                led += self._above.pop(entry.path)
            led.append(entry)
        return led


def _fall_back(host: OpenHost, facts: Facts) -> str:
    missing = [
        words
        for words, is_there in (("GNU find", facts.has_gnu_find), ("GNU tar", facts.has_gnu_tar))
        if not is_there
    ]
    lost = (
        "extended attributes and access control lists are not in this backup"
        if not facts.has_gnu_tar
        else "it is slower"
    )
    return f"{host.name} has no {' and no '.join(missing)}, so files were read by plain file access: {lost}"
