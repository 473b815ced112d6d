"""A tar stream made into the archive that people ask for: as it is, compressed, or as zip."""

from __future__ import annotations

import bz2
import os
import queue
import stat
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, Protocol, cast

from engine.errors import UsageError

Sink = Callable[[bytes], None]
"""Takes the archive, piece by piece, in order."""
_QUEUED: Final = 4
"""Pieces of tar that wait for the zip's thread."""
_COPY_BYTES: Final = 1 << 20
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_LATEST: Final = (2107, 12, 31, 23, 59, 58)
"""What a zip's clock can show."""


class Packer(Protocol):
    """Takes a tar stream; gives the archive to its sink. Its calls block: they belong in a thread, one at a time."""

    def feed(self, data: bytes) -> None:
        """More of the tar stream."""
        ...

    def finish(self) -> None:
        """The stream is at its end: the archive is whole when this returns."""
        ...

    def abandon(self) -> None:
        """Ends what runs; the archive stays half. Idempotent, also after `finish`."""
        ...


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Streamed:
    """tar, through a compressor or not."""

    def __init__(self, sink: Sink, compressor: _Compressor | None) -> None:
        self._sink = sink
        self._compressor = compressor

    def feed(self, data: bytes) -> None:
        """See `Packer`."""
        self._give(data if self._compressor is None else self._compressor.compress(data))

    def finish(self) -> None:
        """See `Packer`."""
        if self._compressor is not None:
            self._give(self._compressor.flush())

    def abandon(self) -> None:
        """See `Packer`."""

    def _give(self, data: bytes) -> None:
        if data:
            self._sink(data)


class _Zipped:
    """zip, written by a thread that reads the tar stream's members as they come.

    Links become entries as Info-ZIP writes them; devices and pipes have no form in a zip and are left out.
    """

    def __init__(self, sink: Sink) -> None:
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._sink = sink
        self._error: BaseException | None = None
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name="zip", daemon=True)
        self._thread.start()

    def feed(self, data: bytes) -> None:
        """See `Packer`. Raises: what the sink raised."""
        self._put(data)

    def finish(self) -> None:
        """See `Packer`. Raises: what the sink raised."""
        self._put(None)
        self._thread.join()
        self._raise()

    def abandon(self) -> None:
        """See `Packer`."""
        self._is_abandoned = True
        while self._thread.is_alive():
            try:
                self._pieces.put(None, timeout=0.1)
            except queue.Full:
                continue
            self._thread.join(0.1)

    def _put(self, piece: bytes | None) -> None:
        while True:
            self._raise()
            try:
                self._pieces.put(piece, timeout=1.0)
            except queue.Full:
                continue
            return

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            reader = _PieceReader(self._pieces)
            sink = cast("IO[bytes]", _SinkFile(self._sink))
            with (
                tarfile.open(fileobj=cast("IO[bytes]", reader), mode="r|", bufsize=_COPY_BYTES) as tar,
                zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as zipped,
            ):
                for member in tar:
                    if self._is_abandoned:
                        return
                    _add(zipped, tar, member)
            reader.drain()
        except Exception as error:  # noqa: BLE001 -- whoever feeds is told
            self._error = error


class _PieceReader:
    """A file to read from, of what comes through a queue until None."""

    def __init__(self, pieces: queue.Queue[bytes | None]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._is_ended = False

    def read(self, size: int) -> bytes:
        """At most that many bytes; none at the end."""
        if not self._rest and not self._is_ended:
            piece = self._pieces.get()
            self._is_ended = piece is None
            self._rest = memoryview(piece or b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)

    def drain(self) -> None:
        """Reads to the end."""
        while self.read(_COPY_BYTES):
            pass


class _SinkFile:
    """A file to write to that cannot seek, as zipfile knows one."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        """Hands it on."""
        self._sink(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing to do."""


def _add(zipped: zipfile.ZipFile, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    kind = {True: stat.S_IFDIR, False: stat.S_IFLNK if member.issym() else stat.S_IFREG}[member.isdir()]
    if not (member.isdir() or member.issym() or member.isreg()):
        return
    # A name that is no UTF-8 becomes a visible escape: a zip has no bytes in its names.
    name = member.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    entry = zipfile.ZipInfo(name + "/" * member.isdir(), _clock_of(member.mtime))
    entry.external_attr = (kind | stat.S_IMODE(member.mode)) << 16 | (0x10 if member.isdir() else 0)
    entry.compress_type = zipfile.ZIP_DEFLATED
    if member.isreg():
        content = tar.extractfile(member)
        assert content is not None
        with zipped.open(entry, "w", force_zip64=True) as out:
            while data := content.read(_COPY_BYTES):
                out.write(data)
    else:
        entry.compress_type = zipfile.ZIP_STORED
        zipped.writestr(entry, os.fsencode(member.linkname) if member.issym() else b"")


def _clock_of(mtime: float) -> tuple[int, int, int, int, int, int]:
    """In UTC: a zip says nothing of a zone."""
    try:
        found = time.gmtime(mtime)[:6]
    except (OverflowError, ValueError, OSError):
        return _EARLIEST
    return min(max(found, _EARLIEST), _LATEST)


def _zstd() -> _Compressor:
    import zstandard

    return cast("_Compressor", zstandard.ZstdCompressor(level=3).compressobj())


_FORMATS: Final[Mapping[str, Callable[[Sink], Packer]]] = {
    "tar": lambda sink: _Streamed(sink, None),
    "tar.gz": lambda sink: _Streamed(sink, cast("Any", zlib.compressobj(6, wbits=31))),
    "tar.bz2": lambda sink: _Streamed(sink, cast("Any", bz2.BZ2Compressor())),
    "tar.zst": lambda sink: _Streamed(sink, _zstd()),
    "zip": _Zipped,
}
FORMATS: Final = tuple(_FORMATS)


def packer(format_name: str, sink: Sink) -> Packer:
    """What makes an archive of that format. Raises: UsageError for an unknown one."""
    make = _FORMATS.get(format_name)
    if make is None:
        raise UsageError(f"there is no format {format_name!r}", hint=f"there are: {', '.join(FORMATS)}")
    return make(sink)


def format_of(name: str) -> str:
    """The format that a file's name ends with; empty where it is none."""
    endings = {".tgz": "tar.gz", ".tbz2": "tar.bz2", **{f".{each}": each for each in FORMATS}}
    return next((found for ending, found in endings.items() if name.endswith(ending)), "")
