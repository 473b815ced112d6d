"""Evidence as it is looked at, and what people add to it later: records in files of their own, so that evidence itself never changes.

A record names the evidence and its digest, and the record before it, if there is one, with its digest: one that was taken away from between
two others shows without the audit log, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine import signature
from engine.errors import DamagedError, ProofFailedError, UnknownNameError, UsageError
from engine.jobs import evidence_files
from engine.jobs.context import JobContext
from engine.jobs.evidence_files import Kept
from engine.model.names import is_id_prefix
from engine.model.results import DrillStep, EvidenceItem, SignOff

T = TypeVar("T")

KIND = "holdfast-sign-off"
REMOVAL_KIND = "holdfast-drill-removal"
SCHEMA_VERSION = 1
_LONGEST_NAME = 200
_LONGEST_NOTE = 4_000
_DRILL = re.compile(r"drill-([0-9][0-9a-z]{15})\.json\Z")


@dataclass(frozen=True, slots=True)
class _Drill:
    job_id: str
    source: str
    backup_id: str
    level: str
    rto_s: float


@dataclass(frozen=True, slots=True)
class _Document:
    verdict: str
    written_at: str
    drill: _Drill
    by: tuple[str, ...] = ()
    note: str = ""


def find(folder: Path, text: str) -> Path:
    """The evidence of a drill, by the drill's job id, the beginning of one, or the file's name or path. Raises: UnknownNameError, UsageError."""
    names = sorted(each.name for each in _files(folder))
    if is_id_prefix(text):
        wanted = [name for name in names if name.startswith(f"drill-{text}")]
    else:
        wanted = [name for name in names if Path(name).stem == Path(text).stem]
    if len(wanted) > 1:
        raise UsageError(f"several drills begin with {text}", hint="add more letters")
    if not wanted:
        raise UnknownNameError(
            f"there is no evidence of {text}", hint="`holdfast evidence list` lists what there is"
        )
    return folder / wanted[0]


def items(folder: Path) -> list[EvidenceItem]:
    """All evidence of drills, newest first. What cannot be understood is listed as `damaged`. For a thread: it reads every file."""
    found = []
    for path in _files(folder):
        try:
            found.append(item(path))
        except DamagedError:
            found.append(EvidenceItem(path.stem.removeprefix("drill-"), "", "", "damaged", "", "", str(path)))
    return sorted(found, key=lambda each: each.written_at, reverse=True)


def item(path: Path) -> EvidenceItem:
    """One of them, with its sign-offs. Raises: DamagedError."""
    document = _decoded(path, _Document)
    drill = document.drill
    return EvidenceItem(
        drill.job_id,
        drill.source,
        drill.backup_id,
        document.verdict,
        drill.level,
        document.written_at,
        str(path),
        drill.rto_s,
        document.by,
        document.note,
        tuple(_decoded(each, SignOff) for each in sign_off_files(path)),
    )


def export(path: Path, folder: Path, public_key: str) -> list[str]:
    """Copies evidence, its page, records and signatures into a folder, which is made, the public key beside them; their paths. For a thread.

    Raises: UsageError.
    """
    key_name = "evidence-public-key"
    files = {each.name: each for each in sorted(path.parent.glob(f"{path.stem}.*"))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {name: each.read_bytes() for name, each in files.items()}
        wanted[key_name] = public_key.encode() + b"\n"
        for name, data in wanted.items():
            target = folder / name
            if not target.exists():
                target.write_bytes(data)
            elif target.read_bytes() != data:
                raise UsageError(
                    f"{target} is there already, and is another file", hint="name another folder"
                )
    except OSError as error:
        raise UsageError(f"evidence cannot be written to {folder}: {error.strerror}") from error
    return [str(folder / name) for name in wanted]


def document(path: Path) -> Mapping[str, Any]:
    """Everything that a file of evidence says. Raises: DamagedError."""
    return _decoded(path, dict[str, Any])


def sign_off_files(path: Path) -> list[Path]:
    """The sign-offs of that evidence, oldest first."""
    found: list[Path] = []
    while (each := path.with_name(f"{path.stem}.sign-off-{len(found) + 1}.json")).exists():
        found.append(each)
    return found


async def sign_off(context: JobContext, path: Path, by: str, note: str) -> Kept:
    """Writes down that a person has seen the evidence and stands by it; the file that says so. The evidence is as it was.

    Raises: UsageError; ProofFailedError where the evidence is not what this home signed; VaultError, CatalogError.
    """
    _require_said(by, note)
    data = await asyncio.to_thread(_read, path)
    found = await verdict(context, path, data)
    if found != "valid":
        raise ProofFailedError(
            f"the evidence {path.name} is not what was signed here: {found}",
            hint="nobody can stand by that; `holdfast audit --verify` says since when",
        )
    digest = hashlib.sha256(data).hexdigest()
    while True:
        before = await asyncio.to_thread(sign_off_files, path)
        last = before[-1] if before else path
        said = {
            "previous": last.name,
            "previous_sha256": hashlib.sha256(await asyncio.to_thread(_read, last)).hexdigest(),
            "by": by,
            "note": note,
        }
        record = _record(context, KIND, path, digest, said)
        name = f"{path.stem}.sign-off-{len(before) + 1}.json"
        try:
            return await evidence_files.keep(context, name, evidence_files.encode(record))
        except FileExistsError:
            continue  # somebody else signed off at this very moment


async def removal(context: JobContext, path: Path, step: DrillStep, *, is_early: bool) -> Kept:
    """Writes down how the removal of what a drill had kept went; the file that says so. Raises: DamagedError, VaultError, CatalogError."""
    digest = hashlib.sha256(await asyncio.to_thread(_read, path)).hexdigest()
    said = {
        "is_gone": step.status == "ok",
        "detail": step.detail,
        "ended": "early" if is_early else "in time",
    }
    record = _record(context, REMOVAL_KIND, path, digest, said)
    return await evidence_files.keep(context, f"{path.stem}.removal.json", evidence_files.encode(record))


def _record(
    context: JobContext, kind: str, path: Path, digest: str, said: Mapping[str, Any]
) -> Mapping[str, Any]:
    return {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "evidence": path.name,
        "evidence_sha256": digest,
        **said,
        "at": context.clock.now().isoformat(),
        "machine": socket.gethostname(),
    }


async def verdict(context: JobContext, path: Path, data: bytes) -> signature.Verdict:
    """What the signature beside the file says of these bytes."""
    keys = [signature.public_key(await evidence_files.signing_key(context))]
    try:
        text = await asyncio.to_thread(evidence_files.signature_of(path).read_bytes)
    except OSError:
        return "no-signature"
    return signature.verify(data, text, keys).verdict


def _require_said(by: str, note: str) -> None:
    if not by.strip() or len(by) > _LONGEST_NAME or not by.isprintable():
        raise UsageError(f"{by!r} cannot be the name of a person", hint="say who stands by it with --by NAME")
    if len(note) > _LONGEST_NOTE:
        raise UsageError(f"the note is longer than {_LONGEST_NOTE} letters")


def _files(folder: Path) -> Sequence[Path]:
    return [each for each in folder.glob("drill-*.json") if _DRILL.fullmatch(each.name)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedError(f"the evidence {path} cannot be read: {error.strerror}") from error


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(_read(path), type=kind)
    except msgspec.DecodeError as error:
        raise DamagedError(f"the evidence {path} cannot be understood: {error}") from error
