"""The contract of a host: it runs commands, streams their output out and their input in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from engine.errors import CommandFailedError, LoginRefusedError, ToolMissingError
from engine.model.entry import Entry
from engine.model.secret import Secret

READ_BYTES = 1 << 20
"""The most that one read of a process or file hands out."""

ResolveSecret = Callable[[str], Awaitable[Secret]]
"""Turns a REF of a definition (env:NAME, file:PATH, …) into the secret that it names."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run on a host. Built from words, never from a line that a shell would take apart."""

    words: tuple[str | bytes, ...]
    """Program and arguments; the host quotes them for whatever shell lies between."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment that is no secret, visible in process lists. LC_ALL=C is always set."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Environment that is secret: each is sent on standard input ahead of all else, read by the shell and exported, so that it
    appears in no command line, and in no environment but the command's own. A secret holds no newline and no NUL."""
    as_user: str | None = None
    """Run as this user through `sudo -n` or `doas -n`; None for the host's own default."""
    input: Literal["none", "stream"] = "none"
    """`none`: standard input is empty, and the life-line guard ends the command when we go away.
    `stream`: standard input is what the caller writes; the command ends by end of file or a broken pipe."""
    compress: bool = False
    """Standard output is worth compressing on the way (a dump as text). The host decides by its link and tools; the reader sees
    plain bytes either way, and the exit status stays the command's."""
    window_bytes: int = 8 << 20
    """So much of its output may be on its way from the host, or here and unread. Rate by round-trip time is what a long line needs."""

    @property
    def program(self) -> str:
        """The program's name, for messages."""
        word = self.words[0]
        return word if isinstance(word, str) else word.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended."""

    status: int | None
    """Exit status; None when it was killed by a signal or the connection was lost: never a success."""
    signal: str | None
    stderr: bytes
    """The last 64 KiB of what it said on standard error."""

    @property
    def is_success(self) -> bool:
        """Exit status 0, and no signal."""
        return self.status == 0 and self.signal is None


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ran to its end, with all that it said."""

    exit: Exit
    stdout: bytes


def require_started(host: str, command: Command, ended: Exit) -> None:
    """Raises if the command never ran: ToolMissingError where a shell found no such program (127, POSIX sh), LoginRefusedError
    where sudo or doas would not let us (both say so on standard error with status 1)."""
    if ended.status == 127:
        missing = command.program if command.as_user is None else f"{command.program}, sudo or doas"
        raise ToolMissingError(
            f"{missing} is missing on {host}",
            hint=f"install it there; it said: {_last_line(ended)}" if ended.stderr else None,
        )
    if command.as_user is not None and ended.status == 1 and _is_refusal(ended.stderr):
        raise LoginRefusedError(
            f"{host} does not let us run {command.program} as {command.as_user}: {_last_line(ended)}",
            hint=f"`holdfast host grants {host}` prints the lines for sudoers",
        )


def require_success(host: str, command: Command, ended: Exit) -> None:
    """Raises unless the command ended with status 0: as `require_started` does, else CommandFailedError with its last words."""
    require_started(host, command, ended)
    if ended.is_success:
        return
    how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
    words = _last_line(ended)
    raise CommandFailedError(
        f"{command.program} on {host} ended with {how}" + (f": {words}" if words else "")
    )


def _last_line(ended: Exit) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def _is_refusal(stderr: bytes) -> bool:
    last = stderr.strip().rsplit(b"\n", 1)[-1]
    return last.startswith((b"sudo: ", b"doas: ")) or b"is not allowed to" in last


class Process(Protocol):
    """A running command. Standard error is drained all the time, whether anybody looks or not."""

    async def read(self) -> bytes:
        """The next bytes of standard output, as many as are there (up to 1 MiB); empty at its end. Not reading stops the command (back-pressure).

        Raises: ConnectionLostError.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Writes to standard input; waits while the command is not reading. Raises: ConnectionLostError, BrokenPipeError."""
        ...

    async def close_input(self) -> None:
        """Ends standard input. Idempotent."""
        ...

    def stderr_lines(self) -> AsyncIterator[bytes]:
        """Lines of standard error as they come, without their newline; ends with the stream. One reader; bounded to 10,000 lines kept."""
        ...

    async def wait(self) -> Exit:
        """Waits for the end, and says how it was. Callable again."""
        ...


@runtime_checkable
class DirectProcess(Process, Protocol):
    """A process whose output can be read into the caller's own memory, which spares a copy of everything."""

    async def read_into(self, room: memoryview) -> int:
        """As `read`, to the beginning of `room`, which is not empty; returns how many bytes came, 0 at the end. Raises: as `read`."""
        ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host is, found at the first connection."""

    hostname: str
    """The host's own name, as restic would write it in a snapshot."""
    system: str
    """`uname -s`."""
    user: str
    """The account that commands run as."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Found tools: find, tar and sqlite3 with the first line of their version, all others with their path."""
    has_gnu_find: bool = False
    has_gnu_tar: bool = False
    load: float | None = None
    """How many processes ran or waited, over a minute, when it was asked; None where it does not tell."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host showed, to be put before a person."""

    line: str
    """For known_hosts, without newline."""
    fingerprint: str
    """SHA256:…"""


