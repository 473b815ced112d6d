"""What is shared is read by whoever has the link, for as long as it lasts, and by nobody else."""

from __future__ import annotations

import datetime
import hashlib
import re
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import RefusedError, UnknownNameError, UsageError
from engine.model.definitions import OptionValue, Storage
from engine.model.requests import ShareRequest
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Sharing
from tests.families import opendal_places
from tests.families.opendal_places import Told
from tests.jobs.world import World, open_world
from tests.servers.ceph import Ceph
from tests.servers.tools import require_tool

pytestmark = pytest.mark.slow


def in_(**span: float) -> datetime.datetime:
    """So long from now."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(**span)  # noqa: TID251 -- a service's own clock decides


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """An archive in one piece."""
    yield data


@asynccontextmanager
async def sharing_of(world: World) -> AsyncIterator[Sharing]:
    """The storage's own way to share, without what the engine asks of it."""
    definition = await world.engine.show_storage("cloud")
    secrets = {
        name.removesuffix("_ref"): Secret(Path(str(value).removeprefix("file:")).read_text())
        for name, value in definition.options.items()
        if name.endswith("_ref")
    }
    async with registry.open_storage(
        definition.kind, definition.options, clock=SystemClock(), secrets=secrets
    ) as storage:
        assert storage.traits.sharing is not None
        yield storage.traits.sharing


def at_ceph(request: pytest.FixtureRequest, prefix: str) -> Told:
    """A prefix in one bucket."""
    ceph: Ceph = request.getfixturevalue("ceph")
    keys = {"access_key_id": Secret(ceph.access_key), "secret_key": Secret(ceph.secret_key)}
    return Told({"bucket": "shares", "endpoint": ceph.endpoint, "prefix": prefix}, keys)


def at_azurite(request: pytest.FixtureRequest, _prefix: str) -> Told:
    """A prefix in the one container."""
    opendal_places.clouds(request)
    return opendal_places.azure(request)


PLACES = {"s3": at_ceph, "azure": at_azurite}


@pytest.fixture(params=PLACES)
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A storage that hands out links, a local one, and a source that the local one holds."""
    async with open_world(tmp_path / "world") as opened:
        root = opened.directory / "tree"
        root.mkdir()
        (root / "file").write_bytes(b"content" * 3_000_000)
        await opened.add_storages("near")
        given, secrets = PLACES[request.param](request, str(tmp_path).strip("/"))
        options: dict[str, OptionValue] = dict(given)
        for name, secret in secrets.items():
            (opened.directory / name).write_bytes(secret.reveal())
            options[f"{name}_ref"] = f"file:{opened.directory}/{name}"
        async with registry.open_storage(
            request.param, options, clock=SystemClock(), secrets=secrets
        ) as storage:
            await storage.create()
        await opened.engine.add_storage(
            Storage("cloud", request.param, options, f"file:{opened.directory}/password")
        )
        await opened.add_files("tree", root)
        await opened.one_backup("tree", ("near",))
        yield opened


def fetch(url: str, file: Path) -> int:
    """The status that the service answers with; what it sent is in the file."""
    words: list[str] = [str(require_tool("curl")), "-s", "-o", str(file), "-w", "%{http_code}", url]
    return int(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)


async def test_a_link_leads_there_until_it_expires_and_no_other_does(world: World) -> None:
    """The rest of the signature protects what the name does not."""
    file = world.directory / "fetched"
    done = await world.engine.share(ShareRequest("latest:tree", "cloud", in_(hours=1), "tar.gz"))
    url = await world.engine.share_link("cloud", done.name)
    assert fetch(url, file) == 200
    assert hashlib.sha256(file.read_bytes()).hexdigest() == done.sha256
    listed = subprocess.run(["tar", "-tzf", str(file)], stdout=subprocess.PIPE, check=True).stdout
    assert b"tree/file\n" in listed
    begin, mark, signature = re.split(r"(Signature=|sig=)", url)
    assert fetch(begin + mark + ("0" if signature[0] != "0" else "1") + signature[1:], file) == 403
    (entry,) = await world.engine.shares("cloud")
    assert (entry.name, entry.size_bytes) == (done.name, done.size_bytes)
    async with sharing_of(world) as sharing:
        soon = await sharing.link(done.name, 1)
    deadline = time.monotonic() + 30
    while fetch(soon, file) != 403:
        assert time.monotonic() < deadline
    with pytest.raises(UnknownNameError):
        await world.engine.share_link("cloud", "1-" + "0" * 32 + "/x")
    await world.engine.unshare("cloud", done.name)
    assert fetch(url, file) == 404
    with pytest.raises(UnknownNameError):
        await world.engine.unshare("cloud", done.name)


async def test_what_expired_goes_and_the_repository_is_none_of_it(world: World) -> None:
    """An archive that nobody can reach is paid for, and one that is left lies open to the service."""
    await world.one_backup("tree", ("cloud",))
    async with sharing_of(world) as sharing:
        await sharing.put("1700000000-" + "0" * 32 + "/old.tar", pieces(b"old"))
        await sharing.put("of somebody else", pieces(b""))
    asked = ShareRequest(
        "latest:tree", "cloud", in_(days=2), "zip", password=f"file:{world.directory}/password"
    )
    second = await world.engine.share(asked)
    assert second.is_sealed
    assert [each.name for each in await world.engine.shares("cloud")] == [second.name]
    async with sharing_of(world) as sharing:
        assert {name async for name, _ in sharing.list()} == {second.name, "of somebody else"}
    file = world.directory / "fetched"
    assert fetch(await world.engine.share_link("cloud", second.name), file) == 200
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    usage = await world.engine.storage_usage("cloud")
    assert usage.backups == 1


async def test_what_cannot_be_shared_is_refused(world: World) -> None:
    """With a way out, and before anything is packed."""
    with pytest.raises(RefusedError, match="hands out no links"):
        await world.engine.share(ShareRequest("latest:tree", "near", in_(hours=1)))
    async with sharing_of(world) as sharing:
        days = int(sharing.longest_s / 86400)
    with pytest.raises(UsageError, match=f"{days} days at most"):
        await world.engine.share(ShareRequest("latest:tree", "cloud", in_(days=days + 1)))
    with pytest.raises(UsageError, match="is past"):
        await world.engine.share(ShareRequest("latest:tree", "cloud", in_(hours=-1)))
    assert await world.engine.shares("cloud") == []
