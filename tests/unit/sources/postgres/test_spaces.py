"""Tablespaces as a host and a repository tell of them: none leads anywhere but where a person or the restore's own target says."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DamagedError, IncompleteDumpError, UsageError
from engine.model.manifest import Tablespace
from engine.sources.base import Member
from engine.sources.logs import WholePlace
from engine.sources.postgres import spaced_copy, spaces, whole
from engine.sources.postgres.base_backup import BaseReader
from engine.sources.postgres.replication import Replication

SPACES = (Tablespace("16385", "fast", "/srv/fast"), Tablespace("16386", "it's=odd", "/srv/a=b/"))
DATA = "/r/postgres/shop/data"


@settings(max_examples=40)
@given(st.text(), st.text(), st.text())
def test_a_tablespace_goes_below_the_target_or_where_a_person_says(
    name: str, location: str, given_place: str
) -> None:
    """Whatever a backup says of its name and its old place; a place with .. or without a root is refused."""
    told = (Tablespace("16385", name, location), *SPACES[1:])
    assert spaces.pairs(told, (), "/r/tablespaces", DATA) == [
        "16385=/r/tablespaces/16385",
        "16386=/r/tablespaces/16386",
    ]
    try:
        first, _ = spaces.pairs(told, [f"/srv/a=b={given_place}"], "/r/tablespaces", DATA)[::-1]
    except UsageError:
        return
    place = first.removeprefix("16386=")
    assert place == given_place.rstrip("/")
    assert posixpath.isabs(place)
    assert posixpath.normpath(place) == place


@pytest.mark.parametrize(
    ("given_mapping", "place"),
    [
        ("/srv/fast=/new", "/new"),
        ("fast=/new/", "/new"),
        ("it's=odd=/x=y", "/x=y"),
        ("/srv/a=b=/x", "/x"),
        ("/srv/a=b/=/x", "/x"),
    ],
)
def test_either_side_of_a_mapping_may_hold_an_equals_sign(given_mapping: str, place: str) -> None:
    """As paths may."""
    assert place in [each.split("=", 1)[1] for each in spaces.pairs(SPACES, [given_mapping], "/t", DATA)]


@pytest.mark.parametrize(
    ("given_mapping", "words"),
    [
        ("fast", "maps nothing"),
        ("/srv/fats=/x", "no tablespace at /srv/fats"),
        ("fast=x", "path from the root"),
        ("fast=/a/../b", "path from the root"),
        ("fast=//a", "path from the root"),
        ("fast=/", "path from the root"),
        ("fast=/a\0b", "path from the root"),
        (f"fast={DATA}/x", "where other files"),
        ("fast=/r/postgres", "where other files"),
        ("fast=/t/16386", "where other files"),
        ("fast=/t/16386/below", "where other files"),
    ],
)
def test_a_mapping_that_means_nothing_is_refused_by_name(given_mapping: str, words: str) -> None:
    """Before anything is laid anywhere."""
    with pytest.raises(UsageError, match=words):
        spaces.pairs(SPACES, [given_mapping], "/t", DATA)


@pytest.mark.parametrize("number", ["", "0", "../x", "1/2", "-1", "16385 ", "٣", "12345678901", "16386"])
def test_a_number_that_no_server_gives_is_damage(number: str) -> None:
    """It would become a part of paths, and of a shell's words."""
    with pytest.raises(DamagedError):
        spaces.pairs([Tablespace(number, "x", "/x"), SPACES[1]], (), "/t", DATA)


@pytest.mark.parametrize(
    "row", [[b"../16385", b"/x"], [b"0", b"/x"], [b"16385'", b"/x"], [b"\xff", b"/x"], [b"16386", b"/x"]]
)
def test_what_a_server_announces_is_a_number_once(row: Sequence[bytes]) -> None:
    """The data folder itself comes without one."""
    with pytest.raises(IncompleteDumpError, match="announced"):
        spaced_copy.announced([[], [[b"16386", b"/y", None], row, [None, None, None]]])


class _Copied:
    """What a server sends in its copy, message by message."""

    def __init__(self, *messages: bytes) -> None:
        self._left = [*messages, b""]

    async def copied(self) -> bytes:
        """See `replication.Replication.copied`."""
        return self._left.pop(0)


