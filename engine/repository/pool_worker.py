"""A worker process for small files: hash, look up, compress, verify, seal, pack, in one process for each core.

A file of 4 KiB costs some 50 us, most of it the interpreter's own, so that threads in one process only stand in each other's way. Spoken
to over frames.py; see pool.py for who says what.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import DamagedError, HoldfastError
from engine.format import pack
from engine.format.allocator import tune_allocator
from engine.format.crypto import MasterKey
from engine.format.ids import ID_BYTES, BlobType, digest
from engine.repository.frames import Frame, WorkerEnd
from engine.repository.id_table import IdTable
from engine.repository.index import Index
from engine.repository.packing import Loose, Packer, PackingOptions, Preparer

SETUP, BATCH, FLUSH = b"S", b"B", b"F"
RESULT, PACK, LOOSE, FLUSHED, ERROR = b"R", b"P", b"L", b"D", b"E"


def work(end: WorkerEnd) -> None:
    """Serves one channel until the parent closes it."""
    tune_allocator()
    worker: _Worker | None = None
    while (frame := end.receive()) is not None:
        try:
            if frame.kind == SETUP:
                worker = _Worker(end, frame.header)
            elif worker is not None and frame.kind == BATCH:
                worker.batch(frame)
            elif worker is not None:
                worker.flush()
        except HoldfastError as error:
            end.send(
                ERROR,
                {"message": error.message, "hint": error.hint, "is_damage": isinstance(error, DamagedError)},
            )


class _Worker:
    """The state of one worker process."""

    def __init__(self, end: WorkerEnd, setup: Any) -> None:
        self._end = end
        self._keys = keys = [MasterKey.from_json(each["key"]) for each in setup["lanes"]]
        self._indexes = [Index.open_files(map(Path, each["index"])) for each in setup["lanes"]]
        self._added = [
            {type_: set(_split(ids)) for type_, ids in each["added"].items()} for each in setup["lanes"]
        ]
        """By lane and type: what this run stored before, which is in no index file yet."""
        self._options = PackingOptions(setup["compression"], setup["is_verified"], setup["pack_bytes"])
        self._preparer = Preparer(keys, self._options)
        self._lanes = range(len(keys))
        self._seen = {"data": IdTable(), "tree": IdTable()}
        self._packers: dict[tuple[int, BlobType], Packer] = {}

    def batch(self, frame: Frame) -> None:
        """Stores a batch of blobs; answers with their ids, in order."""
        blob_type: BlobType = frame.header["type"]
        view = memoryview(frame.body)
        ids = []
        begin = 0
        for length in frame.header["sizes"]:
            end = begin + length
            data = bytes(view[begin:end])
            begin = end
            blob_id = digest(data)
            ids.append(blob_id)
            seen = self._seen[blob_type]
            known = len(seen)
            if seen.add(blob_id) == known:
                self._store(blob_type, blob_id, data)
        self._end.send(RESULT, len(ids), [b"".join(ids)])

    def flush(self) -> None:
        """Gives back what filled no pack."""
        for (lane, _), packer in self._packers.items():
            loose = packer.take_loose()
            header = {
                "lane": lane,
                "blobs": [(blob.type, blob.id, len(blob.sealed), blob.uncompressed_length) for blob in loose],
            }
            self._end.send(LOOSE, header, [blob.sealed for blob in loose])
        self._end.send(FLUSHED, None)

    def _store(self, blob_type: BlobType, blob_id: bytes, data: bytes) -> None:
        wanting = [
            lane
            for lane in self._lanes
            if blob_id not in self._added[lane][blob_type] and not self._indexes[lane].has(blob_type, blob_id)
        ]
        if not wanting:
            return
        payload, uncompressed_length = self._preparer.compress(data, blob_type)
        for lane in wanting:
            sealed = self._preparer.seal(lane, payload)
            self._packer(lane, blob_type).add(Loose(blob_type, blob_id, sealed, uncompressed_length))

    def _packer(self, lane: int, blob_type: BlobType) -> Packer:
        found = self._packers.get((lane, blob_type))
        if found is None:
            found = Packer(
                self._keys[lane],
                self._options.pack_bytes,
                lambda finished: self._send_pack(lane, finished),
                open_packs=1,  # the others' are open beside it
            )
            self._packers[lane, blob_type] = found
        return found

    def _send_pack(self, lane: int, finished: pack.Pack) -> None:
        entries: Sequence[Any] = [tuple(entry) for entry in finished.entries]
        self._end.send(PACK, {"lane": lane, "id": finished.id, "entries": entries}, finished.parts)


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
