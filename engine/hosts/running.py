"""What all hosts do alike that can start a command: run one to its end, tell their facts, complete commands with their own options."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from engine.errors import CommandFailedError, CommandTimeoutError, HostError
from engine.hosts import facts
from engine.hosts.base import Command, Completed, Facts, Process, require_started
from engine.hosts.options import Reader


class Starter(Protocol):
    """The part of OpenHost that running needs."""

    @property
    def name(self) -> str:
        """The host's name, for messages."""
        ...

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """Starts a command."""
        ...


class CommandHost(ABC):
    """See `base.OpenHost`: all of it that follows from starting a command."""

    def __init__(self, name: str, given: Reader, channels: int) -> None:
        """`channels`: how many commands run at once where the host's options say nothing."""
        self.name = name
        self._as_user = given.text("as_user")
        self._settings = given.environment()
        self._channels = asyncio.Semaphore(given.number("max_channels", channels))
        self._facts: Facts | None = None
        self._asking = asyncio.Lock()

    async def facts(self) -> Facts:
        """See `base.OpenHost.facts`."""
        async with self._asking:
            if self._facts is None:
                self._facts = await self._ask_facts()
            return self._facts

    async def _ask_facts(self) -> Facts:
        return facts.parse(self.name, (await self.run(facts.COMMAND)).stdout)

    async def run(
        self,
        command: Command,
        *,
        input_bytes: bytes = b"",
        limit_bytes: int = 1 << 20,
        timeout_s: float = 60.0,
    ) -> Completed:
        """See `base.OpenHost.run`."""
        return await run_to_end(
            self,
            self._completed(command),
            input_bytes=input_bytes,
            limit_bytes=limit_bytes,
            timeout_s=timeout_s,
        )

    @abstractmethod
    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """See `base.OpenHost.start`."""

    def _completed(self, command: Command) -> Command:
        """The command with the host's own user and settings where it has none."""
        settings = {**self._settings, **command.settings}
        return replace(command, as_user=command.as_user or self._as_user, settings=settings)


async def run_to_end(
    host: Starter, command: Command, *, input_bytes: bytes, limit_bytes: int, timeout_s: float
) -> Completed:
    """`OpenHost.run`, by `OpenHost.start`."""
    if input_bytes:
        command = replace(command, input="stream")
    try:
        async with asyncio.timeout(timeout_s), host.start(command) as process:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_feed(process, input_bytes))
                    reading = group.create_task(_collect(host, command, process, limit_bytes))
            except* HostError as failures:
                raise failures.exceptions[0] from None
            ended = await process.wait()
    except TimeoutError:
        raise CommandTimeoutError(
            f"{command.program} on {host.name} did not end within {timeout_s:g} seconds"
        ) from None
    require_started(host.name, command, ended)
    return Completed(ended, reading.result())


async def _feed(process: Process, data: bytes) -> None:
    try:
        if data:
            await process.write(data)
        await process.close_input()
    except BrokenPipeError:
        return  # a command need not read all that it is given; its status tells whether that was well


async def _collect(host: Starter, command: Command, process: Process, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while piece := await process.read():
        total += len(piece)
        if total > limit_bytes:
            raise CommandFailedError(f"{command.program} on {host.name} said more than {limit_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)
