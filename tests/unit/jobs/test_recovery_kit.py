"""A recovery kit is read back as it was printed: by a person in need, and by a drill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.jobs import recovery_kit

_LINE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1).map(str.strip).filter(bool)  # fmt: skip


@given(_LINE, _LINE)
def test_place_and_password_are_read_back(place: str, password: str) -> None:
    """Whatever the folder is called."""
    text = f"RECOVERY KIT\n\nwhere       {place}  (kind local)\nrepository  {'0a' * 32}\npassword    {password}\n\nTo restore:\n"
    kit = recovery_kit.read(text)
    assert (kit.location, kit.kind, kit.repository_id) == (place, "local", "0a" * 32)
    assert kit.password.reveal().decode() == password
    assert "password" not in repr(kit).replace(place, "")


@pytest.mark.parametrize("text", ["", "password    x\n", "where       /a  (kind local)\npassword    x\n"])
def test_what_is_no_kit_is_refused(text: str) -> None:
    """Another sheet of paper."""
    with pytest.raises(UsageError, match="no recovery kit"):
        recovery_kit.read(text)
