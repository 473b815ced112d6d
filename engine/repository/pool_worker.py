"""A worker process for small files: hash, look up, compress, verify, seal, pack, in one process for each core.

A file of 4 KiB costs some 50 us, most of it the interpreter's own, so that threads in one process only stand in each other's way. Spoken
to over frames.py; see pool.py for who says what.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import DamagedError, HoldfastError
from engine.format import blob as blob_format
from engine.format.allocator import give_back, tune_allocator
from engine.format.blob import BlobCoder, Prepared
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import ID_BYTES, BlobType, Buffer, digest
from engine.format.node_text import node_prefix, node_suffix
from engine.format.pack_buffer import COUNT_LIMIT, FilledPack, PackBuffer, room_bytes
from engine.model.entry import Entry
from engine.repository.frames import Frame, WorkerEnd
from engine.repository.id_table import SeenIds
from engine.repository.index import TYPES, Index
from engine.repository.packing import PackingOptions
from engine.repository.read_files import Content, FileReader
from engine.repository.slots import WorkerSlots, slot_bytes

SETUP, BATCH, FILES, FLUSH = b"S", b"B", b"N", b"F"
RESULT, NODES, PACK, LOOSE, FLUSHED, ERROR = b"R", b"T", b"P", b"L", b"D", b"E"

LONGEST_BYTES = 1 << 20
"""A payload up to this goes into the open pack."""
LOOSE_LIMIT = 2_000
"""Blobs of an open pack that are worth being merged with those of the other workers."""
GROUP_BYTES = 192 << 10
"""So much is read, hashed, compressed, sealed and verified step by step."""
_PATH, _SIZE, _CTIME = map(Entry._fields.index, ("path", "size", "ctime"))


def work(end: WorkerEnd) -> None:
    """Serves one channel until the parent closes it."""
    tune_allocator()
    # All that is made here ends with its last reference; looking for cycles among a pack's entries costs two percent.
    gc.disable()
    worker: _Worker | None = None
    while (frame := end.receive()) is not None:
        try:
            if frame.kind == SETUP:
                if worker is not None:
                    worker.close()
                worker = _Worker(end, frame.header)
            elif worker is not None and frame.kind == BATCH:
                worker.batch(frame)
            elif worker is not None and frame.kind == FILES:
                worker.files(frame)
            elif worker is not None:
                worker.flush()
        except HoldfastError as error:
            end.send(
                ERROR,
                {"message": error.message, "hint": error.hint, "is_damage": isinstance(error, DamagedError)},
            )


@dataclass(frozen=True, slots=True)
class _Outlet:
    """Where packs are made and go."""

    end: WorkerEnd
    slots: WorkerSlots
    options: PackingOptions


class _Worker:
    """The state of one worker process."""

    def __init__(self, end: WorkerEnd, setup: Any) -> None:
        self._end = end
        keys = [MasterKey.from_json(each["key"]) for each in setup["lanes"]]
        self._indexes = [Index.open_files(map(Path, each["index"])) for each in setup["lanes"]]
        self._added = [
            {type_: set(_split(ids)) for type_, ids in each["added"].items()} for each in setup["lanes"]
        ]
        """By lane and type: what this run stored before, which is in no index file yet."""
        self._is_fresh = not any(index.blob_count for index in self._indexes) and not any(
            ids for each in self._added for ids in each.values()
        )
        """Whether no repository had anything."""
        self._options = PackingOptions(setup["compression"], setup["is_verified"], setup["pack_bytes"])
        self._coder = BlobCoder(self._options.compression)
        self._seen = {type_: SeenIds(_split(setup["seen"][type_])) for type_ in TYPES}
        self._lanes = range(len(keys))
        room = slot_bytes(room_bytes(self._options.pack_bytes, LONGEST_BYTES))
        self._slots = WorkerSlots(end.descriptors, room)
        outlet = _Outlet(end, self._slots, self._options)
        self._packers = [
            {type_: _Packer(outlet, lane, type_, key) for type_ in TYPES} for lane, key in enumerate(keys)
        ]

    def close(self) -> None:
        """The session is over."""
        self._slots.close()

    def batch(self, frame: Frame) -> None:
        """Stores a batch of blobs; answers with their ids, in order."""
        view = memoryview(frame.body)
        ids: list[bytes] = []
        begin = 0
        for sizes in _groups(frame.header["sizes"], int):
            contents = []
            for size in sizes:
                contents.append(bytes(view[begin : begin + size]))
                begin += size
            ids += self._store(frame.header["type"], contents)
        self._end.send(RESULT, len(ids), [b"".join(ids)])

    def files(self, frame: Frame) -> None:
        """Reads and stores small files of this machine; answers with their nodes, in order. That of one which must be asked for is empty."""
        nodes: list[bytes] = []
        with FileReader() as reader:
            for entries in _groups(frame.header, _size_of):
                contents = [reader.read(entry[_PATH], entry[_SIZE], entry[_CTIME]) for entry in entries]
                ids = iter(self._store("data", [each.data for each in contents if each and each.data]))
                nodes += [
                    b"" if content is None else _node(entry, content, ids)
                    for entry, content in zip(entries, contents, strict=True)
                ]
        self._end.send(NODES, list(map(len, nodes)), [b"".join(nodes)])

    def flush(self) -> None:
        """Gives back what filled no pack."""
        for packers in self._packers:
            for packer in packers.values():
                packer.send_loose()
        self._end.send(FLUSHED, None)

    def _store(self, blob_type: BlobType, contents: Sequence[bytes]) -> list[bytes]:
        """Stores those blobs that this process did not meet before and that a repository lacks; returns the ids of all."""
        ids = list(map(digest, contents))
        is_new = self._seen[blob_type].add
        new = [(blob_id, data) for blob_id, data in zip(ids, contents, strict=True) if is_new(blob_id)]
        if not self._is_fresh:
            new = [
                each for each in new if not all(self._has(lane, blob_type, each[0]) for lane in self._lanes)
            ]
        prepared = self._coder.compress_all(new, blob_type, is_verified=self._options.is_verified)
        for lane in self._lanes:
            wanting = prepared
            if not self._is_fresh:
                wanting = [blob for blob in prepared if not self._has(lane, blob_type, blob.id)]
            self._packers[lane][blob_type].add(wanting)
        return ids

    def _has(self, lane: int, blob_type: BlobType, blob_id: bytes) -> bool:
        return blob_id in self._added[lane][blob_type] or self._indexes[lane].has(blob_type, blob_id)


class _Packer:
    """The open pack of one repository and blob type. One is enough: the other workers' are open beside it."""

    def __init__(self, outlet: _Outlet, lane: int, blob_type: BlobType, key: MasterKey) -> None:
        self._outlet = outlet
        self._lane = lane
        self._type = blob_type
        self._sealer = Sealer(key)
        self._slot = -1
        self._buffer: PackBuffer | None = None

    def add(self, blobs: Sequence[Prepared]) -> None:
        """Seals blobs into the pack, and sends it where they filled it. One that is long, a tree of thousands of nodes, is sent loose."""
        short = blobs
        if any(len(blob.payload) > LONGEST_BYTES for blob in blobs):
            short = [blob for blob in blobs if len(blob.payload) <= LONGEST_BYTES]
            for blob in blobs:
                if len(blob.payload) > LONGEST_BYTES:
                    self._send_long(blob)
        while short:
            if self._buffer is None:
                self._buffer = self._begin()
            count = self._buffer.add(short, is_verified=self._outlet.options.is_verified)
            short = short[count:]
            if self._buffer.is_full:
                self._send(self._buffer.finish())
                self._buffer = None

    def _begin(self) -> PackBuffer:
        self._slot = self._outlet.slots.take()
        memory = self._outlet.slots.view(self._slot)
        # Each worker has a pack of trees open all the time, and it fills slowly.
        pack_bytes = self._outlet.options.pack_bytes // (2 if self._type == "tree" else 1)
        return PackBuffer(self._sealer, self._type, pack_bytes, memory)

    def _send_long(self, blob: Prepared) -> None:
        sealed = blob_format.seal(self._sealer, blob.payload, is_verified=self._outlet.options.is_verified)
        self._send_loose([(blob.id, len(sealed), blob.uncompressed_length)], body=sealed)

    def send_loose(self) -> None:
        """Sends what is in the open pack: as a pack where it holds many blobs, for each of them is half a kilobyte to whoever merges them."""
        if self._buffer is None:
            return
        if self._buffer.count >= LOOSE_LIMIT:
            self._send(self._buffer.finish())
            self._buffer = None
            return
        blobs = [(entry.id, entry.length, entry.uncompressed_length) for entry in self._buffer.take()]
        self._send_loose(blobs, slot=self._slot)
        self._buffer = None

    def _send(self, filled: FilledPack) -> None:
        header = {
            "lane": self._lane,
            "type": self._type,
            "slot": self._slot,
            "id": filled.id,
            "blobs_bytes": filled.blobs_bytes,
            "trailer": filled.trailer,
            "count": filled.count,
            "plain_bytes": filled.plain_bytes,
            "header_bytes": len(filled.header),
        }
        self._outlet.end.send(PACK, header, [filled.header, filled.index_json])
        if filled.count >= COUNT_LIMIT:
            # What the entries of so many blobs took lies scattered about the heap: 15 of 50 MiB, for a millisecond a pack.
            give_back()

    def _send_loose(
        self, blobs: Sequence[tuple[bytes, int, int | None]], *, slot: int = -1, body: Buffer = b""
    ) -> None:
        """The blobs lie one behind the other: at the beginning of a slot, or in the body where there is none."""
        header = {"lane": self._lane, "type": self._type, "slot": slot, "blobs": blobs}
        self._outlet.end.send(LOOSE, header, [body] if len(body) else ())


def _groups(parts: Sequence[Any], size_of: Callable[[Any], int]) -> Iterator[list[Any]]:
    """The parts in order, in groups that the processor's cache holds at every step that is done with them."""
    group: list[Any] = []
    size_bytes = 0
    for part in parts:
        group.append(part)
        size_bytes += size_of(part)
        if size_bytes >= GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def _size_of(entry: Any) -> int:
    size: int = entry[_SIZE]
    return size


def _node(entry: Any, content: Content, ids: Iterator[bytes]) -> bytes:
    """`ids` gives the next id for each file that is not empty."""
    contained = (next(ids),) if content.data else ()
    return node_prefix(entry) + node_suffix(content.xattrs, 0, contained, None)


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
