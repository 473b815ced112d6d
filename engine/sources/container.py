"""A container as a place where a source's client runs: a host whose commands go through `docker exec`, `podman exec` or `kubectl exec`.

Nothing is installed in the container, and no terminal is asked for: it would change bytes. Secrets and settings pass from the environment
of docker or podman into the container by name alone, so no value stands in a command line. kubectl passes no environment on: there the
container's own shell reads the secrets from its standard input, ahead of all else.

A client that is left early ends when it next writes, or reads the end of its input: none of the three tools passes a signal on.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from engine.errors import ConfigurationError
from engine.hosts import running, script
from engine.hosts.base import ByteStream, Command, Completed, Facts, FileAccess, OpenHost, Process

Runtime = Literal["docker", "podman", "kubectl"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Names of containers, namespaces and pods. None begins with a dash, so none can be taken for an option."""
_READ_LINE = "IFS= read -r {0} && export {0} || exit 125"


@dataclass(frozen=True, slots=True)
class Container:
    """A running container."""

    runtime: Runtime
    name: str
    namespace: str = ""
    """Of the pod, for kubectl; empty for its default."""

    @classmethod
    def parse(cls, text: str) -> Container:
        """`docker:NAME`, `podman:NAME`, `kubectl:POD` or `kubectl:NAMESPACE/POD`. Raises: ConfigurationError."""
        runtime, colon, rest = text.partition(":")
        namespace, slash, name = rest.rpartition("/")
        names = [name, namespace] if slash else [name]
        is_known = bool(colon) and runtime in get_args(Runtime) and (not slash or runtime == "kubectl")
        if not is_known or not all(_NAME.fullmatch(each) for each in names):
            raise ConfigurationError(
                f"{text!a} names no container",
                hint="write docker:NAME, podman:NAME or kubectl:NAMESPACE/POD",
            )
        return cls(cast("Runtime", runtime), name, namespace)

    def __str__(self) -> str:
        return (
            f"{self.runtime}:{self.namespace}/{self.name}"
            if self.namespace
            else f"{self.runtime}:{self.name}"
        )

    def inside(self, command: Command) -> Command:
        """The command as the host runs it, so that it runs in the container."""
        if self.runtime == "kubectl":
            return self._inside_pod(command)
        settings = {"LC_ALL": "C", **command.settings}
        words: list[str | bytes] = [self.runtime, "exec", "-i"]
        for name in (*settings, *command.secrets):
            words += ["--env", name]
        return replace(command, words=(*words, self.name, *command.words), settings=settings)

    def _inside_pod(self, command: Command) -> Command:
        """Standard input becomes a stream where there are secrets: they must come first on it."""
        space = ("-n", self.namespace) if self.namespace else ()
        settings = [f"{name}={value}" for name, value in {"LC_ALL": "C", **command.settings}.items()]
        words: Sequence[str | bytes] = ("env", *settings, *command.words)
        if command.secrets:
            reads = "; ".join(_READ_LINE.format(name) for name in command.secrets)
            words = ("sh", "-c", f'{reads}; exec "$@"', "sh", *words)
        return replace(
            command,
            words=("kubectl", "exec", "-i", *space, self.name, "--", *words),
            settings={},
            secrets={},
            input="stream" if command.secrets else command.input,
        )


class ContainerHost:
    """See `hosts.base.OpenHost`: the container on its host."""

    def __init__(self, host: OpenHost, container: Container) -> None:
        self._host = host
        self._container = container

    @property
    def name(self) -> str:
        """The host's name and the container's, for messages."""
        return f"{self._container} on {self._host.name}"

    @property
    def is_here(self) -> bool:
        """Never: the container's files are its own."""
        return False

    def on_host(self, command: Command) -> Command:
        """The command as the host around it runs it."""
        return self._container.inside(command)

    async def facts(self) -> Facts:
        """See `hosts.base.OpenHost.facts`: those of the host around it."""
        return await self._host.facts()

    async def run(
        self,
        command: Command,
        *,
        input_bytes: bytes = b"",
        limit_bytes: int = 1 << 20,
        timeout_s: float = 60.0,
    ) -> Completed:
        """See `hosts.base.OpenHost.run`."""
        return await running.run_to_end(
            self, command, input_bytes=input_bytes, limit_bytes=limit_bytes, timeout_s=timeout_s
        )

    def start(self, command: Command) -> AbstractAsyncContextManager[Process]:
        """See `hosts.base.OpenHost.start`."""
        return self._start(command)

    @asynccontextmanager
    async def _start(self, command: Command) -> AsyncIterator[Process]:
        preamble = script.preamble(command) if self._container.runtime == "kubectl" else b""
        async with self._host.start(self._container.inside(command)) as process:
            if preamble:
                await process.write(preamble)
                if command.input == "none":
                    await process.close_input()
            yield process

    def files(self) -> AbstractAsyncContextManager[FileAccess]:
        """See `hosts.base.OpenHost.files`: not in a container. Raises: ConfigurationError."""
        raise ConfigurationError(f"files of {self.name} cannot be read one by one")

    def connect(self, address: str, port: int = 0) -> AbstractAsyncContextManager[ByteStream]:
        """See `hosts.base.OpenHost.connect`: no network of a container is ours. Raises: ConfigurationError."""
        raise ConfigurationError(
            f"nothing can be reached inside {self.name}",
            hint="publish its port to the host, and define the source by --db-host and --port without --in-container",
        )


def inside(host: OpenHost, container: str) -> OpenHost:
    """The host, or the container on it that the option `in_container` names; empty for none. Raises: ConfigurationError."""
    return ContainerHost(host, Container.parse(container)) if container else host


def as_started(host: OpenHost, commands: Sequence[Command]) -> list[Command]:
    """Commands for that host as they are run on the machine itself: what the least privilege must allow."""
    if isinstance(host, ContainerHost):
        return [host.on_host(each) for each in commands]
    return list(commands)
