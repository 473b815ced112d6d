"""A directory of a host as the target of a restore: what a hostile or damaged repository can do to it, on the host's own tar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine import events
from engine.errors import RestoreError, UsageError
from engine.hosts import registry
from engine.hosts.base import OpenHost
from engine.jobs.host_tree import HostTree
from engine.model.definitions import Host
from engine.model.secret import Secret
from engine.repository import repository
from engine.repository.added import Held
from engine.repository.keys import Kdf
from engine.repository.repository import Repository
from engine.repository.restore_values import RestoreOptions
from tests.fakes.crafted import Crafted, link
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.families.sources import Equipped


@pytest.fixture
async def opened() -> Repository:
    """A repository in memory."""
    kdf = Kdf(n=16, r=1, p=1)
    return await repository.create(
        MemoryStorage(), Secret("correct horse"), clock=LoopClock(), polynomial_=0x3DA3358B4DC173, kdf=kdf
    )


@pytest.fixture
async def host() -> AsyncIterator[OpenHost]:
    """This machine, as any host."""

    async def none(_reference: str) -> Secret:
        raise AssertionError

    async with registry.open_host(Host("this", "local"), resolve_secret=none) as host:
        yield host


async def test_no_link_of_a_snapshot_leads_out_of_the_target(
    opened: Repository, host: OpenHost, tmp_path: Path
) -> None:
    """Whoever can write a repository must not be able to write the host's /etc."""
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    crafted = Crafted(opened)
    evil = await crafted.file(b"evil", b"evil")
    nodes = [
        link(b"a", str(outside).encode()),
        await crafted.folder(b"a", [evil]),
        link(b"b", b"../outside"),
        await crafted.folder(b"b", [evil]),
    ]
    held = Held(opened, (await crafted.commit(nodes)).snapshot)
    try:
        await HostTree(host, str(target)).restore(held, RestoreOptions(str(target)), events.ignore)
    finally:
        assert list(outside.iterdir()) == []


async def test_what_is_damaged_is_named_and_what_is_whole_comes_back(
    opened: Repository, host: OpenHost, tmp_path: Path
) -> None:
    """Also a file that the host cannot make."""
    crafted = Crafted(opened)
    good = await crafted.file(b"good", b"good")
    lost = replace(good, name=b"lost", content=(bytes(32),))
    short = replace(good, name=b"short", size=9)
    held = Held(opened, (await crafted.commit([good, lost, short, replace(good, name=b"taken")])).snapshot)
    (tmp_path / "taken" / "full").mkdir(parents=True)
    tally = await HostTree(host, str(tmp_path)).restore(held, RestoreOptions(str(tmp_path)), events.ignore)
    assert (tmp_path / "good").read_bytes() == b"good"
    assert not (tmp_path / "lost").exists()
    said = [(each.path, each.message) for each in tally.failures]
    assert [path for path, _ in said[:2]] == [b"lost", b"short"]
    assert any("taken" in message for _, message in said[2:])


async def test_a_target_that_cannot_be_made_fails_the_restore(
    opened: Repository, host: OpenHost, tmp_path: Path
) -> None:
    """With the host's own words."""
    crafted = Crafted(opened)
    held = Held(opened, (await crafted.commit([await crafted.file(b"f", b"content")])).snapshot)
    (tmp_path / "file").write_bytes(b"")
    target = str(tmp_path / "file" / "below")
    with pytest.raises(RestoreError, match="Not a directory"):
        await HostTree(host, target).restore(held, RestoreOptions(target), events.ignore)


async def test_what_cannot_be_kept_there_is_refused_by_name(host: OpenHost, tmp_path: Path) -> None:
    """Nothing that was asked for is left out in silence."""
    with pytest.raises(UsageError, match="GNU find"):
        await HostTree(Equipped(host), str(tmp_path)).require_possible(
            RestoreOptions(str(tmp_path), is_deleting=True)
        )
    with pytest.raises(UsageError, match="absolute path"):
        HostTree(host, "relative")
