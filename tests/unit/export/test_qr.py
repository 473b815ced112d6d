"""A QR code is read back by a reader that is not ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.export import qr
from tests.servers.tools import require_tool

_SCALE = 4


def image_of(lines: list[str]) -> bytes:
    """What a camera sees of a terminal: each letter two modules, light on dark, as a portable grey map."""
    light = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
    rows = []
    for line in lines:
        for half in (0, 1):
            row = b"".join(bytes([light[letter][half]]) * _SCALE for letter in line)
            rows += [row] * _SCALE
    return b"P5 %d %d 255\n" % (len(rows[0]), len(rows)) + b"".join(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["a", "where       /srv/bäckups  (kind local)\npassword    é$(x)'\"\n" * 3, "x" * 900, "0123456789" * 20],
    ids=["short", "a kit", "long", "digits alone"],
)
def test_a_reader_reads_what_was_written(text: str, tmp_path: Path) -> None:
    """A code that nobody tried is no way back."""
    zbar = require_tool("zbarimg")
    picture = tmp_path / "code.pgm"
    picture.write_bytes(image_of(qr.lines(text)))
    ran = subprocess.run([zbar, "--quiet", "--raw", str(picture)], capture_output=True, check=True)
    assert ran.stdout.decode().rstrip("\n") == text.rstrip("\n")


def test_what_a_kit_tells_fits_into_80_columns() -> None:
    """A console on a server has no more."""
    text = "x" * 400
    assert max(map(len, qr.lines(text))) <= 80


def test_what_is_too_long_is_refused() -> None:
    """Rather than cut."""
    with pytest.raises(UsageError, match="do not fit"):
        qr.modules("x" * 3000)
