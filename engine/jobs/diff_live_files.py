"""A backup of files against what lies on the host now: a listing, and SHA-256 computed there of what the listing cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Final

from engine.errors import CommandFailedError, CommandTimeoutError, LoginRefusedError, ToolMissingError
from engine.events import Progress
from engine.format.tree import Node
from engine.hosts.base import OpenHost
from engine.jobs.context import JobContext
from engine.jobs.database_backup import open_copy, open_on_host
from engine.jobs.diff import Coverage, Tell, counted, shown_path
from engine.jobs.diff_tree import TreeDiff, differing, is_above, is_within
from engine.model.backup import Backup
from engine.model.definitions import Source
from engine.model.entry import Entry
from engine.model.requests import Limits
from engine.model.results import Difference
from engine.repository import dump as repository_dump
from engine.repository.reader import Trees
from engine.repository.repository import Repository
from engine.sources.base import OpenSource, TreeFeed
from engine.sources.files.checksums import checksums
from engine.sources.files.excludes import Excludes
from engine.sources.files.roots import normalise

SAMPLED_FILES: Final = 200
"""Of those that look the same; as many as a drill restores."""
SAMPLED_BYTES: Final = 1 << 30
TOUCHED_FILES: Final = 10_000
"""So many files whose time alone differs are read; more only with `--checksum`."""
_BATCH_FILES: Final = 500
_BATCH_BYTES: Final = 256 << 20
_NAMED: Final = 100
"""So many paths are named one by one."""


async def compare(
    context: JobContext, backup: Backup, tell: Tell, coverage: Coverage, seed: int, *, is_checksum: bool
) -> None:
    """Tells what differs. Raises: PathMissingError where nothing of the source is there; SourceError, HostError, StorageError, DamagedError."""
    source = await context.catalog.sources.get(backup.source)
    async with AsyncExitStack() as stack:
        copy = await open_copy(context, backup, "", Limits(), stack)
        opened, host = await stack.enter_async_context(open_on_host(context, source))
        comparison = _Comparison(context, copy.repository, host, tell, coverage)
        comparison.is_checksum = is_checksum
        await _Listing(comparison, source, Random(seed)).run(opened, copy.snapshot.tree)  # noqa: S311 -- the seed is told
        comparison.conclude(seed)


@dataclass(slots=True)
class _Comparison:
    """What is compared with what, and what was found."""

    context: JobContext
    repository: Repository
    host: OpenHost
    tell: Tell
    coverage: Coverage
    is_checksum: bool = False
    is_coarse: bool = False
    """Whether the host tells times as whole seconds."""
    entries: int = 0
    hashed_files: int = 0
    hashed_bytes: int = 0
    sampled_files: int = 0
    same_looking: int = 0
    unhashed: str = ""
    """Why nothing can be hashed on the host; empty as long as it can."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Paths that were not compared, by why; so many as are named, and how many there were behind them."""
    left_out_count: dict[str, int] = field(default_factory=dict)

    def leave_out(self, path: bytes, why: str) -> None:
        """Names a path that was not compared."""
        self.left_out_count[why] = self.left_out_count.get(why, 0) + 1
        named = self.left_out.setdefault(why, [])
        if len(named) < _NAMED:
            named.append(shown_path(path)[0])

    def difference(
        self, change: str, node: Node | None, entry: Entry | None, path: bytes, what: str = ""
    ) -> None:
        """Tells one."""
        shown, raw_path = shown_path(path)
        before = node.size if node is not None and node.type == "file" else None
        after = entry.size if entry is not None and entry.type == "f" else None
        self.tell(Difference(shown, change, before, after, what, raw_path=raw_path))

    async def hash_files(self, files: Sequence[tuple[Node, Entry]], *, is_told: bool = False) -> None:
        """Compares contents, and tells what differs, also where it is the time alone; with `is_told` all but the content was told before.

        Raises: DamagedError, HostError.
        """
        live = await self._live_hashes([b"/" + entry.path for _node, entry in files])
        for node, entry in files:
            aspects = differing(node, entry, is_coarse=self.is_coarse)
            digits = live.get(b"/" + entry.path)
            if digits is None:
                self.leave_out(entry.path, self.unhashed or "its content could not be read on the host")
                if "time" in aspects:
                    self.difference("modified", node, entry, entry.path, ",".join(aspects))
                continue
            if digits != await repository_dump.sha256_of(self.repository, node):
                self.difference("modified", node, entry, entry.path, ",".join(["content", *aspects]))
            elif aspects and not is_told:
                self.difference("metadata", node, entry, entry.path, ",".join(aspects))
            self.hashed_files += 1
            self.hashed_bytes += node.size
            self.show(entry.path)

    def show(self, path: bytes) -> None:
        """How far it is."""
        shown = path.decode(errors="backslashreplace")
        self.context.emit(Progress("diff", self.hashed_bytes, done_files=self.entries, current=f"/{shown}"))

    def conclude(self, seed: int) -> None:
        """Says what was compared, and what was not."""
        say = self.coverage
        exactly = "to the second" if self.is_coarse else "to the nanosecond"
        say.compared.append(
            f"type, size, mode, owner, target of links and time ({exactly}) of {self.entries} files and directories"
        )
        if self.hashed_files:
            chosen = (
                ""
                if self.is_checksum
                else f", {self.sampled_files} of them chosen at random (seed {seed}) among {self.same_looking} that look the same"
            )
            say.compared.append(
                f"SHA-256 of {counted(self.hashed_files, 'file')}, computed on the host{chosen}"
            )
        for why, paths in self.left_out.items():
            more = self.left_out_count[why] - len(paths)
            say.leave_out(", ".join(paths) + (f" and {more} more" if more else ""), why)
        unread = self.same_looking - self.sampled_files
        if not self.is_checksum and unread:
            say.leave_out(
                f"content of {counted(unread, 'file')} of the same size and time", "--checksum reads all"
            )
        say.leave_out("extended attributes and access control lists", "a listing does not tell them")

    async def _live_hashes(self, paths: Sequence[bytes]) -> dict[bytes, str]:
        if self.unhashed:
            return {}
        try:
            return dict(await checksums(self.host, paths))
        except (ToolMissingError, LoginRefusedError, CommandFailedError, CommandTimeoutError) as error:
            self.unhashed = error.message
            return {}


