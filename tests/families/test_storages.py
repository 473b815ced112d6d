"""What every storage must do, run for each one that can be had here, and for the fakes and wrappers that stand in for or around one.

A new storage is one line in STORAGES; if it needs a server, the line asks `place.request` for the server's fixture.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from engine import errors
from engine.clock import SystemClock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Buffer, Key, Kind, Listed, OpenStorage
from engine.storages.retry import Patience, RetryingStorage
from engine.storages.throttle import LimitedStorage, ThrottledStorage
from tests.fakes.faulty_storage import FaultyStorage, FullStorage
from tests.fakes.memory_storage import MemoryStorage
from tests.families import opendal_places
from tests.servers import rclone, sftp
from tests.servers.ceph import Ceph

FOLDER_KINDS = [kind for kind in Kind if kind is not Kind.CONFIG]
CONFIG = Key(Kind.CONFIG)
NO_EMPTY_OBJECTS = ("gdrive:", "onedrive:")
"""What these services refuse; no object of a repository is empty."""
SHORT_PAGES = ("azure:", "b2:", "dropbox:", "gdrive:", "gs:", "onedrive:", "swift:", "http://")
"""Whose fakes turn the page after a hundred, or whose server has it all on one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test may put a storage."""

    directory: Path
    request: pytest.FixtureRequest

    def server(self, fixture: str) -> Any:
        """The session's server of that name."""
        return self.request.getfixturevalue(fixture)


Factory = Callable[[Place], AbstractAsyncContextManager[OpenStorage]]


def through_registry(
    kind: str,
    make_options: Callable[[Place], dict[str, OptionValue]],
    make_secrets: Callable[[Place], dict[str, Secret]] = lambda _place: {},
) -> Factory:
    """A member as jobs get it, with its wrappers on."""
    return lambda place: registry.open_storage(
        kind, make_options(place), clock=SystemClock(), secrets=make_secrets(place), sleep=no_sleep
    )


async def no_sleep(_span_s: float) -> None:
    """Lets retries come at once: an object that was cut short stays so."""
    await asyncio.sleep(0)


def over_sftp(fixture: str, **more: OptionValue) -> Factory:
    """A directory of a host that the session's server of that fixture stands for."""

    def opened(place: Place) -> AbstractAsyncContextManager[OpenStorage]:
        options: dict[str, OptionValue] = {**local_options(place), "host": "box", **more}
        there = sftp.reach(place.server(fixture))
        return registry.open_storage("sftp", options, clock=SystemClock(), reach=there, sleep=no_sleep)

    return opened


def over_ftp(place: Place) -> AbstractAsyncContextManager[OpenStorage]:
    """A directory of its own on the session's server."""
    server = place.server("vsftpd")
    options: dict[str, OptionValue] = {
        "address": server.address,
        "path": f"there/{uuid.uuid4().hex}",
        "ca_file": str(server.certificate),
    }
    return registry.open_storage("ftp", options, clock=SystemClock(), sleep=no_sleep)


def through_rclone(place: Place) -> AbstractAsyncContextManager[OpenStorage]:
    """A directory of this machine behind rclone."""
    options: dict[str, OptionValue] = {
        "remote": f":local:{place.directory}/repository",
        "rclone_program": str(place.server("rclone")),
        "rclone_config": "/dev/null",
    }
    return registry.open_storage("rclone", options, clock=SystemClock(), sleep=no_sleep)


def over_rest(place: Place) -> AbstractAsyncContextManager[OpenStorage]:
    """A repository of its own on the session's server."""
    server = place.server("rest_server")
    options: dict[str, OptionValue] = {
        "url": f"{server.url}{uuid.uuid4().hex}",
        "user": rclone.USER,
        "ca_file": str(server.certificate),
    }
    secrets = {"secret": Secret(rclone.SECRET)}
    return registry.open_storage("rest", options, clock=SystemClock(), secrets=secrets, sleep=no_sleep)


def in_memory(wrap: Callable[[OpenStorage], OpenStorage]) -> Factory:
    """The fake in memory with something around it."""

    @contextlib.asynccontextmanager
    async def opened(_place: Place) -> AsyncIterator[OpenStorage]:
        yield wrap(MemoryStorage())

    return opened


def local_options(place: Place) -> dict[str, OptionValue]:
    """A directory below the test's own."""
    return {"path": str(place.directory / "repository")}


def ceph_options(place: Place) -> dict[str, OptionValue]:
    """A prefix of the test's own in one bucket."""
    ceph: Ceph = place.request.getfixturevalue("ceph")
    return {"bucket": "conformance", "endpoint": ceph.endpoint, "prefix": str(place.directory)}


