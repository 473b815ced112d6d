"""What every source must do, on this machine and over SSH."""

# Path cannot hold names that are no text.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from engine.errors import (
    ConfigurationError,
    HoldfastError,
    IncompleteDumpError,
    PathMissingError,
    SourceError,
    UnknownNameError,
)
from engine.hosts.base import OpenHost
from engine.model.definitions import Host, OptionValue, Source
from engine.model.entry import Entry
from engine.sources.base import ItemStream
from engine.sources.registry import kinds, open_source
from tests.families.hosts import marker, opened, ssh_definition
from tests.families.sources import TreeRead, drain, opened_source, read_feed, read_item, read_tree
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.sshd import GUEST, Sshd
from tests.servers.tree_compare import describe, walk

MIB = 1 << 20
NASTY_NAME = 'it\'s "$(touch ran)"; `touch ran`\n & ü'


@pytest.fixture(params=["local", "ssh"])
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


def make_database(path: Path, rows: int = 2000) -> Path:
    """A database with a write-ahead log that is not yet in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 42")
    connection.execute("CREATE TABLE wares (name TEXT)")
    connection.executemany(
        "INSERT INTO wares VALUES (?)", [(f"ware {number} " + "x" * 80,) for number in range(rows)]
    )
    connection.commit()
    connection.close()
    return path


# ---- items


def command(path: Path) -> tuple[str, dict[str, OptionValue], bytes]:
    """A command whose output is known."""
    (path / "text").write_bytes(b"hello\n" * 100_000)
    return "command", {"run": f"cat '{path}/text'", "filename": "hello.txt"}, b"hello\n" * 100_000


def sqlite(path: Path) -> tuple[str, dict[str, OptionValue], bytes]:
    """A database; it comes as the file's format says, so only its beginning is known."""
    return "sqlite", {"path": str(make_database(path / "shop.db"))}, b"SQLite format 3\0"


ITEMS = pytest.mark.parametrize("make", [command, sqlite], ids=["command", "sqlite"])


@ITEMS
async def test_a_whole_dump_is_judged_whole(
    host: OpenHost, make: Callable[[Path], tuple[str, dict[str, OptionValue], bytes]], tmp_path: Path
) -> None:
    """What the backup keeps is what the tool wrote, and nobody is warned for nothing."""
    kind, options, expected = make(tmp_path)
    async with opened_source(host, kind, **options) as source:
        assert await source.check()
        path, data, warnings = await read_item(source)
    assert data.startswith(expected)
    assert not path.startswith("/")
    assert warnings == ()


@ITEMS
async def test_an_item_that_is_left_early_is_not_whole(
    host: OpenHost, make: Callable[[Path], tuple[str, dict[str, OptionValue], bytes]], tmp_path: Path
) -> None:
    """A caller that stops reading must not be told that all is well."""
    kind, options, _ = make(tmp_path)
    async with opened_source(host, kind, **options) as source:
        (item,) = await source.items()
        async with item.open() as stream:
            await stream.read()
            with pytest.raises(IncompleteDumpError):
                await stream.judge()


async def test_a_dump_that_is_killed_in_the_middle_is_never_whole(host: OpenHost, tmp_path: Path) -> None:
    """A half dump must never become a backup."""
    word = marker()
    line = f"head -c 3000000 /dev/zero; sleep 1000; : {word}"
    async with opened_source(host, "command", run=line, filename="dump") as source:
        (item,) = await source.items()
        async with item.open() as stream:
            size = 0
            while size < 3_000_000:
                size += len(await stream.read())
            _kill_shell(word)
            with pytest.raises(HoldfastError, match="dump"):
                await _end(stream)


async def _end(stream: ItemStream) -> None:
    """Reads on to the end, and asks for the verdict."""
    await drain(stream)
    await stream.judge()


