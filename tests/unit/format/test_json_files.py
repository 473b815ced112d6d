"""The files of JSON: unpacked files, index, config, key, lock and snapshot."""

from __future__ import annotations

import datetime
import os

import pytest

from engine.errors import DamagedError, UnsupportedRepositoryError, WrongPasswordError
from engine.format import (
    config_file,
    ids,
    index,
    key_file,
    lock_file,
    polynomial,
    snapshot,
    timestamps,
    unpacked,
)
from engine.format.config_file import Config
from engine.format.crypto import MasterKey, Sealer
from engine.format.lock_file import Lock
from engine.format.pack import BlobEntry
from engine.format.snapshot import Snapshot

MASTER = MasterKey.generate()
SEALER = Sealer(MASTER)
POLYNOMIAL = 0x3DA3358B4DC173
"""restic's own example."""
ZONE = datetime.timezone(datetime.timedelta(hours=2))
NOON = datetime.datetime(2026, 3, 1, 12, 0, 0, 120_000, tzinfo=ZONE)
ID = "0123456789abcdef" * 4
DEEP = b"[" * 100_000


class Faulty(Sealer):
    """Opens to something else than what was sealed, as on a machine whose memory errs."""

    def open(self, sealed: ids.Buffer) -> bytes:
        """Not what it was."""
        return b"{}" if sealed else b""


class TestUnpacked:
    """Index, snapshot and lock files as stored."""

    def test_a_file_reads_back_under_its_name(self) -> None:
        """Names are the proof that nothing changed."""
        name, stored = unpacked.encode(SEALER, b'{"a":1}')
        unpacked.check_name(name, stored)
        assert unpacked.decode(SEALER, stored) == b'{"a":1}'

    def test_parts_are_stored_as_the_whole_is(self) -> None:
        """An index is never joined."""
        parts = [b'{"a":', b"", b"1" * 200_000, b"}"]
        name, stored = unpacked.encode(SEALER, *parts)
        unpacked.check_name(name, stored)
        assert unpacked.decode(SEALER, stored) == b"".join(parts)

    def test_a_file_that_does_not_hash_to_its_name_is_refused(self) -> None:
        """A storage may mix files up."""
        name, stored = unpacked.encode(SEALER, b"{}")
        with pytest.raises(DamagedError, match="does not hash"):
            unpacked.check_name(name, stored + b"x")

    @pytest.mark.parametrize("json", [b"{}", b"[]"])
    def test_bare_json_is_read(self, json: bytes) -> None:
        """Repositories made before compression hold it."""
        assert unpacked.decode(SEALER, SEALER.seal(json)) == json

    @pytest.mark.parametrize("plain", [b"", b"\x01abc", b"\x02", b"\x02abc", b" {}"])
    def test_what_is_neither_is_refused(self, plain: bytes) -> None:
        """Damage must end in a sentence."""
        with pytest.raises(DamagedError):
            unpacked.decode(SEALER, SEALER.seal(plain))

    def test_a_machine_that_errs_stores_nothing(self) -> None:
        """A broken index would lose a whole backup."""
        with pytest.raises(DamagedError, match="on this machine"):
            unpacked.encode(Faulty(MASTER), b'{"a":1}')


class TestIndex:
    """Which blob is in which pack."""

    def test_an_index_reads_back(self) -> None:
        """Nothing is found without it."""
        packs = [
            (
                bytes(32),
                [BlobEntry("data", bytes(range(32)), 0, 40, None), BlobEntry("tree", bytes(32), 40, 50, 99)],
            ),
            (bytes((1,)) * 32, []),
        ]
        assert list(index.decode(index.encode(packs))) == packs

    def test_no_packs_are_an_index_too(self) -> None:
        """Go writes null for an empty list."""
        assert list(index.decode(b'{"packs":null}')) == []
        assert list(index.decode(b'{"packs":[{"id":"%b","blobs":null}]}' % ID.encode())) == [
            (bytes.fromhex(ID), [])
        ]

    @pytest.mark.parametrize(
        "blob",
        [
            '"type":"file","offset":0,"length":40',
            '"type":"data","offset":-1,"length":40',
            '"type":"data","offset":0,"length":31',
            '"type":"data","offset":4294967295,"length":40',
            '"type":"data","offset":0,"length":40,"uncompressed_length":-1',
            '"type":"data","offset":0,"length":40,"uncompressed_length":4294967296',
            '"type":"data","offset":"0","length":40',
            '"type":"data","offset":1e99,"length":40',
        ],
    )
    def test_a_blob_that_cannot_be_is_refused(self, blob: str) -> None:
        """An index is fetched from a storage that may be hostile."""
        json = f'{{"packs":[{{"id":"{ID}","blobs":[{{"id":"{ID}",{blob}}}]}}]}}'
        with pytest.raises(DamagedError):
            list(index.decode(json.encode()))

    @pytest.mark.parametrize(
        "json",
        [b"", b"{", b"[]", b'{"packs":1}', DEEP, b'{"x":' + DEEP, b'{"packs":[{"id":"ab"}]}', b"\xff\xfe"],
    )
    def test_what_is_no_index_is_refused(self, json: bytes) -> None:
        """Depth, cuts and wrong types alike."""
        with pytest.raises(DamagedError):
            list(index.decode(json))


