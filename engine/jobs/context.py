"""What every job is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from engine.audit import Actor, AuditLog
from engine.catalog.catalog import Catalog
from engine.clock import Clock
from engine.config import Home, Settings
from engine.events import Emit
from engine.model.definitions import Host
from engine.model.secret import Secret
from engine.repository.keys import KnownKeys
from engine.vault import Vault


@dataclass(frozen=True, slots=True)
class JobContext:
    """The parts that a job works with. Whoever made it closes them."""

    catalog: Catalog
    home: Home
    clock: Clock
    secrets: Callable[[str], Awaitable[Secret]]
    """What a REF stands for."""
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
    measured: set[str] = field(default_factory=set)
    """Hosts whose load this job wrote down."""
    hosts: Mapping[str, Host] = field(default_factory=dict)
    """Hosts that are about to be defined, before those of the catalog."""
    known_keys: KnownKeys = field(default_factory=KnownKeys, repr=False)
    """Of repositories that this job opened before."""
