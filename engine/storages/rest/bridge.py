"""rclone as a bridge: a child that serves restic's protocol on a Unix socket which nobody else can reach, and that ends when we do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from engine import errors
from engine.storages.proxy import Proxy
from engine.storages.rest.client import Door, session

_GUARD = """
exec 3<&0
folder=$1
shift
"$@" 3<&- </dev/null &
child=$!
{ cat <&3 >/dev/null; kill -KILL $child; rm -rf "$folder"; } 2>/dev/null &
wait $child
status=$?
rm -rf "$folder"
exit $status
"""
"""Our end of its input is the life line: however we end, kill -9 too, the system closes it, and rclone and its folder go."""
LONGEST_BASE_BYTES = 70
"""The path of a socket is of at most 107 bytes (unix(7))."""
START_TIMEOUT_S = 30.0
POLL_S = 0.02
KEPT_LINES = 20
LINE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Rclone:
    """How rclone is called."""

    program: str
    remote: str
    config: str | None
    proxy: Proxy | None = None
    """The way that it is to go, whatever the environment says."""

    def environment(self) -> Mapping[str, str]:
        """What it is started in: a proxy's login must not be an argument, which all can read."""
        if self.proxy is None:
            return os.environ
        ours = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), self.proxy.url_with_login)
        theirs = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
        return {**theirs, **ours}

    def words(self, *words: str) -> list[str]:
        """A command line of it."""
        config = [] if self.config is None else ["--config", self.config]
        return [self.program, *words, *config]

    def serve(self, socket: Path, *, is_append_only: bool) -> list[str]:
        """The server; nothing is kept in its memory of what lies there, because two of them change it."""
        append_only = ["--append-only"] if is_append_only else []
        options = ["--addr", f"unix://{socket}", "--cache-objects=false", "--b2-hard-delete", *append_only]
        return self.words("serve", "restic", *options, self.remote)


class Bridge:
    """One rclone, started at its first use and again where it died. Its output is read by a task of the group."""

    def __init__(self, rclone: Rclone, group: asyncio.TaskGroup, *, is_append_only: bool) -> None:
        self._rclone = rclone
        self._group = group
        self._is_append_only = is_append_only
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._log: deque[str] = deque(maxlen=KEPT_LINES)

    async def door(self) -> Door:
        """The way to it. Raises: ConfigurationError where there is no such program; StorageError where it does not start."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None or self._session is None:
                await self.close()
                await self._start()
            assert self._session is not None
            return Door(self._session, "http://rclone/")

    def last_error(self) -> str:
        """The last that it wrote of an error, without the time; empty where it wrote none."""
        lines = [line for line in self._log if "ERROR" in line or "CRITICAL" in line]
        return lines[-1].partition(": ")[2].strip() if lines else ""

    async def close(self) -> None:
        """Ends it. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            # The guard kills it at once: whatever was under way is refused to nobody but us.
            process.stdin.close()
            await process.wait()

    async def _start(self) -> None:
        # A folder that only this account can enter.
        base = tempfile.gettempdir()
        near = base if len(os.fsencode(base)) <= LONGEST_BASE_BYTES else "/tmp"  # noqa: S108 -- the folder in it is ours alone
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="holdfast-rclone-", dir=near)
        socket = Path(folder) / "socket"
        words = self._rclone.serve(socket, is_append_only=self._is_append_only)
        self._log.clear()
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _GUARD, "sh", folder, *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            start_new_session=True, env=self._rclone.environment(),
        )  # fmt: skip
        self._process = process
        reading = self._group.create_task(self._read_log(process))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await _answers(socket):
                    if process.returncode is not None:
                        await reading
                        raise self._refusal(process.returncode)
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise errors.StorageUnreachableError(f"{self._rclone.program} does not begin to serve") from error
        self._session = session(aiohttp.UnixConnector(str(socket), limit=0), {})

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        """Until it ends; a child whose output nobody reads stands still."""
        assert process.stderr is not None
        rest = b""
        while piece := await process.stderr.read(1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-LINE_BYTES:]
            self._log.extend(line[:LINE_BYTES].decode(errors="backslashreplace") for line in lines)
        if rest:
            self._log.append(rest.decode(errors="backslashreplace"))

    def _refusal(self, status: int) -> errors.HoldfastError:
        if status == 127:
            return errors.ConfigurationError(
                f"there is no program {self._rclone.program}",
                hint="install rclone 1.62 or newer, or name it with --rclone-program",
            )
        said = self.last_error() or (self._log[-1] if self._log else f"it ended with {status}")
        hint = "rclone 1.62 or newer is needed" if "address" in said else "try `rclone lsd` with that remote"
        return errors.StorageError(f"rclone does not serve {self._rclone.remote}: {said}", hint=hint)


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def run(rclone: Rclone, *words: str) -> bytes | None:
    """What a short call of rclone prints; None where it fails."""
    process = await asyncio.create_subprocess_exec(
        *rclone.words(*words), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=rclone.environment(),
    )  # fmt: skip
    try:
        out, _ = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return out if process.returncode == 0 else None
