"""Names of databases as names of files."""

from __future__ import annotations

import pytest

from engine.format.layout import LIMIT_BYTES, decode_name, encode_name


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("orders", "orders"),
        ("Bücher & more.2024", "Bücher & more.2024"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("tab\tnew\n\x7f\x85", "tab%09new%0A%7F%C2%85"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("", "%"),
        ("raw\udcff", "raw%FF"),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_name_becomes_a_file_name_and_comes_back(name: str, encoded: str) -> None:
    """Restores and listings rely on it for as long as backups are kept."""
    assert encode_name(name) == encoded
    assert decode_name(encoded) == name


@pytest.mark.parametrize(
    "name", ["x" * 201, "ü" * 101, "/" * 67, "x" * 158 + "/" * 40, "x" * 159 + "/" * 40, "x" * 159 + "ü" * 40]
)
def test_a_name_too_long_for_a_file_is_cut_and_hashed(name: str) -> None:
    """Two long names must not become one file; the manifest has the true ones."""
    encoded = encode_name(name)
    assert len(encoded.encode()) <= LIMIT_BYTES
    assert encoded != encode_name(name + "y")
    assert decode_name(encoded) is None
    kept = encoded.partition("%~")[0]
    assert name.startswith(decode_name(kept) or "?")


def test_a_file_name_that_nobody_encoded_still_means_something() -> None:
    """A hostile or odd snapshot must not raise."""
    assert decode_name("50%zz") == "50%zz"
    assert decode_name("\udcff\ud800") == "\udcff?"
