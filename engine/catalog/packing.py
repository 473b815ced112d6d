"""JSON of jobs that are over, packed: what they asked and gave was more than half of a catalog, and nobody searches in it.

A packed text is a version byte and a raw deflate stream that begins with a dictionary of what such texts say again and again: 150 bytes in
place of 1,100 for a backup to two storages, in 15 us. A dictionary that was once used stays for ever, under its version; a test tells when what
jobs say has grown away from the newest one.
"""

from __future__ import annotations

import zlib
from typing import Final

from engine.errors import CatalogDamagedError

_VERSION: Final = 3
_USUAL: Final = (
    b'{"fates":[{"backup_id":"","snapshot_id":"","source":"","storage":"","created_at":"","is_kept":true,"reasons":["last","daily"]'
    b'{"packs_deleted":0,"packs_rewritten":0,"freed_bytes":0,"unused_bytes_before":0,"unused_bytes_after":0,"is_dry_run":false,"prunes":[]'
    b'{"packs_read":0,"bytes_read":0,"damaged":[],"hints":[],"repaired":[],"fetched_blobs":0,"packs_unproved":0,"copied":[],"skipped":0,'
    b'"copied_bytes":0,"left_out":[],"backup":"","storage":"","is_reading_data":true,"subset":null,"slice_percent":null,"slice_bytes":null,'
    b'"max_age_days":null,"is_repairing":false,"repair_from":[],"status":"passed","status":"failed","status":"incomplete",'
    b'{"step":"back up ","done_bytes":0,"total_bytes":null,"done_files":0,"total_files":null,"added_bytes":0,"current":""}'
)
_SECOND: Final = (
    _USUAL
    + b'{"source":"","backup":"","level":"","host":"","storage":"","budget_s":null,"checks":[],"keep_s":null,"scenario":"","seed":null,"by":[],'
    b'"note":"",{"sources":["web-files"],"storages":["near","far"],"kind":"incremental","scope":"all","tags":[],"label":"","expires_at":null,'
    b'"stdin_filename":"","most_bytes":null,"limits":{"wait_lock_s":0.0,"timeout_s":null,"upload_kib_s":null,"download_kib_s":null},'
    b'"hooks":{"before":"","after":"","timeout_s":300.0,"is_here":false},"schedule":"nightly"}'
    b'{"job_id":"4b7jxcq2m9r6t8wd","status":"completed","backups":[{"backup_id":"36kfz1v5p0shyeng","source":"web-files","status":"completed",'
    b'"started_at":"2026-11-20T01:30:00.412907Z","completed_at":"2026-11-20T01:31:25.638514Z","duration_s":85.225607,"size_bytes":1743260891,'
    b'"added_bytes":27495138,"files_new":46,"files_changed":2,"files_unmodified":10000,"storages":[{"storage":"near","snapshot_id":"=",'
    b'"status":"completed","error":""},{"storage":"far","snapshot_id":"=","status":"completed","error":""}],'
)
_DICTIONARIES: Final = {
    1: _USUAL
    + b'{"sources":[""],"storages":["",""],"kind":"full","kind":"incremental","scope":"all","tags":[],"label":"","expires_at":null,'
    b'"stdin_filename":"","most_bytes":null,"limits":{"wait_lock_s":0.0,"timeout_s":null,"upload_kib_s":null,"download_kib_s":null}}'
    b'{"job_id":"","status":"completed","backups":[{"backup_id":"","source":"","status":"completed","started_at":"2026-11-20T00:00:00.'
    b'000000Z","completed_at":"2026-11-20T00:00:00.000000Z","duration_s":0.0,"size_bytes":0,"added_bytes":0,"files_new":0,'
    b'"files_changed":0,"files_unmodified":0,"storages":[{"storage":"","snapshot_id":"","status":"completed","error":""},{"storage":"",'
    b'"snapshot_id":"","status":"completed","error":""}],"warnings":[],"error":""}]}',
    2: _SECOND + b'"warnings":[],"error":""}]}',
    3: _SECOND + b'"warnings":[],"error":"","kind":"","notes":[]}],"warnings":[]}',
}


def pack(text: str) -> bytes:
    """The text, packed."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=_DICTIONARIES[_VERSION])
    return bytes((_VERSION,)) + packer.compress(text.encode()) + packer.flush()


def unpack(value: str | bytes) -> str:
    """What was packed; a text is given back as it is. Raises: CatalogDamagedError."""
    if isinstance(value, str):
        return value
    try:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARIES[value[0]])
        text = (unpacker.decompress(value[1:]) + unpacker.flush()).decode()
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError
    except (zlib.error, KeyError, IndexError, ValueError) as error:
        raise CatalogDamagedError("the catalog holds a job that cannot be understood") from error
    return text
