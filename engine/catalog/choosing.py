"""Which backups a query reads, along which table, and by which conditions: made of a filter. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.catalog.database import Value, to_optional_microseconds
from engine.model.backup import BackupFilter, BackupStatus

_TEXTS = ("backup_id", "source", "host", "tags", "kind", "status", "proof", "scope", "hold_reason")
_HOLDS_TEXT = " || ' ' || ".join(f"b.{each}" for each in _TEXTS) + " LIKE :text ESCAPE '\\'"


@dataclass(frozen=True, slots=True)
class Choice:
    """Parts of a query."""

    conditions: Sequence[str]
    parameters: Mapping[str, Value]
    tables: Sequence[str]
    """Aliases, in the order in which SQLite is to read them; the first is in order of time by itself."""

    @property
    def driver(self) -> str:
        """The table along which it is read."""
        return self.tables[0]


def choose(chosen: BackupFilter) -> Choice:
    """What a filter means."""
    driver = _driver(chosen)
    parameters: dict[str, Value] = {}
    conditions = []
    for name, value, condition in (
        ("source", chosen.source, "b.source = :source"),
        ("host", chosen.host, "b.host = :host"),
        ("status", chosen.status, "b.status = :status"),
        ("kind", chosen.kind, "b.kind = :kind"),
        ("scope", chosen.scope, "b.scope = :scope"),
        ("proof", chosen.proof, "b.proof = :proof"),
        ("tag", chosen.tag, "t.tag = :tag AND (t.created_at, t.backup_id) = (b.created_at, b.backup_id)"),
        ("storage", chosen.storage, "c.storage = :storage AND c.backup_id = b.backup_id"),
        ("since", to_optional_microseconds(chosen.since), f"{driver}.created_at >= :since"),
        ("until", to_optional_microseconds(chosen.until), f"{driver}.created_at < :until"),
        ("text", _pattern(chosen.text), _HOLDS_TEXT),
    ):
        if value not in ("", None):
            parameters[name] = str(value) if isinstance(value, str) else value
            conditions.append(condition)
    if chosen.is_kept:
        conditions.append("(b.is_protected OR b.hold_reason <> '')")
    if chosen.status not in (None, BackupStatus.COMPLETED):
        # Says to SQLite that the index of all others than the completed ones will do.
        conditions.append("b.status <> 'completed'")
    joined = [alias for alias, value in (("t", chosen.tag), ("c", chosen.storage)) if value]
    return Choice(conditions, parameters, list(dict.fromkeys([driver, "b", *joined])))


def _pattern(text: str) -> str:
    for each in ("\\", "%", "_"):
        text = text.replace(each, f"\\{each}")
    return f"%{text}%" if text else ""


def _driver(chosen: BackupFilter) -> str:
    """The table along which a page is read. Each is in order of time by itself; the one that leaves the fewest finds the rare ones fast."""
    if chosen.source or chosen.status not in (None, BackupStatus.COMPLETED):
        return "b"
    return "t" if chosen.tag else "c" if chosen.storage else "b"
