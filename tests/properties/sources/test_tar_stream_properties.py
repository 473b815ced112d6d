"""The tar stream's parser: any archive in any pieces gives the same members, and a damaged one none that are wrong in silence."""

from __future__ import annotations

import io
import itertools
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError, SourceError
from engine.model.entry import Fetched
from engine.sources.files.tar_stream import SMALL_BYTES, Begin, End, Event, Hole, TarParser

NAMES = st.text(min_size=1, max_size=200).filter(
    lambda name: name.strip("/.") and "\0" not in name and not name.endswith("/")
)
CONTENTS = st.binary(max_size=2000) | st.integers(SMALL_BYTES - 2, SMALL_BYTES + 2000).map(
    lambda size: b"\1" * size
)

_LETTERS = {tarfile.SYMTYPE: "l", tarfile.DIRTYPE: "d", tarfile.CHRTYPE: "c", tarfile.FIFOTYPE: "p"}


@st.composite
def archives(draw: st.DrawFn) -> list[tarfile.TarInfo]:
    """Members."""
    members = []
    for name in draw(st.lists(NAMES, max_size=5)):
        info = tarfile.TarInfo("./" + name)
        info.type = draw(
            st.sampled_from(
                [
                    tarfile.REGTYPE,
                    tarfile.DIRTYPE,
                    tarfile.SYMTYPE,
                    tarfile.LNKTYPE,
                    tarfile.CHRTYPE,
                    tarfile.FIFOTYPE,
                ]
            )
        )
        if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info.linkname = draw(st.text(min_size=1, max_size=150).filter(lambda text: "\0" not in text))
        if info.type == tarfile.CHRTYPE:
            info.devmajor, info.devminor = draw(st.integers(0, 4000)), draw(st.integers(0, 100_000))
        if draw(st.booleans()):
            info.pax_headers = {"SCHILY.xattr.user.a": draw(st.text(max_size=30))}
        members.append(info)
    return members


def pack(members: list[tarfile.TarInfo], contents: list[bytes]) -> bytes:
    """The archive."""
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for info, content in zip(members, contents, strict=True):
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def unpack(data: bytes, *cuts: int) -> list[Fetched]:
    """What the parser makes of it, cut at these places, with large files put together."""
    parser = TarParser()
    events: list[Event] = []
    places = [0, *sorted(cuts), len(data)]
    for begin, end in itertools.pairwise(places):
        events += parser.feed(data[begin:end])
    parser.end()
    return whole(events)


def whole(events: list[Event]) -> list[Fetched]:
    """Members, with large files put together."""
    members: list[Fetched] = []
    pieces: list[bytes] = []
    large: Begin | None = None
    for event in events:
        if isinstance(event, Begin):
            large = event
            pieces = []
        elif isinstance(event, Hole):
            pieces.append(bytes(event.size))
        elif isinstance(event, End):
            assert large
            assert len(b"".join(pieces)) == large.size
            members.append(Fetched(large.path, large.xattrs, 0, b"".join(pieces), None, "f"))
        elif isinstance(event, Fetched):
            members.append(event)
        else:
            pieces.append(event)
    return members


@given(archives(), st.data())
def test_members_do_not_depend_on_the_pieces(members: list[tarfile.TarInfo], data: st.DataObject) -> None:
    """The network cuts a stream wherever it likes."""
    contents = [data.draw(CONTENTS) for _ in members]
    packed = pack(members, contents)
    cuts = data.draw(st.lists(st.integers(0, len(packed)), max_size=6))
    expected = [_expected(info, content) for info, content in zip(members, contents, strict=True)]
    assert unpack(packed, *cuts) == expected


def _expected(info: tarfile.TarInfo, content: bytes) -> Fetched:
    path = info.name[2:].encode("utf-8", "surrogateescape").rstrip(b"/")
    xattrs = tuple(
        (b"user.a", value.encode("utf-8", "surrogateescape"))
        for name, value in info.pax_headers.items()
        if name.startswith("SCHILY")
    )
    if info.islnk():
        return Fetched(path, xattrs, 0, None, None, "")
    device = os.makedev(info.devmajor, info.devminor) if info.ischr() else 0
    type_ = "f" if info.isreg() else _LETTERS[info.type]
    return Fetched(path, xattrs, device, content if info.isreg() else b"", None, type_)


@given(archives(), st.data())
def test_a_cut_archive_is_never_taken_for_a_whole_one(
    members: list[tarfile.TarInfo], data: st.DataObject
) -> None:
    """What was not sent would be missing from the backup without a word."""
    packed = pack(members, [b"x" * 700] * len(members))
    end = len(packed.rstrip(b"\0"))
    with pytest.raises(IncompleteDumpError):
        unpack(packed[: data.draw(st.integers(0, end))])


