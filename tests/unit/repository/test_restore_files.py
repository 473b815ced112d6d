"""The target of a restore: times, holes, directories that are never left."""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.format import timestamps
from engine.format.tree import Node
from engine.repository import restore_files
from engine.repository.restore_files import HOLE_BYTES, Descent


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """The target directory, open."""
    opened = restore_files.open_target(str(tmp_path))
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1970-01-01T02:00:00.000000001+02:00", 1),
        ("1969-12-31T22:30:00-01:30", 0),
        ("2038-01-19T03:14:08Z", 2**31 * 10**9),
        ("9999-12-31T23:59:59.5Z", 253_402_300_799_500_000_000),
        ("0000-01-01T00:00:00Z", -62_167_219_200 * 10**9),
        ("0000-12-31T23:59:59Z", -62_135_596_801 * 10**9),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, expected: int | None) -> None:
    """Whatever restic or we wrote, before 1970 and after 2038 as well."""
    assert restore_files.nanoseconds(text) == expected


@given(st.datetimes(timezones=st.timezones().map(lambda _: datetime.UTC)), st.integers(0, 999))
def test_times_agree_with_the_format(instant: datetime.datetime, nanoseconds: int) -> None:
    """One writer, one reader, one meaning."""
    text = timestamps.to_text(instant.replace(microsecond=1))[:-1] + f"{nanoseconds:03d}Z"
    span = instant.replace(microsecond=1) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    microseconds = (span.days * 86400 + span.seconds) * 1_000_000 + span.microseconds
    if instant.year > 1:
        assert restore_files.nanoseconds(text) == microseconds * 1000 + nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-02",
        "2024-01-02 03:04:05Z",
        "2024-01-02T03:04:05",
        "2024-01-02T24:00:00Z",
        "2024-01-02T03:04:60Z",
        "2024-02-30T03:04:05Z",
        "2024-01-02T03:04:05,5Z",
        "2024-01-02T03:04:05.xZ",
        "2024-01-02T03:04:05+02",
        "2024-01-02T-3:04:05Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A tree may say anything; a wrong time is worse than none."""
    with pytest.raises(ValueError, match=r"not a time|invalid|day is out of range"):
        restore_files.nanoseconds(text)


@given(
    st.integers(0, 2 * HOLE_BYTES),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3 * HOLE_BYTES)), max_size=6),
)
def test_holes_change_nothing_of_the_content(offset: int, runs: list[tuple[bool, int]]) -> None:
    """A hole in the wrong place would be silent damage."""
    data = b"".join((b"\0" if is_zero else b"x") * length for is_zero, length in runs)
    opened = os.memfd_create("holes")
    try:
        os.ftruncate(opened, offset + len(data))
        restore_files.write_sparsely(opened, offset, data)
        assert os.pread(opened, offset + len(data), 0) == bytes(offset) + data
    finally:
        os.close(opened)


def test_zeros_take_no_room(tmp_path: Path) -> None:
    """A disk image of mostly nothing must fit where it came from."""
    with (tmp_path / "f").open("wb") as file:
        file.truncate(4 << 20)
        restore_files.write_sparsely(file.fileno(), 100, bytes((4 << 20) - 100))
    assert (tmp_path / "f").stat().st_blocks * 512 <= HOLE_BYTES


def test_a_link_is_never_followed_down(tmp_path: Path, root: int) -> None:
    """Someone on the target machine may put one there at any time."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to("../outside")
    descent = Descent(root)
    with pytest.raises(NotADirectoryError):
        descent.enter((b"inside", b"link"))
    descent.forget()


def test_depth_costs_no_descriptors(tmp_path: Path, root: int) -> None:
    """A thousand levels must not end at the limit of open files."""
    names = tuple(b"d" for _ in range(300))
    descent = Descent(root)
    for depth in range(len(names)):
        os.mkdir(names[depth], dir_fd=descent.enter(names[:depth]))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert os.fstat(descent.enter(names)).st_ino != os.fstat(root).st_ino
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
    descent.forget()


def test_a_directory_is_removed_without_its_links_targets(tmp_path: Path, root: int) -> None:
    """Deleting what is too much must not delete what it points at."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    (tmp_path / "extra" / "deep").mkdir(parents=True)
    (tmp_path / "extra" / "deep" / "link").symlink_to(tmp_path / "kept")
    assert restore_files.remove(root, b"extra") == 3
    assert (tmp_path / "kept" / "file").read_text() == "kept"
    assert not (tmp_path / "extra").exists()


def test_attributes_that_the_backup_lacks_are_removed(tmp_path: Path) -> None:
    """What is restored over an older file must be as it was, not a mixture."""
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, b"user.old", b"1")
    node = Node(
        b"file", "file", 0o600, uid=os.getuid(), gid=os.getgid(), extended_attributes=((b"user.new", b"2"),)
    )
    with path.open("rb") as file:
        restore_files.apply_to_open(file.fileno(), node, restore_files.Rights.mine(), is_fresh=False)
    assert os.listxattr(path) == ["user.new"]


def test_what_cannot_be_set_is_named_and_the_rest_is_set(tmp_path: Path) -> None:
    """One odd attribute must not cost the mode and the times."""
    path = tmp_path / "file"
    path.touch()
    node = Node(
        b"file", "file", 0o640, mtime="2001-02-03T04:05:06.7Z", uid=os.getuid(), gid=os.getgid(),
        extended_attributes=((b"nonsense", b"1"),),
    )  # fmt: skip
    with path.open("rb") as file, pytest.raises(restore_files.MetadataError, match="attribute nonsense"):
        restore_files.apply_to_open(file.fileno(), node, restore_files.Rights.mine(), is_fresh=True)
    found = path.stat()
    assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o640, 981_173_106_700_000_000)


def test_without_root_a_strangers_set_user_bit_is_dropped() -> None:
    """The file would belong to us then, and lend our rights."""
    mine = restore_files.Rights(is_root=False, uid=1000, gid=1000)
    node = Node(b"f", "file", 1 << 23 | 0o755, uid=0)
    assert mine.mode(node) == 0o755
    assert restore_files.Rights(is_root=True, uid=0, gid=0).mode(node) == 0o4755


def test_what_killed_restores_left_is_removed_and_nothing_else(root: int, tmp_path: Path) -> None:
    """A restore that was killed leaves half files beside the good ones, which nobody wants to find a year later."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = f".holdfast-restore-0a1b2c3d-{ended.pid}-7"
    kept = {f".holdfast-restore-0a1b2c3d-{os.getpid()}-7", ".holdfast-restore-notes", "file"}
    for name in {dead, *kept}:
        (tmp_path / name).write_bytes(b"half")
    restore_files.sweep_dead(root)
    assert {each.name for each in tmp_path.iterdir()} == kept