async def _taken(copy: spaced_copy.SpacedCopy) -> None:
    while await copy.next() is not None:
        pass
    copy.reader.require_whole()


@pytest.mark.parametrize(
    "messages",
    [
        [b"n16386.tar\0/srv/live\0"],
        [b"n../16385.tar\0/srv/fast\0"],
        [b"n16385.tar.gz\0/srv/fast\0"],
        [b"n16385.tar\0"],
        [b"n16385.tar\0/srv/fast\0", b"n16385.tar\0/srv/fast\0"],
        [b"m", b"nbase.tar\0\0"],
        [b"m", b"d{}"],
        [b"nbase.tar\0\0", b"dnoise" + bytes(600)],
        [b"p1234567"],
        [b"x"],
    ],
)
async def test_a_copy_that_speaks_otherwise_than_announced_is_none(messages: Sequence[bytes]) -> None:
    """Whatever a server sends: one sentence, and nothing is held that it did not announce."""
    stream = cast("Replication", _Copied(*messages))
    copy = spaced_copy.SpacedCopy(stream, {}, spaced_copy.announced([[[b"16385", b"/srv/fast"]]]))
    with pytest.raises(IncompleteDumpError):
        await _taken(copy)


def _files(*members: tuple[str, bytes | str | None]) -> bytes:
    """An archive: of files, of folders (None), and of links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.type = (
                tarfile.DIRTYPE
                if content is None
                else tarfile.SYMTYPE
                if isinstance(content, str)
                else tarfile.REGTYPE
            )
            info.size = len(content) if isinstance(content, bytes) else 0
            info.linkname = content if isinstance(content, str) else ""
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


SPACE = _files(("PG_15_1", None), ("PG_15_1/5", None), ("PG_15_1/5/1", b"rows"))
BASE = (
    ("backup_label", b"START WAL LOCATION: 0/2000028 (file 0)\n"),
    ("pg_tblspc", None),
    ("pg_tblspc/16385", "/srv/fast"),
    ("pg_wal/000000010000000000000002", b"log"),
)


def _manifest(**files: bytes) -> bytes:
    entries = [
        {
            "Path": name,
            "Size": len(data),
            "Checksum-Algorithm": "SHA256",
            "Checksum": hashlib.sha256(data).hexdigest(),
        }
        for name, data in files.items()
    ]
    before = (
        json.dumps({"PostgreSQL-Backup-Manifest-Version": 1, "Files": entries, "WAL-Ranges": []})[:-1] + ",\n"
    )
    return f'{before}"Manifest-Checksum": "{hashlib.sha256(before.encode()).hexdigest()}"}}'.encode()


def _read(archives: Sequence[tuple[str, bytes]], manifest: bytes) -> list[Member]:
    reader, members = BaseReader(), []
    for space, data in archives:
        reader.begin_archive(space)
        for at in range(0, len(data), 700):
            members += [each for each in reader.feed(data[at : at + 700]) if isinstance(each, Member)]
    members += [each for each in reader.feed_manifest(manifest) if isinstance(each, Member)]
    reader.require_whole()
    return members


MANIFEST = _manifest(**{"pg_tblspc/16385/PG_15_1/5/1": b"rows", "backup_label": BASE[0][1] or b""})


def test_what_a_tablespace_holds_lies_where_the_data_folder_has_its_link() -> None:
    """A folder before what is in it, and none twice."""
    paths = [each.path for each in _read([("16385", SPACE), ("", _files(*BASE))], MANIFEST)]
    inside = "pg_tblspc/16385/PG_15_1"
    assert paths == [
        "", "pg_tblspc", "pg_tblspc/16385", inside, f"{inside}/5", f"{inside}/5/1",
        "backup_label", "pg_wal/000000010000000000000002", "backup_manifest",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "archives",
    [
        [("16385", SPACE), ("16385", SPACE), ("", _files(*BASE))],
        [("16385", SPACE[:1700]), ("", _files(*BASE))],
        [("16385", SPACE), ("", _files(*BASE, ("pg_tblspc/16386", "/srv/live")))],
        [("16385", SPACE), ("", _files(*BASE, ("pg_tblspc/16385/x", "/srv/live")))],
        [("16385", SPACE), ("", _files(*BASE, ("base/link", "/srv/live")))],
        [("16385", _files(("../../base/1", b"x"))), ("", _files(*BASE))],
        [("16385", _files(("PG_15_1", "/srv/live"))), ("", _files(*BASE))],
        [
            ("16385", _files(("PG_15_1", None), ("PG_15_1/5", None), ("PG_15_1/5/1", b"rosw"))),
            ("", _files(*BASE)),
        ],
        [("", _files(*BASE))],
        [("16385", SPACE), ("", _files(*BASE, ("tablespace_map", b"16385 /srv/live\n")))],
    ],
    ids=[
        "twice",
        "cut",
        "link unannounced",
        "link below",
        "link elsewhere",
        "out of it",
        "a link",
        "damaged",
        "missing",
        "a map",
    ],
)
def test_a_tablespace_that_is_not_what_was_announced_is_no_backup(
    archives: Sequence[tuple[str, bytes]],
) -> None:
    """Nor does any link get into one."""
    with pytest.raises(IncompleteDumpError):
        _read(archives, MANIFEST)


@pytest.mark.slow
def test_what_old_tablespaces_hold_goes_with_the_data_folder_that_is_discarded(tmp_path: Path) -> None:
    """Of that server alone: not what another version has beside it, nor where the live one's link leads, too."""
    data, aside = tmp_path / "data", tmp_path / "data.before-1"
    for folder in (data, aside):
        (folder / "pg_tblspc").mkdir(parents=True)
    (aside / "PG_VERSION").write_text("15\n", encoding="ascii")
    for number in ("16385", "16386"):
        (tmp_path / number / "PG_15_1/5").mkdir(parents=True)
        (tmp_path / number / "PG_16_1/5").mkdir(parents=True)
        (aside / "pg_tblspc" / number).symlink_to(tmp_path / number)
    (data / "pg_tblspc/16386").symlink_to(tmp_path / "16386")
    command = whole.discard(WholePlace(str(data), str(aside)), None)
    subprocess.run([str(each) for each in command.words], check=True)
    left = {str(each.relative_to(tmp_path)) for each in tmp_path.glob("*/PG_*")}
    assert left == {"16385/PG_16_1", "16386/PG_15_1", "16386/PG_16_1"}
    assert data.exists()
    assert not aside.exists()


