"""What a storage does with wrong, late and damaged answers: for each member whose server speaks HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine import errors
from engine.storages.base import Key, Kind, Listed
from tests.fakes.small_repositories import Small, all_contents, expected, files, make
from tests.fakes.tree_feed import directories
from tests.families.faulty_servers import HTTP, SERVERS, Behind, opened_behind
from tests.servers.fault_proxy import ALWAYS
from tests.servers.http_fault_proxy import Answer, HttpFaultProxy, Spoiled, running_http_fault_proxy

pytestmark = pytest.mark.slow

OBJECT = random.Random(4).randbytes(1 << 20)
KEY = Key(Kind.PACK, hashlib.sha256(OBJECT).hexdigest())
Faulty = tuple[HttpFaultProxy, Behind]
TYPE = {"Content-Type": "application/xml"}


@pytest.fixture(params=HTTP)
async def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Faulty]:
    """Each server's proxy, with a storage behind it."""
    server = SERVERS[request.param](request, tmp_path)
    async with running_http_fault_proxy(server.port) as proxy, opened_behind(server, proxy.port) as behind:
        yield proxy, behind


def said(code: str) -> bytes:
    """An answer's body as S3 has it; others look at the status."""
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, said("InternalError"), TYPE),
        Answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
        Answer(503, said("SlowDown"), TYPE),
        Answer(503),
        Answer(429, said("TooManyRequests"), TYPE),
    ],
    ids=["500", "502 of a gateway", "SlowDown", "503 with nothing", "429"],
)
async def test_a_service_that_is_busy_is_asked_again(faulty: Faulty, answer: Answer) -> None:
    """Whatever was asked."""
    proxy, behind = faulty
    for is_done_first in (False, True):
        proxy.spoil(Spoiled(answer, is_done_first=is_done_first, times=2))
        await behind.storage.put(KEY, [OBJECT])
        proxy.spoil(Spoiled(answer, is_done_first=is_done_first, times=2))
        assert await behind.storage.get(KEY) == OBJECT
        proxy.spoil(Spoiled(answer, is_done_first=is_done_first, times=2))
        assert [each async for each in behind.storage.list(Kind.PACK)] == [Listed(KEY, len(OBJECT))]
        proxy.spoil(Spoiled(answer, is_done_first=is_done_first, times=2))
        await behind.storage.delete(KEY)
        assert [each async for each in behind.direct.list(Kind.PACK)] == []
    assert any("trying again" in each for each in behind.noted)


@pytest.mark.parametrize("call", ["put", "get", "list", "delete"])
async def test_what_is_forbidden_is_told_at_once(faulty: Faulty, call: str) -> None:
    """A quarter of an hour of tries changes no permission."""
    proxy, behind = faulty
    proxy.spoil(Spoiled(Answer(403, said("AccessDenied"), TYPE), times=ALWAYS))
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "put": lambda: behind.storage.put(KEY, [OBJECT]),
        "get": lambda: behind.storage.get(KEY),
        "list": lambda: anext(behind.storage.list(Kind.PACK)),
        "delete": lambda: behind.storage.delete(KEY),
    }
    with pytest.raises(errors.StorageDeniedError, match=r"^[^\n]+[^.\n]$") as caught:
        await calls[call]()
    assert caught.value.hint
    assert behind.noted == []


async def test_an_answer_that_breaks_off_is_asked_for_again(faulty: Faulty) -> None:
    """Its head promised more."""
    proxy, behind = faulty
    await behind.direct.put(KEY, [OBJECT])
    for offset, length in ((0, None), (5000, 300_000)):
        proxy.spoil(Spoiled(is_truncated=True, method="GET", target=KEY.name))
        end = None if length is None else offset + length
        assert await behind.storage.get(KEY, offset, length) == OBJECT[offset:end]
        assert proxy.struck == 1


async def test_a_listing_that_breaks_off_gives_every_object_once(faulty: Faulty) -> None:
    """Half a listing taken for the whole would let prune remove what is needed."""
    proxy, behind = faulty
    keys = [Key(Kind.INDEX, hashlib.sha256(bytes([number])).hexdigest()) for number in range(20)]
    for key in keys:
        await behind.direct.put(key, [b"index"])
    proxy.spoil(Spoiled(is_truncated=True, times=2))
    found = [each async for each in behind.storage.list(Kind.INDEX)]
    assert sorted(found) == sorted(Listed(key, 5) for key in keys)
    assert proxy.struck == 2


async def test_a_damaged_download_is_read_once_more_and_then_told(faulty: Faulty) -> None:
    """A bit that flipped on the way is no damage; one that flips each time is."""
    proxy, behind = faulty
    await make(behind.direct)
    made = directories(*files(1, size_bytes=200_000))
    await Small(made).run(behind.direct)
    proxy.spoil(Spoiled(is_flipped=True, method="GET", target="data.[0-9a-f]{2}."))
    assert list((await all_contents(behind.storage)).values()) == [expected(made)]
    assert proxy.struck == 1
    proxy.spoil(Spoiled(is_flipped=True, method="GET", target="data.[0-9a-f]{2}.", times=ALWAYS))
    with pytest.raises(errors.DamagedError):
        await all_contents(behind.storage)
    assert proxy.struck == 2


async def test_a_listing_that_takes_its_time_holds_nothing_else_up(faulty: Faulty) -> None:
    """Listings of millions of objects take minutes."""
    proxy, behind = faulty
    held = asyncio.Event()
    await behind.direct.put(KEY, [OBJECT])
    proxy.spoil(Spoiled(held=held, target=r"list-type|comp=list|format=json|/data/$"))
    listing = behind.storage.list(Kind.PACK)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(anext(listing))
        await proxy.has_struck.wait()
        assert await behind.storage.size(KEY) == len(OBJECT)
        held.set()
    assert first.result() == Listed(KEY, len(OBJECT))
    await listing.aclose()
