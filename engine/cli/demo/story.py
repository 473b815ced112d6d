"""The whole loop, step by step, through the same calls as the verbs."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine import events
from engine.cli.demo import bank, compare, server, tree
from engine.cli.demo.server import Server
from engine.clock import Clock
from engine.errors import HoldfastError, ProofFailedError
from engine.model import text
from engine.model.definitions import Host, Source, Storage
from engine.model.requests import BackupRequest, RestoreRequest, VerifyRequest
from engine.model.results import BackupResult, SourceResult
from engine.model.spans import span
from engine.service import Engine, open_engine

STORAGES: Final = ("first", "second")
_DATABASE: Final = "bank"
_TREE: Final = "tree"
_HOST: Final = "demo-host"
_DAMAGED_BYTES: Final = 16
_NAMED_PATHS: Final = 3

Listen = Callable[[events.Event, Server], None]


def ignore(event: events.Event, server: Server) -> None:
    """Hears nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was done: what, in a sentence; its figures; how long it took."""

    name: str
    title: str
    details: Sequence[str]
    duration_s: float


@dataclass(slots=True)
class _Figures:
    """What a step has to tell, filled in while it runs."""

    title: str
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything lies, all below one directory."""

    directory: Path

    @property
    def home(self) -> Path:
        """That of the demo's own holdfast."""
        return self.directory / "home"

    @property
    def password(self) -> Path:
        """The file with the password of both repositories."""
        return self.directory / "password"

    @property
    def tree(self) -> Path:
        """The file tree that is backed up."""
        return self.directory / "data" / "tree"

    @property
    def database(self) -> Path:
        """The database that is backed up."""
        return self.directory / "data" / "bank.db"

    def storage(self, name: str) -> Path:
        """A repository."""
        return self.directory / "storages" / name

    def restored(self, source: str) -> Path:
        """Where a source is restored to."""
        return self.directory / "restored" / source


