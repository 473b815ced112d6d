"""What is sealed under a password is opened by stock age, and by nobody who has another one, or half of it."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from engine.export.age import Sealing
from engine.model.secret import Secret
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow


def sealed(content: bytes, password: str, piece: int = 50_000) -> bytes:
    """The sealed form of a content that comes in pieces."""
    out: list[bytes] = []
    sealing = Sealing(out.append, Secret(password))
    for begin in range(0, len(content), piece):
        sealing.take(content[begin : begin + piece])
    sealing.finish()
    return b"".join(out)


def opened(content: bytes, password: str, directory: Path) -> bytes | None:
    """What stock age makes of it, which asks for the password on a terminal; None where it refuses."""
    age = require_tool("age")
    (directory / "sealed").write_bytes(content)
    main, other = pty.openpty()
    try:
        # age asks the controlling terminal, whatever its standard input is.
        words: list[str | Path] = [
            require_tool("setsid"),
            "-cw",
            age,
            "-d",
            "-o",
            directory / "opened",
            directory / "sealed",
        ]
        with subprocess.Popen(words, stdin=other, stdout=other, stderr=other) as process:
            os.close(other)
            other = -1
            os.write(main, password.encode() + b"\n")
            while True:
                try:
                    if not os.read(main, 4096):
                        break
                except OSError:
                    break
            code = process.wait(60)
    finally:
        os.close(main)
        if other >= 0:
            os.close(other)
    if code:
        return None
    made = directory / "opened"
    return made.read_bytes() if made.exists() else b""  # of nothing age makes no file


@pytest.mark.parametrize("size", [0, 65_536, 65_537, 200_000])
def test_stock_age_opens_it(size: int, tmp_path: Path) -> None:
    """Chunks end where they may."""
    content = os.urandom(size)
    assert opened(sealed(content, "correct horse é"), "correct horse é", tmp_path) == content


def test_another_password_or_a_changed_or_cut_file_is_refused(tmp_path: Path) -> None:
    """What was tampered with must not unpack."""
    made = sealed(bytes(200_000), "right")
    assert opened(made, "wrong", tmp_path) is None
    assert opened(made[:-1] + bytes([made[-1] ^ 1]), "right", tmp_path) is None
    whole_chunks = len(made) - (200_000 % 65_536 + 16)
    assert opened(made[:whole_chunks], "right", tmp_path) is None
