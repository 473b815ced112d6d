"""What a source of kind files must do, on this machine and over SSH."""

# Path cannot hold names that are no text.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from engine.errors import (
    HoldfastError,
    PathMissingError,
)
from engine.hosts.base import OpenHost
from engine.model.definitions import Host
from engine.model.entry import Entry
from tests.families.hosts import opened, ssh_definition
from tests.families.sources import Equipped, TreeRead, opened_source, read_feed, read_tree
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.sshd import GUEST, Sshd
from tests.servers.tree_compare import describe, walk

MIB = 1 << 20


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[OpenHost]:
    """Each kind of host, open."""
    if request.param == "local":
        definition = Host("this", kind="local")
    else:
        definition = ssh_definition(request.getfixturevalue("sshd"))
    async with opened(definition) as host:
        yield host


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with everything in it; nobody changes it."""
    root = tmp_path_factory.mktemp("nasty") / "tree"
    make_nasty_tree(root)
    return root


async def test_everything_in_a_tree_comes_as_it_is(host: OpenHost, nasty: Path) -> None:
    """Names, owners, times, links, devices, attributes and contents: what a restore cannot invent."""
    read = await read_tree(host, path=[str(nasty)])
    facts = describe(nasty)
    listed = read.named()
    base = os.fsencode(nasty).lstrip(b"/")
    wrong = [path for path in facts if not _is_right(base, path, listed, read)]
    assert wrong == []
    sockets = {path for path in facts if stat.S_ISSOCK(os.lstat(os.path.join(b"/", base, path)).st_mode)}
    below = {path for path in listed if path == base or path.startswith(base + b"/")}
    assert below == {_joined(base, path) for path in facts} - {_joined(base, path) for path in sockets}
    assert (list(read.failures), list(read.warnings)) == ([], [])


def _joined(base: bytes, path: bytes) -> bytes:
    return base if path == b"." else os.path.join(base, path)


def _is_right(base: bytes, path: bytes, listed: dict[bytes, Entry], read: TreeRead) -> bool:
    full = _joined(base, path)
    status = os.lstat(b"/" + full)
    if stat.S_ISSOCK(status.st_mode):
        return full not in listed
    entry = listed[full]
    content = read.contents[full]
    seconds, fraction = divmod(status.st_mtime_ns, 10**9)
    xattrs = tuple(
        sorted(
            (os.fsencode(name), os.getxattr(b"/" + full, name, follow_symlinks=False))
            for name in os.listxattr(b"/" + full, follow_symlinks=False)
        )
    )
    data = b""
    if entry.type == "f":
        with open(b"/" + full, "rb") as file:
            data = file.read()
    return (
        (entry.mode, entry.uid, entry.gid, entry.inode, entry.device, entry.links)
        == (
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_ino,
            status.st_dev,
            status.st_nlink,
        )
        and entry.size == status.st_size
        and entry.mtime == b"%d.%09d0" % (seconds, fraction)
        and (content.data == data if content.data is not None else entry.links > 1)
        and (sorted(content.xattrs) == sorted(xattrs) or content.data is None)
        and content.device == (status.st_rdev if entry.type in "bc" else 0)
    )


async def test_the_listing_is_a_walk_with_all_that_leads_to_the_roots(host: OpenHost, tmp_path: Path) -> None:
    """The snapshot's tree is built from it in one go, from `/` on."""
    for name in ("a/x/1", "a/y/2", "b/3", "a-b/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    roots = [str(tmp_path / name) for name in ("b", "a/y", "a/x", "a/x/1", "a-b")]
    read = await read_tree(host, path=roots)
    seen: set[bytes] = {b""}
    for entry in read.entries:
        assert entry.path.rpartition(b"/")[0] in seen
        seen.add(entry.path)
    base = os.fsencode(tmp_path).lstrip(b"/")
    inner = [
        entry.path.removeprefix(base + b"/").decode()
        for entry in read.entries
        if entry.path.startswith(base + b"/")
    ]
    assert inner == ["a", "a/x", "a/x/1", "a/y", "a/y/2", "a-b", "a-b/4", "b", "b/3"]


async def test_a_link_that_leads_to_a_root_stands_as_a_directory(host: OpenHost, tmp_path: Path) -> None:
    """/var/run is one on most hosts: what lies below it is backed up where people look for it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    path = os.fsencode(tmp_path / "link").lstrip(b"/")
    async with (
        opened_source(host, "files", path=[str(tmp_path / "link" / "file")]) as source,
        source.tree() as feed,
    ):
        listed = {entry.path: entry.type async for batch in feed.entries() for entry in batch}
        await feed.want(list(listed))
        await feed.end_of_wants()
        came = {fetched.path: fetched.type async for batch in feed.contents() for fetched in batch}
    assert (listed[path], came[path]) == ("d", "d")
    assert came.keys() == listed.keys()


async def test_contents_come_in_the_order_of_the_wants(host: OpenHost, nasty: Path) -> None:
    """The writer pairs them with its own list."""
    read = await read_tree(host, path=[str(nasty)])
    assert read.order == [entry.path for entry in read.entries]


async def test_a_root_that_is_not_there_is_named(host: OpenHost, tmp_path: Path) -> None:
    """A typing error must not make an empty backup; one missing path of several must not cost the others."""
    (tmp_path / "here").write_bytes(b"x")
    with pytest.raises(PathMissingError, match="nowhere"):
        await read_tree(host, path=[str(tmp_path / "nowhere")])
    read = await read_tree(host, path=[str(tmp_path / "here"), str(tmp_path / "nowhere")])
    lost = os.fsencode(tmp_path / "nowhere").lstrip(b"/")
    own = {path: reason for path, reason in read.reasons().items() if path.startswith(lost[:-7])}
    assert own == {lost: "vanished"}  # the folders above are everybody's
    assert read.named()[os.fsencode(tmp_path / "here").lstrip(b"/")].size == 1


async def test_a_file_that_vanishes_after_the_listing_is_named(host: OpenHost, tmp_path: Path) -> None:
    """The backup is incomplete, and says which file."""
    names = [f"file {number}\nü" for number in range(50)]
    for name in names:
        (tmp_path / name).write_bytes(b"x" * 10)
    async with opened_source(host, "files", path=[str(tmp_path)]) as source, source.tree() as feed:
        entries = [entry async for batch in feed.entries() for entry in batch]
        (tmp_path / names[7]).unlink()
        await feed.want([entry.path for entry in entries])
        await feed.end_of_wants()
        came = [fetched.path async for batch in feed.contents() for fetched in batch]
        lost = os.fsencode(tmp_path / names[7]).lstrip(b"/")
        assert {failure.path: failure.reason for failure in feed.failures()} == {lost: "vanished"}
    assert came == [entry.path for entry in entries if entry.path != lost]


async def test_what_took_the_place_of_a_file_after_the_listing_is_told(
    host: OpenHost, tmp_path: Path
) -> None:
    """A file that became a link must not pass for an empty file."""
    for name in ("file", "link", "large"):
        (tmp_path / name).write_bytes(b"x")
    async with opened_source(host, "files", path=[str(tmp_path)]) as source, source.tree() as feed:
        entries = [entry async for batch in feed.entries() for entry in batch if entry.type == "f"]
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "large").write_bytes(os.urandom(MIB))
        await feed.want([entry.path for entry in entries])
        await feed.end_of_wants()
        came = [(fetched.path, fetched.type) async for batch in feed.contents() for fetched in batch]
    base = os.fsencode(tmp_path).lstrip(b"/")
    assert sorted(came) == [(base + b"/file", "f"), (base + b"/large", "f"), (base + b"/link", "l")]


async def test_a_file_that_changes_while_it_is_read_is_named(host: OpenHost, tmp_path: Path) -> None:
    """What was kept of it is neither the old nor the new file."""
    target = tmp_path / "log"
    target.write_bytes(b"x" * (64 * MIB))
    async with opened_source(host, "files", path=[str(target)]) as source, source.tree() as feed:
        entries = [entry async for batch in feed.entries() for entry in batch]
        await feed.want([entry.path for entry in entries])
        await feed.end_of_wants()
        async for batch in feed.contents():
            if batch[-1].stream:
                await anext(batch[-1].stream)
                os.truncate(target, MIB)
                size = 0
                async for piece in batch[-1].stream:
                    size += len(piece)
        assert {failure.reason for failure in feed.failures()} == {"changed"}
    assert size < 64 * MIB


async def test_what_the_user_may_not_read_is_named(
    sshd_with_guests: Sshd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A backup as an ordinary user is incomplete where files are not his, and says so; the rest comes."""
    base = tmp_path_factory.mktemp("shared")
    for folder in (base, *base.parents[:3]):
        folder.chmod(0o755)
    (base / "open").write_bytes(b"x")
    (base / "closed: Cannot open: x").write_bytes(b"secret")
    (base / "closed: Cannot open: x").chmod(0o600)
    (base / "folder").mkdir(mode=0o700)
    (base / "folder" / "inner").write_bytes(b"x")
    async with opened(ssh_definition(sshd_with_guests, GUEST)) as host:
        read = await read_tree(host, path=[str(base)])
    reasons = {path.rpartition(b"/")[2]: reason for path, reason in read.reasons().items()}
    assert reasons == {b"closed: Cannot open: x": "unreadable", b"folder": "unreadable"}
    assert read.contents[os.fsencode(base / "open").lstrip(b"/")].data == b"x"


async def test_a_feed_whose_tool_is_killed_fails(host: OpenHost, tmp_path: Path) -> None:
    """A half archive must not look like files that vanished."""
    (tmp_path / "large").write_bytes(os.urandom(48 * MIB))
    with pytest.raises(HoldfastError, match=r"tar|connection|signal|status"):
        await _read_and_kill(host, str(tmp_path))


async def _read_and_kill(host: OpenHost, path: str) -> None:
    async with opened_source(host, "files", path=[path]) as source, source.tree() as feed:
        entries = [entry async for batch in feed.entries() for entry in batch]
        await feed.want([entry.path for entry in entries])
        async for batch in feed.contents():
            if batch[-1].stream:
                await anext(batch[-1].stream)
                _kill_tar()
                async for _ in batch[-1].stream:
                    pass


def _kill_tar() -> None:
    """Kills the tars that read the root folder on behalf of these tests: those below this process or the tests' sshd."""
    mine = psutil.Process().children(recursive=True)
    for process in mine:
        if process.name() == "tar":
            process.kill()


async def test_many_paths_that_all_vanished_do_not_stop_the_feed(host: OpenHost, tmp_path: Path) -> None:
    """tar sends nothing for them, and a feed that waited for it would wait for ever."""
    (tmp_path / "here").touch()
    async with opened_source(host, "files", path=[str(tmp_path)]) as source, source.tree() as feed:
        paths = [b"no/such/file/%d" % number for number in range(60_000)]
        read = await read_feed(_Wanting(feed, paths))  # type: ignore[arg-type]
    assert len(read.failures) == 60_000
    assert {failure.reason for failure in read.failures} == {"vanished"}


class _Wanting:
    """A feed that lists nothing, so that what is wanted is what the test says."""

    def __init__(self, feed: object, paths: list[bytes]) -> None:
        self._feed = feed
        self._paths = paths

    def __getattr__(self, name: str) -> object:
        return getattr(self._feed, name)

    async def entries(self) -> AsyncIterator[list[Entry]]:
        for begin in range(0, len(self._paths), 1000):
            await self._feed.want(self._paths[begin : begin + 1000])  # type: ignore[attr-defined]
        yield []


async def test_a_feed_that_is_left_early_leaves_nothing_behind(host: OpenHost, tmp_path: Path) -> None:
    """A cancelled backup must not go on reading on the host."""
    (tmp_path / "large").write_bytes(os.urandom(48 * MIB))
    async with opened_source(host, "files", path=[str(tmp_path)]) as source:
        async with source.tree() as feed:
            entries = [entry async for batch in feed.entries() for entry in batch]
            await feed.want([entry.path for entry in entries])
            async for batch in feed.contents():
                if batch[-1].stream:
                    break
        assert [
            one.name() for one in psutil.Process().children(recursive=True) if one.name() in ("tar", "find")
        ] == []


async def test_an_error_of_the_callers_own_passes_through_a_feed(host: OpenHost, tmp_path: Path) -> None:
    """The caller catches its errors by their class, not out of a group."""
    async with opened_source(host, "files", path=[str(tmp_path)]) as source:
        with pytest.raises(KeyError, match="mine"):
            async with source.tree():
                raise KeyError("mine")


async def test_one_file_system_stops_at_a_mount(host: OpenHost) -> None:
    """/proc is no file worth keeping."""
    others = [f"/{name}" for name in os.listdir("/") if name != "proc"]  # noqa: PTH208 -- names are wanted
    async with (
        opened_source(host, "files", path=["/"], one_file_system=True, exclude=others) as source,
        source.tree() as feed,
    ):
        paths = [entry.path async for batch in feed.entries() for entry in batch]
    assert b"proc" in paths
    assert not [path for path in paths if path.startswith(b"proc/")]


# ---- without GNU tools


@pytest.fixture
async def bare_host(host: OpenHost) -> OpenHost:
    """A host whose find and tar are not GNU's."""
    return Equipped(host)


async def test_without_gnu_tools_the_files_come_all_the_same(bare_host: OpenHost, nasty: Path) -> None:
    """An appliance with BusyBox can be backed up too; what is lost by it is said."""
    read = await read_tree(bare_host, path=[str(nasty)])
    base = os.fsencode(nasty)
    expected = {
        _joined(base.lstrip(b"/"), path)
        for path in walk(base)
        if not stat.S_ISSOCK(os.lstat(os.path.join(base, path)).st_mode)
    }
    assert {path for path in read.named() if (b"/" + path).startswith(base)} == expected
    for entry in read.entries:
        if entry.type == "f":
            with open(b"/" + entry.path, "rb") as file:
                assert read.contents[entry.path].data == file.read()
    assert any("GNU find" in warning and "attributes" in warning for warning in read.warnings)


async def test_without_gnu_tools_what_is_missing_is_named(bare_host: OpenHost, tmp_path: Path) -> None:
    """As with them."""
    (tmp_path / "here").write_bytes(b"x")
    with pytest.raises(PathMissingError, match="nowhere"):
        await read_tree(bare_host, path=[str(tmp_path / "nowhere")])
    read = await read_tree(bare_host, path=[str(tmp_path / "here"), str(tmp_path / "nowhere")])
    assert list(read.reasons().values()) == ["vanished"]
