"""What a storage behind opendal is told becomes what opendal and stock restic are told."""

from __future__ import annotations

import base64
import json
import re

import opendal
import pytest

from engine import errors
from engine.clock import SystemClock
from engine.model import storage_options
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages.base import Opening
from engine.storages.opendal.kinds import KINDS, Told

KEY = base64.b64encode(b"key").decode()
DRIVE: tuple[dict[str, OptionValue], dict[str, str]] = (
    {"prefix": "a", "client_id": "id"},
    {"client_secret": "cs", "refresh_token": "rt"},
)
GIVEN: dict[str, tuple[dict[str, OptionValue], dict[str, str]]] = {
    "azure": ({"container": "c", "account": "acc", "prefix": "/a/b/"}, {"account_key": KEY}),
    "b2": ({"bucket": "b", "bucket_id": "i"}, {"access_key_id": "k", "secret_key": "s"}),
    "dropbox": DRIVE,
    "gcs": ({"bucket": "b", "prefix": "a"}, {"credentials": json.dumps({"private_key": "x"}, indent=1)}),
    "gdrive": DRIVE,
    "onedrive": DRIVE,
    "swift": ({"container": "c", "endpoint": "https://s/v1/AUTH_x"}, {"token": "t"}),
    "webdav": ({"endpoint": "https://d/dav/", "user": "u", "prefix": "a"}, {"secret": "p"}),
}
STOCK = {"gcs": "gs:b:/a"} | dict.fromkeys(("dropbox", "gdrive", "onedrive", "webdav"), "rclone:holdfast:a")
"""What restic is given where that is not the location."""
LOCATIONS = {
    "azure": "azure:c:/a/b",
    "b2": "b2:b:/",
    "dropbox": "dropbox:/a",
    "gcs": "gs:b:/a",
    "gdrive": "gdrive:/a",
    "onedrive": "onedrive:/a",
    "swift": "swift:c:/",
    "webdav": "https://d/dav/a",
}


def told(kind: str, **changed: OptionValue) -> Told:
    """The options and secrets of that kind, some of them changed; None takes one away."""
    options, secrets = GIVEN[kind]
    kept = {**options, **secrets, **changed}
    is_secret = {each.name for each in storage_options.OPTIONS if each.is_secret}
    return Told(
        Opening(
            options={name: value for name, value in kept.items() if name not in is_secret},
            clock=SystemClock(),
            secrets={
                name: Secret(str(value))
                for name, value in kept.items()
                if name in is_secret and value is not None
            },
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_makes_an_operator_and_says_where_it_is(kind: str) -> None:
    """A word that opendal does not know is found when the first backup fails."""
    found = KINDS[kind]
    opendal.AsyncOperator(found.scheme, **found.arguments(told(kind)), root="/a")
    assert found.location(told(kind)) == LOCATIONS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_a_kind_can_be_typed(kind: str) -> None:
    """What the member reads, the command line must know."""
    options, secrets = GIVEN[kind]
    assert {*options, *secrets} <= set(storage_options.KINDS[kind].names)


@pytest.mark.parametrize("kind", KINDS)
def test_stock_restic_is_told_of_options_that_are_there(kind: str) -> None:
    """A variable of an option that nobody gave would be exported empty."""
    options, secrets = GIVEN[kind]
    restic = KINDS[kind].restic(told(kind))
    assert set(restic.environment.values()) <= {*options, *secrets}
    assert restic.can_open is (kind in ("azure", "b2", "swift"))
    assert restic.can_open or f"restic -r {STOCK[kind]} snapshots" in restic.note
    named = {each.lower() for each in re.findall(r"HOLDFAST_([A-Z_]+)", restic.note)}
    assert named <= set(secrets)
    for value in secrets.values():
        assert value not in restic.note.split()


WRONG: list[tuple[str, dict[str, OptionValue], str]] = [
    ("azure", {"account_key": None}, "one of --account-key or --sas-token"),
    ("azure", {"sas_token": "sig=x"}, "was given 2"),
    ("azure", {"account_key": "no base64"}, "no key of an Azure account"),
    ("azure", {"container": "a/b"}, "which is no name"),
    ("azure", {"prefix": "a/../b"}, "is no plain path"),
    ("azure", {"prefix": "a//b"}, "is no plain path"),
    ("azure", {"prefix": "a\nb"}, "is no plain path"),
    ("azure", {"endpoint": "ftp://x"}, "is no address"),
    ("azure", {"endpoint": "https://x/?sig=y"}, "is no address"),
    ("azure", {"endpoint": "https://x:99999"}, "is no address"),
    ("azure", {"endpoint": "https://u:p@x"}, "holds a login"),
    ("b2", {"bucket_id": None}, "bucket_id"),
    ("b2", {"secret_key": ""}, "--secret-key is empty"),
    ("b2", {"secret_key": "a\nb"}, "no line of text"),
    ("dropbox", {"client_secret": None}, "client_secret"),
    ("dropbox", {"token": "t"}, "was given 2"),
    ("gcs", {"credentials": "{}"}, "no key of a service account"),
    ("gcs", {"credentials": "[1]"}, "no key of a service account"),
    ("gcs", {"token": "t"}, "was given 2"),
    ("gdrive", {"client_id": None}, "client_id"),
    ("swift", {"endpoint": None}, "endpoint"),
    ("webdav", {"secret": None}, "secret"),
]


@pytest.mark.parametrize(("kind", "changed", "said"), WRONG, ids=[f"{each[0]} {each[2]}" for each in WRONG])
def test_a_wrong_option_is_named(kind: str, changed: dict[str, OptionValue], said: str) -> None:
    """Before anything is sent."""
    found = told(kind, **changed)
    with pytest.raises(errors.ConfigurationError, match=re.escape(said)):
        _ = KINDS[kind].arguments(found), found.prefix(), KINDS[kind].login(found)


def test_what_is_sealed_may_end_in_a_line_break() -> None:
    """Files of keys do, and a signature may begin with the mark of a query."""
    arguments = KINDS["azure"].arguments(told("azure", account_key=None, sas_token="?sig=x\n"))
    assert arguments["sas_token"] == "sig=x"
