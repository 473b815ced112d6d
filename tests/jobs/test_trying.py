"""Definitions that are tried before they are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.errors import HoldfastError, HostError, StorageError, UnknownNameError, UsageError
from engine.model.alerts import Destination
from engine.model.definitions import Host, Source, Storage
from engine.model.schedules import Schedule, Timing
from engine.model.secret import Secret
from tests.jobs.world import World
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.slow


async def test_a_host_is_tried_with_a_passphrase_that_is_kept_nowhere(world: World, sshd: Sshd) -> None:
    """It is typed into a form that may be left by escape."""
    reference = "vault:host.web"
    options = {
        "identity": (str(sshd.encrypted_key),),
        "passphrase": reference,
        "known_hosts": (str(sshd.known_hosts),),
        "ssh_config": "none",
    }
    host = Host("web", "ssh", f"{sshd.user}@{sshd.address}:{sshd.port}", options)
    found = await world.engine.try_host(host, {reference: Secret(sshd.passphrase)})
    assert found.user == sshd.user
    assert found.login_s > 0
    assert "tar" in dict(found.tools)
    with pytest.raises(HostError):
        await world.engine.try_host(host, {reference: Secret("another")})
    assert await world.engine.secrets() == []
    assert [each.name for each in await world.engine.hosts()] == ["localhost"]


async def test_a_source_is_tried_and_none_is_defined(world: World, tmp_path: Path) -> None:
    """A path that is not there is told while it is typed."""
    (tmp_path / "tree").mkdir()
    await world.engine.try_source(Source("site", "files", options={"path": (str(tmp_path / "tree"),)}))
    with pytest.raises(HoldfastError):
        await world.engine.try_source(Source("site", "files", options={"path": (str(tmp_path / "none"),)}))
    with pytest.raises(UnknownNameError, match="web"):
        await world.engine.try_source(Source("site", "files", "web", {"path": ("/a",)}))
    assert await world.engine.sources() == []


async def test_a_storage_is_tried_without_a_trace(world: World, tmp_path: Path) -> None:
    """The folder is made when it is defined, and not while its name is typed."""
    place = tmp_path / "backups" / "near"
    found = await world.engine.try_storage(Storage("near", "local", {"path": str(place)}), is_writing=True)
    assert found.is_writable
    assert not found.has_repository
    assert (found.free_bytes or 0) > 0
    assert not place.parent.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is no folder"):
        await world.engine.try_storage(Storage("near", "local", {"path": str(tmp_path / "file" / "x")}))
    await world.add_storages("main")
    path = {"path": str(world.place("main"))}
    assert (await world.engine.try_storage(Storage("second", "local", path))).has_repository


async def test_a_storage_elsewhere_is_written_to_only_where_that_is_asked(world: World, sshd: Sshd) -> None:
    """Whoever types must not leave files behind."""
    await world.add_host(sshd)
    world.place("").mkdir()
    storage = Storage("far", "sftp", {"host": "server", "path": str(world.place("far"))})
    assert (await world.engine.try_storage(storage)).is_writable is None
    assert not world.place("far").exists()
    await world.engine.add_storage(storage)
    assert (await world.engine.try_storage(storage, is_writing=True)).is_writable
    packs = [each for each in (world.place("far") / "data").rglob("*") if each.is_file()]
    assert packs == []


async def test_the_next_runs_of_a_schedule_are_told_before_it_is_defined(
    world: World, tmp_path: Path
) -> None:
    """A rhythm that was misunderstood shows at once."""
    await world.add_storages("main")
    await world.add_files("site", tmp_path)
    schedule = Schedule("nightly", rhythm="daily at 02:00", sources=("site",), timing=Timing("Europe/Berlin"))
    runs = await world.engine.preview_schedule(schedule, count=3)
    assert [f"{each.at:%H:%M}" for each in runs] == ["02:00"] * 3
    assert await world.engine.schedules() == []
    await world.engine.add_schedule(schedule)
    other = dataclasses.replace(schedule, name="other", rhythm="daily at 02:05")
    (run,) = await world.engine.preview_schedule(other, count=1)
    assert [each.schedule for each in run.overlaps] == ["nightly"]
    with pytest.raises(UsageError):
        await world.engine.preview_schedule(dataclasses.replace(schedule, rhythm="now and then"))


@pytest.mark.parametrize("old", ["", "older"])
async def test_a_secret_of_what_could_not_be_defined_is_as_it_was(world: World, old: str) -> None:
    """All of it or nothing."""
    if old:
        await world.engine.set_secret("source.site", Secret(old))
    before = await world.engine.secrets()
    bad = Source("site", "redis", "nowhere", {"secret": "vault:source.site"})
    with pytest.raises(HoldfastError):
        await world.engine.add_source(bad, typed={"vault:source.site": Secret("new")})
    assert [name for name, _ in await world.engine.secrets()] == [name for name, _ in before]
    if old:
        assert (await world.engine._parts.vault.get("source.site")).reveal() == old.encode()
    good = Source("site", "redis", options={"secret": "vault:source.site"})
    await world.engine.add_source(good, typed={"vault:source.site": Secret("new")})
    assert (await world.engine._parts.vault.get("source.site")).reveal() == b"new"


async def test_a_definition_is_told_as_a_command_line_and_as_the_file_of_the_fleet(world: World) -> None:
    """What a form amounts to can be taken elsewhere."""
    source = Source("site", "files", "web", {"path": ("/var/www", "/srv/a b")})
    found = world.engine.definition_text(source)
    assert (
        found.command_line
        == "holdfast source add site --kind files --host web --path /var/www --path '/srv/a b'"
    )
    assert found.toml == '[sources.site]\nkind = "files"\nhost = "web"\npath = ["/var/www", "/srv/a b"]\n'
    assert "[destinations.ops]" in world.engine.definition_text(Destination("ops", "ping", "env:U")).toml
    changed = dataclasses.replace(source, options={"path": ("/var/www",)})
    assert (
        world.engine.definition_text(changed, source).command_line
        == "holdfast source edit site --path /var/www"
    )
    assert world.engine.machine_timezone()