def ceph_secrets(place: Place) -> dict[str, Secret]:
    """The gateway's only key."""
    ceph: Ceph = place.request.getfixturevalue("ceph")
    return {"access_key_id": Secret(ceph.access_key), "secret_key": Secret(ceph.secret_key)}


def retrying(inner: OpenStorage) -> OpenStorage:
    """Retries that never have to wait here."""
    return RetryingStorage(inner, Patience(), clock=SystemClock(), sleep=no_sleep, draw=lambda: 0.5)


def throttled(inner: OpenStorage) -> OpenStorage:
    """Limits too wide to be felt."""
    return ThrottledStorage(
        inner, upload_kib_s=1 << 30, download_kib_s=1 << 30, clock=SystemClock(), sleep=no_sleep
    )


STORAGES: dict[str, Factory] = {
    "local": through_registry("local", local_options),
    "local-narrow": through_registry(
        "local",
        lambda place: {
            **local_options(place),
            "connections": 1,
            "limit_upload": 1 << 30,
            "limit_download": 1 << 30,
        },
    ),
    **{kind: opendal_places.opening(kind, no_sleep) for kind in opendal_places.KINDS},
    "s3": through_registry("s3", ceph_options, ceph_secrets),
    "sftp": over_sftp("sshd"),
    "sftp-bare": over_sftp("bare_sftp", connections=3),
    "ftp": over_ftp,
    "rclone": through_rclone,
    "rest": over_rest,
    "memory": in_memory(lambda inner: inner),
    "memory-retrying": in_memory(retrying),
    "memory-throttled": in_memory(throttled),
    "memory-limited": in_memory(lambda inner: LimitedStorage(inner, 2)),
    "memory-faultless": in_memory(FaultyStorage),
    "memory-not-full": in_memory(lambda inner: FullStorage(inner, 1 << 30)),
}

NAMES = [
    pytest.param(name, marks=() if name.startswith(("local", "memory")) else pytest.mark.slow)
    for name in STORAGES
]


@pytest.fixture(params=NAMES)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStorage]:
    """Each storage in turn, with its place made."""
    async with STORAGES[request.param](Place(tmp_path, request)) as opened:
        await opened.create()
        yield opened


def key_of(stored: bytes, kind: Kind = Kind.PACK) -> Key:
    """The key under which an object of these bytes lies."""
    return Key(kind, hashlib.sha256(stored).hexdigest())


async def names(storage: OpenStorage, kind: Kind) -> list[Listed]:
    """The whole listing, sorted."""
    return sorted([listed async for listed in storage.list(kind)])


@pytest.mark.parametrize("kind", list(Kind))
async def test_what_was_put_is_got_back(storage: OpenStorage, kind: Kind) -> None:
    """A backup that reads back otherwise is none."""
    key = CONFIG if kind is Kind.CONFIG else key_of(b"one two", kind)
    await storage.put(key, [b"one", b" ", b"two"])
    assert await storage.get(key) == b"one two"
    assert await storage.size(key) == 7
    assert await names(storage, kind) == [Listed(key, 7)]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"", b"a", b"", b"b", b""],
        [bytearray(b"ab"), memoryview(b"xcdx")[1:3], memoryview(b"")],
        [number.to_bytes(2, "big") for number in range(5000)],
    ],
    ids=[
        "no parts",
        "one empty part",
        "empty parts between",
        "all kinds of buffer",
        "more parts than one writev takes",
    ],
)
async def test_parts_are_joined_as_they_come(storage: OpenStorage, parts: list[Buffer]) -> None:
    """A pack is handed over in thousands of pieces; one lost or doubled would damage all that follow."""
    stored = b"".join(parts)
    if not stored and storage.location.startswith(NO_EMPTY_OBJECTS):
        with pytest.raises(errors.StorageError, match="keeps no empty file"):
            await storage.put(key_of(stored), parts)
        return
    await storage.put(key_of(stored), parts)
    assert await storage.get(key_of(stored)) == stored
    assert await storage.size(key_of(stored)) == len(stored)


async def test_a_large_object_of_many_parts_survives(storage: OpenStorage) -> None:
    """Packs are of 16 MiB."""
    part = bytes(range(256)) * 64
    stored = part * 1024
    await storage.put(key_of(stored), [part] * 1024)
    assert hashlib.sha256(await storage.get(key_of(stored))).hexdigest() == key_of(stored).name


RANGES = [
    (0, None, b"0123456789"),
    (3, None, b"3456789"),
    (10, None, b""),
    (0, 10, b"0123456789"),
    (3, 4, b"3456"),
    (9, 1, b"9"),
    (4, 0, b""),
    (10, 0, b""),
]
RANGES_BEHIND = [(0, 11), (9, 2), (10, 1), (11, 0), (11, None), (1 << 40, 1 << 40)]
"""Offset and length, in an object of ten bytes. In tables and not as parameters: opening a storage costs more than all of them."""