def _kill_shell(word: str) -> None:
    """Kills the command's own shell and what it waits for, but not the shells around it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words[:2] == ["sh", "-c"] and word in words[-1]:
                children = process.children(recursive=True)
                process.kill()
                for child in children:
                    child.kill()


async def test_a_command_that_fails_says_why(host: OpenHost) -> None:
    """The user reads the reason in the failed backup."""
    async with opened_source(
        host, "command", run="echo half; echo no such table >&2; exit 3", filename="d"
    ) as source:
        with pytest.raises(IncompleteDumpError, match="status 3: no such table"):
            await read_item(source)


async def test_a_command_that_is_no_shell_line_is_told_at_once(host: OpenHost) -> None:
    """A typing error shows when the source is added, not at night."""
    async with opened_source(host, "command", run="if (", filename="d") as source:
        with pytest.raises(SourceError, match="does not understand"):
            await source.check()


async def test_a_database_in_use_comes_whole(host: OpenHost, tmp_path: Path) -> None:
    """What was committed is in the copy, what was not is not, and its settings are kept."""
    database = make_database(tmp_path / NASTY_NAME / f"{NASTY_NAME}.db".replace("\n", " "))
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO wares VALUES ('committed')")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO wares VALUES ('not committed')")
    async with opened_source(host, "sqlite", path=str(database)) as source:
        _, data, _ = await read_item(source)
    writer.close()
    (tmp_path / "copy.db").write_bytes(data)
    copy = sqlite3.connect(tmp_path / "copy.db")
    found = copy.execute(
        "SELECT count(*), max(name = 'committed'), max(name = 'not committed') FROM wares"
    ).fetchone()
    version = copy.execute("PRAGMA user_version").fetchone()
    copy.close()
    assert (found, version) == ((2001, 1, 0), (42,))
    assert not list(tmp_path.rglob("ran"))


async def test_a_database_that_is_not_there_is_not_made(host: OpenHost, tmp_path: Path) -> None:
    """sqlite3 makes an empty database of a typing error, and a backup of it would look well."""
    async with opened_source(host, "sqlite", path=str(tmp_path / "none.db")) as source:
        with pytest.raises(PathMissingError, match=r"none\.db"):
            await source.check()
        with pytest.raises(PathMissingError, match=r"none\.db"):
            await read_item(source)
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_database_is_never_a_backup(host: OpenHost, tmp_path: Path) -> None:
    """A copy of the damage would replace the good backups as they age."""
    database = make_database(tmp_path / "bad.db")
    with open(database, "r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 400)
    async with opened_source(host, "sqlite", path=str(database)) as source:
        with pytest.raises(IncompleteDumpError, match="damaged"):
            await read_item(source)


# ---- files


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
        and (content.xattrs == xattrs or content.data is None)
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
    assert read.reasons() == {lost: "vanished"}
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
    return _Bare(host)  # type: ignore[return-value]


class _Bare:
    """The host, but that it says of itself to have no GNU tools."""

    def __init__(self, host: OpenHost) -> None:
        self._host = host

    def __getattr__(self, name: str) -> object:
        return getattr(self._host, name)

    async def facts(self) -> object:
        import dataclasses

        return dataclasses.replace(await self._host.facts(), has_gnu_find=False, has_gnu_tar=False)


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


# ---- the registry


async def test_a_kind_that_is_none_is_refused() -> None:
    """With the kinds that there are."""
    with pytest.raises(UnknownNameError) as caught:
        open_source(Source("wares", "floppy"), None)  # type: ignore[arg-type]
    assert caught.value.hint == f"known kinds: {', '.join(kinds())}"


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("files", {}, "path is missing"),
        ("files", {"path": ["relative"]}, "must be absolute"),
        ("files", {"path": ["/x"], "exclude": ["[a"]}, "malformed pattern"),
        (
            "files",
            {"path": ["/x"], "one_file_system": "yes"},
            "--one-file-system of source wares must be true or false",
        ),
        ("files", {"path": ["/x"], "run": "true"}, "--run of source wares is not known"),
        ("sqlite", {}, "--path of source wares is missing"),
        ("sqlite", {"path": "shop.db"}, "absolute path"),
        ("command", {"run": "true"}, "--filename of source wares is missing"),
        ("command", {"run": "true", "filename": "../x"}, "bare and printable"),
        ("stdin", {"filename": ".."}, "bare and printable"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_option_that_is_wrong_is_named(
    kind: str, options: dict[str, OptionValue], words: str
) -> None:
    """The user corrects it at once, not after the first night."""
    with pytest.raises(ConfigurationError, match=words):
        async with open_source(Source("wares", kind, options=options), None):  # type: ignore[arg-type]
            pass
