"""Files of this machine, read by the workers that store them: what is as it was listed, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.repository.read_files import Content, FileReader

CONTENT = b"as it was listed\n"


def _ctime(path: Path) -> bytes:
    return b"%d.%09d0" % divmod(path.lstat().st_ctime_ns, 10**9)


def _read(path: Path, size_bytes: int = len(CONTENT), ctime: bytes | None = None) -> Content | None:
    with FileReader() as reader:
        return reader.read(os.fsencode(path)[1:], size_bytes, ctime or _ctime(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file."""
    made = tmp_path / "file"
    made.write_bytes(CONTENT)
    return made


def test_a_file_is_read_with_its_attributes(path: Path) -> None:
    """ACLs and capabilities are attributes too."""
    os.setxattr(path, "user.first", b"\0\xff")
    os.setxattr(path, "user.second", b"")
    found = _read(path)
    assert found is not None
    assert found.data == CONTENT
    assert sorted(found.xattrs) == [(b"user.first", b"\0\xff"), (b"user.second", b"")]


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    """Locks and markers are empty."""
    path = tmp_path / "empty"
    path.touch()
    assert _read(path, 0) == Content(b"", ())


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


def _link_to_its_like(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    path.symlink_to(other)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_grow, id="grew"),
        pytest.param(lambda path: os.truncate(path, 3), id="shrank"),
        pytest.param(_replace(_link_to_its_like), id="became-a-link"),
        pytest.param(_replace(os.mkfifo), id="became-a-fifo"),
        pytest.param(_replace(Path.mkdir), id="became-a-folder"),
        pytest.param(_replace(lambda path: None), id="vanished"),
    ],
)
def test_what_is_not_as_it_was_listed_is_left_to_the_hosts_own_tool(
    path: Path, change: Callable[[Path], None]
) -> None:
    """That tool says in its own words what is wrong; and it must never be a wait, as at a fifo that nobody writes to."""
    listed = _ctime(path)
    assert _read(path, ctime=listed) is not None
    change(path)
    assert _read(path, ctime=listed) is None


def test_a_file_that_changed_since_it_was_listed_is_left_too(path: Path) -> None:
    """Its bytes may be of two moments."""
    assert _read(path, ctime=b"1700000000.0000000000") is None


def test_a_link_in_the_place_of_a_file_is_never_followed(path: Path) -> None:
    """Even where what it leads to looks just like what was listed."""
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)
    assert _read(path, ctime=_ctime(other)) is None


def test_files_of_several_folders_leave_none_open(tmp_path: Path) -> None:
    """A worker reads a hundred thousand folders."""
    paths = [tmp_path / f"folder-{number}" / "file" for number in range(20)]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(CONTENT)
    before = _open_files()
    with FileReader() as reader:
        found = [reader.read(os.fsencode(path)[1:], len(CONTENT), _ctime(path)) for path in paths]
    assert found == [Content(CONTENT, ())] * len(paths)
    assert _open_files() == before
