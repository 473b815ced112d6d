"""Writing out one file, or a directory as tar."""

from __future__ import annotations

import io
import random
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DamagedError, PathMissingError, RestoreError
from engine.format import tree
from engine.format.tree import Node
from engine.repository import dump, dump_tar
from engine.repository.repository import Repository
from engine.storages.base import Key, Kind
from tests.fakes.crafted import Crafted, link
from tests.fakes.memory_storage import MemoryStorage
from tests.servers.nasty_tree import posix_acl


class Sink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def write(self, piece: bytes) -> None:
        """Takes one piece."""
        self.pieces.append(piece)

    @property
    def content(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


async def test_a_file_comes_out_in_order(opened: Repository) -> None:
    """Blobs arrive from several threads at once."""
    crafted = Crafted(opened)
    chunks = [random.Random(number).randbytes(1 + 7919 * number % 50_000) for number in range(200)]
    named = await crafted.commit([await crafted.file(b"f", *chunks, chunks[0], chunks[0])])
    sink = Sink()
    written = await dump.dump(opened, named.snapshot, b"/f", sink.write)
    assert sink.content == b"".join([*chunks, chunks[0], chunks[0]])
    assert written == len(sink.content)


def counted_reads(opened: Repository, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packs that are read from now on, once for each request."""
    storage = opened.storage
    assert isinstance(storage, MemoryStorage)
    reads: list[str] = []
    original = storage.get

    async def counting(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        if key.kind is Kind.PACK:
            reads.append(key.name)
        return await original(key, offset, length)

    monkeypatch.setattr(storage, "get", counting)
    return reads


async def test_blobs_of_one_pack_are_asked_for_together(
    opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer fills several packs by turns, and each request to a storage that is far away costs a round trip."""
    crafted = Crafted(opened)
    chunks = [random.Random(number).randbytes(300_000) for number in range(60)]
    named = await crafted.commit([await crafted.dealt_file(b"f", *chunks)])
    reads = counted_reads(opened, monkeypatch)
    sink = Sink()
    await dump.dump(opened, named.snapshot, b"f", sink.write)
    assert sink.content == b"".join(chunks)
    assert len(reads) <= 12


async def test_a_pack_that_is_gone_costs_no_blob_that_lies_elsewhere(opened: Repository) -> None:
    """What is asked for together is not lost together."""
    crafted = Crafted(opened)
    chunks = [random.Random(number).randbytes(100_000) for number in range(8)]
    await crafted.commit([await crafted.file(b"g", *chunks)])
    again = Crafted(opened)
    named = await again.commit([await again.dealt_file(b"f", *chunks)])
    storage = opened.storage
    assert isinstance(storage, MemoryStorage)
    # The last three packs are the two of the file, and the one of the tree.
    for key in [each for each in storage.objects if each.kind is Kind.PACK][-3:-1]:
        del storage.objects[key]
    sink = Sink()
    await dump.dump(opened, named.snapshot, b"f", sink.write)
    assert sink.content == b"".join(chunks)


async def test_no_more_is_read_ahead_than_the_bound(
    opened: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump of a terabyte into a slow pipe must not fill the memory."""
    crafted = Crafted(opened)
    chunks = [random.Random(number).randbytes(20_000) for number in range(50)]
    named = await crafted.commit([await crafted.file(b"f", *chunks)])
    reads = counted_reads(opened, monkeypatch)
    furthest: list[int] = []

    async def write(_piece: bytes) -> None:
        furthest.append(len(reads) - len(furthest))

    await dump.dump(opened, named.snapshot, b"f", write, ahead_bytes=100_000)
    assert max(furthest) <= 8


async def test_damage_is_named_and_nothing_wrong_is_written(opened: Repository) -> None:
    """Better half a dump and an error than a whole one with a hole."""
    crafted = Crafted(opened)
    node = await crafted.file(b"f", b"first" * 100, b"second" * 100)
    named = await crafted.commit([node])
    assert node.content is not None
    location = opened.index.lookup("data", node.content[1])
    assert location is not None
    await opened.storage.put(Key(Kind.PACK, location.pack.hex()), [bytes(1000)])
    sink = Sink()
    with pytest.raises(DamagedError, match=node.content[1].hex()):
        await dump.dump(opened, named.snapshot, b"f", sink.write)
    assert sink.content == b"first" * 100


async def test_a_size_that_lies_is_told(opened: Repository) -> None:
    """Whoever pipes a dump into a database must learn that it was not what was backed up."""
    crafted = Crafted(opened)
    named = await crafted.commit([await crafted.file(b"f", b"abc", node=Node(b"", "file", size=4))])
    with pytest.raises(DamagedError, match="holds 3 bytes, but the backup says 4"):
        await dump.dump(opened, named.snapshot, b"f", Sink().write)


async def test_what_has_no_content_is_refused(opened: Repository) -> None:
    """An empty output would look like an empty file."""
    named = await Crafted(opened).commit([link(b"l", b"x")])
    with pytest.raises(RestoreError, match="l is a symlink"):
        await dump.dump(opened, named.snapshot, b"l", Sink().write)
    with pytest.raises(PathMissingError):
        await dump.dump(opened, named.snapshot, b"m", Sink().write)


async def test_a_directory_comes_out_as_tar(opened: Repository) -> None:
    """One command brings a folder to any machine."""
    crafted = Crafted(opened)
    files = [await crafted.file(b"%03d" % number, b"x" * number, b"y") for number in range(600)]
    folder = await crafted.folder(b"d", [*files, link(b"l\xff", b"t\xff")], mode=0o1750)
    named = await crafted.commit([folder])
    sink = Sink()
    await dump.dump(opened, named.snapshot, b"d", sink.write)
    with tarfile.open(fileobj=io.BytesIO(sink.content), errors="surrogateescape") as archive:
        members = {member.name: member for member in archive}
        assert list(members)[:3] == ["d", "d/000", "d/001"]
        assert members["d"].mode == 0o1750
        assert members["d/l\udcff"].linkname == "t\udcff"
        for number in (0, 511, 599):
            content = archive.extractfile(members[f"d/{number:03d}"])
            assert content is not None
            assert content.read() == b"x" * number + b"y"


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: not set(name) & {0} and name.strip(b"/") == name),
    st.integers(0, 2**33),
    st.integers(0, 2**32 - 2),
)
def test_headers_hold_any_name_size_and_owner(name: bytes, size: int, uid: int) -> None:
    """What tar's old fields cannot hold goes into pax headers."""
    node = Node(b"", "file", tree.go_mode("f", 0o4755), mtime="1960-01-01T00:00:00.000000001Z", uid=uid)
    raw = dump_tar.header(name, node, size)
    with tarfile.open(fileobj=io.BytesIO(raw + dump_tar.END), errors="surrogateescape") as archive:
        found = archive.next()
    assert found is not None
    assert (found.name.encode("utf-8", "surrogateescape"), found.size, found.uid) == (name, size, uid)
    assert found.mode == 0o4755
    assert found.pax_headers["mtime"] == "-315619199.999999999"


def test_an_acl_is_written_as_tar_programs_read_it() -> None:
    """GNU tar and star know ACLs as text."""
    assert dump_tar.acl_text(posix_acl(12)) == "user::rwx,user:12:rw-,group::r-x,mask::rwx,other::---"
    assert dump_tar.acl_text(b"nonsense") is None
