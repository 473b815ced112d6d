"""The folder of evidence: files that are written once, each with its signature beside it, and whose digests the audit log has.

A file is written whole under another name first and then linked to its own, so that none is ever half there and none replaces another.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine import signature
from engine.audit import Finding
from engine.errors import CatalogError
from engine.jobs.context import JobContext

KEY_NAME = "evidence-key"
"""The vault's name of the private key that signs evidence."""
_TAIL = re.compile(r"(?:; evidence \S+ sha256:[0-9a-f]{64})+\Z")
_CLAIM = re.compile(r"; evidence (\S+) sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of evidence."""

    path: Path
    sha256: str


async def signing_key(context: JobContext) -> bytes:
    """The home's private key for evidence, made at the first use. Raises: VaultError."""
    return (await context.vault.own(KEY_NAME)).reveal()


async def keep(context: JobContext, name: str, data: bytes) -> Kept:
    """Writes a file of that name and its signature. Raises: FileExistsError where there is one; CatalogError where the home takes no file."""
    path = context.home.evidence / name
    signed = signature.sign(await signing_key(context), data)
    try:
        await asyncio.to_thread(_write, path, data)
        await asyncio.to_thread(_write, signature_of(path), signed)
    except FileExistsError:
        raise
    except OSError as error:
        raise CatalogError(f"the evidence {path} cannot be written: {error.strerror}") from error
    return Kept(path, hashlib.sha256(data).hexdigest())


def encode(document: Mapping[str, Any]) -> bytes:
    """A document as the text of a file. What is no Unicode (part of a name) becomes a visible escape."""
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    except TypeError:
        return orjson.dumps(_clean(document), option=orjson.OPT_INDENT_2) + b"\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def signature_of(path: Path) -> Path:
    """Where the signature of a file lies."""
    return path.with_name(path.name + signature.ENDING)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


class Claim(NamedTuple):
    """What a line of the audit log says of a file of evidence."""

    sequence: int
    name: str
    digest: str


def claim_of(kept: Iterable[Kept]) -> str:
    """What the end of an audit line says of these files; `claims` reads it back."""
    return "".join(f"; evidence {each.path.name} sha256:{each.sha256}" for each in kept)


def claims(sequence: int, detail: str) -> list[Claim]:
    """The files that an audit line speaks of at its end, wherever else a person's words look like it."""
    tail = _TAIL.search(detail)
    return [Claim(sequence, *told) for told in _CLAIM.findall(tail[0])] if tail else []


def findings(folder: Path, told: Iterable[Claim]) -> list[Finding]:
    """Which files are not what they were when the audit log spoke of them."""
    found = []
    for sequence, name, digest in told:
        try:
            actual = hashlib.sha256((folder / Path(name).name).read_bytes()).hexdigest()
        except OSError:
            found.append(Finding("deleted", sequence, f"the evidence {name} is not there any more"))
            continue
        if actual != digest:
            found.append(Finding("edited", sequence, f"the evidence {name} was changed since it was written"))
    return found
