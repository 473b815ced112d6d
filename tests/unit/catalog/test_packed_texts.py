"""What jobs asked and gave, packed: it comes back whole, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.packing import pack, unpack
from engine.errors import CatalogDamagedError


@given(st.text(), st.binary(min_size=1, max_size=30))
def test_a_packed_text_comes_back_and_nothing_besides_it_is_taken(text: str, more: bytes) -> None:
    """Half a result, or one with something behind it, says what no job gave."""
    packed = pack(text)
    assert unpack(packed) == text
    for wrong in (b"", packed[:-1], packed + more):
        with pytest.raises(CatalogDamagedError):
            unpack(wrong)
