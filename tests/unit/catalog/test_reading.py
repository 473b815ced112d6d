"""What people see who may look at the catalog and do not own it."""

from __future__ import annotations

import re

from engine.catalog import reading
from engine.catalog.opening import Schema


def test_every_table_is_shown_to_readers_or_kept_from_them() -> None:
    """A new table is thought about: does it hold anything that only the owner may know?"""
    tables = set(re.findall(r"^CREATE TABLE (\w+)", Schema.current().whole, re.MULTILINE))
    assert tables == reading.SHOWN | reading.EMPTIED
    assert not reading.SHOWN & reading.EMPTIED
