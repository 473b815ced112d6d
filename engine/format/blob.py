"""Blobs: bytes under their SHA-256, compressed and sealed on the way in, opened and checked on the way out."""

from __future__ import annotations

from dataclasses import dataclass

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


class BlobCoder:
    """Encodes blobs in one mode of compression. For one thread."""

    __slots__ = ("_compressor", "_decompressor")

    def __init__(self, mode: Mode) -> None:
        self._compressor = Compressor(mode)
        self._decompressor = Decompressor()

    def encode(self, data: Buffer, blob_type: BlobType) -> Encoded:
        """Hash and compress."""
        frame = self._compressor.compress(data)
        if frame is None:
            return Encoded(blob_type, ids.digest(data), data, None)
        return Encoded(blob_type, ids.digest(data), frame, len(data))

    def seal_verified(self, sealer: Sealer, encoded: Encoded, original: Buffer) -> bytes:
        """Seal, then open, decompress and compare with the original bytes, so that a fault of memory or processor never gets stored.

        Comparing is as strong as hashing again, and twenty times as fast.

        Raises:
            DamagedError: what would be stored does not read back as the original.
        """
        sealed = sealer.seal(encoded.payload)
        is_same = sealer.seals(sealed, encoded.payload)
        if encoded.uncompressed_length is not None and is_same:
            is_same = self._decompressor.decompresses(encoded.payload, original)
        if not is_same:
            raise DamagedError(
                "a blob does not read back as it was sealed",
                hint="this machine's memory or processor errs; nothing wrong was stored",
            )
        return sealed


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
