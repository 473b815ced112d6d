"""Blobs: bytes under their SHA-256, compressed and sealed on the way in, opened and checked on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.errors import DamagedError
from engine.format import ids
from engine.format.compression import Compressor, Decompressor, Mode
from engine.format.crypto import Sealer
from engine.format.ids import BlobType, Buffer


@dataclass(frozen=True, slots=True)
class Encoded:
    """A blob, hashed and compressed once, to be sealed for as many repositories as want it."""

    type: BlobType
    id: bytes
    payload: Buffer
    """What is sealed: the frame, or the content itself."""
    uncompressed_length: int | None
    """Of the content where `payload` is a frame of it, else None."""


class Prepared(NamedTuple):
    """A blob ready to be sealed: what Encoded is, for many small ones."""

    id: bytes
    payload: Buffer
    uncompressed_length: int | None


FAULT_HINT: Final = "this machine's memory or processor errs; nothing wrong was stored"


class BlobCoder:
    """Encodes blobs in one mode of compression. For one thread."""

    __slots__ = ("_compressor", "_decompressor")

    def __init__(self, mode: Mode) -> None:
        self._compressor = Compressor(mode)
        self._decompressor = Decompressor()

    def compress(self, data: Buffer, blob_type: BlobType, *, is_verified: bool) -> tuple[Buffer, int | None]:
        """What is to be sealed, and the length before compression; the data itself and None where it is stored as it is.

        Verified, the frame is decompressed and compared with the data: as strong as hashing again, and twenty times as fast.

        Raises:
            DamagedError: what would be stored does not read back as the data.
        """
        frame = self._compressor.compress(data, is_always=blob_type == "tree" and len(data) > 0)
        if frame is None:
            return data, None
        if is_verified and not self._decompressor.decompresses(frame, data):
            raise DamagedError("a blob does not read back as it was compressed", hint=FAULT_HINT)
        return frame, len(data)

    def compress_all(
        self, contents: Sequence[tuple[bytes, Buffer]], blob_type: BlobType, *, is_verified: bool
    ) -> list[Prepared]:
        """As `compress`, of many small blobs with their ids. Each step is done for all before the next: see Sealer.seal_all.

        Raises:
            DamagedError: what would be stored does not read back as the data.
        """
        is_always, compress = blob_type == "tree", self._compressor.compress
        frames = [compress(data, is_always=is_always and len(data) > 0) for _, data in contents]
        if is_verified:
            decompresses = self._decompressor.decompresses
            for frame, (_, data) in zip(frames, contents, strict=True):
                if frame is not None and not decompresses(frame, data):
                    raise DamagedError("a blob does not read back as it was compressed", hint=FAULT_HINT)
        return [
            Prepared(blob_id, data, None) if frame is None else Prepared(blob_id, frame, len(data))
            for frame, (blob_id, data) in zip(frames, contents, strict=True)
        ]

    def encode(self, data: Buffer, blob_type: BlobType) -> Encoded:
        """Hash and compress."""
        payload, uncompressed_length = self.compress(data, blob_type, is_verified=False)
        return Encoded(blob_type, ids.digest(data), payload, uncompressed_length)

    def seal_verified(self, sealer: Sealer, encoded: Encoded, original: Buffer) -> Buffer:
        """Seal, then open, decompress and compare with the original bytes, so that a fault of memory or processor never gets stored.

        Raises:
            DamagedError: what would be stored does not read back as the original.
        """
        sealed = seal(sealer, encoded.payload, is_verified=True)
        is_frame = encoded.uncompressed_length is not None
        if is_frame and not self._decompressor.decompresses(encoded.payload, original):
            raise DamagedError("a blob does not read back as it was compressed", hint=FAULT_HINT)
        return sealed


def seal(sealer: Sealer, payload: Buffer, *, is_verified: bool) -> Buffer:
    """The sealed payload; verified, it is opened again and compared.

    Raises:
        DamagedError: it does not open to the payload.
    """
    sealed = sealer.seal(payload)
    if is_verified and not _opens_to(sealer, sealed, payload):
        raise DamagedError("a blob does not read back as it was sealed", hint=FAULT_HINT)
    return sealed


def _opens_to(sealer: Sealer, sealed: Buffer, payload: Buffer) -> bool:
    try:
        return sealer.seals(sealed, payload)
    except DamagedError:
        return False


def decode(
    sealer: Sealer,
    decompressor: Decompressor,
    stored: Buffer,
    blob_id: bytes,
    uncompressed_length: int | None,
) -> bytes:
    """The content of a stored blob, checked against its identifier, and against its length, which restic does not check.

    Raises:
        DamagedError: it does not open, does not decompress to that length, or hashes to something else.
    """
    content = sealer.open(stored)
    if uncompressed_length:
        content = decompressor.decompress(content, uncompressed_length)
    if ids.digest(content) != blob_id:
        raise DamagedError(f"the blob {blob_id.hex()} does not hash to its name")
    return content
