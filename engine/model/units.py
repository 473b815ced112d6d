"""The service on this machine: what would be written, and how it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitsRequest:
    """Which units are wanted."""

    is_user: bool = False
    """In the manager of the user who asks, and not in the machine's."""
    is_timer: bool = False
    """A tick every minute in place of a worker that stays."""
    vault_key: str = ""
    """File of the vault's key that systemd hands over; empty: the home's."""
    is_key_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class UnitChange:
    """One file, as it is and as it would be."""

    path: str
    before: str
    """Empty where there is none."""
    after: str
    """Empty where it is to go."""

    @property
    def is_change(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class UnitState:
    """One unit, as the files and systemd tell."""

    name: str
    path: str
    is_installed: bool
    is_current: bool
    """Whether its file says what would be written now."""
    active: str
    """systemd's word: active, inactive, failed; empty where systemd does not run here."""
    enabled: str
    """systemd's word: enabled, disabled."""
