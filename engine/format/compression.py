"""Compression: zstd frames without a checksum (the tag and the identifier guard the content).

Modes: `off` stores as is; `auto` is the everyday one; `max` is zstd's level 19. `auto` picks its parameters by length. Against zstd's own
level 3 it takes 0.93 of the time between 16 and 256 KiB, and 0.88 below. From 256 KiB on text and other data part ways: text repeats itself
in long pieces, so that fewer and longer matches lose little of it, while machine code has nothing but short ones. Against restic 0.19's auto
the size is 0.95 to 1.01 for dumps, logs and tables, 1.00 to 1.02 for small text files, 1.03 to 1.035 at worst (programs, Python in one file).
Text is compressed within a window of 256 KiB where that finds as much, which `_TextCompressor` tries now and then: see there.
Data that does not shrink costs 160 us/MiB to find out, a tenth of the pipeline, so nothing guesses beforehand.
"""

from __future__ import annotations

from typing import Final, Literal

import zstandard

from engine.errors import DamagedError
from engine.format.ids import Buffer

Mode = Literal["off", "auto", "max"]

BLOB_LIMIT_BYTES: Final = 1 << 30
"""Longest plaintext that is read back. Writers cut at 8 MiB and no known one goes beyond 128 MiB; the format itself allows 4 GiB."""

_MAX_LEVEL: Final = 19
_MIDDLE_FROM_BYTES: Final = 16 << 10
_LARGE_FROM_BYTES: Final = 256 << 10
_SAMPLE_BYTES: Final = 16 << 10
"""So much of a large blob is looked at to tell text from other data."""
_TRIAL_EVERY: Final = 32
_NARROW_COST: Final = 64
"""The narrow window is taken where it costs at most this part of the size."""
_NARROW_SHARE: Final = 0.1
"""What comes down to less repeats itself so much that either window is quick, and small differences weigh."""
_ALIKE: Final = 10
"""Blobs are of one kind when they come down to the same share of their length, give or take this part of it."""


def _compressor(
    strategy: int, hash_log: int, min_match: int, window_log: int = 21
) -> zstandard.ZstdCompressor:
    """All that the parameters do not say is zstd's minimum; window and tables shrink to what the data's length needs."""
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(
            window_log=window_log,
            hash_log=hash_log,
            chain_log=14,
            search_log=1,
            min_match=min_match,
            target_length=0,
            strategy=strategy,
            write_content_size=True,
            write_checksum=False,
        )
    )


class _TextCompressor:
    """Text of 256 KiB and more, within a narrow window where a wide one finds no more.

    Within 256 KiB zstd 1.5 looks for matches without branches, in memory that the processor's cache holds: an eighth less time for rows,
    logs and JSON lines, at about the same size. What repeats further apart is lost, though: files put together come out at up to 2.5
    times the size. So one blob in 32 is compressed both ways and decides for the next ones, until one comes down to another share of its
    length: that is of another kind, and is compressed both ways too.
    """

    __slots__ = ("_is_narrow", "_narrow", "_share", "_until_trial", "_wide")

    def __init__(self) -> None:
        self._wide = _compressor(zstandard.STRATEGY_FAST, hash_log=16, min_match=7)
        self._narrow = _compressor(zstandard.STRATEGY_FAST, hash_log=16, min_match=7, window_log=18)
        self._is_narrow = False
        self._share = 0.0
        """Of its length, what the last blob that decided came down to in the narrow window."""
        self._until_trial = 0

    def compress(self, data: Buffer) -> bytes:
        """The frame."""
        is_trial = self._until_trial == 0
        self._until_trial = (self._until_trial or _TRIAL_EVERY) - 1
        if not is_trial and not self._is_narrow:
            return self._wide.compress(data)
        narrow = self._narrow.compress(data)
        share = len(narrow) / len(data)
        if not is_trial and abs(share - self._share) < self._share / _ALIKE:
            return narrow
        wide = self._wide.compress(data)
        is_as_small = len(narrow) <= len(wide) + len(wide) // _NARROW_COST
        self._is_narrow = is_trial and is_as_small and share >= _NARROW_SHARE
        self._share = share
        return narrow if is_as_small else wide


_SKIPPED_BYTES: Final = 16
"""Nothing as short as this shrinks: a frame has 9 bytes of its own at the least."""


class Compressor:
    """Compresses in one mode. Keeps its contexts: one for each thread."""

    __slots__ = ("_large", "_middle", "_mode", "_small", "_text")

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "max":
            compressor = zstandard.ZstdCompressor(level=_MAX_LEVEL)
            self._small = self._middle = self._large = compressor
            self._text: _TextCompressor | zstandard.ZstdCompressor = compressor
        else:
            self._small = _compressor(zstandard.STRATEGY_FAST, hash_log=15, min_match=5)
            self._middle = _compressor(zstandard.STRATEGY_DFAST, hash_log=14, min_match=5)
            self._large = _compressor(zstandard.STRATEGY_FAST, hash_log=16, min_match=6)
            self._text = _TextCompressor()

    def compress(self, data: Buffer, *, is_always: bool = False) -> bytes | None:
        """The frame, or None where `data` is to be stored as it is: mode off, or it does not shrink.

        With `is_always` there is a frame in any case: trees are compressed whatever the mode, and restic's prune rewrites packs in
        which one is not.
        """
        size = len(data)
        if not is_always and (size <= _SKIPPED_BYTES or self._mode == "off"):
            return None
        if size < _MIDDLE_FROM_BYTES:
            frame = self._small.compress(data)
        elif size < _LARGE_FROM_BYTES:
            frame = self._middle.compress(data)
        elif 0 in memoryview(data)[:_SAMPLE_BYTES].tobytes():
            frame = self._large.compress(data)
        else:
            frame = self._text.compress(data)
        return frame if is_always or len(frame) < size else None


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