async def test_a_range_is_what_was_asked_for(storage: OpenStorage) -> None:
    """A blob is read out of the middle of its pack."""
    key = key_of(b"0123456789")
    await storage.put(key, [b"0123456789"])
    for offset, length, expected in RANGES:
        assert await storage.get(key, offset, length) == expected, (offset, length)


async def test_a_range_behind_the_end_is_an_error(storage: OpenStorage) -> None:
    """Fewer bytes than asked for would be taken for a whole blob."""
    key = key_of(b"0123456789")
    await storage.put(key, [b"0123456789"])
    for offset, length in RANGES_BEHIND:
        with pytest.raises(errors.ShortReadError):
            await storage.get(key, offset, length)


@pytest.mark.parametrize("call", ["get", "size"])
async def test_an_object_that_is_missing_says_so(storage: OpenStorage, call: str) -> None:
    """Missing and unreadable are healed in different ways."""
    with pytest.raises(errors.ObjectMissingError):
        await getattr(storage, call)(key_of(b"never put"))


async def test_putting_again_changes_nothing(storage: OpenStorage) -> None:
    """A retry after a lost answer puts what is there already."""
    for _ in range(3):
        await storage.put(key_of(b"same"), [b"same"])
    assert await names(storage, Kind.PACK) == [Listed(key_of(b"same"), 4)]


@pytest.mark.parametrize("kind", [Kind.CONFIG, Kind.PACK])
async def test_putting_replaces_what_is_there(storage: OpenStorage, kind: Kind) -> None:
    """A damaged pack is healed by putting it again."""
    key = CONFIG if kind is Kind.CONFIG else key_of(b"right", kind)
    await storage.put(key, [b"wrong and longer"])
    await storage.put(key, [b"right"])
    assert await storage.get(key) == b"right"


@pytest.mark.parametrize("kind", list(Kind))
async def test_deleting_removes_once_and_for_all(storage: OpenStorage, kind: Kind) -> None:
    """A prune that is run again meets objects that are gone."""
    key = CONFIG if kind is Kind.CONFIG else key_of(b"gone", kind)
    await storage.put(key, [b"gone"])
    for _ in range(2):
        await storage.delete(key)
    assert await names(storage, kind) == []
    with pytest.raises(errors.ObjectMissingError):
        await storage.get(key)


async def test_each_kind_is_listed_for_itself(storage: OpenStorage) -> None:
    """A lock taken for a snapshot would be restored from."""
    await storage.put(CONFIG, [b"config"])
    for kind in FOLDER_KINDS:
        await storage.put(key_of(kind.value.encode(), kind), [b"x" * len(kind.value)])
    for kind in FOLDER_KINDS:
        assert await names(storage, kind) == [Listed(key_of(kind.value.encode(), kind), len(kind.value))]


@pytest.mark.slow
async def test_a_long_listing_gives_every_object_once(storage: OpenStorage) -> None:
    """An index that is not listed hides its packs, and prune would remove them."""
    # Listings come in pages of a thousand; those of fakes in pages of a hundred. FTP has none, and a handshake for each object.
    is_short = storage.location.startswith(SHORT_PAGES)
    count = 50 if storage.location.startswith("ftp:") else 300 if is_short else 1200
    keys = [key_of(number.to_bytes(2, "big"), Kind.INDEX) for number in range(count)]
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(storage.put(key, [b"index"]))
    assert await names(storage, Kind.INDEX) == [Listed(key, 5) for key in sorted(keys)]


async def test_a_listing_may_be_left_and_lets_calls_between_its_steps(storage: OpenStorage) -> None:
    """Whoever looks for one snapshot stops listing when it is found."""
    for number in range(3):
        await storage.put(key_of(bytes([number]), Kind.SNAPSHOT), [bytes([number])])
    async with contextlib.aclosing(storage.list(Kind.SNAPSHOT)) as listing:
        async for listed in listing:
            assert len(await storage.get(listed.key)) == 1
            break
    assert len(await names(storage, Kind.SNAPSHOT)) == 3


async def test_deleting_while_listing_is_safe(storage: OpenStorage) -> None:
    """Prune removes what it lists."""
    keys = [key_of(bytes([number])) for number in range(50)]
    for key in keys:
        await storage.put(key, [b"pack"])
    async for listed in storage.list(Kind.PACK):
        await storage.delete(listed.key)
    assert await names(storage, Kind.PACK) == []


async def test_calls_at_once_do_not_disturb_each_other(storage: OpenStorage) -> None:
    """A backup writes several packs at once, and reads beside them."""
    objects = [bytes([number]) * (number + 1) * 100 for number in range(40)]

    async def put_and_get(stored: bytes) -> bytes:
        await storage.put(key_of(stored), [stored])
        return await storage.get(key_of(stored))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(put_and_get(stored)) for stored in objects]
    assert [task.result() for task in tasks] == objects