class FileAccess(Protocol):
    """Plain file access without find and tar: SFTP on an SSH host, the operating system's calls on this one. No ctime, inode or
    nanoseconds where SFTP version 3 is all there is: such entries carry 0 and empty."""

    async def entries(self, directory: bytes) -> Sequence[Entry]:
        """What an absolute directory holds, without `.` and `..`; paths as Entry has them. Raises: PathMissingError, HostError."""
        ...

    async def entry(self, path: bytes) -> Entry:
        """One entry by its absolute path, links not followed. Raises: PathMissingError."""
        ...

    def read(self, path: bytes) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The content of a file in pieces of at most 1 MiB. Raises: PathMissingError, HostError."""
        ...


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What a file is given besides its content."""

    mode: int
    """Permissions, set-user, set-group, sticky."""
    modified_s: int | None
    """Since 1970; None where it is not known."""
    owner: tuple[int, int] | None
    """uid and gid; None where they stay as they are."""


class FileSink(Protocol):
    """A file that is being written."""

    async def write(self, data: bytes) -> None:
        """The next bytes. Raises: HostError."""
        ...

    async def skip(self, size_bytes: int) -> None:
        """So many zeros, as a hole where the file system has those."""
        ...

    async def set_status(self, status: FileStatus) -> bool:
        """Once all is written; false where the time could not be told. Raises: HostError."""
        ...


@runtime_checkable
class WritableFiles(FileAccess, Protocol):
    """Plain file access that writes. Paths are absolute. No link in a path's last part is followed; those before it are, as the host does.

    All raise PathMissingError where there is no such path, HostError where the host will not do it, ConnectionLostError.
    """

    async def make_directory(self, path: bytes) -> None:
        """Makes one, whose parent is there."""
        ...

    def create(self, path: bytes) -> AbstractAsyncContextManager[FileSink]:
        """Makes a file that nobody else can read; it is an error where something is there."""
        ...

    async def make_link(self, path: bytes, target: bytes) -> None:
        """Makes a symbolic link; it is an error where something is there."""
        ...

    async def add_name(self, path: bytes, existing: bytes) -> None:
        """Makes a further name of a file; it is an error where something is there."""
        ...

    async def rename(self, path: bytes, new: bytes) -> None:
        """Gives what is no directory another name, in the place of what has that name."""
        ...

    async def remove(self, path: bytes, *, is_directory: bool) -> None:
        """Removes a directory that is empty, or what is none."""
        ...

    async def set_status(self, path: bytes, status: FileStatus, *, is_link: bool = False) -> bool:
        """Of a directory, or of a symbolic link itself; false where some of it could not be set."""
        ...


class ByteStream(Protocol):
    """A connection to something that listens, as the host sees it."""

    async def read(self) -> bytes:
        """What has come, at most 1 MiB; empty once the other end has said all. Cancelled it loses nothing. Raises: ConnectionLostError."""
        ...

    async def write(self, data: bytes) -> None:
        """Sends; waits while the other end does not read. Raises: ConnectionLostError."""
        ...


class OpenHost(Protocol):
    """A host that is connected. Opened and closed by `registry.open_host`; methods may be called concurrently, up to the host's
    limit of channels (more wait)."""

    @property
    def name(self) -> str:
        """The name it has in the catalog, for messages."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether its files are this machine's, and commands on it may read just what this very process may."""
        ...

    async def facts(self) -> Facts:
        """What the host is; asked once, kept."""
        ...

    async def run(
        self,
        command: Command,
        *,
        input_bytes: bytes = b"",
        limit_bytes: int = 1 << 20,
        timeout_s: float = 60.0,
    ) -> Completed:
        """Runs a short command to its end. A status other than 0 is returned, not raised.

        Raises: CommandTimeoutError; CommandFailedError where more than `limit_bytes` came; ToolMissingError where the shell found no such program; HostError.
        """
        ...

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """Starts a long command. Leaving the context ends it: the remote process too, whether we leave in peace, by an error or cancelled."""
        ...

    def files(self) -> AbstractAsyncContextManager[FileAccess]:
        """Plain file access, for hosts without GNU find and tar; `WritableFiles` on hosts over SSH."""
        ...

    def connect(self, address: str, port: int = 0) -> AbstractAsyncContextManager[ByteStream]:
        """A connection from the host to a port of that address, or to the Unix socket whose absolute path the address is; closed on leaving.

        It is made by the account that is logged in, whatever user commands run as, and takes none of the host's channels.

        Raises on entering: HostUnreachableError where nothing answers there; HostError where the host lets nobody through; ConnectionLostError.
        """
        ...
