"""Options as fields of a form, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings

from engine.errors import UsageError
from engine.model import host_options, schedule_options, source_options, storage_options
from engine.model.options import Option
from tests.properties.test_command_lines import some
from tui.dialogs.fields import Field
from tui.dialogs.wizards import option_fields

ALL = (*host_options.OPTIONS, *source_options.ALL, *storage_options.OPTIONS, *schedule_options.ALL)
UNIQUE = tuple({each.kept_as: each for each in ALL}.values())


def _values(fields: list[Field]) -> dict[str, str]:
    return {each.name: each.value for each in fields}


def _is_line(value: object) -> bool:
    """Nobody types what ends a line, nor what cannot be seen."""
    texts = value if isinstance(value, list | tuple) else [value]
    return all(str(each).isprintable() and str(each) == str(each).strip() for each in texts)


@settings(max_examples=40)
@given(some(UNIQUE))
def test_a_form_that_is_saved_as_it_was_opened_changes_nothing(options: dict[str, Any]) -> None:
    """Whatever a definition says that can be typed, its fields say the same."""
    assume(all(map(_is_line, options.values())))
    given = option_fields.read(
        UNIQUE, _values(option_fields.fields_of(UNIQUE, options)), lambda each: each.name
    )
    assert given.options == options
    assert given.typed == {}
    assert option_fields.differences(options, given.options, [each.kept_as for each in UNIQUE]) == {}


def test_a_secret_that_is_typed_is_told_from_a_place_where_it_is_kept() -> None:
    """One is sealed, the other one read where it is."""
    option = Option("secret", "", is_secret=True, suffix="_ref")
    given = option_fields.read([option], {"secret_ref": "hunter2"}, lambda each: f"storage.near.{each.name}")
    assert given.options == {"secret_ref": "vault:storage.near.secret"}
    assert [(name, secret.reveal()) for name, secret in given.typed.items()] == [
        ("vault:storage.near.secret", b"hunter2")
    ]
    assert option_fields.read([option], {"secret_ref": "env:PASS"}, str).typed == {}
    assert "hunter2" not in repr(given)


def test_options_that_nobody_wants_first_of_all_wait_until_they_are_called() -> None:
    """Fifty fields are read by nobody."""
    (field,) = option_fields.fields_of([Option("jobs", "", type="count")], {})
    assert not field.is_shown({})
    assert field.is_shown({option_fields.MORE: "yes"})
    assert field.is_shown({"jobs": "3"})
    (field,) = option_fields.fields_of([Option("jobs", "", type="count")], {"jobs": 3})
    assert field.is_shown({})


def test_a_list_of_the_catalog_is_no_change() -> None:
    """JSON has no tuples."""
    assert option_fields.differences({"path": ["/a"]}, {"path": ("/a",)}, ["path"]) == {}
    assert option_fields.differences({"path": ["/a"], "kept": 1}, {}, ["path"]) == {"path": None}


def test_a_wrong_value_names_its_option() -> None:
    """Of twenty fields one is wrong."""
    with pytest.raises(UsageError, match="--port"):
        option_fields.read([Option("port", "", type="count")], {"port": "x"}, str)