async def test_the_same_object_put_by_many_at_once_is_whole(storage: OpenStorage) -> None:
    """Two writers may seal the same snapshot of the catalog."""
    stored = b"same" * 10_000
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(storage.put(key_of(stored), [stored]))
    assert await storage.get(key_of(stored)) == stored
    assert await names(storage, Kind.PACK) == [Listed(key_of(stored), len(stored))]


async def test_a_cancelled_put_leaves_the_whole_object_or_none(storage: OpenStorage) -> None:
    """Stopping a backup at any moment must not leave half a pack under a whole pack's name."""
    for turns in (0, 1, 2, 3, 5, 10, 30, 100, 300, 1000):
        stored = bytes([turns % 251]) * (4 << 20)
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(storage.put(key_of(stored), [stored[: 1 << 20]] * 4))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
        assert await names(storage, Kind.PACK) in ([], [Listed(key_of(stored), len(stored))]), turns
        await storage.put(key_of(stored), [stored])
        assert await storage.size(key_of(stored)) == len(stored)
        await storage.delete(key_of(stored))


WRONG_NAMES = [
    "",
    "ab",
    "A" * 64,
    "g" * 64,
    "../" + "a" * 61,
    "a" * 65,
    "a" * 63 + "\n",
    "a" * 64 + "\n",
]


@pytest.mark.parametrize("call", ["get", "size", "delete"])
async def test_no_other_name_is_ever_followed(storage: OpenStorage, call: str) -> None:
    """A name out of a hostile index must not lead out of the repository."""
    for name in WRONG_NAMES:
        with pytest.raises(ValueError, match="names no object"):
            await getattr(storage, call)(Key(Kind.SNAPSHOT, name))


async def test_making_the_place_again_keeps_what_is_there(storage: OpenStorage) -> None:
    """Adding a storage that holds a repository opens it."""
    await storage.put(CONFIG, [b"config"])
    await storage.create()
    assert await storage.get(CONFIG) == b"config"


async def test_a_clean_storage_needs_no_cleaning(storage: OpenStorage) -> None:
    """The janitor must never take an object for a leftover."""
    for kind in FOLDER_KINDS:
        await storage.put(key_of(b"kept", kind), [b"kept"])
    await storage.put(CONFIG, [b"config"])
    assert await storage.clean(0) == 0
    assert [len(await names(storage, kind)) for kind in Kind] == [1] * len(Kind)


async def test_the_room_is_told_or_not_known(storage: OpenStorage) -> None:
    """A wrong number would stop a backup that fits, or start one that does not."""
    space = await storage.space()
    assert space.free_bytes is None or space.free_bytes >= 0
    assert space.total_bytes is None or space.total_bytes >= (space.free_bytes or 0)


async def test_it_says_where_it_is_and_what_it_can_do(storage: OpenStorage) -> None:
    """Messages name the storage, and the writer asks how many calls serve it."""
    assert storage.location
    assert storage.traits.connections >= 1


OPERATIONS = some.lists(
    some.tuples(
        some.sampled_from(["put", "delete", "get"]),
        some.sampled_from([Kind.PACK, Kind.INDEX]),
        some.binary(min_size=1, max_size=3),
    ),
    max_size=12,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(operations=OPERATIONS)
def test_any_sequence_of_calls_does_what_it_does_to_a_dictionary(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, Kind, bytes]],
) -> None:
    """The fake proves anything about the rest only as long as it behaves as the real ones do."""
    place = Place(tmp_path_factory.mktemp("sequence"), request)
    asyncio.run(follow(STORAGES[name], place, operations))


async def follow(factory: Factory, place: Place, operations: list[tuple[str, Kind, bytes]]) -> None:
    """Does the same to the storage and to a dictionary, and compares."""
    expected: dict[Key, bytes] = {}
    async with factory(place) as storage:
        await storage.create()
        for call, kind, stored in operations:
            key = key_of(stored, kind)
            if call == "put":
                await storage.put(key, [stored])
                expected[key] = stored
            elif call == "delete":
                await storage.delete(key)
                expected.pop(key, None)
            else:
                assert await got(storage, key) == expected.get(key)
        listed = [one for kind in FOLDER_KINDS for one in await names(storage, kind)]
        assert sorted(listed) == sorted(Listed(key, len(stored)) for key, stored in expected.items())


async def got(storage: OpenStorage, key: Key) -> bytes | None:
    """The object, or None where there is none."""
    try:
        return await storage.get(key)
    except errors.ObjectMissingError:
        return None
