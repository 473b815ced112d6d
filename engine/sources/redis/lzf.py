"""LZF as Redis writes it: a run of literal bytes, or a piece of what came before. Pure. Source: Redis, src/lzf_d.c."""

from __future__ import annotations


def decompress(data: bytes, size_bytes: int) -> bytes:
    """The plain bytes, of which there must be so many. Raises: ValueError where the data is no LZF of that length."""
    plain = bytearray()
    position = 0
    try:
        while position < len(data):
            control = data[position]
            position += 1
            if control < 32:
                plain += data[position : position + control + 1]
                position += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[position]
                position += 1
            begin = len(plain) - ((control & 31) << 8) - data[position] - 1
            position += 1
            if begin < 0:
                raise ValueError("it refers to what is before its beginning")
            length += 2
            # What is copied may overlap what it becomes.
            while length > 0:
                piece = plain[begin : begin + length]
                plain += piece
                begin += len(piece)
                length -= len(piece)
    except IndexError as error:
        raise ValueError("it ends in the middle") from error
    if len(plain) != size_bytes:
        raise ValueError(f"it holds {len(plain)} bytes, and not {size_bytes}")
    return bytes(plain)
