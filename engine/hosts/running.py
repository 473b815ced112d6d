"""Running a short command to its end, on any host that can start one."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from engine.errors import CommandFailedError, CommandTimeoutError, HostError
from engine.hosts.base import Command, Completed, Process, require_started


class Starter(Protocol):
    """The part of OpenHost that running needs."""

    @property
    def name(self) -> str:
        """The host's name, for messages."""
        ...

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """Starts a command."""
        ...


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
