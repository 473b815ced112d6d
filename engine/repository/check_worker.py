"""A worker process of a check: verifies packs, one for each core, so that small blobs too keep every core busy.

Where the storage is a directory of this machine the worker reads the packs itself; else it is sent them. Spoken to over frames.py by
check_reading.py: a setup, then packs; each is answered by what is wrong with it, or by nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from engine.errors import DamagedError
from engine.format.allocator import tune_allocator
from engine.format.crypto import MasterKey
from engine.repository.check_packs import Expected, PackFile, PackVerifier, WholePack
from engine.repository.frames import Frame, WorkerEnd
from engine.repository.index import Index
from engine.storages.base import Key, Kind

SETUP, LOCAL_PACK, SENT_PACK, ANSWER = b"S", b"L", b"P", b"A"


def work(end: WorkerEnd) -> None:
    """Serves one channel until the parent closes it."""
    tune_allocator()
    worker: _Worker | None = None
    while (frame := end.receive()) is not None:
        if frame.kind == SETUP:
            worker = _Worker(frame.header)
        elif worker is not None:
            end.send(ANSWER, worker.verify(frame))


class _Worker:
    """The state of one worker process."""

    def __init__(self, setup: Any) -> None:
        index = Index.open_files(map(Path, setup["index"]))
        self._verifier = PackVerifier(MasterKey.from_json(setup["key"]), index)
        self._directory = Path(setup["directory"])
        self._local = _LocalPack()

    def verify(self, frame: Frame) -> str | None:
        """What is wrong with a pack."""
        expected = Expected(*frame.header)
        try:
            if frame.kind == SENT_PACK:
                return self._damage(WholePack(frame.body), expected)
            path = self._directory / Key(Kind.PACK, expected.id.hex()).path()
            with path.open("rb", buffering=0) as file:
                self._local.number = file.fileno()
                return self._damage(self._local, expected)
        except OSError as error:
            return f"the pack cannot be read: {error.strerror}"

    def _damage(self, file: PackFile, expected: Expected) -> str | None:
        try:
            self._verifier.verify(file, expected)
        except DamagedError as error:
            return error.message
        return None


class _LocalPack:
    """A pack that is an open file, read into a buffer that serves for all packs."""

    def __init__(self) -> None:
        self.number = -1
        """The file's descriptor."""
        self._buffer = bytearray()

    def read(self, offset: int, length: int) -> memoryview:
        """Reads into the buffer. Raises: DamagedError where the file ends before; OSError."""
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        view = memoryview(self._buffer)[:length]
        done = 0
        while done < length:
            count = os.preadv(self.number, [view[done:]], offset + done)
            if not count:
                raise DamagedError(f"the pack ends after {offset + done} bytes")
            done += count
        return view
