"""This machine as a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from engine.hosts import facts, local_files, local_process, options, running, script
from engine.hosts.base import Command, Completed, Facts, FileAccess, Process, ResolveSecret
from engine.model.definitions import Host

DEFAULT_CHANNELS = 16
"""How many commands run at once where the host's options say nothing."""
KEPT_ENVIRONMENT = ("HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR")
"""What a command gets of our environment. No more: a key or password that we were given there is not for it."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalHost:
    """See `base.OpenHost`."""

    def __init__(self, definition: Host, environment: Mapping[str, str]) -> None:
        given = options.Reader(definition)
        self.name = definition.name
        self._as_user = given.text("as_user")
        self._is_gentle = given.flag("nice", default=False)
        self._channels = asyncio.Semaphore(given.number("max_channels", DEFAULT_CHANNELS))
        kept = {name: environment[name] for name in KEPT_ENVIRONMENT if name in environment}
        self._environment = {"PATH": DEFAULT_PATH, **kept}
        self._settings = given.environment()
        self._facts: Facts | None = None
        self._asking = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, definition: Host, *, resolve_secret: ResolveSecret, environment: Mapping[str, str]
    ) -> AsyncIterator[LocalHost]:
        """Opens it; there is nothing to connect, and no secret to ask for."""
        del resolve_secret
        yield cls(definition, environment)

    @property
    def is_here(self) -> bool:
        """See `base.OpenHost.is_here`. Not where commands run as another user, or with a priority that was asked for."""
        return self._as_user is None and not self._is_gentle

    async def facts(self) -> Facts:
        """See `base.OpenHost.facts`."""
        async with self._asking:
            if self._facts is None:
                self._facts = facts.parse(self.name, (await self.run(facts.COMMAND)).stdout)
            return self._facts

    async def run(
        self,
        command: Command,
        *,
        input_bytes: bytes = b"",
        limit_bytes: int = 1 << 20,
        timeout_s: float = 60.0,
    ) -> Completed:
        """See `base.OpenHost.run`."""
        return await running.run_to_end(
            self,
            self._completed(command),
            input_bytes=input_bytes,
            limit_bytes=limit_bytes,
            timeout_s=timeout_s,
        )

    def _completed(self, command: Command) -> Command:
        """The command with the host's own user and settings where it has none."""
        settings = {**self._settings, **command.settings}
        return replace(command, as_user=command.as_user or self._as_user, settings=settings)

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """See `base.OpenHost.start`."""
        return self._start(command)

    @asynccontextmanager
    async def _start(self, command: Command) -> AsyncIterator[Process]:
        command = self._completed(command)
        preamble = script.preamble(command)
        line = script.compose(command, is_gentle=self._is_gentle)
        async with self._channels:
            process = local_process.start(line, self._environment, is_stream=command.input == "stream")
            try:
                process.send_preamble(preamble)
                yield process
            finally:
                await process.end()

    def files(self) -> AbstractAsyncContextManager[FileAccess]:
        """See `base.OpenHost.files`."""
        return local_files.opened()
