"""A recovery kit is read back as it was printed: by a person in need, and by a drill."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.jobs import recovery_kit
from engine.jobs.recovery_kit import Place
from engine.model.definitions import OptionValue, Storage
from engine.model.secret import Secret
from engine.storages.base import StockRestic

_LINE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1).map(str.strip).filter(bool)  # fmt: skip
_WORD = _LINE.filter(lambda text: not text.startswith(("--", "env:")))
_NOW = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


def kit_of(storage: Storage, restic: StockRestic, password: str, secrets: dict[str, Secret]) -> str:
    """The text of a kit of a repository at `somewhere`."""
    return recovery_kit.text(storage, Place("somewhere", "0a" * 32, restic), Secret(password), secrets, _NOW)


@given(_WORD, _LINE, _LINE, _LINE)
def test_what_a_kit_says_is_read_back(place: str, password: str, key: str, secret: str) -> None:
    """Whatever the folder is called."""
    options: dict[str, OptionValue] = {
        "path": place,
        "connections": 3,
        "versioned": True,
        "key_id_ref": "vault:k",
        "secret_key_ref": "file:/s",
        "region": "here",
    }
    restic = StockRestic(environment={"AWS_ID": "key_id", "AWS_REGION": "region"}, flags=("-o", "s3.x=y"))
    text = kit_of(
        Storage("near", "s3", options),
        restic,
        password,
        {"key_id": Secret(key), "secret_key": Secret(secret)},
    )
    kit = recovery_kit.read(text)
    assert (kit.kind, kit.repository_id) == ("s3", "0a" * 32)
    assert kit.options == {"path": place, "connections": "3", "versioned": True, "region": "here"}
    assert kit.password.reveal().decode() == password
    assert {name: each.reveal().decode() for name, each in kit.secrets.items()} == {
        "key_id": key,
        "secret_key": secret,
    }
    assert "password=" not in repr(kit)
    assert "export AWS_REGION=here\n" in text
    assert "  restic -o s3.x=y -r somewhere snapshots\n" in text


def test_a_kit_of_what_restic_cannot_open_says_what_to_do_instead() -> None:
    """A command line that cannot work would cost the hour that matters."""
    restic = StockRestic(can_open=False, note="Copy the objects into a folder first.")
    text = kit_of(Storage("far", "dropbox", {"path": "/a"}), restic, "p", {})
    assert "Copy the objects into a folder first.\n" in text
    assert "restic -r" not in text
    assert recovery_kit.read(text).options == {"path": "/a"}


def test_a_key_that_is_a_file_of_json_fits_on_a_line() -> None:
    """Google's keys are files of many lines, and a person types one at a time."""
    account = {"private_key": "-----BEGIN\nx\n", "type": "service_account"}
    secrets = {"credentials": Secret(json.dumps(account, indent=2))}
    text = kit_of(Storage("s", "gcs", {"credentials_ref": "vault:k"}), StockRestic(), "p", secrets)
    kit = recovery_kit.read(text)
    assert json.loads(kit.secrets["credentials"].reveal()) == account


@pytest.mark.parametrize("text", ["", "password    x\n", "where       /a  (kind local)\npassword    x\n"])
def test_what_is_no_kit_is_refused(text: str) -> None:
    """Another sheet of paper."""
    with pytest.raises(UsageError, match="no recovery kit"):
        recovery_kit.read(text)


def test_a_kit_that_lost_a_line_is_refused() -> None:
    """A key that was cut off must not look like one that is empty."""
    text = kit_of(Storage("s", "s3", {"key_ref": "vault:k"}), StockRestic(), "p", {"key": Secret("k")})
    cut = "\n".join(line for line in text.splitlines() if "export" not in line)
    with pytest.raises(UsageError, match="exports no HOLDFAST_KEY"):
        recovery_kit.read(cut)