class Story:
    """The demo. `tell` is handed each step when it is done, `listen` all that the engine tells meanwhile."""

    def __init__(
        self, places: Places, clock: Clock, tell: Callable[[Step], None], listen: Listen = ignore
    ) -> None:
        self.places = places
        self._clock = clock
        self._tell = tell
        self._listen = listen
        self._server: Server | None = None

    async def run(self, *, is_server_inside: bool = False) -> None:
        """Does all of it. Raises: HoldfastError that names the step which failed; ProofFailedError where a proof did not come out."""
        await self._make_data()
        with bank.being_written(self.places.database):
            began = self._clock.monotonic()
            async with server.running(self.places.directory / "ssh", is_inside=is_server_inside) as running:
                self._server = running
                details = (f"{running.kind} at {server.ADDRESS}, port {running.port}",)
                self._tell(
                    Step("server", "started a private SSH server", details, self._clock.monotonic() - began)
                )
                async with open_engine(str(self.places.home), clock=self._clock, emit=self._emit) as engine:
                    await self._loop(engine, running)

    async def _loop(self, engine: Engine, running: Server) -> None:
        await self._define(engine, running)
        await self._back_up(engine, "first-backup", "backed up both over SSH into both storages at once")
        await self._change()
        last = await self._back_up(engine, "second-backup", "backed up again, storing only what is new")
        await self._damage(engine)
        await self._restore(engine, last)

    def _emit(self, event: events.Event) -> None:
        if self._server is not None:
            self._listen(event, self._server)

    @asynccontextmanager
    async def _step(self, name: str, title: str) -> AsyncIterator[_Figures]:
        """Times a step, and puts its name before the error that ends it."""
        began = self._clock.monotonic()
        figures = _Figures(title)
        try:
            yield figures
        except ProofFailedError:
            raise
        except HoldfastError as error:
            raise HoldfastError(
                f"the demo ended in its step {name}: {error.message}", hint=error.hint
            ) from error
        self._tell(Step(name, figures.title, figures.details, self._clock.monotonic() - began))

    async def _make_data(self) -> None:
        async with self._step("data", "made something to lose") as step:
            count = tree.make(self.places.tree)
            bank.make(self.places.database)
            size = text.size(self.places.database.stat().st_size)
            step.details += [
                f"a file tree of {count} entries: names with newlines, quotes, emoji and",
                "bytes that are no text, links, holes, odd modes and times",
                f"a SQLite database of {size}, which a process of its own",
                "writes to from now on, all the time",
            ]

    async def _define(self, engine: Engine, running: Server) -> None:
        async with self._step("set-up", "told holdfast of a host, two sources and two storages") as step:
            self.places.password.touch(mode=0o600)
            self.places.password.write_text(secrets.token_urlsafe(24), encoding="ascii")
            temporary = self.places.directory / "tmp"
            temporary.mkdir()
            options = {
                "identity": (str(running.identity),),
                "known_hosts": (str(running.known_hosts),),
                "ssh_config": "none",
                "environment": (f"TMPDIR={temporary}",),
            }
            await engine.add_host(Host(_HOST, "ssh", running.address, options))
            report = await engine.test_host(_HOST)
            await engine.add_source(Source(_TREE, "files", _HOST, {"path": (str(self.places.tree),)}))
            await engine.add_source(Source(_DATABASE, "sqlite", _HOST, {"path": str(self.places.database)}))
            for name in STORAGES:
                path = self.places.storage(name)
                path.parent.mkdir(exist_ok=True)
                await engine.add_storage(
                    Storage(name, "local", {"path": str(path)}, f"file:{self.places.password}"),
                    is_default=name == STORAGES[0],
                )
            step.details.append(
                f"its key was checked; it answered as {report.user} in {span(report.duration_s)}"
            )

    async def _back_up(self, engine: Engine, name: str, title: str) -> BackupResult:
        async with self._step(name, title) as step:
            done = await engine.backup(BackupRequest((_TREE, _DATABASE), STORAGES))
            if done.status != "completed":
                raise HoldfastError(f"the backup is {done.status}: {_why(done)}")
            step.details += [_sentence(each) for each in done.backups]
        return done

    async def _change(self) -> None:
        async with self._step("change", "changed a little") as step:
            step.details.append(tree.change(self.places.tree))
            count = bank.transfers(self.places.database)
            step.details.append(f"the database has seen {count} transfers by now")

    async def _damage(self, engine: Engine) -> None:
        sound, damaged = STORAGES
        async with self._step("damage", f"damaged the storage {damaged} behind holdfast's back") as step:
            pack = _flip_bytes(self.places.storage(damaged))
            step.details.append(f"{_DAMAGED_BYTES} bytes flipped in the pack {pack[:16]}")
        async with self._step("verify", "verified both storages, reading all data") as step:
            found = await engine.verify(VerifyRequest(storage=damaged, is_reading_data=True))
            if not any(each.pack == pack for each in found.damaged):
                raise ProofFailedError(f"verify did not find the damage in {damaged}")
            paths = sorted({path for each in found.damaged for path in each.paths})
            backups = {backup for each in found.damaged for backup in each.backups}
            step.details.append(f"{damaged}: DAMAGED, which touches {_many(len(backups), 'backup')} and")
            step.details += [f"  {text.shortened(text.printable(path), 60)}" for path in paths[:_NAMED_PATHS]]
            proof = await engine.verify(VerifyRequest(storage=sound, is_reading_data=True))
            if proof.status != "passed":
                raise ProofFailedError(f"verify found damage in {sound}, which nobody touched")
            step.details.append(f"{sound}: sound, {text.size(proof.bytes_read)} read and checked")

    async def _restore(self, engine: Engine, last: BackupResult) -> None:
        sound = STORAGES[0]
        ids = {each.source: each.backup_id for each in last.backups}
        async with self._step("restore", f"restored both from the storage {sound}") as step:
            for source, backup_id in ids.items():
                target = str(self.places.restored(source))
                done = await engine.restore(RestoreRequest(backup_id, target, storage=sound))
                if done.status != "completed":
                    raise HoldfastError(
                        f"the restore of {source} is {done.status}: {'; '.join(done.warnings)}"
                    )
                step.details.append(
                    f"{source}: {_many(done.restored_files, 'file')}, {text.size(done.restored_bytes)}"
                )
        async with self._step("compare", "compared what came back with what was there") as step:
            step.details.append(self._compare_trees())
            step.details.append(await self._compare_databases(engine, ids[_DATABASE]))

    def _compare_trees(self) -> str:
        restored = self.places.restored(_TREE) / self.places.tree.relative_to("/")
        different = compare.differences(self.places.tree, restored)
        if different:
            raise ProofFailedError(
                f"{len(different)} paths came back different, the first is {different[0]!a}"
            )
        return f"{_TREE}: all {compare.count(restored)} entries are the same, bytes and metadata"

    async def _compare_databases(self, engine: Engine, backup_id: str) -> str:
        path = f"/sqlite/{_DATABASE}/databases/{self.places.database.name}"
        pieces: list[bytes] = []

        async def keep(piece: bytes) -> None:
            pieces.append(bytes(piece))

        await engine.dump(backup_id, path, keep)
        restored = self.places.restored(_DATABASE) / path.removeprefix("/")
        if restored.read_bytes() != b"".join(pieces):
            raise ProofFailedError("the database came back with other bytes than its backup holds")
        faults = bank.faults(restored)
        if faults:
            raise ProofFailedError(f"the database did not come back whole: {'; '.join(faults)}")
        count = bank.transfers(restored)
        return f"{_DATABASE}: integrity_check is ok, the accounts add up at transfer {count}"


def _flip_bytes(repository: Path) -> str:
    """Damages the largest pack in its middle, as a failing disk would; returns the pack's name."""
    pack = max((repository / "data").glob("*/*"), key=lambda path: (path.stat().st_size, path.name))
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(pack.stat().st_size // 2)
        was = file.read(_DAMAGED_BYTES)
        file.seek(-len(was), os.SEEK_CUR)
        file.write(bytes(byte ^ 0xFF for byte in was))
    return pack.name


def _sentence(done: SourceResult) -> str:
    files = (
        f"{done.files_new} new",
        f"{done.files_changed} changed",
        f"{done.files_unmodified} as before",
    )
    counted = ", ".join(each for each in files if not each.startswith("0 "))
    of_tree = f"{counted}, " if done.source == _TREE else ""
    return f"{done.source}: {text.size(done.size_bytes)}, {of_tree}{text.size(done.added_bytes)} added, {span(done.duration_s)}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count != 1 and what.endswith(("file", "backup")) else "")


def _why(done: BackupResult) -> str:
    said = [each.error for each in done.backups if each.error]
    said += [warning for each in done.backups for warning in each.warnings]
    said += [copy.error for each in done.backups for copy in each.storages if copy.error]
    return "; ".join(said) or "no reason was given"
