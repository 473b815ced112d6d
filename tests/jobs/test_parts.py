"""Backups of a part of a source: recorded as such, found as such, and never taken for the whole."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from engine.model.backup import Backup, BackupFilter, Scope
from engine.model.definitions import Source
from engine.model.requests import BackupRequest, DrillRequest, ForgetRequest, KeepPolicy, RestoreRequest
from tests.families.postgres import make_shop
from tests.jobs.world import World
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
async def shop(world: World, postgres: Postgres) -> str:
    """A database, and the source `shop` of it."""
    name = make_shop(postgres)
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "postgres", options=postgres.options(database=[name])))
    return name


async def _part(world: World, scope: Scope) -> Backup:
    done = await world.engine.backup(BackupRequest(("shop",), scope=scope))
    assert done.status == "completed", done
    return await world.engine.show_backup(done.backups[0].backup_id)


async def test_a_part_is_found_as_one_and_never_taken_for_the_whole(world: World, shop: str) -> None:
    """Whoever dumps the schema at noon must not lose last night's rows by it: not by a restore, a policy or a score."""
    whole = await world.one_backup("shop")
    schema, roles = await _part(world, Scope.SCHEMA), await _part(world, Scope.ROLES)
    assert (await world.engine.show_backup("latest:shop")).backup_id == whole.backup_id
    found = await world.engine.backups(BackupFilter(scope=Scope.SCHEMA))
    assert [each.backup_id for each in found] == [schema.backup_id]
    drilled = await world.engine.drill(DrillRequest("shop", schema.backup_id))
    assert (drilled.status, drilled.level) == ("passed", "server")
    proof = (await world.engine.source_health("shop")).parts[-1]
    assert (proof.points, proof.reason) == (0, "nothing was proven")
    with pytest.raises(UsageError, match="the roles alone"):
        await world.engine.restore(RestoreRequest(roles.backup_id, into="nothing"))
    with pytest.raises(UsageError, match="there is no level"):
        await world.engine.drill(DrillRequest("shop", roles.backup_id, level="server"))
    with pytest.raises(UsageError, match="without its rows"):
        await world.engine.restore(RestoreRequest(schema.backup_id, is_in_place=True))
    read = await world.engine.drill(DrillRequest("shop", roles.backup_id))
    assert (read.status, read.level) == ("passed", "bytes")
    await world.engine.forget(ForgetRequest(KeepPolicy(last=1)))
    kept = {each.backup_id for each in await world.engine.backups()}
    assert kept == {whole.backup_id, schema.backup_id, roles.backup_id}


async def test_a_kind_without_that_part_says_so_and_takes_nothing(world: World) -> None:
    """A backup that looks like what was asked for and is something else is the worst one."""
    for kind, scope in (("files", Scope.SCHEMA), ("redis", Scope.ROLES), ("sqlite", Scope.SCHEMA)):
        options = {"socket": "/nowhere"} if kind == "redis" else {"path": "/nowhere"}
        await world.engine.add_source(Source(kind, kind, options=options))
        with pytest.raises(UsageError, match=f"{kind}, of which no backup of the {scope.value} alone"):
            await world.engine.backup(BackupRequest((kind,), scope=scope))
    assert await world.engine.backups() == []
