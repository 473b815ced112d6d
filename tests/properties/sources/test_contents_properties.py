"""What is told of a dump's rows: the same however they are ordered and cut, and another where any row is another."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.contents import RowSample, TableContent
from engine.sources import rows as rows_module
from engine.sources.files.checksums import parse
from engine.sources.postgres.contents import columns_of
from engine.sources.postgres.quoting import identifier
from engine.sources.rows import RowDigest, hash_of

ROWS = st.lists(st.binary(max_size=12).map(lambda row: row.replace(b"\n", b"")), max_size=8)
CUTS = st.lists(st.integers(min_value=0), max_size=6)


def _pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def _digest(rows: Sequence[bytes], cuts: Sequence[int] = (), **how: object) -> TableContent:
    digest = RowDigest(**how)  # type: ignore[arg-type]
    for piece in _pieces(b"".join(row + b"\n" for row in rows), cuts):
        digest.feed(piece)
    digest.finish()
    return digest.content


@pytest.fixture(params=[1 << 20, 3], ids=["rows are short", "rows are long"], autouse=True)
def _longest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "LONGEST_HELD_BYTES", request.param)


@given(ROWS, CUTS, st.integers(0, 1000))
def test_rows_are_told_alike_in_any_order_and_however_they_are_cut(
    rows: list[bytes], cuts: list[int], seed: int
) -> None:
    """A table that was restored has its rows in another order, and a repository its pieces."""
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert _digest(rows) == _digest(shuffled, cuts) == _digest(rows, cuts)
    assert _digest(rows).rows == len(rows)


@given(ROWS, st.data())
def test_a_row_that_is_another_makes_another_digest(rows: list[bytes], data: st.DataObject) -> None:
    """One changed row among as many is what this is for."""
    place = data.draw(st.integers(0, len(rows)))
    changed = [*rows[:place], rows[place] + b"x" if place < len(rows) else b"", *rows[place + 1 :]]
    assert (_digest(rows) == _digest(changed)) == (rows == changed)


@given(ROWS, CUTS)
def test_ends_of_lines_and_lines_that_are_no_rows_count_for_nothing(
    rows: list[bytes], cuts: list[int]
) -> None:
    """MariaDB's last row of a statement ends in a semicolon, and the others in a comma."""
    rows = [b"(" + row for row in rows]
    first = [row + b"," for row in rows]
    second = [b"INSERT INTO `t` VALUES", *(row + b";" for row in rows), b"UNLOCK TABLES;"]
    assert _digest(first, cuts, begin=b"(", cut=1) == _digest(second, cuts, begin=b"(", cut=1)


@given(ROWS, ROWS, CUTS)
def test_sampled_rows_are_found_if_and_only_if_they_are_there(
    rows: list[bytes], others: list[bytes], cuts: list[int]
) -> None:
    """A live row that the backup lacks was changed or added since."""
    sample = RowSample("t", frozenset(map(hash_of, [*rows, *others])))
    assert _digest(rows, cuts, wanted=sample.rows).missing == len(set(others) - set(rows))


@given(
    st.lists(
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1), min_size=1
    )
)
def test_columns_are_read_as_they_are_named(names: list[str]) -> None:
    """A sample is of the same columns in the same order, or it is of another table."""
    listed = ", ".join(map(identifier, names))
    assert columns_of(f"COPY public.orders ({listed}) FROM stdin;\n") == tuple(names)


NAMES = st.binary(min_size=1, max_size=12).map(lambda name: b"/" + name.replace(b"\0", b""))


@given(st.lists(NAMES, unique=True, max_size=5), st.binary(max_size=80))
def test_checksums_are_read_whatever_the_names_are(names: list[bytes], noise: bytes) -> None:
    """GNU escapes three bytes, and says so by a backslash ahead of the line; what nobody asked for counts for nothing."""
    sums = {name: f"{number:064x}" for number, name in enumerate(names)}
    lines = []
    for name, digits in sums.items():
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        lines.append((b"\\" if escaped != name else b"") + digits.encode() + b"  " + escaped + b"\n")
    answer = b"".join([*lines, b"f" * 64 + b"  /elsewhere\n", noise.replace(b"f", b"") + b"\n"])
    assert {name: found for name, found in parse(answer, names).items() if found == sums[name]} == sums