class TestConfig:
    """What makes a repository itself."""

    def test_a_config_reads_back(self) -> None:
        """It is the one file without a hash for its name."""
        config = Config(2, ID, POLYNOMIAL)
        assert config_file.decode(SEALER, config_file.encode(SEALER, config)) == config

    @pytest.mark.parametrize("version", [1, 3])
    def test_other_versions_are_refused_by_name(self, version: int) -> None:
        """Somebody with an old repository must learn what to do."""
        with pytest.raises(UnsupportedRepositoryError, match=f"version {version}") as caught:
            config_file.decode(SEALER, config_file.encode(SEALER, Config(version, ID, POLYNOMIAL)))
        assert (caught.value.hint is not None) == (version == 1)

    @pytest.mark.parametrize(
        "chunker_polynomial",
        ["", "xyz", "0x3da3358b4dc173", "3da3358b4dc172", "7fffffffffffffff", "1" * 17, "0"],
    )
    def test_a_polynomial_that_cuts_nothing_is_refused(self, chunker_polynomial: str) -> None:
        """restic would refuse the repository."""
        json = f'{{"version":2,"id":"{ID}","chunker_polynomial":"{chunker_polynomial}"}}'
        with pytest.raises(DamagedError, match="polynomial"):
            config_file.decode(SEALER, SEALER.seal(json.encode()))

    def test_an_id_that_is_none_is_refused(self) -> None:
        """Folders of the cache are called by it."""
        with pytest.raises(DamagedError, match="repository id"):
            config_file.decode(SEALER, config_file.encode(SEALER, Config(2, "../../etc", POLYNOMIAL)))


class TestPolynomial:
    """Irreducible polynomials."""

    def test_a_drawn_one_is_irreducible_and_of_degree_53(self) -> None:
        """restic accepts no other."""
        drawn = polynomial.generate()
        assert drawn.bit_length() == 54
        assert polynomial.is_irreducible(drawn)

    def test_small_ones_are_told_right(self) -> None:
        """The irreducible ones up to degree 4 are in every textbook."""
        found = [value for value in range(32) if polynomial.is_irreducible(value)]
        assert found == [0b10, 0b11, 0b111, 0b1011, 0b1101, 0b10011, 0b11001, 0b11111]


class TestKeyFile:
    """The way from a password to the master key."""

    @staticmethod
    def create(password: bytes = b"secret") -> bytes:
        """A cheap key file."""
        return key_file.create(
            password, MASTER, username='u"<', hostname="höst", created=NOON, salt=bytes(64), n=16, r=8, p=1
        )

    def test_the_password_opens_it(self) -> None:
        """Without it all backups are lost."""
        parsed = key_file.parse(self.create())
        assert parsed.unlock(b"secret") == MASTER
        assert (parsed.username, parsed.hostname, parsed.created) == (
            'u"<',
            "höst",
            "2026-03-01T12:00:00.12+02:00",
        )

    def test_another_password_does_not(self) -> None:
        """The error says so, and not that something is damaged."""
        with pytest.raises(WrongPasswordError):
            key_file.parse(self.create()).unlock(b"Secret")

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b'"scrypt"', b'"argon2"'),
            (b'"N":16', b'"N":15'),
            (b'"N":16', b'"N":0'),
            (b'"N":16', b'"N":1'),
            (b'"N":16', b'"N":-16'),
            (b'"N":16', b'"N":1099511627776'),
            (b'"N":16', b'"N":100000000000000000000000'),
            (b'"r":8', b'"r":0'),
            (b'"r":8', b'"r":1073741824'),
            (b'"p":1', b'"p":0'),
            (b'"p":1', b'"p":262145'),
            (b'"p":1', b'"p":9999999999'),
            (b'"salt":"A', b'"salt":"'),
            (b'"salt":"AAAA', b'"salt":"'),
            (b'"salt":"A', b'"salt":"?'),
            (b'"data":', b'"date":'),
            (b"{", b""),
        ],
    )
    def test_a_hostile_key_file_is_refused_before_any_work(self, before: bytes, after: bytes) -> None:
        """A storage must not be able to exhaust the machine with scrypt's parameters."""
        stored = self.create()
        assert before in stored
        with pytest.raises(DamagedError):
            key_file.parse(stored.replace(before, after, 1))

    def test_a_key_file_of_megabytes_is_refused(self) -> None:
        """None has more than a few hundred bytes."""
        with pytest.raises(DamagedError, match="more than any has"):
            key_file.parse(self.create() + b" " * (64 << 10))

    def test_the_parameters_restic_uses_are_allowed(self) -> None:
        """restic takes up to 60 MiB and about half a second."""
        stored = self.create().replace(b'"N":16,"r":8,"p":1', b'"N":65536,"r":8,"p":10')
        assert key_file.parse(stored).n == 65536


