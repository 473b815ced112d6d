"""What all methods of the Engine share."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.audit import Actor, AuditLog, Entry, Outcome
from engine.catalog.catalog import Catalog
from engine.catalog.jobs import SlotLimits
from engine.clock import Clock
from engine.config import Home, Settings
from engine.errors import CatalogError
from engine.events import Emit, Warned
from engine.jobs.runner import Runner
from engine.model.secret import Secret
from engine.vault import SecretResolver, Vault

if TYPE_CHECKING:
    from engine.jobs.context import JobContext


@dataclass(frozen=True, slots=True)
class Parts:
    """The open parts of an Engine; `open_engine` closes them."""

    home: Home
    settings: Settings
    clock: Clock
    catalog: Catalog
    vault: Vault
    secrets: SecretResolver
    audit: AuditLog
    actor: Actor
    runner: Runner
    slot_limits: SlotLimits
    emit: Emit

    def context(self, job_id: str = "", emit: Emit | None = None) -> JobContext:
        """The context of a job, or of a question that is none."""
        # It brings the keys of repositories, which no first look needs.
        from engine.jobs.context import JobContext

        return JobContext(
            self.catalog,
            self.home,
            self.clock,
            self.secrets,
            self.audit,
            self.vault,
            self.actor,
            emit or self.emit,
            job_id,
            self.settings,
        )

    @contextmanager
    def noting(self, what_is_lost: str) -> Iterator[None]:
        """Round a note that a verb makes by the way: where it cannot be made, that is said, and what was asked for goes on.

        Of a catalog that cannot be written at all that was said when it was opened.
        """
        try:
            yield
        except CatalogError as error:
            if not self.catalog.unwritable:
                self.emit(Warned(f"{error.message}: {what_is_lost}"))

    async def write_down(self, verb: str, target: str, outcome: Outcome = "done", detail: str = "") -> None:
        """Adds a line to the audit log."""
        await self.audit.append(self.actor, verb, target, outcome, detail)

    async def write_down_all(self, done: Sequence[tuple[str, str]], detail: str = "") -> None:
        """Adds a line to the audit log for each verb and target, all at once."""
        now = self.clock.now()
        await self.audit.append_all(
            [Entry(now, self.actor, verb, target, "done", detail) for verb, target in done]
        )


class Methods:
    """Base of the groups of methods that make up the Engine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @asynccontextmanager
    async def sealing(self, typed: Mapping[str, Secret] | None) -> AsyncIterator[None]:
        """Seals secrets under their REFs, `vault:NAME`, for the body; as they were before where the body fails. Raises: VaultError."""
        before: dict[str, Secret | None] = {}
        vault = self._parts.vault
        try:
            for reference, secret in (typed or {}).items():
                name = reference.removeprefix("vault:")
                before[name] = await vault.get(name) if name in dict(await vault.names()) else None
                await vault.set(name, secret)
            yield
        except BaseException:
            for name, old in before.items():
                if old is not None:
                    await vault.set(name, old)
                elif name in dict(await vault.names()):
                    await vault.remove(name)
            raise
        for name in before:
            await self._parts.write_down("vault set", name)

    def resolving(self, typed: Mapping[str, Secret] | None) -> Callable[[str], Awaitable[Secret]]:
        """What a REF stands for: a secret in `typed`, or what is kept."""

        async def resolve(reference: str) -> Secret:
            given = (typed or {}).get(reference)
            return given if given is not None else await self._parts.secrets(reference)

        return resolve

    async def require_worker(self) -> None:
        """Starts a worker where none lives."""
        from engine.worker import ensure_worker

        await ensure_worker(self._parts.home, self._parts.catalog, executable=sys.executable)

    async def warn_of_schedules(self, name: str, noun: Literal["source", "storage"]) -> None:
        """Warns of each schedule that still names what was removed: its runs only say that it is missing."""
        from engine.jobs import rhythms  # croniter and all that schedules need

        for each in await rhythms.naming(self._parts.catalog, name, noun):
            said = f"schedule {each} still names {noun} {name}: `holdfast schedule edit {each}`"
            self._parts.emit(Warned(said))