@given(st.data())
def test_a_damaged_header_is_noticed(data: st.DataObject) -> None:
    """A stream that is out of step would give one file another's content."""
    info = tarfile.TarInfo("./file")
    packed = bytearray(pack([info], [b"content"]))
    place = data.draw(st.integers(0, 511))
    new = data.draw(st.integers(0, 255))
    if packed[place] == new or 154 <= place < 156:
        return  # unchanged, or the checksum's own end, of which tar itself takes no notice
    if place == 148 and bytes([new]) in b" \t\n\v\f\r\0":
        return  # a blank in place of the checksum's leading zero is the same number
    packed[place] = new
    with pytest.raises(SourceError):
        unpack(bytes(packed))


@given(st.binary(max_size=4000))
def test_garbage_is_an_error_and_no_crash(garbage: bytes) -> None:
    """A login greeting in the stream must be told in one sentence."""
    with pytest.raises(SourceError):
        unpack(garbage)


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3000)), max_size=12),
    st.integers(0, 4000),
    st.data(),
)
def test_holes_come_back_as_zeros(runs: list[tuple[int, int]], tail: int, data: st.DataObject) -> None:
    """A sparse file is the same file, whatever way its holes were written down."""
    extents: list[tuple[int, int]] = []
    expected = b""
    for hole, length in runs:
        expected += bytes(hole)
        extents.append((len(expected), length))
        expected += b"\1" * length
    expected += bytes(tail)
    packed = _sparse_archive(data.draw(st.sampled_from(["1.0", "0.1", "0.0"])), extents, len(expected))
    cuts = data.draw(st.lists(st.integers(0, len(packed)), max_size=5))
    assert unpack(packed, *cuts) == [Fetched(b"hollow", (), 0, expected, None, "f")]


def _sparse_archive(version: str, extents: list[tuple[int, int]], real_size: int) -> bytes:
    stored = b"".join(b"\1" * length for _, length in extents)
    numbers = [str(number) for extent in extents for number in extent]
    if version == "1.0":
        text = "".join(f"{number}\n" for number in [str(len(extents)), *numbers]).encode()
        stored = text + bytes(-len(text) % 512) + stored
        records = [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "./hollow"),
            ("GNU.sparse.realsize", str(real_size)),
        ]
    elif version == "0.1":
        records = [("GNU.sparse.size", str(real_size)), ("GNU.sparse.map", ",".join(numbers))]
    else:
        records = [("GNU.sparse.size", str(real_size))]
        for offset, length in extents:
            records += [("GNU.sparse.offset", str(offset)), ("GNU.sparse.numbytes", str(length))]
    payload = b"".join(_record(keyword, value) for keyword, value in records)
    header = tarfile.TarInfo("./PaxHeaders/hollow")
    header.type = tarfile.XHDTYPE
    header.size = len(payload)
    info = tarfile.TarInfo("./hollow")
    info.size = len(stored)
    parts = [
        header.tobuf(tarfile.USTAR_FORMAT),
        payload,
        bytes(-len(payload) % 512),
        info.tobuf(tarfile.USTAR_FORMAT),
    ]
    return b"".join([*parts, stored, bytes(-len(stored) % 512), bytes(1024)])


def _record(keyword: str, value: str) -> bytes:
    rest = f" {keyword}={value}\n"
    length = len(rest)
    while len(f"{length}{rest}") != length:
        length = len(f"{length}{rest}")
    return f"{length}{rest}".encode()


@pytest.mark.parametrize(
    "extents", [[(5, 3), (0, 2)], [(0, 20)], [(0, 5), (3, 2)]], ids=["backwards", "too long", "overlapping"]
)
def test_a_map_that_lies_is_refused(extents: list[tuple[int, int]]) -> None:
    """A hostile map must not shift the content of the files that follow."""
    with pytest.raises(SourceError):
        unpack(_sparse_archive("1.0", extents, 10))


@pytest.mark.parametrize("size", [-1, 1 << 63, 1 << 87], ids=str)
def test_a_size_that_no_file_has_is_refused(size: int) -> None:
    """A hostile size must not make us wait for ever."""
    header = bytearray(tarfile.TarInfo("./x").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\x80" + (size % (1 << 88)).to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256)
    with pytest.raises(SourceError):
        unpack(bytes(header) + bytes(1024))


def test_a_large_size_in_binary_is_read() -> None:
    """tar writes sizes over 8 GiB so."""
    header = bytearray(tarfile.TarInfo("./x").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\x80" + (600_000).to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256)
    (member,) = unpack(bytes(header) + b"\1" * 600_000 + bytes(-600_000 % 512) + bytes(1024))
    assert member.data == b"\1" * 600_000


@pytest.mark.parametrize("kind", [b"g", b"S", b"V", b"Z"], ids=repr)
def test_a_member_of_an_unknown_kind_is_refused(kind: bytes) -> None:
    """What we do not understand must not be taken for something else."""
    info = tarfile.TarInfo("./x")
    info.type = kind
    with pytest.raises(SourceError):
        unpack(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))


def test_long_names_of_gnu_format_are_read() -> None:
    """An older tar that knows no pax writes them so."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("./" + "n" * 300))
    assert unpack(stream.getvalue()) == [Fetched(b"n" * 300, (), 0, b"", None, "f")]
