"""Hosts, sources and storages are kept as they were defined."""

from __future__ import annotations

import pytest

from engine.catalog.catalog import Catalog
from engine.errors import UnknownNameError, UsageError
from engine.model.definitions import Host, Source, Storage

WEB = Host("web1", address="backup@web1.example:2222", options={"jump": "gate", "max_channels": 4})
FILES = Source("web-files", "files", "web1", {"path": ["/srv", "/etc"], "one_file_system": True})
VAULT = Storage("shelf", "local", {"path": "/mnt/shelf"}, password="vault:shelf", repository_id="ab" * 32)


async def test_a_host_is_given_back_as_it_was_added(catalog: Catalog) -> None:
    """What a person typed is what later runs use."""
    await catalog.hosts.add(WEB)
    assert (await catalog.hosts.get("web1"), await catalog.hosts.all()) == (WEB, [WEB])


async def test_a_source_is_given_back_as_it_was_added(catalog: Catalog) -> None:
    """A path that is lost is not backed up."""
    await catalog.hosts.add(WEB)
    await catalog.sources.add(FILES)
    found = await catalog.sources.get("web-files")
    assert (found.name, found.kind, found.host, dict(found.options)) == (
        "web-files",
        "files",
        "web1",
        {"path": ["/srv", "/etc"], "one_file_system": True},
    )


async def test_this_machine_is_a_host_without_being_added(catalog: Catalog) -> None:
    """A source that names no host lies here."""
    await catalog.sources.add(Source("etc", "files", options={"path": ["/etc"]}))
    assert (await catalog.hosts.get("localhost")).kind == "local"


async def test_the_first_storage_is_the_default_until_another_is_made_so(catalog: Catalog) -> None:
    """A backup that names no storage goes to one, and to one only."""
    await catalog.storages.add(VAULT)
    await catalog.storages.add(Storage("cellar", "local", {"path": "/mnt/cellar"}))
    before = [each.name for each in await catalog.storages.all() if each.is_default]
    await catalog.storages.make_default("cellar")
    after = [each.name for each in await catalog.storages.all() if each.is_default]
    assert (before, after) == (["shelf"], ["cellar"])


async def test_a_name_is_given_once(catalog: Catalog) -> None:
    """A second storage of a name would hide the first."""
    await catalog.storages.add(VAULT)
    with pytest.raises(UsageError, match="there is a storage named shelf already"):
        await catalog.storages.add(VAULT)


async def test_an_unknown_name_comes_with_the_nearest_known_one(catalog: Catalog) -> None:
    """A typing error costs a look, not a search."""
    await catalog.hosts.add(WEB)
    with pytest.raises(UnknownNameError, match="there is no host named wbe1") as caught:
        await catalog.hosts.get("wbe1")
    assert caught.value.hint == "did you mean web1?"


async def test_a_host_is_not_removed_while_sources_lie_on_it(catalog: Catalog) -> None:
    """A source without a host fails each night."""
    await catalog.hosts.add(WEB)
    await catalog.sources.add(FILES)
    with pytest.raises(UsageError, match="host web1 still has sources: web-files"):
        await catalog.hosts.remove("web1")


async def test_a_source_needs_a_host_that_is_there(catalog: Catalog) -> None:
    """A typing error in a host's name shows when the source is added, not at night."""
    with pytest.raises(UnknownNameError, match="there is no host named web1, which source web-files lies on"):
        await catalog.sources.add(FILES)


@pytest.mark.parametrize("name", ["", "1abc", "a b", "a:b", "a/b", "-x", "x" * 65, "a\n", "é"])
async def test_a_name_that_could_be_mistaken_is_refused(catalog: Catalog, name: str) -> None:
    """An id begins with a digit and latest:SOURCE holds a colon: no name may look like either."""
    with pytest.raises(UsageError, match="cannot be the name of a host"):
        await catalog.hosts.add(Host(name))


async def test_a_definition_is_replaced_and_removed(catalog: Catalog) -> None:
    """Machines move and go."""
    await catalog.hosts.add(WEB)
    await catalog.hosts.replace(Host("web1", address="10.0.0.9"))
    moved = await catalog.hosts.get("web1")
    await catalog.hosts.remove("web1")
    assert (moved.address, await catalog.hosts.all()) == ("10.0.0.9", [])


@pytest.mark.parametrize("verb", ["replace", "remove", "make_default"])
async def test_what_is_not_there_is_not_changed(catalog: Catalog, verb: str) -> None:
    """A change that changes nothing has to say so."""
    with pytest.raises(UnknownNameError, match="there is no storage named shelf"):
        await getattr(catalog.storages, verb)(VAULT if verb == "replace" else "shelf")
