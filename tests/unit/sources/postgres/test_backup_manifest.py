"""The manifest of a base backup, read and written."""

from __future__ import annotations

import hashlib
import json

import pytest

from engine.errors import IncompleteDumpError
from engine.sources.postgres import backup_manifest
from engine.sources.postgres.backup_manifest import BackupManifest, ListedFile, LogRange

_OF_A_SERVER = b"""{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7713334069022368196,
"Files": [
{ "Path": "backup_label", "Size": 281, "Last-Modified": "2026-11-28 21:17:19 GMT", "Checksum-Algorithm": "SHA256", "Checksum": "173ed9106d7d23a372dc108e65a80bb541f5ebd8155788a66bbf0521a8c43851" },
{ "Encoded-Path": "62617365ff", "Size": 3, "Last-Modified": "2026-11-28 21:15:35 GMT" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/B000028", "End-LSN": "0/B000120" }
],
"""
_WHOLE = _OF_A_SERVER + f'"Manifest-Checksum": "{hashlib.sha256(_OF_A_SERVER).hexdigest()}"}}\n'.encode()


def test_a_manifest_is_read_and_written_as_the_server_writes_it() -> None:
    """The next incremental is taken against what we wrote: the server checks each byte of it."""
    found = backup_manifest.parse(_WHOLE)
    label = ListedFile(
        281,
        "2026-11-28 21:17:19 GMT",
        "SHA256",
        "173ed9106d7d23a372dc108e65a80bb541f5ebd8155788a66bbf0521a8c43851",
    )
    files = {"backup_label": label, "base\udcff": ListedFile(3, "2026-11-28 21:15:35 GMT")}
    assert found == BackupManifest(2, 7713334069022368196, files, [LogRange(1, "0/B000028", "0/B000120")])
    assert backup_manifest.encode(found) == _WHOLE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"281", b"282"),
        (b'"Size": 3', b'"Size": -3'),
        (b'"Path"', b'"Peth"'),
        (b'"Encoded-Path": "62', b'"Encoded-Path": "6z'),
        (b'"WAL-Ranges"', b'"WAL"'),
        (b'"Manifest-Checksum"', b'"Manifest"'),
        (b"]", b""),
        (b'"base', b'"\\ud800'),
    ],
)
def test_a_manifest_that_was_touched_is_refused(old: bytes, new: bytes) -> None:
    """What a host or a repository says is believed only where its own checksum agrees."""
    content = _WHOLE if old in _WHOLE else _WHOLE.replace(b'"backup_label"', b'"base"')
    with pytest.raises(IncompleteDumpError, match="manifest"):
        backup_manifest.parse(content.replace(old, new))
    cut = len(_WHOLE) * 2 // 3
    with pytest.raises(IncompleteDumpError, match="cannot be read"):
        backup_manifest.parse(_WHOLE[:cut])


def test_a_name_that_is_no_unicode_is_refused_and_no_crash() -> None:
    """A lone surrogate in JSON is the name of no file."""
    content = json.loads(_WHOLE)
    content["Files"][0]["Path"] = "\ud800"
    with pytest.raises(IncompleteDumpError):
        backup_manifest.parse(json.dumps(content).encode())
