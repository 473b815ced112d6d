"""The audit log: who did what, to what, when, from where, and how it ended; append-only, and chained so that a change shows.

Each row's hash is HMAC-SHA-256, under a key of the vault, of its sequence number, the hash before it, and its record. An edit, a deletion
or a reordering breaks the chain for whoever has not the key. Whoever has it can cut the tail or write all anew: these two show against an
anchor, which is sequence and hash of the newest row at some instant, kept where the log is not: as a snapshot of ours in each storage.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import json
import os
import pwd
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.catalog.audit_rows import AuditRows, ChainRow
from engine.clock import Clock
from engine.errors import DamagedError
from engine.vault import Vault

KEY_NAME = "audit-key"
"""The vault's name of the chain's key."""
JOIN_VERB = "audit join"
"""Of the row between a log that was lost and found again and the one that a new home had begun before that."""
_DOMAIN = b"holdfast audit 1\0"
_ANCHOR_KIND = "holdfast-audit-anchor"
_HASH_BYTES = 32
_IDENTITY_DIGITS = 16
_NO_LOGIN = 2**32 - 1
"""/proc/self/loginuid of a process that no login began (pam_loginuid(8))."""

Outcome = Literal["done", "failed", "refused", "incomplete", "cancelled", "started"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as far as the system tells. What it does not tell is empty."""

    user: str
    uid: int
    login: str = ""
    """Who logged in, whatever sudo or su made of them since."""
    sudo_user: str = ""
    address: str = ""
    """Where the SSH session comes from."""
    terminal: str = ""

    @classmethod
    def current(cls, environment: Mapping[str, str]) -> Actor:
        """Whoever runs this process."""
        uid = os.getuid()
        login = ""
        with contextlib.suppress(OSError, ValueError):
            login_uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
            login = "" if login_uid == _NO_LOGIN else _user_name(login_uid)
        terminal = ""
        for descriptor in (0, 1, 2):
            with contextlib.suppress(OSError):
                terminal = terminal or os.ttyname(descriptor)
        return cls(
            user=_user_name(uid),
            uid=uid,
            login=login,
            sudo_user=environment.get("SUDO_USER", ""),
            address=environment.get("SSH_CONNECTION", "").partition(" ")[0],
            terminal=terminal,
        )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log."""

    at: datetime.datetime
    actor: Actor
    verb: str
    object: str
    """What it was done to, as a person would name it."""
    outcome: Outcome
    detail: str = ""
    sequence: int = 0
    """Its place in the log, from 1; 0 as long as it has none."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest row at some instant."""

    sequence: int
    """0 for an empty log."""
    head: bytes
    """Its hash; empty for an empty log."""
    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with the log."""

    kind: Literal["edited", "deleted", "reordered", "cut", "rewritten"]
    sequence: int
    """The first row that shows it."""
    message: str


def encode_entry(entry: Entry) -> str:
    """The record of an entry: JSON, in ASCII, the same for the same entry."""
    document = {
        "at": entry.at.isoformat(),
        "actor": asdict(entry.actor),
        "verb": entry.verb,
        "object": entry.object,
        "outcome": entry.outcome,
        "detail": entry.detail,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def decode_entry(row: ChainRow) -> Entry:
    """The entry of a row. Raises: DamagedError where the record is none."""
    try:
        document: dict[str, Any] = json.loads(row.record)
        actor = Actor(**document["actor"])
        at = datetime.datetime.fromisoformat(document["at"])
        return Entry(
            at,
            actor,
            document["verb"],
            document["object"],
            document["outcome"],
            document["detail"],
            row.sequence,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"row {row.sequence} of the audit log is damaged") from error


def chain_hash(key: bytes, sequence: int, previous: bytes, record: str) -> bytes:
    """The hash of a row."""
    prefix = sequence.to_bytes(8, "big", signed=True) + len(previous).to_bytes(2, "big") + previous
    return hmac.digest(key, _DOMAIN + prefix + record.encode("utf-8", "surrogatepass"), hashlib.sha256)


def next_row(key: bytes, sequence: int, previous: bytes, record: str) -> ChainRow:
    """The row that follows the one whose hash is `previous`; sequence 1 follows an empty hash."""
    return ChainRow(sequence, record, previous, chain_hash(key, sequence, previous, record))


def chained(key: bytes, head: tuple[int, bytes], records: Iterable[str]) -> list[ChainRow]:
    """The rows of these records, behind a newest row of this sequence and hash."""
    sequence, previous = head
    rows: list[ChainRow] = []
    for record in records:
        sequence += 1
        rows.append(next_row(key, sequence, previous, record))
        previous = rows[-1].hash
    return rows


def join(key: bytes, head: tuple[int, bytes], entry: Entry, begun: Sequence[ChainRow]) -> list[ChainRow]:
    """The rows that follow a log whose newest row and key these are: `entry`, and what another log held, chained anew.

    The records stay as they were; the entry should name the hash that the other log ended with, which its rows lose.
    """
    return chained(key, head, (encode_entry(entry), *(each.record for each in begun)))


def verify(rows: Iterable[ChainRow], key: bytes, anchors: Iterable[Anchor] = ()) -> list[Finding]:
    """All that is wrong with the log, in the order in which it shows; nothing where it is whole.

    `rows` in the order in which they are stored. An anchor of before is one more proof each: of those that agree nothing is said.
    """
    checker = ChainChecker(key, anchors)
    for row in rows:
        checker.take(row)
    return checker.end()


class ChainChecker:
    """Checks rows as they come, and holds none of them."""

    def __init__(self, key: bytes, anchors: Iterable[Anchor] = ()) -> None:
        self._key = key
        self._anchors = sorted((each for each in anchors if each.sequence), key=lambda each: each.sequence)
        self._wanted = {anchor.sequence for anchor in self._anchors}
        self._heads: dict[int, bytes] = {}
        self._last = 0
        self._previous = b""
        self._findings: list[Finding] = []

    def take(self, row: ChainRow) -> None:
        """Checks the next row."""
        sequence = row.sequence
        if sequence <= self._last:
            self._find("reordered", sequence, f"row {sequence} stands behind row {self._last}")
        elif sequence > self._last + 1:
            missing = (
                str(self._last + 1) if sequence == self._last + 2 else f"{self._last + 1} to {sequence - 1}"
            )
            self._find("deleted", sequence, f"row {missing} is missing")
        elif row.previous != self._previous:
            self._find("edited", sequence, f"row {sequence} does not follow the row before it")
        expected = chain_hash(self._key, sequence, row.previous, row.record)
        if not hmac.compare_digest(expected, row.hash):
            self._find("edited", sequence, f"row {sequence} was changed")
        if sequence in self._wanted:
            self._heads[sequence] = row.hash
        self._last = max(self._last, sequence)
        self._previous = row.hash

    def end(self) -> list[Finding]:
        """All findings, the anchors' too."""
        for anchor in self._anchors:
            when = anchor.at.isoformat(" ", "seconds")
            head = self._heads.get(anchor.sequence)
            if anchor.sequence > self._last:
                self._find(
                    "cut",
                    self._last + 1,
                    f"the log ends at row {self._last}, and had {anchor.sequence} rows at {when}",
                )
            elif head is None or not hmac.compare_digest(head, anchor.head):
                self._find(
                    "rewritten",
                    anchor.sequence,
                    f"row {anchor.sequence} is not the one that stood there at {when}",
                )
        return self._findings

    def _find(
        self, kind: Literal["edited", "deleted", "reordered", "cut", "rewritten"], sequence: int, message: str
    ) -> None:
        self._findings.append(Finding(kind, sequence, message))


