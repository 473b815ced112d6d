"""Evidence held against a public key, offline: on any machine, without a home, a catalog or a network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from engine import signature
from engine.errors import UsageError
from engine.export import reports
from engine.jobs import evidence, evidence_records
from engine.jobs.evidence_files import signature_of
from engine.model.results import EvidenceCheck

_KNOWN = {
    evidence.KIND: evidence.SCHEMA_VERSION,
    evidence_records.KIND: evidence_records.SCHEMA_VERSION,
    evidence_records.REMOVAL_KIND: evidence_records.SCHEMA_VERSION,
    reports.COMPLIANCE: reports.SCHEMA_VERSION,
    reports.TRENDS: reports.SCHEMA_VERSION,
}
_SAID = {
    "valid": "every byte is as it was signed",
    "changed": "it was changed since it was signed",
    "other-key": "another key signed it",
    "no-signature": "no signature of evidence lies beside it",
}


def read_keys(path: Path) -> list[bytes]:
    """The public keys of a file. Raises: UsageError."""
    try:
        return signature.parse_public_lines(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"the public key {path} cannot be read: {error.strerror}") from error


def check(path: Path, keys: Sequence[bytes]) -> EvidenceCheck:
    """Whether one of the keys signed exactly this file, and whether it belongs to what it names. Raises: UsageError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = signature_of(path).read_bytes()
    except OSError:
        text = b""
    found = signature.verify(data, text, keys)
    if found.verdict != "valid":
        return EvidenceCheck(str(path), found.verdict, found.fingerprint, _SAID[found.verdict])
    status, said = "valid", _SAID["valid"]
    if path.suffix == ".json":
        status, said = _belongs(path, data)
    return EvidenceCheck(str(path), status, found.fingerprint, said)


def _belongs(path: Path, data: bytes) -> tuple[str, str]:
    """For a file whose signature holds: whether it is of a form that is known, and whether what it names lies beside it unchanged."""
    document: dict[str, Any] = orjson.loads(data)
    known = _KNOWN.get(document["kind"])
    if known is None or document["schema_version"] > known:
        return "valid", f"{_SAID['valid']}; a newer holdfast wrote it, which may mean more by it"
    for name in ("previous", "evidence"):
        if name not in document:
            continue
        beside = path.with_name(Path(document[name]).name)
        try:
            actual = hashlib.sha256(beside.read_bytes()).hexdigest()
        except OSError:
            return "valid", f"{_SAID['valid']}; {beside.name}, of which it speaks, does not lie beside it"
        if actual != document[f"{name}_sha256"]:
            return "changed", f"{beside.name} is not the file that it speaks of"
    return "valid", _SAID["valid"]
