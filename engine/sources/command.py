"""Kind `command`: what a command line of the user's own writes to standard output becomes one file of the backup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from engine.errors import IncompleteDumpError, SourceError
from engine.hosts.base import Command, Exit, OpenHost
from engine.model.definitions import Source
from engine.sources.base import Item, Secrets, Traits, TreeFeed
from engine.sources.dump import DumpItem
from engine.sources.options import Reader, require_filename


class CommandSource:
    """See `base.OpenSource`."""

    traits = Traits(kind="command", shape="items")

    def __init__(self, definition: Source, host: OpenHost) -> None:
        """Raises: ConfigurationError."""
        given = Reader(definition)
        self._host = host
        self._line = given.text("run")
        self._filename = require_filename(given)
        given.require_no_more()

    @classmethod
    @asynccontextmanager
    async def open(cls, definition: Source, host: OpenHost, secrets: Secrets) -> AsyncIterator[CommandSource]:
        """Opens it; there is no secret to know. Raises: ConfigurationError."""
        del secrets
        yield cls(definition, host)

    async def check(self) -> Mapping[str, str]:
        """Asks the host's shell whether it understands the line, without running it. Raises: SourceError, HostError."""
        parsed = await self._host.run(Command(("sh", "-n", "-c", self._line)))
        if not parsed.exit.is_success:
            words = parsed.exit.stderr.decode(errors="backslashreplace").strip()
            raise SourceError(f"the shell of {self._host.name} does not understand the command: {words}")
        return {"command": self._line, "filename": self._filename}

    async def commands(self) -> Sequence[Command]:
        """See `base.OpenSource.commands`."""
        # The line is the user's own shell text, so a shell reads it; but nothing is put into it.
        return [Command(("sh", "-c", self._line))]

    async def items(self) -> Sequence[Item]:
        """See `base.OpenSource.items`."""
        return [DumpItem(self._filename, self._host, each, self._judge) for each in await self.commands()]

    def tree(self) -> AbstractAsyncContextManager[TreeFeed]:
        """There is none. Raises: SourceError."""
        raise SourceError("a source of kind command has no tree, but an item")

    def _judge(self, ended: Exit) -> Sequence[str]:
        if ended.is_success:
            return ()
        how = f"signal {ended.signal}" if ended.signal else f"status {ended.status}"
        words = ended.stderr.decode(errors="backslashreplace").strip()[-400:]
        raise IncompleteDumpError(
            f"the command for {self._filename} on {self._host.name} ended with {how}"
            + (f": {words}" if words else ""),
            hint="what it wrote until then was not kept as a backup",
        )
