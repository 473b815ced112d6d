"""A directory of a host as the target of a restore: a tar stream into the host's own tar, or SFTP where it has no GNU tar. Nothing lands on this
machine's disk."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from engine.errors import (
    ConnectionLostError,
    HoldfastError,
    RefusedError,
    RestoreError,
    ToolMissingError,
    UsageError,
)
from engine.events import Emit, Noted, Warned
from engine.format.tree import Node
from engine.hosts.base import Command, Exit, Facts, OpenHost, Process, WritableFiles, require_started
from engine.jobs import host_deleting, host_presence
from engine.jobs.host_files import FileRestore, Ground
from engine.jobs.host_presence import PathSet
from engine.model.entry import Entry
from engine.repository import dump as repository_dump
from engine.repository.added import Beside, Held
from engine.repository.reader import Trees, Visited
from engine.repository.repository import Repository
from engine.repository.restore_tar import TarRestore
from engine.repository.restore_values import RestoreOptions, Tally
from engine.scope import task_scope

Tell = Callable[[str, bytes, int], None]
"""Told of what would be done (create, replace, keep, delete), the path, and its size in bytes."""
_PROGRESS_BYTES = 4 << 20
_SUMS_TIMEOUT_S = 24 * 3600.0
_AT_ONCE = 200
"""So many files are compared by one command."""
# `$1` is the target in each; what is made on the way to it is for us alone to write.
_EXTRACT = 'umask 022; mkdir -p -- "$1" && cd -- "$1" && shift && exec "$@"'
_SUMS = 'cd -- "$1" && xargs -0 sh -c \'for f; do sha256sum <"$f" || echo -; done\' sh'
_REMOVE = (
    'cd -- "$1" && xargs -0 sh -c \'for f; do if [ -d "$f" ] && [ ! -L "$f" ]; then rmdir -- "$f" 2>/dev/null; '
    'else rm -f -- "$f"; fi; done; :\' sh'
)
_MAKE = 'umask 022; mkdir -p -- "$1" && cd -P -- "$1" && printf %s "$PWD"'
_REAL = 'cd -P -- "$1" 2>/dev/null && printf %s "$PWD"'
_FREE = 'd=$1; while [ ! -e "$d" ]; do d=$(dirname -- "$d"); done; df -Pk -- "$d"'
_IS_FRESH = '[ ! -e "$1" ] || [ -z "$(ls -A -- "$1" | head -n 1)" ]'
_DIGEST = re.compile(rb"([0-9a-f]{64})\s")
_ENDINGS = (b"Exiting with failure status due to previous errors",)


@dataclass(slots=True)
class _Sending:
    """What tar said so far, and how it ended."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def take(self, line: bytes) -> None:
        """One line of standard error."""
        if line.removeprefix(b"tar: ").strip() in _ENDINGS:
            return
        self.count += 1
        if len(self.lines) < 100:
            self.lines.append(line.removeprefix(b"tar: ").decode(errors="backslashreplace"))


