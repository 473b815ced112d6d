"""Two snapshots side by side, in two repositories, and how much room a restore needs at the least."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import RestoreError
from engine.jobs import room
from engine.repository import repository
from engine.repository.added import Beside, Held, added, is_same
from engine.repository.patterns import EVERYTHING, Selection
from engine.repository.repository import Repository
from tests.fakes.crafted import Crafted
from tests.fakes.loop_clock import LoopClock
from tests.fakes.memory_storage import MemoryStorage
from tests.unit.repository.conftest import PASSWORD, POLYNOMIAL, QUICK


@pytest.fixture
async def other(clock: LoopClock) -> Repository:
    """A second repository."""
    return await repository.create(MemoryStorage(), PASSWORD, clock=clock, polynomial_=POLYNOMIAL, kdf=QUICK)


async def _held(where: Repository, *, is_old: bool) -> Held:
    """`a/same`, `a/changed`, `kind` (a file, then a directory); in the new one also `a/new` and `new/deep/file`."""
    crafted = Crafted(where)
    changed = await crafted.file(b"changed", b"old" if is_old else b"newer")
    inside = [changed, await crafted.file(b"same", b"same")]
    if is_old:
        nodes = [await crafted.folder(b"a", inside), await crafted.file(b"kind", b"file")]
    else:
        inside.insert(1, await crafted.file(b"new", b"new"))
        deep = await crafted.folder(b"deep", [await crafted.file(b"file", b"content")])
        nodes = [
            await crafted.folder(b"a", inside),
            await crafted.folder(b"kind", [await crafted.file(b"below", b"x")]),
            await crafted.folder(b"new", [deep]),
        ]
    return Held(where, (await crafted.commit(nodes)).snapshot)


async def test_what_a_restore_adds_is_told_with_what_lies_in_it_first(
    opened: Repository, other: Repository
) -> None:
    """So it can be removed in that order, and nothing else is."""
    old, new = await _held(other, is_old=True), await _held(opened, is_old=False)
    found = [path async for path in added(new, old, EVERYTHING)]
    assert found == [b"a/new", b"kind/below", b"new/deep/file", b"new/deep", b"new"]
    chosen = Selection.parse(["/new"], ["file"])
    assert [path async for path in added(new, old, chosen)] == [b"new/deep", b"new"]
    assert [path async for path in added(old, None, EVERYTHING)] == [b"a/changed", b"a/same", b"a", b"kind"]


async def test_a_path_is_looked_up_whatever_was_looked_up_before(opened: Repository) -> None:
    """A walk comes in order; nobody else has to."""
    held = await _held(opened, is_old=False)
    beside = Beside(held)
    for path, size in ((b"new/deep/file", 7), (b"a/same", 4), (b"new/deep/file", 7), (b"a/same/below", None), (b"no/where", None), (b"a/new", 3)):  # fmt: skip
        node = await beside.find(path)
        assert (node.size if node else None) == size


async def test_only_what_a_restore_brings_back_makes_a_difference(opened: Repository) -> None:
    """The inode and the times that nobody can set do not."""
    node = await Crafted(opened).file(b"f", b"content")
    assert is_same(node, replace(node, inode=9, ctime="2020-01-01T00:00:00Z", atime="2020-01-01T00:00:00Z"))
    assert not is_same(node, replace(node, mtime="2020-01-01T00:00:00Z"))
    assert not is_same(node, replace(node, uid=9))


async def test_room_is_refused_only_where_it_certainly_lacks(opened: Repository, tmp_path: Path) -> None:
    """A hole takes none, a further name takes none, and what is there already needs none."""
    crafted = Crafted(opened)
    content = b"x" * 1000
    first = replace(await crafted.file(b"first", content), links=2, inode=5, device_id=1)
    second = replace(first, name=b"second")
    sparse = await crafted.file(b"sparse", *[bytes(5000)] * 20)
    held = Held(opened, (await crafted.commit([first, second, sparse])).snapshot)
    needed = await room.needed_bytes(*held, EVERYTHING, "")
    assert needed == 1000 + 5000
    await room.require(*held, EVERYTHING, needed, "")
    with pytest.raises(RestoreError, match="5999 bytes free, and at least 6000 are needed"):
        await room.require(*held, EVERYTHING, needed - 1, "")
    (tmp_path / "first").write_bytes(content)
    await room.require(*held, EVERYTHING, 5000, str(tmp_path))
    await room.require(*held, EVERYTHING, None, "")
