"""This machine as a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from engine.hosts import connecting, facts, local_facts, local_files, local_process, options, script
from engine.hosts.base import ByteStream, Command, Facts, FileAccess, Process, ResolveSecret
from engine.hosts.running import CommandHost
from engine.model.definitions import Host

DEFAULT_CHANNELS = 16
"""How many commands run at once where the host's options say nothing."""
KEPT_ENVIRONMENT = ("HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR")
"""What a command gets of our environment. No more: a key or password that we were given there is not for it."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalHost(CommandHost):
    """See `base.OpenHost`."""

    def __init__(self, definition: Host, environment: Mapping[str, str]) -> None:
        given = options.Reader(definition)
        super().__init__(definition.name, given, DEFAULT_CHANNELS)
        self._is_gentle = given.flag("nice", default=False)
        kept = {name: environment[name] for name in KEPT_ENVIRONMENT if name in environment}
        self._environment = {"PATH": DEFAULT_PATH, **kept}

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

    async def _ask_facts(self) -> Facts:
        """Without a shell, where commands run as we do."""
        if not self.is_here:
            return await super()._ask_facts()
        search_path = {**self._environment, **self._settings}["PATH"]
        return await local_facts.complete(
            await asyncio.to_thread(local_facts.find, search_path), self._ask_versions
        )

    async def _ask_versions(self, tools: Sequence[str]) -> Facts:
        return facts.parse(self.name, (await self.run(facts.command(tools))).stdout)

    def files(self) -> AbstractAsyncContextManager[FileAccess]:
        """See `base.OpenHost.files`."""
        return local_files.opened()

    def connect(self, address: str, port: int = 0) -> AbstractAsyncContextManager[ByteStream]:
        """See `base.OpenHost.connect`."""
        return connecting.local(self.name, address, port)