class HostTree:
    """A directory of an open host."""

    def __init__(
        self,
        host: OpenHost,
        place: str,
        above: frozenset[bytes] = frozenset(),
        *,
        is_as_another: bool = False,
    ) -> None:
        """`above` are directories that lead to what is restored in place: they are left as they are. `is_as_another`: commands on the host run
        as another user than the login. Raises: UsageError."""
        if not place.startswith("/"):
            raise UsageError(f"the target on {host.name} must be an absolute path, not {place!a}")
        self._host = host
        self._place = place
        self._above = above
        self._is_as_another = is_as_another

    async def restore(
        self, held: Held, options: RestoreOptions, emit: Emit, present: Held | None = None
    ) -> Tally:
        """Lays out what the options select, but for files that are the same in `present`, which says what lies there. Raises: UsageError for an option that cannot be kept here, ToolMissingError; RestoreError, which
        says what is there, where the stream did not get to its end."""
        await self.require_possible(options)
        facts = await self._host.facts()
        if facts.user != "root":
            emit(Warned(f"owners are not restored, because {facts.user} of {self._host.name} is not root"))
        tally = Tally()
        passed_over = await self._prepared(held, options, facts, tally)
        if not facts.has_gnu_tar:
            await self._write_plainly(held, options, tally, emit, passed_over)
            return tally
        sent = TarRestore(
            Trees(held.repository),
            held.snapshot,
            options.selection,
            self._above,
            Beside(present) if present else None,
            passed_over.__contains__ if passed_over is not None else None,
            tally=tally,
        )
        try:
            await self._send(sent, self._command(options, facts), emit)
        except HoldfastError as error:
            raise RestoreError(self._cut(sent.tally, error), hint=error.hint) from error
        if sent.sockets:
            emit(Noted(f"{sent.sockets} sockets were left out: no archive holds them"))
        if options.overwrite != "never":
            await self._compare(held.repository, sent, options, emit)
        return sent.tally

    async def require_possible(self, options: RestoreOptions) -> None:
        """Raises: RefusedError, UsageError for an option that cannot be kept here, ToolMissingError."""
        facts = await self._host.facts()
        if options.is_deleting:
            self._require_deletable(facts, await self._real_place())
        if not facts.has_gnu_tar and self._is_as_another:
            raise ToolMissingError(
                f"{self._host.name} has no GNU tar, which lays out what is restored, and SFTP writes as the login alone",
                hint="install it there (Debian: `apt install tar`), or restore here and copy it over",
            )

    def _require_deletable(self, facts: Facts, place: str) -> None:
        if "/" in (place, self._place):
            raise RefusedError(
                "deleting what the backup does not hold is refused at the root of the file system",
                hint="restore a part of it to its own directory",
            )
        if not facts.has_gnu_find:
            raise UsageError(
                f"--delete needs GNU find on {self._host.name}: nothing else tells what is mounted below the target",
                hint="leave it out: what the backup does not hold stays",
            )

    async def preview(self, held: Held, options: RestoreOptions, tell: Tell) -> Tally:
        """What `restore` would do, as a preview on this machine counts it. Raises: as `restore`."""
        await self.require_possible(options)
        facts = await self._host.facts()
        watch = _Preview(options, tell, is_coarse=not facts.has_gnu_find)
        await host_presence.look(
            self._host, await self._real_place() or self._place, held, options.selection, watch
        )
        return watch.tally

    async def _real_place(self) -> str:
        """The target's own path, every link on the way resolved; empty where it is not there. Raises: HostError."""
        done = await self._host.run(self._shell(_REAL))
        return done.stdout.decode("utf-8", "surrogateescape") if done.exit.is_success else ""

    async def _write_plainly(
        self,
        held: Held,
        options: RestoreOptions,
        tally: Tally,
        emit: Emit,
        passed_over: PathSet | None,
    ) -> None:
        """Over SFTP. Raises: RestoreError, which says what is there; ToolMissingError."""
        made = await self._host.run(self._shell(_MAKE))
        if not made.exit.is_success:
            words = made.exit.stderr.decode(errors="backslashreplace").strip()
            raise RestoreError(f"{self._place} on {self._host.name} cannot be made: {words}")
        is_owned = (await self._host.facts()).user == "root"
        async with self._host.files() as files:
            if not isinstance(files, WritableFiles):
                raise ToolMissingError(f"{self._host.name} has neither GNU tar nor SFTP that writes")
            stays = passed_over.__contains__ if passed_over is not None else None
            ground = Ground(made.stdout, is_owned, self._above, stays)
            writing = FileRestore(files, held, options.selection, ground, tally)
            try:
                await writing.run(emit, is_comparing_all=options.is_verifying)
            except HoldfastError as error:
                raise RestoreError(self._cut(tally, error), hint=error.hint) from error
        if writing.sockets:
            emit(Noted(f"{writing.sockets} sockets were left out: SFTP cannot make them"))

    async def _prepared(
        self, held: Held, options: RestoreOptions, facts: Facts, tally: Tally
    ) -> PathSet | None:
        """Deletes what is to be deleted; gives what is to be left as it is. Raises: RestoreError, HostError."""
        is_skipping = options.overwrite != "always" and not options.is_verifying
        place = await self._real_place() if is_skipping or options.is_deleting else ""
        if not place:
            return None
        watch = _Looking(options, is_coarse=not facts.has_gnu_find, is_owned=facts.user == "root")
        if not options.is_deleting:
            await host_presence.look(self._host, place, held, options.selection, watch)
            return watch.stays
        async with self._host.start(host_deleting.command(place)) as process:
            watch.deleter = host_deleting.Deleter(self._host, process, tally)
            await host_presence.look(self._host, place, held, options.selection, watch)
            await watch.deleter.finish()
        return watch.stays if is_skipping else None

    async def is_fresh(self) -> bool:
        """Whether the target is missing or empty. Raises: HostError."""
        return (await self._host.run(self._shell(_IS_FRESH))).exit.is_success

    async def remove(self, paths: AsyncIterator[bytes]) -> None:
        """Removes these, from the target; directories only where they are empty. Raises: HostError."""
        async with self._host.start(self._shell(_REMOVE, is_stream=True)) as process:
            with contextlib.suppress(BrokenPipeError):
                async for path in paths:
                    await process.write(b"./" + path + b"\0")
            await process.close_input()
            require_started(self._host.name, self._shell(_REMOVE), await process.wait())

    async def free_bytes(self) -> int | None:
        """Room where the target is, or will be; None where that cannot be known. Raises: HostError."""
        done = await self._host.run(self._shell(_FREE))
        found = re.search(rb"\s\d+\s+\d+\s+(\d+)\s+\d+%", done.stdout)
        return int(found[1]) * 1024 if done.exit.is_success and found else None

    def _shell(self, script: str, *words: str, is_stream: bool = False) -> Command:
        command = ("sh", "-c", script, "sh", self._place, *words)
        return Command(command, input="stream" if is_stream else "none")

    def _command(self, options: RestoreOptions, facts: Facts) -> Command:
        words = ["tar", "--extract", "--file=-", "--preserve-permissions", "--numeric-owner", "--acls"]
        words += ["--xattrs", "--xattrs-include=*", "--delay-directory-restore", "--warning=no-timestamp"]
        words += ["--warning=no-unknown-keyword", "--no-wildcards"]
        words.append("--same-owner" if facts.user == "root" else "--no-same-owner")
        if options.overwrite == "never":
            words.append("--skip-old-files")
        # In the C locale GNU tar drops characters of names that iconv calls ignorable: U+E0001 (measured, 1.34).
        return replace(self._shell(_EXTRACT, *words, is_stream=True), settings={"LC_ALL": "C.UTF-8"})

    async def _send(self, sent: TarRestore, command: Command, emit: Emit) -> None:
        said = _Sending()
        told = 0
        async with self._host.start(command) as process:

            async def write(piece: bytes) -> None:
                nonlocal told
                await process.write(piece)
                if sent.tally.done_bytes - told >= _PROGRESS_BYTES:
                    told = sent.tally.done_bytes
                    emit(sent.tally.progress("restore", sent.next_path))

            async with task_scope() as group:
                group.create_task(_listen(process, said))
                is_taken = await _written(sent, write)
                await process.close_input()
                ended = await process.wait()
        self._judge(sent.tally, command, ended, said, is_taken=is_taken)
        emit(sent.tally.progress("restore"))

    def _judge(self, tally: Tally, command: Command, ended: Exit, said: _Sending, *, is_taken: bool) -> None:
        """Single files may have failed (status 2 of tar); all else is a failure of the whole."""
        require_started(self._host.name, command, ended)
        last = said.lines[-1] if said.lines else "it said nothing"
        if any("No space left" in line or "Disk quota" in line for line in said.lines):
            raise RestoreError(f"{self._host.name} has no room left: {last}")
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{self._host.name} never said how tar ended")
        if ended.signal or not is_taken or ended.status not in (0, 2) or (ended.status and not said.count):
            how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
            raise RestoreError(f"tar on {self._host.name} ended with {how}: {last}")
        if ended.status:
            for line in said.lines:
                tally.fail(b"", line)
            tally.failure_count += said.count - len(said.lines)

    def _cut(self, tally: Tally, error: HoldfastError) -> str:
        """What went wrong, and what of it is on the host."""
        there = f"{tally.restored_files} files were sent to {self._place} on {self._host.name} before"
        return f"{error.message}; {there}, and the last of them may be cut off"

    async def _compare(
        self, repository: Repository, sent: TarRestore, options: RestoreOptions, emit: Emit
    ) -> None:
        """SHA-256 on the host against the repository's: of a sample, or of every file. Raises: HostError."""
        count = 0
        batch: list[Visited] = []
        async for visited in _to_compare(sent, options):
            batch.append(visited)
            if len(batch) == _AT_ONCE:
                count += await self._compare_some(repository, sent.tally, batch)
                batch = []
        count += await self._compare_some(repository, sent.tally, batch)
        emit(Noted(f"{count} files on {self._host.name} hold what the backup has, by SHA-256"))

    async def _compare_some(self, repository: Repository, tally: Tally, batch: Sequence[Visited]) -> int:
        if not batch:
            return 0
        listed = b"".join(b"./" + visited.path + b"\0" for visited in batch)
        command = self._shell(_SUMS, is_stream=True)
        done = await self._host.run(
            command, input_bytes=listed, limit_bytes=_AT_ONCE * 100, timeout_s=_SUMS_TIMEOUT_S
        )
        require_started(self._host.name, command, done.exit)
        lines = done.stdout.splitlines()
        if len(lines) != len(batch):
            raise RestoreError(f"what was restored on {self._host.name} could not be compared: {done.exit.stderr.decode(errors='replace').strip()[:200]}")  # fmt: skip
        good = 0
        for visited, line in zip(batch, lines, strict=True):
            found = _DIGEST.match(line)
            if found and found[1].decode() == await _expected(repository, visited):
                good += 1
            else:
                tally.fail(visited.path, "what the host holds is not what the backup has")
        return good


