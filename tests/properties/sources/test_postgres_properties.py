"""Quoting, and the table of contents of an archive: true for every text and every way of cutting."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError
from engine.model.contents import RowSample
from engine.sources.postgres import quoting, selection
from engine.sources.postgres.archive import ArchiveReader, Entry
from engine.sources.postgres.contents import PostgresContents
from engine.sources.rows import RowDigest, hash_of

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(NAMES)
def test_an_identifier_ends_where_it_should(name: str) -> None:
    """No name ends its own quotes."""
    text = quoting.identifier(name)
    assert text[0] == text[-1] == '"'
    assert text[1:-1].replace('""', "") == text[1:-1].replace('""', "").replace('"', "")
    assert text[1:-1].replace('""', '"') == name


@given(NAMES)
def test_a_literal_ends_where_it_should(value: str) -> None:
    """With and without standard_conforming_strings it is the same text: a backslash brings the E."""
    text = quoting.literal(value)
    is_escaped = text.startswith(" E")
    body = text[3:-1] if is_escaped else text[1:-1]
    assert is_escaped == ("\\" in value)
    unescaped = body.replace("\\\\", "\\") if is_escaped else body
    assert unescaped.replace("''", "'") == value
    assert body.replace("''", "").count("'") == 0


@given(NAMES)
def test_a_connection_string_names_one_database(name: str) -> None:
    """Nothing in it begins another parameter."""
    text = quoting.connection_string(name)
    value, position = "", len("dbname='")
    while text[position] != "'":
        position += text[position] == "\\"
        value += text[position]
        position += 1
    assert (value, position) == (name, len(text) - 1)


@given(st.lists(NAMES, max_size=5))
def test_a_list_of_names_is_read_as_it_was_written(names: list[str]) -> None:
    """However many commas and quotes stand in them."""
    assert quoting.list_elements(", ".join(map(quoting.identifier, names))) == names


def _integer(value: int) -> bytes:
    return bytes([value < 0]) + struct.pack("<I", abs(value))


def _text(value: str | None) -> bytes:
    return _integer(-1) if value is None else _integer(len(value.encode())) + value.encode()


def _entry(entry: Entry) -> bytes:
    value = (
        f"SELECT pg_catalog.setval('x', {entry.last_value}, true);\n" if entry.last_value is not None else ""
    )
    parts = [_integer(entry.id), _integer(int(entry.has_data)), _text("0"), _text("0"), _text(entry.name)]
    parts += [
        _text(entry.kind),
        _integer(entry.section),
        _text(value),
        _text(""),
        _text(None),
        _text(entry.namespace),
    ]
    parts += [_text(""), _text("heap"), _text(entry.owner), _text("false")]
    parts += [_text(str(each)) for each in entry.dependencies]
    return b"".join([*parts, _text(None), bytes(9)])


def make_archive(entries: list[Entry], blocks: list[bytes], *, is_one_table: bool = False) -> bytes:
    """An archive of version 1.14, as pg_dump 12 to 15 writes it to a pipe: each block that of a table, or all of them pieces of one's."""
    head = b"PGDMP\x01\x0e\x00\x04\x08\x01" + _integer(0) + b"".join(_integer(1) for _ in range(7))
    head += _text("shop") + _text("15.1") + _text("15.2") + _integer(len(entries))
    pieces = [_integer(len(block)) + block for block in blocks]
    pieces = [b"".join(pieces)] if is_one_table else pieces
    data = [b"\x01" + _integer(7) + piece + _integer(0) for piece in pieces]
    return head + b"".join(map(_entry, entries)) + b"".join(data)


ENTRIES = st.lists(
    st.builds(
        Entry,
        id=st.integers(1, 2**31 - 1),
        kind=st.sampled_from(["TABLE", "TABLE DATA", "INDEX", "SEQUENCE SET"]),
        namespace=NAMES,
        name=NAMES,
        owner=NAMES,
        has_data=st.just(True),
        dependencies=st.lists(st.integers(1, 2**31 - 1), max_size=3).map(tuple),
        section=st.integers(1, 4),
    ),
    min_size=1,
    max_size=6,
)


