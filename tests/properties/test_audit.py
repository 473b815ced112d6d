"""Whatever is done to the audit log, it shows."""

from __future__ import annotations

import datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from engine.audit import Actor, Anchor, Entry, decode_entry, encode_entry, next_row, verify
from engine.catalog.audit_rows import ChainRow
from tests.fakes.clock import START

KEY = b"k" * 32
RECORDS = st.lists(st.text(max_size=20), min_size=2, max_size=8)


def _chain(records: list[str], key: bytes = KEY) -> list[ChainRow]:
    rows: list[ChainRow] = []
    for record in records:
        rows.append(next_row(key, len(rows) + 1, rows[-1].hash if rows else b"", record))
    return rows


def _anchor(rows: list[ChainRow]) -> Anchor:
    return Anchor(rows[-1].sequence, rows[-1].hash, START)


@given(RECORDS)
def test_a_whole_log_is_whole(records: list[str]) -> None:
    """A false alarm teaches people to ignore alarms."""
    rows = _chain(records)
    assert verify(rows, KEY, [_anchor(rows[:count]) for count in range(1, len(rows) + 1)]) == []


@given(RECORDS, st.data())
def test_an_edit_of_any_field_is_found(records: list[str], data: st.DataObject) -> None:
    """One letter of one row is enough to hide who it was."""
    rows = _chain(records)
    place = data.draw(st.integers(0, len(rows) - 1))
    row = rows[place]
    changed = data.draw(
        st.one_of(
            st.builds(lambda text: row._replace(record=text), st.text(max_size=20)),
            st.builds(lambda value: row._replace(previous=value), st.binary(max_size=33)),
            st.builds(lambda value: row._replace(hash=value), st.binary(max_size=33)),
            st.builds(lambda value: row._replace(sequence=value), st.integers(-3, 20)),
        )
    )
    assume(changed != row)
    assert verify([*rows[:place], changed, *rows[place + 1 :]], KEY) != []


@given(RECORDS, st.data())
def test_an_edit_that_makes_the_hashes_fit_without_the_key_is_found(
    records: list[str], data: st.DataObject
) -> None:
    """Whoever knows the program but not the key cannot forge."""
    rows = _chain(records)
    place = data.draw(st.integers(0, len(rows) - 1))
    forged = _chain([*records[:place], "forged", *records[place + 1 :]], b"f" * 32)
    assert verify([*rows[:place], *forged[place:]], KEY) != []


@given(RECORDS, st.data())
def test_a_deletion_is_found(records: list[str], data: st.DataObject) -> None:
    """A row that is gone leaves a gap; the last one leaves an anchor without a row."""
    rows = _chain(records)
    first = data.draw(st.integers(0, len(rows) - 1))
    last = data.draw(st.integers(first, len(rows) - 1))
    assert verify(rows[:first] + rows[last + 1 :], KEY, [_anchor(rows)]) != []


@given(RECORDS, st.data(), st.booleans())
def test_a_swap_is_found(records: list[str], data: st.DataObject, is_renumbered: bool) -> None:
    """The order of deeds is part of what happened."""
    rows = _chain(records)
    one, other = sorted(
        data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2, unique=True))
    )
    swapped = list(rows)
    swapped[one], swapped[other] = rows[other], rows[one]
    if is_renumbered:
        swapped = [row._replace(sequence=number) for number, row in enumerate(swapped, 1)]
    assert verify(swapped, KEY) != []


@given(RECORDS, RECORDS)
def test_a_rewriting_with_the_true_key_is_found_by_an_anchor(records: list[str], others: list[str]) -> None:
    """Whoever owns the machine has the key; the storages have the anchor."""
    rows = _chain(records)
    rewritten = _chain(others)
    assume(rewritten[: len(rows)] != rows)
    assert verify(rewritten, KEY, [_anchor(rows)]) != []


@given(RECORDS, st.integers(0, 7))
def test_a_cut_tail_is_found_by_an_anchor(records: list[str], length: int) -> None:
    """The newest deeds are the ones to hide."""
    rows = _chain(records)
    assume(length < len(rows))
    [finding] = verify(rows[:length], KEY, [_anchor(rows)])
    assert finding.kind == "cut"


@given(st.text(), st.text(), st.text(), st.integers(0, 2**32), st.datetimes(timezones=st.just(datetime.UTC)))
def test_an_entry_is_read_back_from_its_record(
    user: str, verb: str, target: str, uid: int, at: datetime.datetime
) -> None:
    """Whatever people and files are called."""
    entry = Entry(at, Actor(user, uid), verb, target, "done", sequence=1)
    assert decode_entry(ChainRow(1, encode_entry(entry), b"", b"")) == entry
