"""Files of evidence: what the audit log says of them, and names that are no text."""

from __future__ import annotations

from pathlib import Path

import orjson

from engine.jobs.evidence_files import Kept, claim_of, claims, encode


def test_only_the_end_of_an_audit_line_speaks_of_evidence() -> None:
    """What a person typed stands in the same line."""
    line = "by x; evidence y sha256:" + "1" * 64 + " z" + claim_of([Kept(Path("/e/a"), "2" * 64)])
    assert [(each.name, each.digest[0]) for each in claims(3, line)] == [("a", "2")]
    assert claims(3, "passed") == []


def test_an_audit_line_speaks_of_several_files() -> None:
    """The page lies beside the JSON."""
    line = "passed" + claim_of([Kept(Path("/e/a.json"), "1" * 64), Kept(Path("/e/a.pdf"), "2" * 64)])
    assert [each.name for each in claims(3, line)] == ["a.json", "a.pdf"]


def test_a_name_that_is_no_text_does_not_keep_the_evidence_from_being_written() -> None:
    """Databases and files are called as somebody liked."""
    told = orjson.loads(encode({"names": ("shop\udcff", "Łódź"), "deep": {"x\udc80": 1}}))
    assert told == {"names": ["shop\\udcff", "Łódź"], "deep": {"x\\udc80": 1}}
