"""Compression: zstd frames without a checksum (the tag and the identifier guard the content).

Modes: `off` stores as is; `auto` is the everyday one; `max` is zstd's level 19.
"""

from __future__ import annotations

from typing import Final, Literal

import zstandard

from engine.errors import DamagedError
from engine.format.ids import Buffer

Mode = Literal["off", "auto", "max"]

BLOB_LIMIT_BYTES: Final = 1 << 30
"""Longest plaintext that is read back. Writers cut at 8 MiB and no known one goes beyond 128 MiB; the format itself allows 4 GiB."""

_AUTO_LEVEL: Final = 3
_MAX_LEVEL: Final = 19
_SKIPPED_BYTES: Final = 16
"""Nothing as short as this shrinks: a frame has 9 bytes of its own at the least."""


class Compressor:
    """Compresses in one mode. Keeps its context: one for each thread."""

    __slots__ = ("_compressor",)

    def __init__(self, mode: Mode) -> None:
        self._compressor: zstandard.ZstdCompressor | None = None
        if mode != "off":
            level = _AUTO_LEVEL if mode == "auto" else _MAX_LEVEL
            self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)

    def compress(self, data: Buffer) -> bytes | None:
        """The frame, or None where `data` is to be stored as it is: mode off, or it does not shrink."""
        if self._compressor is None or len(data) <= _SKIPPED_BYTES:
            return None
        frame = self._compressor.compress(data)
        return frame if len(frame) < len(data) else None


class Decompressor:
    """Reads frames that nobody vouches for. Keeps its context: one for each thread."""

    __slots__ = ("_decompressor",)

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)

    def decompress(
        self, data: Buffer, expected_bytes: int | None, limit_bytes: int = BLOB_LIMIT_BYTES
    ) -> bytes:
        """The content of the one frame in `data`.

        What the frame's header says of its size is believed only up to `limit_bytes`.

        Raises:
            DamagedError: not one whole frame, longer than the limit, or not of `expected_bytes`.
        """
        wanted = limit_bytes if expected_bytes is None else expected_bytes
        if wanted > limit_bytes:
            raise DamagedError(
                f"a compressed blob is said to hold {wanted} bytes, more than the {limit_bytes} that are read"
            )
        try:
            declared = zstandard.frame_content_size(data)
            if declared > wanted:
                raise DamagedError(f"a compressed blob holds {declared} bytes instead of {wanted}")
            if declared < 0:
                content = self._decompress_unsized(data, wanted)
            else:
                content = self._decompressor.decompress(data, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise DamagedError(f"a compressed blob is damaged: {error}") from error
        if expected_bytes is not None and len(content) != expected_bytes:
            raise DamagedError(f"a compressed blob holds {len(content)} bytes instead of {expected_bytes}")
        return content

    def decompresses(self, frame: Buffer, original: Buffer) -> bool:
        """Whether the frame, just made on this machine, gives back exactly `original`."""
        try:
            content = self._decompressor.decompress(frame)
        except zstandard.ZstdError:
            return False
        return len(content) == len(original) and content.startswith(original)

    def _decompress_unsized(self, data: Buffer, wanted: int) -> bytes:
        """A frame whose header names no size, read piece by piece so that a bomb costs no more than `wanted`."""
        with self._decompressor.stream_reader(data, read_across_frames=False) as reader:
            content = reader.read(wanted + 1)
        if len(content) > wanted:
            raise DamagedError(f"a compressed blob holds more than {wanted} bytes")
        return content
