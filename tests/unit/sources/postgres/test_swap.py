"""The statements of a swap."""

from __future__ import annotations

import pytest

from engine.sources.postgres import facts, quoting, swap
from engine.sources.postgres.facts import Locale

KEPT = swap.Properties(
    owner="o'wner",
    most_connections=7,
    is_open=True,
    comment="it's",
    has_grants=True,
    grants=[{"role": None, "privilege": "CONNECT", "grantable": False}],
    settings=[
        {"role": None, "entry": 'search_path="$user", "a, b"'},
        {"role": "r", "entry": "work_mem=5MB"},
        {"role": None, "entry": "my.setting=a=b, c"},
    ],
)


def test_settings_come_back_as_they_were() -> None:
    """A list of names is set name by name; every other value as one text, whatever stands in it."""
    made = KEPT.statements("d")
    assert """alter database "d" set "search_path" to '$user', 'a, b';""" in made
    assert """alter role "r" in database "d" set "work_mem" to '5MB';""" in made
    assert """alter database "d" set "my"."setting" to 'a=b, c';""" in made


def test_the_heart_of_a_swap_is_one_transaction() -> None:
    """Between the two renames there is no database of the live name."""
    lines = swap.script(swap.Names("f", "l", "a"), KEPT, (1, 2)).splitlines()
    begin, commit = lines.index("begin;"), lines.index("commit;")
    renames = ['alter database "l" rename to "a";', 'alter database "f" rename to "l";']
    assert lines[begin + 1 : begin + 3] == renames
    assert not any("allow_connections" in line for line in lines[begin:commit])
    assert 'alter database "l" with allow_connections true;' in lines[commit:]


@pytest.mark.parametrize(
    ("locale", "text"),
    [(Locale("C", "C"), "C"), (Locale("C", "de", "i", "de-x"), "collate=C ctype=de provider=i locale=de-x")],
)
def test_a_locale_is_read_as_it_is_written(locale: Locale, text: str) -> None:
    """It lies in the manifest as one text."""
    assert (str(locale), facts.Locale.parse(text)) == (text, locale)


@pytest.mark.parametrize(
    ("value", "elements"),
    [("", []), ("a", ["a"]), ('"$user", public', ["$user", "public"]), ('"a ""b"", c",""', ['a "b", c', ""])],
)
def test_a_list_of_names_is_taken_apart(value: str, elements: list[str]) -> None:
    """As the server keeps search_path."""
    assert quoting.list_elements(value) == elements