@given(
    ENTRIES,
    st.lists(st.binary(max_size=40), min_size=1, max_size=3),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_a_table_of_contents_is_read_however_it_is_cut(
    entries: list[Entry], blocks: list[bytes], sizes: list[int]
) -> None:
    """Pieces come as the network likes."""
    reader, rest, number = ArchiveReader(), make_archive(entries, blocks), 0
    while rest:
        size = sizes[number % len(sizes)]
        reader.feed(rest[:size])
        rest, number = rest[size:], number + 1
    reader.require_whole()
    assert [dataclasses.replace(each, definition=b"") for each in reader.entries] == entries
    assert reader.head is not None
    assert (reader.head.server_version, reader.head.tool_version) == ("15.1", "15.2")


@settings(max_examples=30)
@given(ENTRIES, st.data())
def test_an_archive_that_is_cut_is_not_whole(entries: list[Entry], data: st.DataObject) -> None:
    """In the table of contents, or in a row that does not end as a block does."""
    archive = make_archive(entries, [b"row\n" * 5])
    reader = ArchiveReader()
    reader.feed(archive[: data.draw(st.integers(0, len(archive) - 1))])
    with pytest.raises(IncompleteDumpError):
        reader.require_whole()


@given(st.binary(min_size=11, max_size=400))
def test_no_bytes_bring_the_reader_down(data: bytes) -> None:
    """What a host sends is not trusted: an archive of any length, or an error that says so."""
    reader = ArchiveReader()
    try:
        reader.feed(b"PGDMP\x01\x0e\x00\x04\x08\x01" + data)
        reader.require_whole()
    except IncompleteDumpError:
        return


def test_a_sequence_has_the_value_that_the_dump_sets() -> None:
    """And none where it was never used."""
    used = Entry(1, "SEQUENCE SET", "public", "s", "o", False, (), 42)
    unused = Entry(2, "SEQUENCE SET", "public", "t", "o", False, ())
    reader = ArchiveReader()
    reader.feed(make_archive([used, unused], []))
    assert [entry.last_value for entry in reader.entries] == [42, None]


@given(ENTRIES)
def test_a_selection_keeps_the_order_of_the_archive(entries: list[Entry]) -> None:
    """pg_restore makes things in the order of its list."""
    numbered = [
        Entry(number, each.kind, each.namespace, each.name, each.owner, each.has_data, each.dependencies)
        for number, each in enumerate(entries, start=1)
    ]
    tables = [f"{each.namespace}.{each.name}" for each in numbered if each.kind == "TABLE"]
    picked = selection.pick(numbered, tables[:1])
    assert picked == sorted(set(picked))
    assert bool(picked) == bool(tables)


@given(
    st.lists(NAMES.map(lambda name: name.replace("\n", "").encode()), max_size=9),
    st.lists(st.integers(1, 40), min_size=1),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_rows_of_an_archive_are_told_however_they_lie_in_pieces(
    rows: list[bytes], pieces: list[int], sizes: list[int]
) -> None:
    """One version of pg_dump writes a piece a row, another as many rows as fit."""
    entries = [Entry(7, "TABLE DATA", "public", "orders", "anna", True, ())]
    text = b"".join(row + b"\n" for row in rows) + b"\\.\n\n\n"
    contents = PostgresContents({"public.orders": RowSample("public.orders", frozenset(map(hash_of, rows)))})
    rest, number = make_archive(entries, list(_cut(text, pieces)), is_one_table=True), 0
    while rest:
        size = sizes[number % len(sizes)]
        contents.feed(rest[:size])
        rest, number = rest[size:], number + 1
    (found,) = contents.finish().tables.values()
    digest = RowDigest()
    digest.add([hash_of(row) for row in rows])
    assert found == digest.content


def _cut(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    number = 0
    while text:
        size = sizes[number % len(sizes)]
        yield text[:size]
        text, number = text[size:], number + 1
