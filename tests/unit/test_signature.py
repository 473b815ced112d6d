"""Signatures of files: a changed byte is told, and OpenSSH agrees."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import signature
from engine.errors import UsageError
from tests.servers.tools import missing

SEED, OTHER = bytes(range(32)), bytes(32)
KEYS = [signature.public_key(SEED)]


@given(st.binary(max_size=200), st.data())
def test_whoever_changes_a_byte_breaks_the_signature(content: bytes, data: st.DataObject) -> None:
    """Any byte, one more, one fewer."""
    text = signature.sign(SEED, content)
    assert signature.verify(content, text, KEYS).verdict == "valid"
    place = data.draw(st.integers(0, len(content)))
    changed = content[:place] + data.draw(st.binary(max_size=3)) + content[place + 1 :]
    expected = "valid" if changed == content else "changed"
    assert signature.verify(changed, text, KEYS).verdict == expected


@given(st.data())
def test_no_damage_to_the_signature_itself_makes_it_valid(data: st.DataObject) -> None:
    """Nor does it raise: the file comes from anywhere."""
    text = signature.sign(SEED, b"content")
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:place] + data.draw(st.binary(max_size=2)) + text[place + 1 :]
    found = signature.verify(b"content", damaged, KEYS)
    assert found.verdict != "valid" or b"".join(damaged.split()) == b"".join(text.split())


@given(st.binary(max_size=300))
def test_any_bytes_are_no_signature(text: bytes) -> None:
    """A file of that name may hold anything."""
    assert signature.verify(b"content", text, KEYS).verdict == "no-signature"


def test_another_home_s_key_is_told_apart_from_a_change() -> None:
    """Whoever checks with last year's key must not be told that the evidence was forged."""
    found = signature.verify(b"content", signature.sign(OTHER, b"content"), KEYS)
    assert found == signature.Found("other-key", signature.fingerprint(signature.public_key(OTHER)))


def test_a_public_key_is_read_back_from_its_line() -> None:
    """Also out of a file that holds other keys, remarks, or OpenSSH's list of allowed signers."""
    line = signature.public_line(KEYS[0], "of a home")
    text = f"# remark\n\nssh-rsa AAAA somebody\n{line}\nholdfast {line}\nssh-ed25519 !!!! x\n"
    assert signature.parse_public_lines(text.encode(), "keys") == KEYS * 2


@pytest.mark.parametrize("text", [b"", b"ssh-ed25519", b"ssh-rsa AAAA x", b"\xff\x00", b"ssh-ed25519 AAAA x"])
def test_a_file_without_a_public_key_is_one_sentence(text: bytes) -> None:
    """The private key's file, say, or the evidence itself."""
    with pytest.raises(UsageError, match="keys holds no Ed25519 public key"):
        signature.parse_public_lines(text, "keys")


def test_openssh_says_the_same(tmp_path: Path) -> None:
    """If holdfast is gone, an auditor has ssh-keygen."""
    if shutil.which("ssh-keygen") is None:
        missing("ssh-keygen")
    line = signature.public_line(KEYS[0], "of a home")
    (tmp_path / "signers").write_text(f"holdfast {line}\n", encoding="ascii")
    (tmp_path / "signature").write_bytes(signature.sign(SEED, b"content"))
    words = ["ssh-keygen", "-Y", "verify", "-n", signature.NAMESPACE, "-I", "holdfast"]
    words += ["-f", str(tmp_path / "signers"), "-s", str(tmp_path / "signature")]
    good = subprocess.run(words, input=b"content", capture_output=True, check=False)
    assert (good.returncode, signature.fingerprint(KEYS[0]) in good.stdout.decode()) == (0, True)
    assert subprocess.run(words, input=b"contemt", capture_output=True, check=False).returncode != 0
