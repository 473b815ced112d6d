"""The kinds of hosts, and the one door through which they are opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Protocol, cast

from engine.errors import ConfigurationError, HoldfastError
from engine.hosts.base import HostKey, OpenHost, ResolveSecret
from engine.model.definitions import Host

MEMBERS = {"local": "engine.hosts.local:LocalHost", "ssh": "engine.hosts.ssh.host:SshHost"}
"""Kind to "module:Class", imported at the first use: asyncssh alone costs 0.4 s."""


class Member(Protocol):
    """What a kind of host gives: a class with this way in."""

    def open(
        self, definition: Host, *, resolve_secret: ResolveSecret, environment: Mapping[str, str]
    ) -> AbstractAsyncContextManager[OpenHost]:
        """Connects to the host; leaving the context closes it."""
        ...


def open_host(
    definition: Host, *, resolve_secret: ResolveSecret, environment: Mapping[str, str] | None = None
) -> AbstractAsyncContextManager[OpenHost]:
    """Opens a host. `environment` is that of this process where None: the agent's socket and HOME come from it.

    Raises: ConfigurationError for an unknown kind or option; on entering HostError and those below it.
    """
    return _member(definition.kind).open(
        definition,
        resolve_secret=resolve_secret,
        environment=os.environ if environment is None else environment,
    )


async def fetch_host_key(
    definition: Host, *, resolve_secret: ResolveSecret, environment: Mapping[str, str] | None = None
) -> HostKey:
    """The key that an SSH host shows now, trusted or not, for a person to compare before it is accepted. Logs in to its jumps, not to it.

    Raises: HostError and those below it.
    """
    fetch = import_module("engine.hosts.ssh.host").fetch_host_key
    return cast(
        "HostKey",
        await fetch(
            definition,
            resolve_secret=resolve_secret,
            environment=os.environ if environment is None else environment,
        ),
    )


class HostPool:
    """The open hosts of one job, each opened at its first use and shared by all who ask for it. Made by `open_pool`."""

    def __init__(
        self, resolve_secret: ResolveSecret, environment: Mapping[str, str] | None, stack: AsyncExitStack
    ) -> None:
        self._resolve_secret = resolve_secret
        self._environment = environment
        self._stack = stack
        self._hosts: dict[str, OpenHost] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._failures: dict[str, HoldfastError] = {}

    async def prepare(self, definition: Host) -> None:
        """Opens the host and asks what it is, for a caller who has other things to wait for.

        What goes wrong is told to the next who asks for the host, so that nobody knocks twice at a door that does not open.
        """
        try:
            # In a thread, because importing asyncssh takes a tenth of a second, in which others would stand still.
            await asyncio.to_thread(_member, definition.kind)
            host = await self.host(definition)
        except HoldfastError as error:
            self._failures[definition.name] = error
            return
        with contextlib.suppress(HoldfastError):
            await host.facts()

    async def host(self, definition: Host) -> OpenHost:
        """The open host of this definition. It is closed with the pool. Raises: as `open_host`."""
        async with self._opening.setdefault(definition.name, asyncio.Lock()):
            if failure := self._failures.pop(definition.name, None):
                raise failure
            if definition.name not in self._hosts:
                opening = open_host(
                    definition, resolve_secret=self._resolve_secret, environment=self._environment
                )
                self._hosts[definition.name] = await self._stack.enter_async_context(opening)
            return self._hosts[definition.name]


@asynccontextmanager
async def open_pool(
    *, resolve_secret: ResolveSecret, environment: Mapping[str, str] | None = None
) -> AsyncIterator[HostPool]:
    """A pool for one job; leaving it closes every host that was opened through it."""
    async with AsyncExitStack() as stack:
        yield HostPool(resolve_secret, environment, stack)


def _member(kind: str) -> Member:
    if kind not in MEMBERS:
        raise ConfigurationError(
            f"there is no kind of host named {kind}", hint=f"known kinds: {', '.join(sorted(MEMBERS))}"
        )
    module, _, name = MEMBERS[kind].partition(":")
    return cast("Member", getattr(import_module(module), name))