@dataclass(slots=True)
class _Looking:
    """See `host_presence.Watch`: what stays as it is, and what goes."""

    options: RestoreOptions
    is_coarse: bool
    is_owned: bool
    deleter: host_deleting.Deleter | None = None
    stays: PathSet = field(default_factory=PathSet)

    async def missing(self, path: bytes, node: Node) -> None:
        """See `host_presence.Watch.missing`."""

    async def present(self, path: bytes, node: Node, entry: Entry) -> None:
        """See `host_presence.Watch.present`."""
        if node.type == "dir":
            return
        if self.options.overwrite == "never" or host_presence.needs_nothing(
            node, entry, is_coarse=self.is_coarse, is_owned=self.is_owned
        ):
            self.stays.add(path)

    async def surplus(self, entry: Entry, device: int, *, is_topmost: bool) -> None:
        """See `host_presence.Watch.surplus`."""
        del is_topmost
        if self.deleter is not None:
            await self.deleter.surplus(entry, device)

    async def left(self, path: bytes) -> None:
        """See `host_presence.Watch.left`."""
        if self.deleter is not None:
            await self.deleter.left(path)


@dataclass(slots=True)
class _Preview:
    """See `host_presence.Watch`: counts, and tells."""

    options: RestoreOptions
    tell: Tell
    is_coarse: bool
    tally: Tally = field(default_factory=Tally)

    async def missing(self, path: bytes, node: Node) -> None:
        """See `host_presence.Watch.missing`."""
        self._count("create", path, node)

    async def present(self, path: bytes, node: Node, entry: Entry) -> None:
        """See `host_presence.Watch.present`."""
        is_kept = self.options.overwrite == "never" or host_presence.is_same(
            node, entry, is_coarse=self.is_coarse
        )
        self._count("keep" if is_kept else "replace", path, node)

    async def surplus(self, entry: Entry, device: int, *, is_topmost: bool) -> None:
        """See `host_presence.Watch.surplus`."""
        if self.options.is_deleting and is_topmost:
            self.tally.deleted += 1
            self.tell("delete", entry.path, 0 if entry.type == "d" else entry.size)

    async def left(self, path: bytes) -> None:
        """See `host_presence.Watch.left`."""

    def _count(self, action: str, path: bytes, node: Node) -> None:
        size = node.size if node.type == "file" else 0
        if node.type == "dir":
            self.tally.directories += 1
        elif action == "keep":
            self.tally.kept_files += 1
        else:
            self.tally.restored_files += 1
            self.tally.done_bytes += size
        self.tell(action, path, size)


async def _listen(process: Process, said: _Sending) -> None:
    async for line in process.stderr_lines():
        said.take(line)


async def _written(sent: TarRestore, write: repository_dump.Write) -> bool:
    """Sends all; false where tar stopped taking it."""
    try:
        await sent.send(write)
    except BrokenPipeError:
        return False
    return True


async def _to_compare(sent: TarRestore, options: RestoreOptions) -> AsyncIterator[Visited]:
    if not options.is_verifying:
        for visited in sent.sample:
            yield visited
        return
    async for visited in sent.selected_files():
        yield visited


async def _expected(repository: Repository, visited: Visited) -> str:
    hashed = hashlib.sha256()

    async def write(data: bytes) -> None:
        hashed.update(data)

    await repository_dump.dump_node(repository, visited.node, write)
    return hashed.hexdigest()
