"""A tree of everything that file systems allow, from a host into a repository and back, with stock restic as judge and as neighbour."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.clock import SystemClock
from engine.format.tree import Node
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, Source
from engine.model.entry import Failure
from engine.repository import lock, pool, repository, restore, writer
from engine.repository.reader import Trees, walk
from engine.repository.repository import Repository
from engine.repository.restore import RestoreOptions
from engine.repository.writer import Parent
from engine.sources.files.source import FilesSource
from engine.storages.local import LocalStorage
from tests.fakes.small_repositories import QUICK, SECRET, snapshot
from tests.families.hosts import opened, ssh_definition
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.restic import Restic, ResticProgram
from tests.servers.tools import require_root
from tests.servers.tree_compare import differences, swollen

pytestmark = pytest.mark.slow

RAW_TARGETS = (0, 16)
"""The first restic that keeps a link's target that is not UTF-8."""
CLOCK = SystemClock()
SMALL_BYTES = 512 << 10


class Taken(NamedTuple):
    """One backup of ours."""

    snapshot_id: str
    counts: tuple[int, int, int, int]
    """Files new and changed, directories new and changed."""
    failures: list[Failure]


@dataclass(frozen=True, slots=True)
class Place:
    """A tree, a repository for it, and restic on that."""

    files: Path
    storage: LocalStorage
    restic: Restic

    async def open(self) -> Repository:
        """The repository, with its index."""
        found = await repository.open_repository(self.storage, SECRET, cache_directory=None, clock=CLOCK)
        await found.load_index()
        return found

    async def backup(self, host: OpenHost) -> Taken:
        """Backs the tree up against the newest snapshot."""
        into = await self.open()
        older = await into.snapshots()
        parent = Parent(into, older[-1][1].tree) if older else None
        definition = Source("files", "files", host.name, {"path": (str(self.files),)})
        async with (
            lock.hold(into, exclusive=False, clock=CLOCK) as held,
            pool.Processes.start(is_early=True) as processes,
            writer.open_session([(into, held)], clock=CLOCK, processes=processes) as session,
            FilesSource.open(definition, host, {}) as source,
            source.tree() as feed,
        ):
            result = await session.save_tree(feed, parent)
            taken = snapshot(result.tree_id, CLOCK, paths=[str(self.files)], hostname=os.uname().nodename)
            committed = await session.commit(taken)
        assert committed[0].snapshot_id is not None
        counts = result.counts
        told = (counts.files_new, counts.files_changed, counts.dirs_new, counts.dirs_changed)
        return Taken(committed[0].snapshot_id, told, list(result.failures))

    async def nodes(self, snapshot_id: str) -> Mapping[bytes, Node]:
        """Everything in a snapshot, by path."""
        read = await self.open()
        _, taken = await read.find_snapshot(snapshot_id)
        return {path: node async for path, node in walk(Trees(read), taken.tree)}

    async def subtree(self, snapshot_id: str) -> bytes | None:
        """The tree of the folder itself: those above it change while the tests run."""
        return (await self.nodes(snapshot_id))[os.fsencode(self.files).strip(b"/")].subtree


@pytest.fixture
async def place(restic_program: ResticProgram, tmp_path: Path) -> AsyncIterator[Place]:
    """With each restic."""
    require_root()
    files = tmp_path / "nasty"
    make_nasty_tree(files, has_odd_link_targets=restic_program.number >= RAW_TARGETS)
    storage = LocalStorage(tmp_path / "repository", CLOCK)
    await repository.create(storage, SECRET, clock=CLOCK, kdf=QUICK)
    yield Place(files, storage, Restic(restic_program, tmp_path / "repository", tmp_path / "restic"))
    storage.close()


@pytest.fixture(params=["local", "ssh"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """This machine, by itself and over OpenSSH's sshd."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as found:
        yield found


async def test_a_nasty_tree_comes_back_by_restic_and_by_us(
    place: Place, host: OpenHost, tmp_path: Path
) -> None:
    """Every name, mode, owner, time and attribute that was there is there again, whoever restores it."""
    snapshot_id, _, failures = await place.backup(host)
    assert failures == []
    place.restic.check()
    place.restic.restore(snapshot_id, tmp_path / "by-restic")
    by_restic = Path(f"{tmp_path}/by-restic{place.files}")
    assert differences(place.files, by_restic) == []
    read = await place.open()
    _, taken = await read.find_snapshot(snapshot_id)
    tally = await restore.restore(read, taken, RestoreOptions(str(tmp_path / "by-us")))
    assert tally.failures == []
    by_us = Path(f"{tmp_path}/by-us{place.files}")
    assert differences(place.files, by_us) == []
    assert swollen(place.files, by_us) == []


async def test_restic_goes_on_where_we_were(place: Place, host: OpenHost) -> None:
    """Whoever goes back to stock restic reads nothing again."""
    snapshot_id, _, _ = await place.backup(host)
    summary = place.restic.backup(place.files)
    told = {name: summary[name] for name in ("files_new", "files_changed", "dirs_new")}
    assert told == {"files_new": 0, "files_changed": 0, "dirs_new": 0}
    assert summary["dirs_changed"] < len(place.files.parents), (
        "more than those above the tree, in which things come and go"
    )
    assert await place.subtree(summary["snapshot_id"]) == await place.subtree(snapshot_id)


async def test_we_go_on_where_restic_was(place: Place, host: OpenHost) -> None:
    """Whoever comes from stock restic reads nothing again."""
    summary = place.restic.backup(place.files)
    snapshot_id, counts, failures = await place.backup(host)
    *files_and_new, changed_folders = counts
    assert (files_and_new, failures) == ([0, 0, 0], [])
    assert changed_folders < len(place.files.parents), (
        "more than those above the tree, in which things come and go"
    )
    assert await place.subtree(summary["snapshot_id"]) == await place.subtree(snapshot_id)
    place.restic.check()


async def test_trees_are_restics_byte_for_byte(place: Place, host: OpenHost, tmp_path: Path) -> None:
    """Trees that both write are stored once, and restic's own tools can rewrite ours."""
    snapshot_id, _, _ = await place.backup(host)
    ours = await place.nodes(snapshot_id)
    other = Restic(place.restic.program, tmp_path / "other", tmp_path / "restic")
    other.begin()
    theirs_id = other.backup(place.files)["snapshot_id"]
    storage = LocalStorage(tmp_path / "other", CLOCK)
    theirs = await Place(place.files, storage, other).nodes(theirs_id)
    storage.close()
    assert ours.keys() == theirs.keys()
    long = [path for path, node in ours.items() if node.size > SMALL_BYTES]
    compared = 0
    for path, node in ours.items():
        if node.type == "dir" and not any(each.startswith(path + b"/") for each in long):
            assert node == theirs[path], path
            compared += 1
    assert compared > 100
    assert {path for path, node in ours.items() if node != theirs[path]} <= {*long, *_above(long)}


def _above(paths: list[bytes]) -> set[bytes]:
    return {path[:at] for path in paths for at in range(len(path)) if path[at : at + 1] == b"/"}
