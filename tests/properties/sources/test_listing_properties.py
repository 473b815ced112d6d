"""The listing's parser: any tree in any pieces gives the same entries, and nothing that is no walk gets through."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import HostileListingError, IncompleteDumpError
from engine.model.entry import Entry
from engine.sources.files.listing import ListingParser, require_safe_name
from engine.sources.files.owners import Owners

pytestmark = pytest.mark.slow

ROOT = b"/srv/wares"
NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: name not in (b".", b"..") and not set(name) & set(b"/\0")
)
MANY_NAMES = st.integers(7, 20).map(lambda count: [b"%d" % number for number in range(count)])
"""So many that they are looked at together."""
WORDS = st.binary(max_size=8).filter(lambda word: b"\0" not in word)
SECONDS = st.integers(-(10**11), 10**11).map(lambda seconds: b"%d" % seconds)
TIMES = st.builds(
    lambda seconds, fraction: b"%b.%010d" % (seconds, fraction), SECONDS, st.integers(0, 10**10 - 1)
)
NUMBERS = st.integers(0, 2**63 - 1)


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    """A walk of ROOT, in the order in which find would print it."""
    entries: list[Entry] = []

    def add(path: bytes, depth: int) -> None:
        type_ = "d" if depth == 0 else draw(st.sampled_from("fdlpscb"))
        entries.append(
            Entry(
                path[1:], type_, draw(st.integers(0, 0o7777)), draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**32 - 1)), b"", b"",
                draw(NUMBERS), draw(TIMES), draw(TIMES), draw(NUMBERS), draw(NUMBERS), draw(NUMBERS),
                draw(WORDS) if type_ == "l" else b"",
            )
        )  # fmt: skip
        if type_ == "d" and depth < 3:
            for name in draw(st.lists(NAMES, max_size=3, unique=True) | MANY_NAMES):
                add(path + b"/" + name, depth + 1)

    add(ROOT, 0)
    return entries


def record(entry: Entry) -> bytes:
    """As find prints it."""
    head = b"%b %o %d %d %d %d" % (
        entry.type.encode(), entry.mode, entry.uid, entry.gid, entry.device, entry.links,
    )  # fmt: skip
    numbers = b"%d %b %b %d" % (entry.size, entry.mtime, entry.ctime, entry.inode)
    return b"\0".join([head, numbers, b"/" + entry.path, entry.target, b""])


def parse(data: bytes, *cuts: int, roots: tuple[bytes, ...] = (ROOT,)) -> list[Entry]:
    """What the parser makes of it, cut at these places."""
    parser = ListingParser(roots, Owners())
    entries: list[Entry] = []
    places = [0, *sorted(cuts), len(data)]
    for begin, end in itertools.pairwise(places):
        entries += parser.feed(data[begin:end])
    parser.end()
    return entries


@given(trees(), st.data())
def test_entries_do_not_depend_on_the_pieces(tree: list[Entry], data: st.DataObject) -> None:
    """The network cuts a listing wherever it likes."""
    whole = b"".join(map(record, tree))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8))
    assert parse(whole, *cuts) == tree


@given(trees(), st.data())
def test_a_cut_listing_is_never_taken_for_a_whole_one(tree: list[Entry], data: st.DataObject) -> None:
    """Files that were not listed would look deleted."""
    whole = b"".join(map(record, tree))
    end = data.draw(st.integers(1, len(whole) - 1))
    kept = whole[:end]
    if kept in {b"".join(map(record, tree[:count])) for count in range(len(tree))}:
        return  # cut between two records: only the tool's exit status can tell
    with pytest.raises(IncompleteDumpError):
        parse(kept)


@given(trees(), st.randoms(use_true_random=False))
def test_what_gets_through_is_a_walk(tree: list[Entry], random: object) -> None:
    """The tree is built in one go, so a directory must come before what is in it and end before its sibling."""
    shuffled = list(tree)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    try:
        entries = parse(b"".join(map(record, shuffled)))
    except HostileListingError:
        return
    closed: set[bytes] = set()
    chain: list[bytes] = [entries[0].path]
    for entry in entries[1:]:
        parent = entry.path.rpartition(b"/")[0]
        while chain and chain[-1] != parent:
            closed.add(chain.pop())
        assert chain
        assert parent not in closed
        chain.append(entry.path)


@given(trees(), st.data())
def test_a_changed_byte_never_leads_out_of_the_root(tree: list[Entry], data: st.DataObject) -> None:
    """A hostile host must not make us ask for, or restore to, another place."""
    whole = bytearray(b"".join(map(record, tree)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    try:
        entries = parse(bytes(whole))
    except (HostileListingError, IncompleteDumpError):
        return
    for entry in entries:
        assert (entry.path + b"/").startswith(ROOT[1:] + b"/")
        assert not {b"", b".", b".."} & set(entry.path.split(b"/"))
        assert entry.size >= 0
        assert entry.type in "fdlpscb"


GOOD = Entry(ROOT[1:], "d", 0o755, 0, 0, b"", b"", 0, b"1.0000000000", b"1.0000000000", 2, 3, 1, b"")


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/passwd", b"srv/wares/x", b"/srv/wares/../../etc", b"/srv/wares/./x", b"/srv/wares//x", b"/srv/wares/x/", b"/srv/wares/..",
        b"/srv/wares/.", b"/srv/wares-2", b"/srv", b"/", b"", b"/srv/wares/a/b", b"/srv/wares",
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("neighbours", [0, 10])
@pytest.mark.parametrize("type_", ["d", "f"])
def test_a_path_that_no_honest_host_sends_is_refused(path: bytes, neighbours: int, type_: str) -> None:
    """Absolute, climbing, relative, foreign, orphaned and repeated; alone, and in the midst of others."""
    files = [
        record(GOOD._replace(path=b"srv/wares/%d" % number, type="f")) for number in range(2 * neighbours)
    ]
    bad = record(GOOD._replace(path=path[1:], type=type_)).replace(b"\0/" + path[1:], b"\0" + path)
    with pytest.raises(HostileListingError):
        parse(b"".join([record(GOOD), *files[:neighbours], bad, *files[neighbours:]]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"d 755", b"x 755"), (b"d 755", b"d 999"), (b"d 755", b"D 755"), (b" 0 0 3", b" -1 0 3"), (b"\x000 1.0", b"\0-1 1.0"),
        (b"\x000 1.0", b"\0" + b"9" * 21 + b" 1.0"), (b"1.0000000000", b"1e9"), (b"1.0000000000", b"1..0"), (b" 2\0", b" 2_0\0"), (b" 2\0", b"  2\0"),
        (b"\0/srv/wares\0\0", b"\0/srv/wares\0/etc\0"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_field_that_no_honest_host_sends_is_refused(old: bytes, new: bytes) -> None:
    """Unknown types, negative and endless numbers, times that are none, a target of what is no link."""
    assert old in record(GOOD)
    with pytest.raises(HostileListingError):
        parse(record(GOOD).replace(old, new, 1))


def test_a_record_without_an_end_is_refused() -> None:
    """A hostile host must not fill our memory."""
    with pytest.raises(HostileListingError, match="longer than"):
        parse(b"x" * (2 << 20))


def test_more_kinds_of_heads_than_are_remembered_are_still_read() -> None:
    """Memory is bounded, correctness is not given up for it."""
    entries = [
        GOOD,
        *(
            GOOD._replace(path=ROOT[1:] + b"/%d" % number, type="f", device=number)
            for number in range(70_000)
        ),
    ]
    assert parse(b"".join(map(record, entries))) == entries


def test_the_root_of_all_is_no_entry_and_leads_to_all() -> None:
    """A backup of `/` begins with what is in it."""
    entries = [
        GOOD._replace(path=b"etc"),
        GOOD._replace(path=b"etc/passwd", type="f"),
        GOOD._replace(path=b"usr"),
    ]
    assert parse(b"".join(map(record, entries)), roots=(b"/",)) == entries


def test_names_of_a_directory_by_plain_file_access_are_checked_too() -> None:
    """SFTP's answers are as untrusted as find's."""
    require_safe_name(b"a/b", b"a/")
    for path in (b"a/..", b"a/.", b"a/", b"b/c", b"a/b/c", b"a/b\0"):
        with pytest.raises(HostileListingError):
            require_safe_name(path, b"a/")
