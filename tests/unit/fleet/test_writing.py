"""A document is written anew, and what a person wrote in it stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.errors import ConfigurationError
from engine.fleet import comparison, writing
from engine.fleet.document import Document
from engine.model import host_options, source_options
from engine.model.definition_options import HOST_OPTIONS, SOURCE_OPTIONS

TEXT = """\
# Our fleet. Ask Ann before you change it.

[hosts.db]   # the old one
address = "db.example.org"
jump = ['gate', "gate2"]     # both are needed

[hosts."web-[1-2]"]
address = "{name}"   # by DNS

# nightly
[sources.shop]
kind = "postgres"
host = "db"
database = [ "shop", ]
secret = "vault:shop"

[storages.near]
kind = "local"
path = "/srv/backups"
max_size = "1024G"
"""


def fleet(text: str) -> dict[str, dict[str, Any]]:
    """What that document defines."""
    found = comparison.read(Document.parse(text, "fleet.toml"), {}).definitions
    return {table: dict(each) for table, each in found.items()}


def test_what_holds_is_left_as_it_was_written() -> None:
    """Comments, order, quotes and patterns are a person's own."""
    assert writing.write(fleet(TEXT), TEXT, "fleet.toml") == TEXT


def test_only_what_differs_is_changed() -> None:
    """A diff in git shows what happened, and nothing else."""
    defined = fleet(TEXT)
    host, source = defined["hosts"]["db"], defined["sources"]["shop"]
    defined["hosts"]["db"] = replace(
        host, address="new.example.org", options={**host.options, "stage": "staging"}
    )
    defined["hosts"]["web-2"] = replace(defined["hosts"]["web-2"], address="10.0.0.2")
    defined["sources"] = {"site": replace(source, name="site", kind="files", options={"path": ("/srv",)})}
    found = writing.write(defined, TEXT, "fleet.toml")
    assert comparison.changes(comparison.read(Document.parse(found, "f"), {}), defined) == []
    lines = TEXT.splitlines()
    kept = [line for line in found.splitlines() if line in lines]
    assert [line for line in lines if line not in kept] == [
        'address = "db.example.org"',
        "[sources.shop]",
        'kind = "postgres"',
        'database = [ "shop", ]',
        'secret = "vault:shop"',
    ]
    assert "jump = ['gate', \"gate2\"]     # both are needed" in kept
    assert "[hosts.web-2]" in found


def test_what_a_pattern_still_makes_cannot_be_taken_out() -> None:
    """The program does not take a person's pattern apart."""
    defined = fleet(TEXT)
    del defined["hosts"]["web-1"]
    with pytest.raises(ConfigurationError, match=r"line 7: web-1 is not defined any more"):
        writing.write(defined, TEXT, "fleet.toml")


def test_every_option_that_can_be_typed_can_stand_in_a_document() -> None:
    """What a verb defines must come back from an export."""
    assert set(host_options.KEPT) <= set(HOST_OPTIONS)
    assert set(source_options.KEPT) <= set(SOURCE_OPTIONS)


def test_the_schema_knows_the_keys_that_a_document_may_have() -> None:
    """An editor marks a typing error while it is made."""
    schema = writing.schema()
    tables = schema["properties"]
    for table, found in fleet(TEXT).items():
        keys = {
            key
            for key in Document.parse(TEXT, "f").tables[table]
            for key in Document.parse(TEXT, "f").tables[table][key]
        }
        assert keys <= set(tables[table]["additionalProperties"]["properties"]), found
    assert tables["storages"]["additionalProperties"]["required"] == ["kind"]
    step = tables["plans"]["additionalProperties"]["properties"]["steps"]["items"]
    assert {"source", "in_place", "to", "goes_on"} <= set(step["properties"])
    assert not {"backup", "limits", "dry_run", "is_in_place"} & set(step["properties"])
    assert step["additionalProperties"] is False
