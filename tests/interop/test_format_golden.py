"""The format against restic itself: what it wrote is read and written again byte for byte, and what the format alone writes is clean to it."""

from __future__ import annotations

import datetime
import grp
import json
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import RepositoryError
from engine.format import (
    blob,
    config_file,
    ids,
    index,
    key_file,
    names,
    pack,
    polynomial,
    snapshot,
    tree,
    unpacked,
)
from engine.format.blob import BlobCoder
from engine.format.compression import Decompressor
from engine.format.config_file import Config
from engine.format.crypto import MasterKey, Sealer
from engine.format.ids import BlobType
from engine.format.pack import BlobEntry, PackBuilder
from engine.format.tree import Node
from engine.model.entry import Entry
from tests.servers.nasty_tree import make_nasty_tree
from tests.servers.restic import PASSWORD, Restic, ResticProgram

LETTERS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
}


def restic_at(program: ResticProgram, folder: Path) -> Restic:
    """A restic whose zone is UTC, as holdfast writes times."""
    return Restic(program, folder / "repository", folder / "temporary", settings={"TZ": "UTC"})


class Opened:
    """A repository of restic, read with the format and nothing else."""

    def __init__(self, root: Path) -> None:
        self._root = root
        [key] = (root / "keys").iterdir()
        self.sealer = Sealer(key_file.parse(key.read_bytes()).unlock(PASSWORD.encode()))
        self.config = config_file.decode(self.sealer, (root / "config").read_bytes())
        [(self.snapshot, self.snapshot_json)] = [
            (snapshot.decode(json), json) for json in self._unpacked("snapshots")
        ]
        self.packs = {
            pack_id: entries for json in self._unpacked("index") for pack_id, entries in index.decode(json)
        }
        self._places = {entry.id: (pack_id, entry) for pack_id in self.packs for entry in self.packs[pack_id]}

    def _unpacked(self, folder: str) -> Iterator[bytes]:
        for path in (self._root / folder).iterdir():
            unpacked.check_name(path.name, path.read_bytes())
            yield unpacked.decode(self.sealer, path.read_bytes())

    def whole(self, pack_id: bytes) -> bytes:
        """A pack's bytes."""
        return (self._root / "data" / pack_id.hex()[:2] / pack_id.hex()).read_bytes()

    def blob(self, blob_id: bytes) -> bytes:
        """A blob's content, checked."""
        pack_id, entry = self._places[blob_id]
        stored = self.whole(pack_id)[entry.offset : entry.offset + entry.length]
        return blob.decode(self.sealer, Decompressor(), stored, blob_id, entry.uncompressed_length)

    def trees(self, tree_id: bytes | None = None, path: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Each directory's path and tree blob."""
        content = self.blob(tree_id or self.snapshot.tree)
        yield path, content
        for node in tree.decode_tree(content):
            if node.subtree is not None:
                yield from self.trees(node.subtree, path + b"/" + node.name)


def listed(path: bytes) -> Entry:
    """A file as find would list it."""
    found = os.lstat(path)

    def instant(ns: int) -> bytes:
        return b"%d.%09d0" % divmod(ns, 10**9)

    def owner(database: dict[int, str], number: int) -> bytes:
        return database.get(number, "").encode()

    letter = LETTERS[stat.S_IFMT(found.st_mode)]
    return Entry(
        path[1:],
        letter,
        found.st_mode & 0o7777,
        found.st_uid,
        found.st_gid,
        owner({user.pw_uid: user.pw_name for user in pwd.getpwall()}, found.st_uid),
        owner({group.gr_gid: group.gr_name for group in grp.getgrall()}, found.st_gid),
        found.st_size,
        instant(found.st_mtime_ns),
        instant(found.st_ctime_ns),
        found.st_ino,
        found.st_dev,
        found.st_nlink,
        os.readlink(path) if letter == "l" else b"",  # noqa: PTH115 -- a Path cannot hold every name
    )


def attributes(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes in the kernel's order, which is restic's."""
    found = os.listxattr(path, follow_symlinks=False)
    return tuple((os.fsencode(name), os.getxattr(path, name, follow_symlinks=False)) for name in found)


def rebuilt(path: bytes, node: Node) -> bytes:
    """The node of a file as holdfast writes it: its beginning out of a listing, its content as the node has it."""
    device = os.lstat(path).st_rdev if node.type in ("dev", "chardev") else 0
    rest = tree.node_suffix(attributes(path), device, node.content, node.subtree)
    return tree.node_prefix(listed(path)) + rest


def test_trees_of_odd_files_are_byte_for_byte_those_of_restic(
    restic_program: ResticProgram, tmp_path: Path
) -> None:
    """Equal bytes are equal identifiers: restic and holdfast then share trees, and each takes the other's snapshot for its parent."""
    restic = restic_at(restic_program, tmp_path)
    is_new = restic_program.number >= (0, 16)
    make_nasty_tree(tmp_path / "tree", has_odd_link_targets=is_new)
    restic.init()
    restic.backup(tmp_path / "tree")
    seen = 0
    for folder, content in Opened(tmp_path / "repository").trees():
        nodes = tree.decode_tree(content)
        assert tree.encode_tree(map(tree.encode_node, nodes)) == content
        for raw, node in zip(tree.split_nodes(content), nodes, strict=True):
            path = folder + b"/" + node.name
            if path.startswith(os.fsencode(tmp_path / "tree") + b"/") and node.type != "socket":
                assert rebuilt(path, node) == raw
                seen += 1
    assert seen > 100


def test_every_character_is_quoted_as_restic_quotes_it(restic_newest: ResticProgram, tmp_path: Path) -> None:
    """Printable is what restic's Unicode tables call so: all planes that have characters are tried."""
    restic = restic_at(restic_newest, tmp_path)
    folder = tmp_path / "names"
    folder.mkdir()
    characters = [
        chr(code)
        for code in [*range(1, 0xD800), *range(0xE000, 0x33480), *range(0xE0000, 0xE01F1)]
        if code != 0x2F
    ]
    for begin in range(0, len(characters), 60):
        (folder / ("_" + "".join(characters[begin : begin + 60]))).touch()
    restic.init()
    restic.backup(".", cwd=folder)
    content = max((content for _path, content in Opened(tmp_path / "repository").trees()), key=len)
    for node in json.loads(content)["nodes"]:
        name = names.unquote(node["name"])
        assert names.quote(name).decode() == node["name"]
        assert (folder / os.fsdecode(name)).exists()


class FormatOnly:
    """A repository written with the format and nothing else: files by their paths."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._master = MasterKey.generate()
        self._sealer = Sealer(self._master)
        self._packs: list[tuple[bytes, tuple[BlobEntry, ...]]] = []
        for folder in ("data", "index", "keys", "locks", "snapshots"):
            (root / folder).mkdir(parents=True)

    def _write(self, path: str, stored: bytes) -> None:
        target = self._root / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(stored)

    def start(self) -> None:
        """Config and key."""
        config = Config(2, os.urandom(32).hex(), polynomial.generate())
        self._write("config", config_file.encode(self._sealer, config))
        key = key_file.create(
            PASSWORD.encode(),
            self._master,
            username="root",
            hostname="here",
            created=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            salt=os.urandom(key_file.SALT_BYTES),
            n=1024,
            r=8,
            p=1,
        )
        self._write(f"keys/{ids.digest(key).hex()}", key)

    def save(self, blob_type: BlobType, contents: list[bytes]) -> list[bytes]:
        """One pack of blobs, compressed where that helps."""
        coder = BlobCoder("auto")
        builder = PackBuilder(self._sealer)
        encoded = [coder.encode(content, blob_type) for content in contents]
        for each, content in zip(encoded, contents, strict=True):
            sealed = coder.seal_verified(self._sealer, each, content)
            builder.add(blob_type, each.id, sealed, each.uncompressed_length)
        made = builder.finish()
        self._write(f"data/{made.id.hex()[:2]}/{made.id.hex()}", b"".join(made.parts))
        self._packs.append((made.id, tuple(made.entries)))
        return [each.id for each in encoded]

    def finish(self, root_tree: bytes) -> None:
        """Index, then snapshot."""
        for folder, plain in (("index", index.encode(self._packs)), ("snapshots", self._snapshot(root_tree))):
            name, stored = unpacked.encode(self._sealer, plain)
            self._write(f"{folder}/{name}", stored)

    @staticmethod
    def _snapshot(root_tree: bytes) -> bytes:
        zone = datetime.timezone(datetime.timedelta(hours=2))
        when = datetime.datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=zone)
        return snapshot.encode(snapshot.Snapshot(when, root_tree, ("/",), "here", tags=("holdfast:own",)))


def test_a_repository_of_the_format_alone_is_clean_to_restic(
    restic_program: ResticProgram, tmp_path: Path
) -> None:
    """The way out of holdfast is restic, whatever happens to holdfast."""
    made = FormatOnly(tmp_path / "repository")
    made.start()
    contents = [b"text " * 5000, os.urandom(100_000), b"x"]
    blobs = made.save("data", contents)
    file = Node(b'odd "\xff', "file", 0o644, size=sum(map(len, contents)), content=tuple(blobs), device_id=1)
    empty = Node(b"zero", "file", 0o600, content=(), device_id=1)
    [root] = made.save("tree", [tree.encode_tree(map(tree.encode_node, (file, empty)))])
    made.finish(root)
    restic = restic_at(restic_program, tmp_path)
    restic.check()
    restic.restore("latest", tmp_path / "restored")
    restored = os.fsencode(tmp_path / "restored") + b'/odd "\xff'
    assert Path(os.fsdecode(restored)).read_bytes() == b"".join(contents)


def test_what_restic_stored_is_read(restic_program: ResticProgram, tmp_path: Path) -> None:
    """Existing repositories are taken over as they are."""
    restic = restic_at(restic_program, tmp_path)
    restic.init()
    restic.backup("--stdin", "--stdin-filename", "x", "--tag", "a", stdin=b"hello " * 1000)
    opened = Opened(tmp_path / "repository")
    assert opened.config.version == 2
    assert (opened.snapshot.tags, opened.snapshot.paths) == (("a",), ("/x",))
    assert json.loads(snapshot.encode(opened.snapshot)) == json.loads(opened.snapshot_json)
    for pack_id, entries in opened.packs.items():
        whole = opened.whole(pack_id)
        assert pack.parse_pack(opened.sealer, whole) == entries
        assert pack.size_bytes(entries) == len(whole)
    [node] = tree.decode_tree(opened.blob(opened.snapshot.tree))
    assert b"".join(map(opened.blob, node.content or ())) == b"hello " * 1000


@pytest.mark.parametrize("tampered", ["config", "keys"])
def test_a_tampered_repository_is_refused_by_restic_and_by_the_format(
    tampered: str, restic_newest: ResticProgram, tmp_path: Path
) -> None:
    """Both mean the same by damage."""
    made = FormatOnly(tmp_path / "repository")
    made.start()
    [path] = [
        path for path in (tmp_path / "repository").rglob("*") if path.is_file() and tampered in str(path)
    ]
    stored = bytearray(path.read_bytes())
    stored[-20] ^= 1
    path.write_bytes(stored)
    assert restic_at(restic_newest, tmp_path).run("cat", "config", is_checked=False).returncode != 0
    made.finish(ids.digest(b""))
    with pytest.raises(RepositoryError):
        Opened(tmp_path / "repository")
