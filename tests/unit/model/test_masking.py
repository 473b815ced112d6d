"""Rules for masking: what they say, and what they would break."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UnknownNameError, UsageError
from engine.model import masking
from engine.model.masking import Column, MaskRule, Reference

COLUMNS = [
    Column("people", "email", "text", is_required=True),
    Column("people", "name", "text"),
    Column("people", "upper", "text", is_generated=True),
    Column("orders", "email", "text"),
    Column("orders", "number", "int4"),
]
REFERENCES = [Reference("orders", "email", "people", "email")]


def _chosen(*texts: str) -> list[str]:
    rules = masking.of_tables(map(masking.parse, texts), ["people", "orders"])
    return [rule.how for rule, _ in masking.chosen_columns(rules, COLUMNS, REFERENCES)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("public.people.email=hash", MaskRule("public.people", "email", "hash")),
        ("people.born=null", MaskRule("people", "born", "null")),
        ("people.name=replace:a=hash", MaskRule("people", "name", "replace", "a=hash")),
        ("people.name=replace:", MaskRule("people", "name", "replace", "")),
    ],
)
def test_a_rule_is_read_as_it_is_written(text: str, expected: MaskRule) -> None:
    """A rule that is understood otherwise masks something else."""
    assert masking.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["people=hash", "people.email", "people.email=blur", ".email=hash", "people.=null"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    """Masking that was mistyped must not pass for masking."""
    with pytest.raises(UsageError, match="no rule"):
        masking.parse(text)


def test_the_first_rule_of_a_column_counts() -> None:
    """What is said for one restore goes before what the source keeps."""
    rules = masking.joined(["a.b=null"], ["a.b=hash", "a.c=hash"])
    assert [(rule.column, rule.how) for rule in rules] == [("b", "null"), ("c", "hash")]


def test_both_sides_of_a_foreign_key_are_hashed_or_the_referring_one_is_null() -> None:
    """A restore that cannot be dumped again is worth little."""
    assert _chosen("people.email=hash", "orders.email=hash") == ["hash", "hash"]
    assert _chosen("orders.email=null") == ["null"]
    for texts in (
        ["people.email=hash"],
        ["orders.email=hash"],
        ["people.email=replace:x", "orders.email=hash"],
    ):
        with pytest.raises(UsageError, match="would not fit"):
            _chosen(*texts)


def test_what_cannot_be_masked_is_refused_by_its_name() -> None:
    """Before a row is touched."""
    with pytest.raises(UnknownNameError, match="people has no column mail"):
        _chosen("people.mail=hash")
    with pytest.raises(UsageError, match=r"people\.email cannot be null"):
        _chosen("people.email=null", "orders.email=null")
    with pytest.raises(UsageError, match=r"people\.upper is computed"):
        _chosen("people.upper=hash")
    with pytest.raises(UnknownNameError, match="no table persons"):
        masking.require_tables([masking.parse("persons.name=hash")], ["people", "public.orders"])


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=200))
def test_the_pads_make_an_hmac(key: bytes, value: bytes) -> None:
    """What servers compute by two plain hashes is what everybody calls HMAC-SHA256."""
    inner, outer = (bytes.fromhex(pad) for pad in masking.pads(key))
    digest = hashlib.sha256(outer + hashlib.sha256(inner + value).digest()).hexdigest()
    assert digest == hmac.new(key, value, "sha256").hexdigest()
