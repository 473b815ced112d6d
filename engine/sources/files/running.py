"""find or tar while it runs: in a task of its own, which reads standard error and understands it line by line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.errors import HoldfastError, SourceError
from engine.hosts.base import Command, Exit, OpenHost, Process, require_started
from engine.sources.files.journal import Journal
from engine.sources.files.messages import Message


class RunningTool:
    """Started in a task group; others await `process()` and, after its output, `finish()`."""

    def __init__(
        self, host: OpenHost, command: Command, parse: Callable[[bytes], Message], journal: Journal
    ) -> None:
        self._host = host
        self._command = command
        self._parse = parse
        self._journal = journal
        self._process: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._unknown: list[str] = []

    async def _run(self) -> None:
        """Runs it until cancelled; then it is ended on the host. Errors go to those who await it, not to the task group."""
        try:
            async with self._host.start(self._command) as process:
                self._process.set_result(process)
                async for line in process.stderr_lines():
                    self._note(self._parse(line))
                self._ended.set_result(await process.wait())
                # What it wrote may not be read yet, so it is held until the feed is left.
                await asyncio.Event().wait()
        except HoldfastError as error:
            for future in (self._process, self._ended):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # marks it as seen: nobody may be waiting, and the other future tells the same

    def start(self, group: asyncio.TaskGroup) -> None:
        """Starts it in a task of that group."""
        self._task = group.create_task(self._run())

    def cancel(self) -> None:
        """Ends it on the host, as soon as the group is waited for."""
        if self._task:
            self._task.cancel()

    async def process(self) -> Process:
        """The process, once it is started. Raises: HostError."""
        return await asyncio.shield(self._process)

    async def finish(self) -> None:
        """Waits for the end and judges it: single entries may have failed, the walk as a whole not.

        Raises: SourceError; ConnectionLostError, ToolMissingError, LoginRefusedError.
        """
        ended = await asyncio.shield(self._ended)
        require_started(self._host.name, self._command, ended)
        if ended.status == 0 or (ended.status in (1, 2) and self._failures and not self._unknown):
            for line in self._unknown:
                self._journal.warn(f"{self._host.name} said: {line}")
            return
        how = (
            f"status {ended.status}"
            if ended.status is not None
            else f"signal {ended.signal}"
            if ended.signal
            else "no status"
        )
        words = f": {self._unknown[-1]}" if self._unknown else ""
        raise SourceError(f"{self._command.program} on {self._host.name} ended with {how}{words}")

    def _note(self, message: Message) -> None:
        if message.failure:
            # Bad luck with single entries is what a status of 1 or 2 says; the empty path is our own marker.
            self._failures += 1
            if message.failure.path:
                self._journal.fail(message.failure)
        elif message.meaning == "warning":
            self._journal.warn(f"{self._host.name} said: {message.text}")
        elif message.meaning == "unknown":
            self._unknown.append(message.text)
            del self._unknown[:-10]