def encode_anchor(anchor: Anchor) -> bytes:
    """The document that is kept in each storage."""
    document = {
        "kind": _ANCHOR_KIND,
        "version": 1,
        "sequence": anchor.sequence,
        "head": anchor.head.hex(),
        "at": anchor.at.isoformat(),
    }
    return json.dumps(document, sort_keys=True).encode() + b"\n"


def decode_anchor(document: bytes) -> Anchor:
    """The anchor of a document. Raises: DamagedError where it is none."""
    try:
        parsed = json.loads(document)
        if parsed["kind"] != _ANCHOR_KIND or parsed["version"] != 1:
            raise ValueError
        anchor = Anchor(
            int(parsed["sequence"]),
            bytes.fromhex(parsed["head"]),
            datetime.datetime.fromisoformat(parsed["at"]),
        )
        is_plausible = anchor.sequence >= 0 and len(anchor.head) == (_HASH_BYTES if anchor.sequence else 0)
        if not is_plausible or anchor.at.tzinfo is None:
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError("that is no anchor of an audit log") from error
    return anchor


class AuditLog:
    """The log of one catalog."""

    def __init__(self, rows: AuditRows, vault: Vault, clock: Clock) -> None:
        self._rows = rows
        self._vault = vault
        self._clock = clock

    async def append(self, actor: Actor, verb: str, target: str, outcome: Outcome, detail: str = "") -> Entry:
        """Writes down that `actor` did `verb` to `target` just now. Raises: VaultError, CatalogError."""
        entry = Entry(self._clock.now(), actor, verb, target, outcome, detail)
        (written,) = await self.append_all([entry])
        return written

    async def append_all(self, entries: Sequence[Entry]) -> list[Entry]:
        """Writes these down, in their order, all or none. Raises: VaultError, CatalogError."""
        key = (await self._vault.own(KEY_NAME)).reveal()
        records = [encode_entry(each) for each in entries]
        rows = await self._rows.append(lambda *head: chained(key, head, records))
        return [replace(entry, sequence=row.sequence) for entry, row in zip(entries, rows, strict=True)]

    async def newest(self, limit: int = 100) -> list[Entry]:
        """The newest entries, newest first. Raises: DamagedError."""
        return [decode_entry(row) for row in await self._rows.newest(limit)]

    async def joins(self) -> list[Entry]:
        """Where another log was taken in, newest first. Raises: DamagedError."""
        return [each async for each in self._of_verb(JOIN_VERB)][::-1]

    async def rows(self) -> list[ChainRow]:
        """All of a short log, oldest first."""
        return [row async for row in self._rows.all()]

    async def drills(self) -> AsyncIterator[Entry]:
        """All drills' entries, oldest first. Raises: DamagedError."""
        async for entry in self._of_verb("drill"):
            yield entry

    async def _of_verb(self, verb: str) -> AsyncIterator[Entry]:
        """Those whose text says so are taken apart, and no others: a record is JSON without spaces."""
        mark = f'"verb":{json.dumps(verb)}'
        async for row in self._rows.all():
            if mark in row.record and (entry := decode_entry(row)).verb == verb:
                yield entry

    async def anchor(self) -> Anchor:
        """The newest row at this instant."""
        sequence, head = await self._rows.head()
        return Anchor(sequence, head, self._clock.now())

    async def identity(self) -> str:
        """What tells this log from those of other homes and tells nothing of its key: 16 hex digits. Raises: VaultError."""
        key = (await self._vault.own(KEY_NAME)).reveal()
        return hmac.digest(key, _DOMAIN + b"identity", hashlib.sha256).hex()[:_IDENTITY_DIGITS]

    async def verify(self, anchors: Sequence[Anchor] = ()) -> list[Finding]:
        """All that is wrong with the log; nothing where it is whole. Raises: VaultError, CatalogError."""
        checker = ChainChecker((await self._vault.own(KEY_NAME)).reveal(), anchors)
        async for row in self._rows.all(is_lenient=True):
            checker.take(row)
        return checker.end()