class TestLock:
    """Who works on the repository."""

    @pytest.mark.parametrize(
        "lock",
        [
            Lock(NOON, True, "host", "root", 1),
            Lock(NOON, False, 'h"<>', "ü", 77, 1000, 1001, "0f0f-boot", 12345),
        ],
    )
    def test_a_lock_reads_back(self, lock: Lock) -> None:
        """A prune must know who else is there."""
        assert lock_file.decode(lock_file.encode(lock)) == lock

    def test_a_lock_of_restic_is_read(self) -> None:
        """Both lock the same repository."""
        json = b'{"time":"2026-11-21T07:22:24.970451007Z","exclusive":false,"hostname":"vm","username":"root","pid":42}'
        lock = lock_file.decode(json)
        assert (lock.hostname, lock.pid, lock.uid, lock.exclusive, lock.boot_id) == ("vm", 42, 0, False, "")
        assert lock.time == datetime.datetime(2026, 11, 21, 7, 22, 24, 970_451, tzinfo=datetime.UTC)

    @pytest.mark.parametrize(
        "json", [b"", b"{}", b'{"time":"now","exclusive":true}', b'{"time":"","exclusive":1}', DEEP]
    )
    def test_what_is_no_lock_is_refused(self, json: bytes) -> None:
        """An unreadable lock must not count as none."""
        with pytest.raises(DamagedError):
            lock_file.decode(json)


class TestSnapshot:
    """One captured tree."""

    FULL = Snapshot(
        NOON,
        bytes(range(32)),
        ("/home", "/etc"),
        "host",
        "root",
        1000,
        1001,
        ("*.tmp",),
        ("a", "b"),
        bytes(32),
        bytes((7,)) * 32,
        "holdfast 1",
        {"files_new": 1, "backup_start": "2026-03-01T12:00:00+02:00"},
        {"label": "rustic's", "delete": {"after": 1}},
        "2026-03-01T12:00:00.120000789+02:00",
    )

    def test_a_snapshot_reads_back_with_all_that_others_wrote_in_it(self) -> None:
        """Tagging a snapshot must not lose another program's fields, nor nanoseconds."""
        assert snapshot.decode(snapshot.encode(self.FULL)) == self.FULL

    def test_a_snapshot_of_nothing_but_the_needful_reads_back(self) -> None:
        """Empty fields are left out as restic does."""
        bare = Snapshot(NOON, bytes(32), ("/",), "")
        json = snapshot.encode(bare)
        assert json == b'{"time":"2026-03-01T12:00:00.12+02:00","tree":"%b","paths":["/"]}' % (b"00" * 32)
        read = snapshot.decode(json)
        assert snapshot.encode(read) == json

    def test_a_changed_time_replaces_the_text_that_was_read(self) -> None:
        """Otherwise a correction would be lost."""
        changed = Snapshot(NOON.astimezone(datetime.UTC), bytes(32), (), "", time_text=self.FULL.time_text)
        assert b'"time":"2026-03-01T10:00:00.12Z"' in snapshot.encode(changed)

    @pytest.mark.parametrize(
        "json",
        [
            b"",
            b"[]",
            b'{"time":"2026-03-01T12:00:00Z"}',
            b'{"time":"2026-03-01T12:00:00Z","tree":""}',
            b'{"time":"2026-03-01T12:00:00Z","tree":"zz"}',
            b'{"time":"yesterday","tree":"' + b"0" * 64 + b'"}',
            b'{"time":"2026-03-01T12:00:00Z","tree":"' + b"0" * 64 + b'","x":' + DEEP,
        ],
    )
    def test_what_is_no_snapshot_is_refused(self, json: bytes) -> None:
        """restic's checker crashes on one without a tree."""
        with pytest.raises(DamagedError):
            snapshot.decode(json)


class TestTimestamps:
    """Go's text of instants."""

    @pytest.mark.parametrize(
        ("instant", "text"),
        [
            (NOON, "2026-03-01T12:00:00.12+02:00"),
            (NOON.replace(microsecond=0, tzinfo=datetime.UTC), "2026-03-01T12:00:00Z"),
            (
                NOON.replace(
                    microsecond=1, tzinfo=datetime.timezone(-datetime.timedelta(hours=3, minutes=30))
                ),
                "2026-03-01T12:00:00.000001-03:30",
            ),
            (datetime.datetime(1, 1, 1, tzinfo=datetime.UTC), "0001-01-01T00:00:00Z"),
        ],
    )
    def test_an_instant_is_written_as_go_writes_it_and_read_back(
        self, instant: datetime.datetime, text: str
    ) -> None:
        """restic's retention counts days by the offset."""
        assert timestamps.to_text(instant) == text
        read = timestamps.from_text(text)
        assert (read, read.utcoffset()) == (instant, instant.utcoffset())

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-03-01",
            "2026-03-01 12:00:00Z",
            "2026-13-01T12:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-03-01T12:00:00+99:99",
        ],
    )
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        """restic refuses it too."""
        with pytest.raises(DamagedError, match="not a time"):
            timestamps.from_text(text)


def test_the_salt_of_a_new_key_must_be_64_bytes() -> None:
    """restic refuses any other."""
    with pytest.raises(DamagedError, match="salt"):
        key_file.create(b"x", MASTER, username="", hostname="", created=NOON, salt=os.urandom(32))
