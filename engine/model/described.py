"""What is known of a backup, and what differs between two, in words: the same on the command line and in the console."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

from engine.model import text
from engine.model.backup import LABEL_MARK, Backup, BackupStatus, Proof, ProofRecord, Scope, void
from engine.model.results import Difference

SIGNS: Final[Mapping[str, str]] = {"added": "+", "removed": "-", "modified": "M", "metadata": "U"}
"""restic's letters for what became of a path."""
_NO_PROOF: Final = "-"


def storages(found: Backup) -> str:
    """Those that hold it, and with a sign those that should."""
    return ", ".join(each.storage if each.snapshot_id else f"!{each.storage}" for each in found.copies)


def kind(found: Backup) -> str:
    """full, incremental or differential, and of which part alone."""
    return found.kind if found.scope is Scope.ALL else f"{found.kind}, {found.scope.value}"


def backup(
    found: Backup, now: datetime.datetime, proofs: Sequence[ProofRecord] = ()
) -> list[tuple[str, str]]:
    """All that is known of it: names and values, which may hold anything."""
    pairs = [
        ("backup", found.backup_id),
        ("source", f"{found.source} on {found.host}, {found.kind}"),
        ("holds", "all" if found.scope is Scope.ALL else f"the {found.scope.value} alone"),
        ("created", f"{text.instant(found.created_at)}, {text.age(found.created_at, now)} ago"),
        *([("before", found.label)] if found.label else []),
        ("status", found.status.value),
        ("size", f"{text.size(found.size_bytes)}, {text.size(found.added_bytes)} added"),
        (
            "files",
            f"{found.files_new} new, {found.files_changed} changed, {found.files_unmodified} unmodified",
        ),
        *ladder(found, proofs),
        ("job", found.job_id),
    ]
    pairs += [
        (
            "in",
            f"{each.storage} as {each.snapshot_id[:8]}"
            if each.snapshot_id
            else f"not in {each.storage}: {each.error}",
        )
        for each in found.copies
    ]
    tags = [each for each in found.tags if not each.startswith(LABEL_MARK)]
    if tags:
        pairs.append(("tags", " ".join(tags)))
    if found.is_protected or found.hold_reason:
        pairs.append(("protected", found.hold_reason or "yes"))
    if found.expires_at:
        pairs.append(("expires", text.instant(found.expires_at)))
    pairs += [("warning", each) for each in found.warnings]
    return pairs


def proof(found: Backup) -> str:
    """The rung where it stands; one that failed stands on none, and is no backup."""
    return _NO_PROOF if found.status is BackupStatus.FAILED else found.proof.value


def ladder(found: Backup, proofs: Sequence[ProofRecord]) -> list[tuple[str, str]]:
    """The rung where the backup stands, then the newest attempt at each rung that still means something: when, by what, in which storage; and
    why what was proved before does not.
    """
    taken = "tried" if found.status is BackupStatus.FAILED else "taken"
    pairs = [("proof", proof(found)), (taken, text.instant(found.created_at))]
    stale = void(proofs)
    for each in proofs:
        if each.proof is Proof.TAKEN:
            what = ", ".join(sorted({old.proof.value for old in stale if old.storage == each.storage}))
            pairs.append(
                (
                    "proof dropped",
                    f"{text.instant(each.proven_at)} by {each.verb}, job {each.job_id}, in {each.storage}: {each.detail} ({what} before)",
                )
            )
    proofs = [each for each in proofs if each not in stale]
    for rung in (Proof.READABLE, Proof.VERIFIED, Proof.DRILLED):
        newest = next((each for each in proofs if each.proof is rung), None)
        if newest is None:
            continue
        said = "" if newest.is_passed else "FAILED "
        detail = f": {newest.detail}" if newest.detail else ""
        pairs.append(
            (
                rung.value,
                f"{said}{text.instant(newest.proven_at)} by {newest.verb}, job {newest.job_id}, in {newest.storage}{detail}",
            )
        )
    return pairs


def difference(each: Difference) -> str:
    """What differs, beyond that it does: sizes, rows, and what the comparison says for people. May hold anything."""
    words = [each.what] if each.what else []
    if each.rows_before != each.rows_after:
        rows = [f"{number:,}" for number in (each.rows_before, each.rows_after) if number is not None]
        words.append(f"{' -> '.join(rows)} rows")
    sizes = (each.size_bytes_before, each.size_bytes_after)
    if each.change == "modified" and sizes[0] is not None and sizes[1] is not None and sizes[0] != sizes[1]:
        words.append(f"{text.size(sizes[0])} -> {text.size(sizes[1])}")
    words += [each.detail] if each.detail else []
    return "; ".join(words)
