"""A server's `backup_manifest`: what a base backup consists of, each file with its size and its checksum.

Pure. Source: PostgreSQL's documentation, "Backup Manifest Format"; src/common/parse_manifest.c, which reads the last line apart from the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import IncompleteDumpError

NAME: Final = "backup_manifest"
MOST_BYTES: Final = 512 << 20
_CHECKSUM_KEY: Final = b'"Manifest-Checksum"'


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file."""

    size_bytes: int
    modified: str
    """As the server wrote it; nothing looks at it."""
    algorithm: str = ""
    checksum: str = ""
    """In hexadecimal digits; none where there is no algorithm."""


@dataclass(frozen=True, slots=True)
class LogRange:
    """A part of the write-ahead log that makes the backup consistent."""

    timeline: int
    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """A manifest."""

    version: int
    system: int | None
    """Its server's identifier; None before version 2, which is PostgreSQL 17's."""
    files: Mapping[str, ListedFile]
    """By path; other bytes than UTF-8 as surrogates."""
    ranges: Sequence[LogRange]


def parse(content: bytes) -> BackupManifest:
    """What a manifest says. Raises: IncompleteDumpError where it is not what its own checksum says, or none at all."""
    try:
        found = json.loads(content)
        before = content[: content.rindex(_CHECKSUM_KEY)]
        files = {_path(each): _listed(each) for each in found["Files"]}
        ranges = [
            LogRange(int(each["Timeline"]), str(each["Start-LSN"]), str(each["End-LSN"]))
            for each in found["WAL-Ranges"]
        ]
        version = int(found["PostgreSQL-Backup-Manifest-Version"])
        system = int(found["System-Identifier"]) if "System-Identifier" in found else None
        checksum = found["Manifest-Checksum"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IncompleteDumpError("the manifest of the base backup cannot be read") from error
    if hashlib.sha256(before).hexdigest() != checksum:
        raise IncompleteDumpError("the manifest of the base backup is not as it was written")
    return BackupManifest(version, system, files, ranges)


def encode(manifest: BackupManifest) -> bytes:
    """As the server writes it."""
    lines = [f'{{ "PostgreSQL-Backup-Manifest-Version": {manifest.version},']
    if manifest.system is not None:
        lines.append(f'"System-Identifier": {manifest.system},')
    files = ",\n".join(_file_line(path, each) for path, each in manifest.files.items())
    ranges = ",\n".join(
        f'{{ "Timeline": {each.timeline}, "Start-LSN": "{each.begin}", "End-LSN": "{each.end}" }}'
        for each in manifest.ranges
    )
    lines += [f'"Files": [\n{files}\n],', f'"WAL-Ranges": [\n{ranges}\n],', ""]
    before = "\n".join(lines).encode()
    return before + _CHECKSUM_KEY + f': "{hashlib.sha256(before).hexdigest()}"}}\n'.encode()


def _file_line(path: str, file: ListedFile) -> str:
    raw = path.encode("utf-8", "surrogateescape")
    is_text = raw.decode(errors="replace") == path
    named = f'"Path": {json.dumps(path, ensure_ascii=False)}' if is_text else f'"Encoded-Path": "{raw.hex()}"'
    line = f'{{ {named}, "Size": {file.size_bytes}, "Last-Modified": {json.dumps(file.modified)}'
    if file.algorithm:
        line += (
            f', "Checksum-Algorithm": {json.dumps(file.algorithm)}, "Checksum": {json.dumps(file.checksum)}'
        )
    return line + " }"


def _path(entry: Mapping[str, Any]) -> str:
    """Raises: ValueError for what can be the name of no file."""
    if "Path" in entry:
        path = str(entry["Path"])
        path.encode("utf-8", "surrogateescape")
        return path
    return bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")


def _listed(entry: Mapping[str, Any]) -> ListedFile:
    size = int(entry["Size"])
    if size < 0:
        raise ValueError(size)
    algorithm = str(entry.get("Checksum-Algorithm", ""))
    modified = str(entry.get("Last-Modified", ""))
    return ListedFile(size, modified, algorithm, str(entry["Checksum"]) if algorithm else "")
