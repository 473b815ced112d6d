"""The options of sources, against what their kinds take."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest

from engine.errors import ConfigurationError, HoldfastError, UsageError
from engine.hosts import registry as hosts
from engine.model import source_options
from engine.model.definition_options import SOURCE_OPTIONS
from engine.model.definitions import LOCAL_HOST, Host, OptionValue, Source
from engine.model.secret import Secret
from engine.sources import registry

_LEAST: Mapping[str, Mapping[str, OptionValue]] = {
    "files": {"path": "/a"}, "sqlite": {"path": "/a"}, "postgres": {"all": True}, "mariadb": {"all": True}, "mysql": {"all": True},
    "command": {"run": "true", "filename": "f"}, "mongodb": {"uri_from": "env:U"},
}  # fmt: skip


_SECRETS = {"uri_from": Secret("mongodb://localhost"), "secret": Secret("x")}


async def _no_secret(_reference: str) -> Secret:
    raise AssertionError


@pytest.mark.parametrize("kind", source_options.KINDS)
async def test_the_table_of_a_kind_is_what_the_kind_takes(kind: str) -> None:
    """A field that the kind refuses is a trap; one that is missing can only be set on the command line."""
    refused = set()
    async with hosts.open_host(Host(LOCAL_HOST, "local"), resolve_secret=_no_secret) as host:
        for option in source_options.ALL:
            given = {option.name: ("1",) if option.is_several else True if option.is_flag else "1"}
            with suppress(HoldfastError):
                try:
                    options: dict[str, OptionValue] = {**_LEAST.get(kind, {}), **given}
                    async with registry.open_source(Source("s", kind, options=options), host, _SECRETS):
                        pass
                except ConfigurationError as error:
                    if f"{option.flag} of source s is not known" in error.message.replace(
                        "--as-user", "--as"
                    ):
                        refused.add(option.name)
    taken = {each.name for each in source_options.taken_by(kind)} - {"objective", "mask"}
    assert taken.isdisjoint(refused)
    assert {each.name for each in source_options.ALL} - {"objective", "mask"} - refused == taken


def test_every_option_that_is_kept_can_be_typed() -> None:
    """The catalog, the file of the fleet and the command line have the same ones."""
    assert set(source_options.KEPT) == set(SOURCE_OPTIONS)
    assert source_options.taken_by("stranger") == source_options.ALL


def test_a_path_of_this_machine_begins_at_its_root() -> None:
    """The worker starts somewhere else."""
    found = source_options.shaped("files", LOCAL_HOST, {"path": ("a",), "exclude": ("b",)}, "/here/".__add__)
    assert found == {"path": ("/here/a",), "exclude": ("b",)}
    assert source_options.shaped("files", "web", {"path": ("a",)}, str)["path"] == ("a",)
    assert source_options.shaped("sqlite", LOCAL_HOST, {"path": ("a",)}, str) == {"path": "a"}
    assert source_options.shaped("redis", "web", {"port": 1}, str) == {"port": 1}


def test_two_databases_of_one_file_each_are_two_sources() -> None:
    """The second one would be left out without a word."""
    with pytest.raises(UsageError, match="has one --path"):
        source_options.shaped("sqlite", "web", {"path": ("a", "b")}, str)
