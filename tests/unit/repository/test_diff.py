"""What differs between two snapshots."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.format.tree import Node
from engine.repository import diff
from engine.repository.repository import Repository
from tests.fakes.crafted import Crafted, link


async def _changes(
    opened: Repository, before: list[Node], after: list[Node], crafted: Crafted
) -> list[tuple[bytes, str]]:
    first, second = await crafted.commit(before), await crafted.commit(after)
    return [(each.path, each.kind) async for each in diff.diff(opened, first.snapshot, second.snapshot)]


async def test_each_kind_of_change_is_told(opened: Repository) -> None:
    """People decide by it what to restore."""
    crafted = Crafted(opened)
    same = await crafted.file(b"same", b"same")
    before = [
        await crafted.file(b"gone", b"1"),
        await crafted.file(b"grown", b"2"),
        same,
        await crafted.file(b"touched", b"3"),
    ]
    touched = replace(before[3], mode=0o600)
    after = [await crafted.file(b"grown", b"22"), await crafted.file(b"new", b"4"), same, touched]
    assert await _changes(opened, before, after, crafted) == [
        (b"gone", "removed"),
        (b"grown", "modified"),
        (b"new", "added"),
        (b"touched", "metadata"),
    ]


async def test_a_new_directory_is_told_with_all_in_it(opened: Repository) -> None:
    """A count of changed files must count them."""
    crafted = Crafted(opened)
    folder = await crafted.folder(b"d", [await crafted.file(b"x", b"x"), await crafted.folder(b"y", [])])
    changes = await _changes(opened, [], [folder], crafted)
    assert changes == [(b"d", "added"), (b"d/x", "added"), (b"d/y", "added")]


async def test_a_file_in_the_place_of_a_directory_is_a_modification(opened: Repository) -> None:
    """And what was in the directory is gone."""
    crafted = Crafted(opened)
    folder = await crafted.folder(b"d", [await crafted.file(b"x", b"x")])
    changes = await _changes(opened, [folder], [await crafted.file(b"d", b"now a file")], crafted)
    assert changes == [(b"d", "modified"), (b"d/x", "removed")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((b"abc", b"def"), (b"ab", b"cdef"), []),
        ((b"head", b"abc", b"def", b"tail"), (b"head", b"abcd", b"ef", b"tail"), []),
        ((b"abc", b"def"), (b"ab", b"cdeX"), [(b"f", "modified")]),
        ((b"abcdef",), (b"abcdef", b""), []),
        ((b"aa", b"a"), (b"a", b"aa"), []),
    ],
)
async def test_a_file_that_was_only_cut_otherwise_is_not_modified(
    opened: Repository, old: tuple[bytes, ...], new: tuple[bytes, ...], expected: list[tuple[bytes, str]]
) -> None:
    """restic cuts long files by another rule than we do, and both may write into one repository."""
    crafted = Crafted(opened)
    before, after = await crafted.file(b"f", *old), await crafted.file(b"f", *new)
    assert await _changes(opened, [before], [after], crafted) == expected


async def test_another_target_is_a_modified_link(opened: Repository) -> None:
    """A link's target is its content."""
    assert await _changes(opened, [link(b"l", b"a")], [link(b"l", b"b")], Crafted(opened)) == [
        (b"l", "modified")
    ]


async def test_a_directory_whose_time_changed_is_not_told(opened: Repository) -> None:
    """It changes with every file in it, and would hide what matters."""
    crafted = Crafted(opened)
    folder = await crafted.folder(b"d", [])
    later = replace(folder, mtime="2025-01-01T00:00:00Z")
    assert await _changes(opened, [folder], [later], crafted) == []
