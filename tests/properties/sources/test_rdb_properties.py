"""An RDB file is proved whole as it streams by, or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import IncompleteDumpError, SourceError
from engine.model.contents import DumpContents
from engine.sources.redis import lzf
from engine.sources.redis.checksum import Checksum
from engine.sources.redis.contents import RedisContents
from engine.sources.redis.rdb import RdbCheck
from engine.sources.redis.records import RecordReader
from engine.sources.redis.sending import Count, Sender, payload

MARK = b"0ec9ab8149a929a90bcb1d069970eb5721863443"
BODIES = st.binary(max_size=3000) | st.binary(min_size=1, max_size=40).map(lambda each: each * 400)
MARKS = st.sampled_from([b"", MARK])


def slow_checksum(data: bytes) -> int:
    """The checksum bit by bit, as its definition says it."""
    value = 0
    for byte in data:
        value ^= byte
        for _bit in range(8):
            value = value >> 1 ^ (0x95AC9329AC4BC9B5 if value & 1 else 0)
    return value


def make_rdb(body: bytes, *, has_checksum: bool = True) -> bytes:
    """A file with that between its header and its end."""
    data = b"REDIS0010" + body + b"\xff"
    return data + (slow_checksum(data).to_bytes(8, "little") if has_checksum else bytes(8))


def run(data: bytes, piece_bytes: int) -> tuple[bytes, bool]:
    """What a check hands on, and whether a checksum vouched for it."""
    check = RdbCheck("dump")
    handed_on = [check.take(data[begin : begin + piece_bytes]) for begin in range(0, len(data), piece_bytes)]
    last, is_sure = check.finish()
    assert check.size_bytes == sum(map(len, handed_on)) + len(last)
    return b"".join([*handed_on, last]), is_sure


def test_the_checksum_is_the_one_of_redis() -> None:
    """The check value of src/crc64.c."""
    checksum = Checksum()
    checksum.update(b"123456789")
    assert checksum.value() == 0xE9C6D914C4B8D9CA


@given(BODIES, st.integers(1, 5000))
def test_the_checksum_is_the_definition_s_however_it_is_cut(data: bytes, piece_bytes: int) -> None:
    """The quick way is another way to the same number."""
    checksum = Checksum()
    for begin in range(0, len(data), piece_bytes):
        checksum.update(data[begin : begin + piece_bytes])
    assert checksum.value() == slow_checksum(data)


@given(BODIES, MARKS, st.integers(1, 5000), st.booleans())
def test_a_whole_file_passes_and_loses_only_the_mark(
    body: bytes, mark: bytes, piece_bytes: int, has_checksum: bool
) -> None:
    """What is kept is the file, whichever way the server sent it and however the bytes arrived."""
    whole = make_rdb(body, has_checksum=has_checksum)
    assert run(whole + mark, piece_bytes) == (whole, has_checksum)


@given(BODIES, MARKS, st.data())
@example(b"", MARK, None)
def test_a_file_that_is_cut_short_is_never_vouched_for(
    body: bytes, mark: bytes, data: st.DataObject | None
) -> None:
    """The connection ends at any byte; half a dump must not become a backup."""
    sent = make_rdb(body) + mark
    end = data.draw(st.integers(0, len(sent) - 1)) if data else 0
    if end == len(sent) - len(mark):
        return
    try:
        _, is_sure = run(sent[:end], 700) if end else RdbCheck("dump").finish()
    except IncompleteDumpError:
        return
    # Content may look like an end without a checksum; then nothing vouches for it, and the transfer's own end must.
    assert not is_sure
    assert sent[:end].endswith(b"\xff" + bytes(8))


@given(BODIES, MARKS, st.data())
def test_a_file_with_a_changed_byte_never_passes(body: bytes, mark: bytes, data: st.DataObject) -> None:
    """A checksum that nobody compares proves nothing."""
    whole = make_rdb(body)
    place, change = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    changed = bytearray(whole + mark)
    changed[place] ^= change
    try:
        _, is_sure = run(bytes(changed), 700)
    except IncompleteDumpError:
        return
    # The version's digits alone may change into others that a file may have; then the checksum must say so.
    assert not is_sure


@pytest.mark.parametrize(
    "data", [b"", b"REDIS", b"REDIS0010", b"NOAUTH Authentication required.\n" * 9], ids=repr
)
def test_what_is_no_rdb_never_passes(data: bytes) -> None:
    """An empty stream, a header alone, an error in place of a dump."""
    with pytest.raises(IncompleteDumpError):
        run(data, 700) if data else RdbCheck("dump").finish()


def test_a_header_of_valkey_is_known() -> None:
    """From its version 9 on it has its own."""
    data = b"VALKEY080" + b"x" * 100 + b"\xff"
    whole = data + slow_checksum(data).to_bytes(8, "little")
    assert run(whole, 50) == (whole, True)


TEXTS = st.binary(max_size=60)
KEYS = st.dictionaries(TEXTS, TEXTS | st.sets(TEXTS, max_size=4), max_size=6)


def _text(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _key(name: bytes, value: bytes | set[bytes], *, is_turned: bool) -> bytes:
    if isinstance(value, bytes):
        return b"\x00" + _text(name) + _text(value)
    members = sorted(value, reverse=is_turned)
    return b"\x02" + _text(name) + bytes((len(members),)) + b"".join(map(_text, members))


def _rdb_of(keys: Mapping[bytes, bytes | set[bytes]], *, is_turned: bool = False, aux: bytes = b"") -> bytes:
    lines = [_key(name, keys[name], is_turned=is_turned) for name in sorted(keys, reverse=is_turned)]
    return make_rdb(
        b"\xfa" + _text(b"ctime") + _text(aux) + b"\xfe\x03" + b"".join(lines), has_checksum=False
    )


def _contents(data: bytes, piece_bytes: int = 1 << 20) -> DumpContents:
    reader = RedisContents({})
    for begin in range(0, len(data), piece_bytes):
        reader.feed(data[begin : begin + piece_bytes])
    return reader.finish()


@given(KEYS, st.integers(1, 40))
def test_keys_are_told_alike_in_any_order_and_however_they_are_cut(
    keys: dict[bytes, bytes | set[bytes]], piece_bytes: int
) -> None:
    """Each dump has its own time in it, and its keys as they lie in memory."""
    found = _contents(_rdb_of(keys))
    assert found == _contents(_rdb_of(keys, is_turned=True, aux=b"later"), piece_bytes)
    assert found.tables["db3"].rows == len(keys)


@given(KEYS, TEXTS, TEXTS)
def test_a_value_that_is_another_makes_another_digest(
    keys: dict[bytes, bytes | set[bytes]], name: bytes, value: bytes
) -> None:
    """One changed value among as many keys is what this is for."""
    changed = {**keys, name: value}
    assert (_contents(_rdb_of(keys)) == _contents(_rdb_of(changed))) == (keys == changed)


@given(st.binary(max_size=300))
def test_no_bytes_bring_the_reader_of_keys_down(data: bytes) -> None:
    """What is not understood is named, never passed over."""
    reader = RedisContents({})
    reader.feed(b"REDIS0011\xfe\x00" + data)
    try:
        found = reader.finish()
    except IncompleteDumpError:
        return
    assert found.tables or found.unread


def _commands(data: bytes, piece_bytes: int, long: Mapping[int, int]) -> tuple[bytes, Count]:
    count, sender = Count(), Sender(10, long, (), 1)
    written = b""
    for taker in (count, sender):
        reader = RecordReader(taker)
        for begin in range(0, len(data), piece_bytes):
            reader.feed(data[begin : begin + piece_bytes])
            written += sender.taken()
        reader.finish()
    return written, count


@given(KEYS, st.integers(1, 40), st.booleans())
def test_keys_become_the_same_commands_however_they_are_cut_and_whether_they_are_held(
    keys: dict[bytes, bytes | set[bytes]], piece_bytes: int, is_held: bool
) -> None:
    """A value that is too long to be held is sent as it comes, by the length that was found before."""
    data = _rdb_of(keys)
    sizes = {
        number: len(_key(b"", keys[name], is_turned=False)) - 2 for number, name in enumerate(sorted(keys))
    }
    written, count = _commands(data, piece_bytes, {} if is_held else sizes)
    expected = [b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"] if keys else []
    for name in sorted(keys):
        line = _key(b"", keys[name], is_turned=False)
        body = payload(line[:1] + line[2:], 10)
        words = [b"RESTORE", name, b"0", body, b"REPLACE", b"ABSTTL"]
        expected.append(b"*6\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    assert written == b"".join(expected)
    assert [(each.name, each.rows) for each in count.tables(())] == ([("db3", len(keys))] if keys else [])


@given(st.binary(max_size=300))
def test_no_bytes_bring_the_cutter_down(data: bytes) -> None:
    """Whatever stands there, it is cut into keys or refused with a sentence."""
    with contextlib.suppress(IncompleteDumpError, SourceError):
        _commands(b"REDIS0011\xfe\x00" + data, 7, {})


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"\x02abc", b"abc"),
        (b"\x00a\xe0\x09\x00", b"a" * 19),
        (b"\x02abc\x20\x02\x00!", b"abcabc!"),
    ],
    ids=["literal", "overlapping", "copied"],
)
def test_compressed_texts_are_read(data: bytes, plain: bytes) -> None:
    """Names of keys come compressed, and are wanted plain."""
    assert lzf.decompress(data, len(plain)) == plain
    with pytest.raises(ValueError, match="bytes, and not"):
        lzf.decompress(data, len(plain) + 1)


@given(st.binary(max_size=60))
def test_no_bytes_bring_the_reader_of_compressed_texts_down(data: bytes) -> None:
    """It says that they are none."""
    with contextlib.suppress(ValueError):
        assert len(lzf.decompress(data, 8)) == 8
