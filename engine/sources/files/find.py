"""Listing a tree by GNU find: one command for all roots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from engine.errors import PathMissingError, SourceError
from engine.hosts.base import Command, Completed, OpenHost, require_started
from engine.model.entry import Entry, Failure
from engine.sources.files import messages
from engine.sources.files.excludes import Excludes
from engine.sources.files.journal import Journal
from engine.sources.files.listing import FIND_FORMAT, ListingParser
from engine.sources.files.owners import Owners
from engine.sources.files.roots import Request, ancestors
from engine.sources.files.running import RunningTool

_NO_SOCKETS = ("!", "-type", "s")
"""A socket is nothing without the process that listens to it; restic leaves it out too."""
_CHECK_TIMEOUT_S = 120.0
LISTING_WINDOW_BYTES = 2 << 20
"""We read the listing further only where contents are asked for: ten thousand files ahead are enough."""


def roots_command(roots: Sequence[bytes]) -> Command:
    """Asks which of the roots are there."""
    return Command(("find", *roots, "-maxdepth", "0", "-printf", FIND_FORMAT))


def ancestors_command(paths: Sequence[bytes]) -> Command:
    """Asks for the directories that lead to the roots."""
    return Command(("find", "-H", *paths, "-maxdepth", "0", "-printf", FIND_FORMAT))


def listing_command(request: Request, roots: Sequence[bytes]) -> Command:
    """Lists everything below the roots."""
    expression: list[str | bytes] = ["-xdev"] if request.is_one_file_system else []
    if tuple(roots) == (b"/",):
        expression += ["-mindepth", "1"]
    words = ("find", *roots, *expression, *request.find_words, *_NO_SOCKETS, "-printf", FIND_FORMAT)
    return Command(words, window_bytes=LISTING_WINDOW_BYTES)


async def existing_roots(host: OpenHost, request: Request, journal: Journal) -> tuple[bytes, ...]:
    """Those roots that are there. One that is not is a failure of the backup while others are.

    Raises: PathMissingError where none is; SourceError, HostError.
    """
    if request.roots == (b"/",):
        return request.roots
    command = roots_command(request.roots)
    ended = await host.run(command, limit_bytes=16 << 20, timeout_s=_CHECK_TIMEOUT_S)
    require_started(host.name, command, ended.exit)
    parser = ListingParser(request.roots, Owners())
    found = {b"/" + entry.path for entry in parser.feed(ended.stdout)}
    parser.end()
    if ended.exit.status not in (0, 1):
        raise SourceError(f"find on {host.name} could not look at the paths: {_last(ended.exit.stderr)}")
    reasons = {b"/" + failure.path: failure for failure in _failures(ended.exit.stderr)}
    for root in request.roots:
        if root not in found:
            journal.fail(reasons.get(root, Failure(root.strip(b"/"), "vanished", "find did not list it")))
    if not found:
        shown = ", ".join(root.decode(errors="backslashreplace") for root in request.roots)
        raise PathMissingError(
            f"{shown} is not there on {host.name}"
            if len(request.roots) == 1
            else f"none of these is there on {host.name}: {shown}",
            hint=_last(ended.exit.stderr) or None,
        )
    return tuple(root for root in request.roots if root in found)


def ancestor_paths(roots: Sequence[bytes]) -> list[bytes]:
    """The directories that lead to the roots, each once, outer ones first."""
    return [path for paths in ancestors(roots).values() for path in paths]


async def ask_ancestors(host: OpenHost, roots: Sequence[bytes]) -> Completed | None:
    """What find says of the directories that lead to the roots; None where there are none. Raises: HostError."""
    wanted = ancestor_paths(roots)
    if not wanted:
        return None
    return await host.run(ancestors_command(wanted), limit_bytes=16 << 20, timeout_s=_CHECK_TIMEOUT_S)


async def list_ancestors(
    host: OpenHost, request: Request, roots: Sequence[bytes], owners: Owners, asked: Completed | None
) -> dict[bytes, list[Entry]]:
    """For each root that is there (without its leading slash) the entries of the directories that lead to it, links followed.

    `asked` is what `ask_ancestors` gave for the roots of the request. Raises: SourceError, HostError.
    """
    if asked is None:
        return {}
    wanted = ancestor_paths(request.roots)
    require_started(host.name, ancestors_command(wanted), asked.exit)
    parser = ListingParser(wanted, owners)
    entries = await _named(host, parser.feed(asked.stdout), parser, owners)
    parser.end()
    found = {entry.path: entry for entry in entries if entry.type == "d"}
    above = ancestors(roots)
    lost = [path for paths in above.values() for path in paths if path[1:] not in found]
    if lost:
        raise SourceError(
            f"{lost[0].decode(errors='backslashreplace')} on {host.name} is no directory: {_last(asked.exit.stderr)}"
        )
    return {root[1:]: [found[path[1:]] for path in paths] for root, paths in above.items() if paths}


class FindLister:
    """One find over all roots."""

    def __init__(
        self,
        host: OpenHost,
        request: Request,
        journal: Journal,
        owners: Owners,
    ) -> None:
        """Does nothing yet: see `start`. A root that is not there is named as find names it."""
        self._tool = RunningTool(host, listing_command(request, request.roots), messages.parse_find, journal)
        self._host = host
        self._owners = owners
        self._parser = ListingParser(request.roots, owners)
        self._excludes = Excludes(request.excludes)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Starts find."""
        self._tool.start(group)

    async def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """Batches of what is not left out. Raises: HostileListingError, IncompleteDumpError, SourceError, HostError."""
        process = await self._tool.process()
        while data := await process.read():
            entries = await _named(self._host, self._parser.feed(data), self._parser, self._owners)
            if kept := self._excludes.keep(entries):
                yield kept
        await self._tool.finish()
        self._parser.end()

    def cancel(self) -> None:
        """Ends find if it still runs."""
        self._tool.cancel()


async def _named(
    host: OpenHost, entries: Sequence[Entry], parser: ListingParser, owners: Owners
) -> Sequence[Entry]:
    """The entries with all their names; numbers that the host did not list of its own accord are looked up."""
    if owners.is_complete:
        return entries
    await owners.complete(host)
    parser.forget_names()
    return owners.named(entries)


def _failures(stderr: bytes) -> list[Failure]:
    understood = (messages.parse_find(line) for line in stderr.splitlines())
    return [message.failure for message in understood if message.failure]


def _last(stderr: bytes) -> str:
    lines = stderr.decode(errors="backslashreplace").splitlines()
    return lines[-1] if lines else ""
