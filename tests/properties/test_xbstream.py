"""mariadb-backup's stream: what was written is read, however it comes; nothing that is damaged or leads elsewhere passes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError
from engine.sources.base import Member
from engine.sources.mariadb.xbstream import HEAD_BYTES, REPLACING, XbstreamReader
from tests.families.xbstream import LIKE, NOTES, chunk, notes, patched, payload, read, renamed, whole

_NAMES = ("ibdata1", "shop/a.ibd", "shop/b.MYD", "sys/db.opt", "aria_log.00000001")
_CONTENT = st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=5).map(lambda each: each * 2000))


@st.composite
def _streams(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes | None]]:
    """A stream of files whose chunks come between each other's, and the files."""
    files = {name: draw(_CONTENT) for name in draw(st.sets(st.sampled_from(_NAMES)))}
    written: list[bytes] = []
    coming = dict.fromkeys(files, 0)
    while coming:
        name = draw(st.sampled_from(sorted(coming)))
        at, content = coming[name], files[name]
        if at == len(content):
            written.append(chunk("E", name))
            del coming[name]
            continue
        end = draw(st.integers(at + 1, len(content)))
        written.append(payload(name, at, content[at:end]))
        coming[name] = end
    folders: dict[str, bytes | None] = {name.rpartition("/")[0]: None for name in files}
    return b"".join(written) + notes(), {"": None, **folders, **files, **NOTES}


@pytest.mark.slow
@settings(max_examples=40)
@given(_streams(), st.integers(1, 5000))
def test_what_was_written_is_read_however_it_is_cut(
    stream: tuple[bytes, dict[str, bytes | None]], size: int
) -> None:
    """Pieces come as the network likes, and the redo log between the chunks of tables."""
    data, files = stream
    assert read(data, size) == files


@pytest.mark.slow
@settings(max_examples=60)
@given(_streams(), st.data())
def test_no_damage_passes_for_a_backup(
    stream: tuple[bytes, dict[str, bytes | None]], draw: st.DataObject
) -> None:
    """A stream that was cut, or of which a byte is another one, is refused, or brings another name: the content is always what was sent."""
    data, files = stream
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]
    with pytest.raises(IncompleteDumpError):
        read(cut)
    at = draw.draw(st.integers(0, len(data) - 1))
    spoiled = data[:at] + bytes([data[at] ^ draw.draw(st.integers(1, 255))]) + data[at + 1 :]
    try:
        found = read(spoiled)
    except IncompleteDumpError:
        return
    assert {content for content in found.values() if content} <= {each for each in files.values() if each}


def test_tables_that_come_and_go_meanwhile_are_as_they_were_last() -> None:
    """Renamed, dropped, made anew under an old name; what never came is passed over."""
    data = (
        whole("shop/a.MYD", b"one")
        + whole("shop/b.MYD", b"")
        + renamed("shop/a.MYD", "new/c.MYD")
        + renamed("shop/gone.MYD", "shop/b.MYD")
        + whole("shop/a.MYD", b"another")
        + whole("shop/a.MYD", b"a third", REPLACING)
        + renamed("new/c.MYD", "shop/b.MYD")
        + chunk("D", "shop/gone.MYD")
        + whole("shop/e.MYD", b"x")
        + whole("shop/e.MYD", b"")
        + whole("shop/d.MYD", b"x")
        + chunk("D", "shop/d.MYD")
    )
    found = read(data + notes())
    assert {name: each for name, each in found.items() if each is not None} == {
        "shop/a.MYD": b"a third",
        "shop/b.MYD": b"one",
        "shop/e.MYD": b"",
        **NOTES,
    }


def test_an_aria_log_is_written_to_once_more() -> None:
    """Its header tells how far it goes, which is known only when the next log begins."""
    log = bytes(range(256)) * 100
    data = payload("aria_log.00000001", 0, log) + patched("aria_log.00000001", 37, b"7 bytes")
    found = read(data + chunk("E", "aria_log.00000001") + notes())
    assert found["aria_log.00000001"] == log[:37] + b"7 bytes" + log[44:]
    for offset in (HEAD_BYTES - 3, len(log) + 1):
        with pytest.raises(IncompleteDumpError, match="not all of"):
            read(payload("aria_log.00000001", 0, log) + patched("aria_log.00000001", offset, b"7 bytes"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (whole("../outside", b"x"), "no file of a data folder"),
        (whole("/etc/passwd", b"x"), "no file of a data folder"),
        (whole("shop//a", b"x"), "no file of a data folder"),
        (whole("shop/a\0", b"x"), "no file of a data folder"),
        (whole("a", b"x") + renamed("a", "../b"), "no file of a data folder"),
        (chunk("E", b"a" * 512), "name of 512 bytes"),
        (chunk("E", b""), "name of 0 bytes"),
        (whole("a", b"x") + whole("a", b"y"), "twice"),
        (whole("a", b"x") + whole("a/b", b"y"), "as a file and as a folder"),
        (whole("a/b", b"x") + whole("a", b"y"), "as a file and as a folder"),
        (payload("a", 1, b"x"), "not all of"),
        (payload("a", 0, b"x") + payload("a", 0, b"x"), "not all of"),
        (payload("a", 0, b"x") + renamed("a", "b"), "while it is coming"),
        (payload("a", 0, b"x")[:-1] + b"y", "changed on its way"),
        (payload("a", 0, b"x") + notes(), "ends within 'a'"),
        (whole("a", b"x"), "lacks its redo log"),
        (chunk("X", "a"), "no stream of its own"),
        (b"-- a dump of another kind, as text", "no stream of its own"),
        (b"", "lacks its redo log"),
    ],
)
def test_what_is_no_such_stream_is_told(data: bytes, said: str) -> None:
    """What a host sends is not to be trusted."""
    with pytest.raises(IncompleteDumpError, match=said):
        read(data)


def test_folders_come_before_what_is_in_them_and_are_owned_as_the_data_folder() -> None:
    """The stream has neither: a server finds its data as its account's own."""
    reader = XbstreamReader(LIKE)
    events = reader.feed(whole("shop/a.ibd", b"x") + notes())
    members = [each for each in events if isinstance(each, Member)]
    assert [(each.path, each.type, each.mode, each.uid) for each in members[:3]] == [
        ("", "d", 0o700, 103),
        ("shop", "d", 0o700, 103),
        ("shop/a.ibd", "f", 0o660, 103),
    ]
    assert reader.notes["info"].startswith("tool_version = 10.11")