@pytest.mark.slow
def test_a_folder_is_placed_only_as_the_backup_tells(tmp_path: Path) -> None:
    """Not through a link that lies there, not what it tells nothing of, not over what is there; a mount point that is empty will do."""

    def lay(name: str) -> Path:
        data = tmp_path / name / "data"
        (data / "pg_tblspc/16385/PG_15_1/5").mkdir(parents=True)
        return data

    def place(data: Path, mapping: str) -> subprocess.CompletedProcess[bytes]:
        placed = spaces.placing(SPACES[:1], str(data), [f"fast={mapping}"])
        looked = subprocess.run([str(each) for each in placed.look.words], capture_output=True, check=False)
        if looked.returncode:
            return looked
        return subprocess.run([str(each) for each in placed.place.words], capture_output=True, check=False)

    (tmp_path / "empty").mkdir()
    (tmp_path / "taken/x").mkdir(parents=True)
    (tmp_path / "led").symlink_to(tmp_path / "empty")
    for number, where in enumerate(("it's new/$deep", "empty")):
        data = lay(str(number))
        done = place(data, f"{tmp_path}/{where}")
        assert (done.returncode, done.stderr) == (0, b"")
        assert (data / "pg_tblspc/16385").readlink() == tmp_path / where
        assert (tmp_path / where / "PG_15_1/5").is_dir()
    for where in ("taken", "led"):
        assert b"something at" in place(lay(f"no {where}"), f"{tmp_path}/{where}").stderr
    strange = lay("strange")
    (strange / "pg_tblspc/16386").mkdir()
    assert b"no tablespace that the backup tells of" in place(strange, f"{tmp_path}/a").stderr
    mapped = lay("mapped")
    (mapped / "tablespace_map").write_text("16385 /srv/live\n", encoding="utf-8")
    assert b"tablespace_map" in place(mapped, f"{tmp_path}/b").stderr
