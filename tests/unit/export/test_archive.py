"""A tar stream becomes the archive that was asked for, and stock tools unpack it to the same files."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.errors import UsageError
from engine.export import archive

_CONTENT = {"a/": b"", "a/one": b"one" * 1000, "a/empty": b"", "a/ümlaut \n": b"\0" * 3_000_000, "b": b"b"}


def tar_of(contents: dict[str, bytes], link: str = "a/link") -> bytes:
    """As a dump writes one, with a link to `one` and a pipe in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode, info.mtime = 0o640, 1_700_000_000
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o750
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo(link)
        info.type, info.linkname = tarfile.SYMTYPE, "one"
        tar.addfile(info)
        info = tarfile.TarInfo("pipe")
        info.type = tarfile.FIFOTYPE
        tar.addfile(info)
    return out.getvalue()


def packed(name: str, stream: bytes, piece: int = 100_000) -> bytes:
    """The archive of a tar stream that comes in pieces."""
    out: list[bytes] = []
    packer = archive.packer(name, out.append)
    for begin in range(0, len(stream), piece):
        packer.feed(stream[begin : begin + piece])
    packer.finish()
    packer.abandon()
    return b"".join(out)


@pytest.mark.parametrize(
    ("name", "words"),
    [("tar", ""), ("tar.gz", "gzip -dc"), ("tar.bz2", "bzip2 -dc"), ("tar.zst", "zstd -dc")],
)
def test_a_compressed_tar_is_the_same_stream(name: str, words: str) -> None:
    """Bit for bit, by the tools that everybody has."""
    stream = tar_of(_CONTENT)
    made = packed(name, stream)
    if words:
        made = subprocess.run(words.split(), input=made, stdout=subprocess.PIPE, check=True).stdout
    assert made == stream


def test_a_zip_holds_the_same_files(tmp_path: Path) -> None:
    """Names, contents, rights and links; what a zip has no form for is left out."""
    made = tmp_path / "made.zip"
    made.write_bytes(packed("zip", tar_of(_CONTENT)))
    with zipfile.ZipFile(made) as zipped:
        assert zipped.testzip() is None
        found = {info.filename: zipped.read(info) for info in zipped.infolist()}
        modes = {info.filename: info.external_attr >> 16 for info in zipped.infolist()}
    assert found == {**_CONTENT, "a/link": b"one"}
    assert stat.S_ISLNK(modes["a/link"])
    assert (modes["a/"], modes["b"]) == (stat.S_IFDIR | 0o750, stat.S_IFREG | 0o640)
    assert subprocess.run(["python3", "-m", "zipfile", "-t", made], check=False).returncode == 0


@settings(max_examples=30, deadline=None)
@given(some.dictionaries(some.text("ab/\udc80é", min_size=1, max_size=8).map(lambda name: f"x{name.replace('/', '_')}"), some.binary(max_size=2000), max_size=5), some.integers(1, 5000))  # fmt: skip
def test_any_names_and_pieces_make_a_zip(contents: dict[str, bytes], piece: int) -> None:
    """Pieces end anywhere."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile(io.BytesIO(packed("zip", out.getvalue(), piece))) as zipped:
        expected = {
            os.fsencode(name).decode("utf-8", "backslashreplace"): content
            for name, content in contents.items()
        }
        assert {info.filename: zipped.read(info) for info in zipped.infolist()} == expected


@pytest.mark.parametrize("name", archive.FORMATS)
def test_one_that_is_given_up_ends_at_once(name: str) -> None:
    """Whoever cancels must not wait for a thread that waits for him."""
    packer = archive.packer(name, lambda _data: None)
    packer.feed(tar_of(_CONTENT)[:700_000])
    packer.abandon()
    packer.abandon()


def test_what_the_sink_raises_reaches_who_feeds() -> None:
    """A disk that is full."""

    def full(_data: bytes) -> None:
        raise OSError(28, "No space left on device")

    packer = archive.packer("zip", full)

    def feed_all() -> None:
        for _ in range(100):
            packer.feed(tar_of(_CONTENT))
        packer.finish()

    with pytest.raises(OSError, match="No space"):
        feed_all()
    packer.abandon()


def test_a_cut_stream_is_no_archive() -> None:
    """Half a zip that opens would pass for a whole one."""
    packer = archive.packer("zip", lambda _data: None)
    packer.feed(tar_of(_CONTENT)[:2_000_000])
    with pytest.raises(tarfile.TarError):
        packer.finish()


def test_an_unknown_format_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match="no format 'rar'"):
        archive.packer("rar", lambda _data: None)
    assert [archive.format_of(name) for name in ("x.tgz", "x.tar.zst", "x.zip", "x")] == [
        "tar.gz",
        "tar.zst",
        "zip",
        "",
    ]