class _Listing:
    """The listing, and the choice of what is to be hashed."""

    def __init__(self, comparison: _Comparison, source: Source, draw: Random) -> None:
        self._comparison = comparison
        self._draw = draw
        self._roots = [root.strip(b"/") for root in normalise(_texts(source.options.get("path")))]
        self._excludes = Excludes(tuple(_texts(source.options.get("exclude"))))
        self._waiting: list[tuple[Node, Entry]] = []
        self._waiting_bytes = 0
        self._sample: list[tuple[Node, Entry]] = []
        self._touched = 0

    async def run(self, source: OpenSource, tree: bytes | None) -> None:
        """All of it. Raises: PathMissingError, SourceError, HostError, DamagedError."""
        comparison = self._comparison
        facts = await comparison.host.facts()
        comparison.is_coarse = not facts.has_gnu_find
        difference = TreeDiff(Trees(comparison.repository), tree, self._removed, self._is_taken)
        async with source.tree() as feed:
            async for batch in feed.entries():
                found = await difference.feed(batch)
                comparison.entries += len(batch)
                for entry in found.added:
                    comparison.difference("added", None, entry, entry.path)
                for node, entry in found.both:
                    self._compare(node, entry)
                if len(self._waiting) >= _BATCH_FILES or self._waiting_bytes >= _BATCH_BYTES:
                    await self._hash_waiting()
                if batch:
                    comparison.show(batch[-1].path)
            unreadable = await self._end(feed)
        await difference.end(unreadable)
        await self._hash_waiting()
        await self._hash_sample()

    async def _end(self, feed: TreeFeed) -> frozenset[bytes]:
        """What could not be listed."""
        await feed.end_of_wants()
        async for _nothing in feed.contents():
            pass
        failures = [each for each in feed.failures() if each.reason != "vanished"]
        for failure in failures:
            self._comparison.leave_out(failure.path, failure.detail or failure.reason)
        self._comparison.coverage.not_compared += feed.warnings()
        return frozenset(each.path for each in failures)

    def _compare(self, node: Node, entry: Entry) -> None:
        comparison = self._comparison
        aspects = differing(node, entry, is_coarse=comparison.is_coarse)
        if {"type", "size", "target"} & set(aspects):
            comparison.difference("modified", node, entry, entry.path, ",".join(aspects))
        elif node.type != "file":
            if aspects:
                comparison.difference("metadata", node, entry, entry.path, ",".join(aspects))
        elif "time" in aspects:
            self._touched += 1
            if comparison.is_checksum or self._touched <= TOUCHED_FILES:
                self._wait(node, entry)
            else:
                comparison.difference("modified", node, entry, entry.path, ",".join(aspects))
                comparison.leave_out(
                    entry.path, "content of files with another time: too many; --checksum reads all"
                )
        else:
            self._compare_same_looking(node, entry, aspects)

    def _compare_same_looking(self, node: Node, entry: Entry, aspects: Sequence[str]) -> None:
        comparison = self._comparison
        if comparison.is_checksum:
            self._wait(node, entry)
            return
        if aspects:
            comparison.difference("metadata", node, entry, entry.path, ",".join(aspects))
        comparison.same_looking += 1
        if len(self._sample) < SAMPLED_FILES:
            self._sample.append((node, entry))
        elif (place := self._draw.randrange(comparison.same_looking)) < SAMPLED_FILES:
            self._sample[place] = (node, entry)

    def _wait(self, node: Node, entry: Entry) -> None:
        self._waiting.append((node, entry))
        self._waiting_bytes += node.size

    async def _hash_waiting(self) -> None:
        files, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if files:
            await self._comparison.hash_files(files)

    async def _hash_sample(self) -> None:
        self._draw.shuffle(self._sample)
        size_bytes = 0
        chosen: list[tuple[Node, Entry]] = []
        for node, entry in self._sample:
            if not chosen or size_bytes + node.size <= SAMPLED_BYTES:
                size_bytes += node.size
                chosen.append((node, entry))
        self._comparison.sampled_files = len(chosen)
        await self._comparison.hash_files(chosen, is_told=True)

    def _is_taken(self, path: bytes) -> bool:
        return (is_within(path, self._roots) and not self._excludes.leaves_out(path)) or is_above(
            path, self._roots
        )

    def _removed(self, path: bytes, node: Node) -> None:
        if not self._is_taken(path):
            self._comparison.leave_out(path, "the source does not take it any more")
        elif not is_above(path, self._roots):
            self._comparison.difference("removed", node, None, path)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, list | tuple) else []
