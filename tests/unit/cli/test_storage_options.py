"""Each kind of storage takes its own options, and says so of others."""

from __future__ import annotations

import pytest

from engine.cli import storage_options as typed
from engine.cli.command import Parser
from engine.errors import UsageError
from engine.model import storage_options


@pytest.mark.parametrize("kind", storage_options.KINDS)
def test_every_option_of_a_kind_is_declared(kind: str) -> None:
    """A name in the table of kinds that nobody can type is a dead one."""
    declared = {each.name for each in storage_options.OPTIONS}
    assert set(storage_options.KINDS[kind].names) <= declared


def test_an_option_of_another_kind_is_refused() -> None:
    """What is ignored quietly is believed to hold."""
    with pytest.raises(
        UsageError, match="--bucket means nothing to a storage of kind local: s3, b2, gcs take it"
    ):
        storage_options.check_taken("local", {"path": "/a", "bucket": "b"})
    with pytest.raises(UsageError, match="kind b2: s3 takes it"):
        storage_options.check_taken("b2", {"session_token_ref": "env:X"})


@pytest.mark.parametrize(
    ("kind", "way"), [("webdav", "HTTPS_PROXY"), ("sftp", "--jump"), ("local", "by way of none")]
)
def test_who_gives_a_proxy_to_a_kind_that_takes_none_is_told_the_way(kind: str, way: str) -> None:
    """The machine may not go out by itself, and the storage would not be reached."""
    with pytest.raises(UsageError, match="s3, rclone, rest take it") as caught:
        storage_options.check_taken(kind, {"proxy": "http://p:1"})
    assert way in (caught.value.hint or "")


def test_the_help_names_each_option_once_below_the_kinds_that_take_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sixty options in one list are read by nobody."""
    monkeypatch.setenv("COLUMNS", "80")
    parser = Parser("storage add", "create a repository")
    typed.declare(parser, "NAME --kind KIND [OPTION ...]")
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= 80
    for kind in storage_options.KINDS:
        assert f"\nkind {kind}:\n" in text
    heads = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert {each.flag for each in storage_options.OPTIONS} <= set(heads)
    assert "takes --endpoint" in " ".join(text[text.index("kind s3:") :].split())
    assert "s3, azure, gcs: another address" in " ".join(text[text.index("of several kinds:") :].split())


def test_options_of_every_kind_are_taken() -> None:
    """Limits and connections."""
    storage_options.check_taken(
        "local", {"path": "/a", "connections": 2, "limit_upload": 1, "limit_download": None}
    )
