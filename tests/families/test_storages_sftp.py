"""An SFTP storage where the server cuts, fills up, forbids, or has less than it says."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine import errors, events
from engine.clock import SystemClock
from engine.model.definitions import Host, OptionValue
from engine.storages import registry
from engine.storages.base import Key, Kind, OpenStorage, Reach
from tests.families.hosts import resolve_secret, ssh_definition
from tests.servers.sftp import reach
from tests.servers.small_disk import small_disk
from tests.servers.sshd import GUEST, Sshd
from tests.servers.tools import require_root

pytestmark = pytest.mark.slow

CONTENT = os.urandom(1 << 20)
PACK = Key(Kind.PACK, hashlib.sha256(CONTENT).hexdigest())
CONFIG = Key(Kind.CONFIG)


async def at_once(_span_s: float) -> None:
    """Lets retries come at once."""
    await asyncio.sleep(0)


@asynccontextmanager
async def opened(
    there: Reach | None, path: Path | str, emit: events.Emit = events.ignore, **more: OptionValue
) -> AsyncIterator[OpenStorage]:
    """The storage as jobs get it."""
    options: dict[str, OptionValue] = {"host": "box", "path": str(path), **more}
    async with registry.open_storage(
        "sftp", options, clock=SystemClock(), reach=there, emit=emit, sleep=at_once
    ) as storage:
        yield storage


def leftovers(directory: Path) -> list[Path]:
    """Files with a temporary name."""
    return list(directory.rglob("*-restic-temp-*"))


async def test_a_connection_that_is_cut_is_made_anew(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """A line that breaks at night must not cost the backup; a write that it cut leaves the whole object."""
    server = start_sshd()
    told: list[events.Event] = []
    async with opened(reach(server), tmp_path / "there", told.append) as storage:
        await storage.create()
        await storage.put(PACK, [CONTENT])
        for turns in (3, 30, 300):
            async with asyncio.TaskGroup() as group:
                for number in range(4):
                    content = bytes([number]) * (4 << 20)
                    group.create_task(
                        storage.put(Key(Kind.PACK, hashlib.sha256(content).hexdigest()), [content])
                    )
                for _ in range(turns):
                    await asyncio.sleep(0)
                server.drop_connections()
        assert await storage.get(PACK) == CONTENT
        listed = [each.size_bytes async for each in storage.list(Kind.PACK)]
        assert sorted(listed) == [1 << 20] + [4 << 20] * 4
        # A killed session tells its server nothing: what it left is what the janitor is for.
        await storage.clean(-60)
    assert any(isinstance(each, events.Noted) and "trying again" in each.message for each in told)
    assert leftovers(tmp_path) == []


async def test_a_server_that_is_gone_is_worth_another_try(
    start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """Its machine may be starting anew."""
    server = start_sshd()
    async with opened(reach(server), tmp_path / "there", retry_limit=1) as storage:
        await storage.create()
        server.stop()
        with pytest.raises(
            errors.StorageUnreachableError, match=r"could not be written|cannot be reached"
        ) as caught:
            await storage.put(PACK, [CONTENT])
    assert caught.value.retryable
    with pytest.raises(errors.StorageUnreachableError):
        async with opened(reach(server), tmp_path / "there"):
            pass


async def test_a_full_disk_says_so_and_leaves_nothing(
    start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """SFTP has no word for it: its "failure" would send people to look for something else."""
    require_root()
    with small_disk(tmp_path / "disk", 2048) as disk:
        # Started behind the mount, which its own namespace would not show otherwise.
        async with opened(reach(start_sshd()), disk / "there") as storage:
            await storage.create()
            big = os.urandom(4 << 20)
            with pytest.raises(errors.StorageFullError, match="no space is left"):
                await storage.put(Key(Kind.PACK, hashlib.sha256(big).hexdigest()), [big])
            await storage.put(PACK, [CONTENT])
            assert await storage.get(PACK) == CONTENT
        assert leftovers(disk) == []


async def test_a_missing_right_is_named(sshd_with_guests: Sshd, tmp_path: Path) -> None:
    """Not tried again and again: no other answer will come."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o111)
    there = Reach(ssh_definition(sshd_with_guests, GUEST), resolve_secret)
    async with opened(reach(sshd_with_guests), tmp_path / "there") as storage:
        await storage.create()
    async with opened(there, tmp_path / "there") as storage:
        with pytest.raises(
            errors.StorageDeniedError, match=r"data/.* could not be written on box: permission denied"
        ):
            await storage.put(PACK, [CONTENT])


async def test_a_disk_that_is_not_mounted_is_never_written_beside(sshd: Sshd, tmp_path: Path) -> None:
    """And does not look like an empty repository."""
    async with opened(reach(sshd), tmp_path / "gone") as storage:
        with pytest.raises(errors.StorageError, match="could not be written"):
            await storage.put(PACK, [CONTENT])
        with pytest.raises(errors.StorageError, match="could not be listed"):
            [each async for each in storage.list(Kind.PACK)]
    assert not (tmp_path / "gone").exists()


async def test_a_bare_server_tells_what_it_cannot(bare_sftp: Sshd, sshd: Sshd, tmp_path: Path) -> None:
    """The repository asks before it replaces an object."""
    async with (
        opened(reach(bare_sftp), tmp_path / "bare") as bare,
        opened(reach(sshd), tmp_path / "full") as full,
    ):
        await bare.create()
        await full.create()
        assert (bare.traits.atomic_replace, full.traits.atomic_replace) == (False, True)
        assert ((await bare.space()).free_bytes is None, (await full.space()).free_bytes is None) == (
            True,
            False,
        )


async def test_rights_follow_the_config(sshd: Sshd, tmp_path: Path) -> None:
    """As restic has it: a repository that a group shares stays one."""
    async with opened(reach(sshd), tmp_path / "there") as storage:
        await storage.create()
        await storage.put(CONFIG, [b"config"])
        (tmp_path / "there" / "config").chmod(0o640)
        await storage.put(PACK, [CONTENT])
    modes = {(tmp_path / "there" / each).stat().st_mode & 0o777 for each in ("keys", "data/00")}
    assert modes == {0o700}
    assert (tmp_path / "there" / PACK.path()).stat().st_mode & 0o777 == 0o660


async def test_leftovers_are_cleaned_by_age(sshd: Sshd, tmp_path: Path) -> None:
    """A backup that runs has files with such names, too."""
    async with opened(reach(sshd), tmp_path / "there") as storage:
        await storage.create()
        await storage.put(PACK, [CONTENT])
        left = tmp_path / "there" / f"{PACK.path()}-restic-temp-{'a' * 32}"
        left.write_bytes(b"half")
        assert await storage.clean(3600) == 0
        os.utime(left, (1, 1))
        assert await storage.clean(3600) == 1
        assert not left.exists()
        assert await storage.get(PACK) == CONTENT


@pytest.mark.parametrize("there", [None, "local"])
async def test_a_storage_without_a_host_over_ssh_is_refused(there: str | None, tmp_path: Path) -> None:
    """A person who writes the wrong kind is told the right one."""
    wrong = None if there is None else Reach(Host("here", kind="local"), resolve_secret)
    with pytest.raises(errors.ConfigurationError, match="lies on a host that is reached over SSH"):
        async with opened(wrong, tmp_path):
            pass
