"""What a storage does when the way to its server fails: for each member that has one, through a proxy that knows no protocol.

Whatever happens, an object is there whole or not at all; a fault that passes costs no more than another try; one that does not pass is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import errors
from engine.repository import check
from engine.storages.base import Key, Kind, Listed
from tests.fakes.small_repositories import Small, all_contents, expected, files, make, reopen
from tests.fakes.tree_feed import directories
from tests.families.faulty_servers import SERVERS, Behind, opened_behind
from tests.servers.fault_proxy import ALWAYS, Fault, FaultProxy, Harm, Way, running_fault_proxy

pytestmark = pytest.mark.slow

OBJECT = random.Random(4).randbytes(1 << 20)
KEY = Key(Kind.PACK, hashlib.sha256(OBJECT).hexdigest())
MIDDLE = len(OBJECT) // 2
Faulty = tuple[FaultProxy, Behind]


@pytest.fixture(params=SERVERS)
async def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Faulty]:
    """Each server's proxy, with a storage behind it."""
    server = SERVERS[request.param](request, tmp_path)
    async with running_fault_proxy(server.port) as proxy, opened_behind(server, proxy.port) as behind:
        yield proxy, behind


def told(fault: Fault) -> str:
    """A fault as a test's name."""
    return f"{fault.harm.name} {fault.way.name} {fault.after_bytes}"


ON_THE_WAY_UP = [
    Fault(Harm.REFUSE),
    Fault(Harm.CUT, Way.UP, MIDDLE),
    Fault(Harm.STALL, Way.UP, MIDDLE),
    Fault(Harm.CUT, Way.DOWN),
    Fault(Harm.STALL, Way.DOWN),
]
ON_THE_WAY_DOWN = [
    Fault(Harm.REFUSE),
    Fault(Harm.CUT, Way.UP),
    Fault(Harm.CUT, Way.DOWN, MIDDLE),
    Fault(Harm.CLOSE, Way.DOWN, MIDDLE),
    Fault(Harm.STALL, Way.DOWN, MIDDLE),
]


@pytest.mark.parametrize("fault", ON_THE_WAY_UP, ids=told)
async def test_an_upload_that_broke_off_is_done_again(faulty: Faulty, fault: Fault) -> None:
    """A line that breaks once a night must not cost the backup."""
    proxy, behind = faulty
    proxy.cut_all()
    proxy.arm(fault)
    await behind.storage.put(KEY, [OBJECT[:MIDDLE], OBJECT[MIDDLE:]])
    assert (proxy.struck, await behind.direct.get(KEY)) == (1, OBJECT)


@pytest.mark.parametrize("fault", ON_THE_WAY_DOWN, ids=told)
async def test_a_download_that_broke_off_is_done_again(faulty: Faulty, fault: Fault) -> None:
    """Half an object must never be taken for the whole one."""
    proxy, behind = faulty
    await behind.direct.put(KEY, [OBJECT])
    proxy.cut_all()
    proxy.arm(fault)
    assert await behind.storage.get(KEY) == OBJECT
    assert proxy.struck == 1
    assert await behind.storage.get(KEY, 1000, MIDDLE) == OBJECT[1000 : 1000 + MIDDLE]


@pytest.mark.parametrize("call", ["size", "list", "delete"])
async def test_an_answer_that_was_lost_is_asked_for_again(faulty: Faulty, call: str) -> None:
    """The server may have done what it was asked for already."""
    proxy, behind = faulty
    await behind.direct.put(KEY, [OBJECT])
    await behind.storage.size(KEY)
    proxy.arm(Fault(Harm.CUT, Way.DOWN, times=2))
    if call == "size":
        assert await behind.storage.size(KEY) == len(OBJECT)
    elif call == "list":
        assert [each async for each in behind.storage.list(Kind.PACK)] == [Listed(KEY, len(OBJECT))]
    else:
        await behind.storage.delete(KEY)
        assert [each async for each in behind.direct.list(Kind.PACK)] == []
    assert proxy.struck == 2


async def test_a_server_that_is_gone_is_told_and_comes_back(faulty: Faulty) -> None:
    """Nothing is left under the object's name, and the storage that was open is as good as before."""
    proxy, behind = faulty
    proxy.arm(Fault(Harm.CUT, Way.UP, MIDDLE, times=ALWAYS))
    with pytest.raises(errors.StorageUnreachableError, match=r"^[^\n]+[^.\n]$"):
        await behind.impatient.put(KEY, [OBJECT])
    assert [each async for each in behind.direct.list(Kind.PACK)] == []
    proxy.cut_all()
    proxy.arm(Fault(Harm.REFUSE, times=ALWAYS))
    with pytest.raises(errors.StorageUnreachableError):
        await behind.impatient.size(KEY)
    proxy.heal()
    await behind.impatient.put(KEY, [OBJECT])
    assert await behind.direct.get(KEY) == OBJECT


async def test_a_stalled_upload_can_be_given_up(faulty: Faulty) -> None:
    """Who stops a backup that hangs does not want to wait for the line."""
    proxy, behind = faulty
    proxy.arm(Fault(Harm.STALL, Way.UP, MIDDLE))
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(behind.storage.put(KEY, [OBJECT]))
        await proxy.has_struck.wait()
        writing.cancel()
    assert [each async for each in behind.direct.list(Kind.PACK)] == []
    proxy.heal()
    await behind.storage.put(KEY, [OBJECT])
    assert await behind.direct.get(KEY) == OBJECT


async def test_a_backup_over_a_line_that_breaks_again_and_again_is_whole(faulty: Faulty) -> None:
    """Each object is written again until it is there, and none twice under two names."""
    proxy, behind = faulty
    await make(behind.direct)
    made = directories(*files(6, size_bytes=60_000))
    proxy.arm(Fault(Harm.CUT, Way.UP, 40_000, times=4), Fault(Harm.CUT, Way.DOWN, 1, times=3))
    await Small(made).run(behind.storage)
    assert list((await all_contents(behind.direct)).values()) == [expected(made)]
    assert (await check.check(await reopen(behind.direct))).damaged == ()
    assert proxy.struck == 7


@pytest.mark.parametrize("after_bytes", [3_000, 50_000, 120_000, 250_000])
async def test_a_line_that_breaks_for_good_leaves_no_snapshot_of_what_is_not_there(
    faulty: Faulty, after_bytes: int
) -> None:
    """The snapshot is written last: a backup that could not be ended is none."""
    proxy, behind = faulty
    await make(behind.direct)
    older, newer = directories(*files(2, seed=8)), directories(*files(6, seed=9, size_bytes=60_000))
    await Small(older).run(behind.direct)
    proxy.arm(Fault(Harm.GONE, Way.UP, after_bytes))
    try:
        await Small(newer).run(behind.impatient)
    except errors.StorageError:
        kept = [expected(older)]
    else:
        kept = [expected(older), expected(newer)]
    found = list((await all_contents(behind.direct)).values())
    assert len(found) == len(kept)
    assert all(each in found for each in kept)
    assert (await check.check(await reopen(behind.direct))).damaged == ()


async def test_a_bit_that_flipped_on_the_way_down_never_reaches_a_restore(faulty: Faulty) -> None:
    """The line's own checksum tells, or the blob's does, and it is read again."""
    proxy, behind = faulty
    await make(behind.direct)
    made = directories(*files(1, size_bytes=400_000))
    await Small(made).run(behind.direct)
    proxy.arm(Fault(Harm.FLIP, Way.DOWN, 200_000))
    assert list((await all_contents(behind.storage)).values()) == [expected(made)]
    assert proxy.struck == 1
