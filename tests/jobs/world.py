"""A home of holdfast with an Engine on it, hosts, sources and storages: what a test of whole jobs begins with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine import events
from engine.clock import Clock, SystemClock
from engine.model.backup import Backup
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source, Storage
from engine.model.requests import BackupRequest, Limits, RestoreRequest
from engine.model.results import BackupResult
from engine.service import Engine, open_engine
from tests.servers.restic import PASSWORD, Restic, ResticProgram
from tests.servers.sshd import Sshd


@dataclass(slots=True)
class World:
    """An open Engine, and the folder that everything of it lies in."""

    engine: Engine
    directory: Path
    heard: list[events.Event] = field(default_factory=list)
    """All that the engine told."""
    more: asyncio.Event = field(default_factory=asyncio.Event)
    """Set each time that it tells something."""

    async def wait_noted(self, words: str) -> None:
        """Waits until the engine notes something with these words."""
        while not any(isinstance(each, events.Noted) and words in each.message for each in self.heard):
            self.more.clear()
            await self.more.wait()

    @asynccontextmanager
    async def again(self) -> AsyncIterator[World]:
        """The same home as a later process opens it, with what its config.toml says now."""
        async with open_world(self.directory, copies_catalog=True) as later:
            yield later

    def place(self, storage: str) -> Path:
        """The folder of a local storage."""
        return self.directory / "storages" / storage

    async def add_storages(self, *names: str) -> None:
        """Local storages with one password, the first of them the default."""
        password = self.directory / "password"
        password.write_text(PASSWORD, encoding="ascii")
        self.place("").mkdir(exist_ok=True)
        for name in names:
            options = {"path": str(self.place(name))}
            await self.engine.add_storage(
                Storage(name, "local", options, f"file:{password}"), is_default=name == names[0]
            )

    async def add_host(
        self, server: Sshd, name: str = "server", user: str = "", **options: OptionValue
    ) -> Host:
        """A host that leads to that server, its key known."""
        known: dict[str, OptionValue] = {
            "identity": (str(server.client_key),),
            "known_hosts": (str(server.known_hosts),),
            "ssh_config": "none",
        }
        address = f"{user or server.user}@{server.address}:{server.port}"
        return await self.engine.add_host(Host(name, "ssh", address, {**known, **options}))

    async def add_files(
        self, name: str, *paths: Path, host: str = LOCAL_HOST, **options: OptionValue
    ) -> Source:
        """A source of files."""
        return await self.engine.add_source(
            Source(name, "files", host, {"path": tuple(map(str, paths)), **options})
        )

    async def backup(self, *sources: str, to: Sequence[str] = (), kind: str = "incremental") -> BackupResult:
        """Backs up."""
        return await self.engine.backup(BackupRequest(sources, tuple(to), kind))

    async def one_backup(self, source: str, to: Sequence[str] = ()) -> Backup:
        """Backs one source up, whole; gives what the catalog knows of it."""
        done = await self.backup(source, to=to)
        assert done.status == "completed", done
        return await self.engine.show_backup(done.backups[0].backup_id)

    async def restore(self, backup: str, target: Path, storage: str = "") -> Path:
        """Restores a backup whole below a folder; gives it."""
        done = await self.engine.restore(
            RestoreRequest(backup, str(target), storage=storage, limits=Limits())
        )
        assert done.status == "completed", done
        return target

    def restic(self, program: ResticProgram, storage: str) -> Restic:
        """Stock restic on one of the storages."""
        return Restic(program, self.place(storage), self.directory / f"restic-{program.version}")


@asynccontextmanager
async def open_world(
    directory: Path, clock: Clock | None = None, *, copies_catalog: bool = False
) -> AsyncIterator[World]:
    """Opens the Engine on a home below `directory`, which is new the first time and the same one later.

    Without `copies_catalog` a storage holds the backups' snapshots alone, for a test to count.
    """
    heard: list[events.Event] = []
    directory.mkdir(exist_ok=True)
    if not copies_catalog:
        (directory / "home").mkdir(mode=0o700, exist_ok=True)
        (directory / "home" / "config.toml").write_text("[catalog]\ncopies = false\n", encoding="ascii")
    more = asyncio.Event()

    def hear(event: events.Event) -> None:
        heard.append(event)
        more.set()

    async with open_engine(
        str(directory / "home"), clock=clock or SystemClock(), emit=hear, environment={}
    ) as engine:
        yield World(engine, directory, heard, more)
