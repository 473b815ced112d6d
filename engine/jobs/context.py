"""What every job is given."""

from __future__ import annotations

from dataclasses import dataclass

from engine.audit import Actor, AuditLog
from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.config import Home, Settings
from engine.events import Emit
from engine.vault import SecretResolver, Vault


@dataclass(frozen=True, slots=True)
class JobContext:
    """The parts that a job works with. Whoever made it closes them."""

    catalog: Catalog
    home: Home
    clock: Clock
    secrets: SecretResolver
    audit: AuditLog
    vault: Vault
    actor: Actor
    """Who started it."""
    emit: Emit
    job_id: str
    settings: Settings
    """What the machine's administrator decided."""
    attempt: int = 1
    """Of this job: one that is not the first finds what the ones before it left."""
    is_unattended: bool = False
    """Whether nobody looks on who could remove a lock that a killed process left."""
