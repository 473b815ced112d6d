"""MariaDB through whole jobs: damaged, brought back beside and in place, rolled back, drilled on a throwaway server."""

from __future__ import annotations

import pytest

from engine.model.backup import Proof
from engine.model.definitions import Source
from engine.model.requests import DrillRequest, RestoreRequest, RollbackRequest
from engine.sources import registry
from tests.families.mariadb import make_shop, quoted, told
from tests.jobs.world import World
from tests.servers.mariadb import MariadbServer

pytestmark = pytest.mark.slow

NAME = "o'r \"d`e;r$(touch ran)\nü"


async def test_a_damaged_database_comes_back_each_way_and_is_drilled(
    world: World, mariadb: MariadbServer, request: pytest.FixtureRequest
) -> None:
    """What works for one statement at a time must work for the verbs that people type, whatever the database is called."""
    shop = make_shop(mariadb, NAME)
    request.addfinalizer(lambda: mariadb.sql(f"DROP DATABASE IF EXISTS {quoted(shop)}"))
    # Of a database with quotes in its name mariadb-dump cannot read them, and a swap says so.
    mariadb.sql("DROP EVENT daily; DROP EVENT asleep", shop)
    options = {"socket": str(mariadb.socket), "user": "root", "database": (shop,)}
    await world.add_storages("first")
    await world.engine.add_source(Source("shop", "mariadb", options=options))
    await world.one_backup("shop")
    whole = told(mariadb, shop)
    mariadb.sql("DELETE FROM parents WHERE id > 1; DROP TABLE parts", shop)
    damaged = told(mariadb, shop)
    beside = await world.engine.restore(RestoreRequest("latest:shop", into="shop_beside"))
    assert [each.into for each in beside.databases] == ["shop_beside"]
    assert (told(mariadb, "shop_beside"), told(mariadb, shop)) == (whole, damaged)
    placed = await world.engine.restore(RestoreRequest("latest:shop", is_in_place=True))
    assert told(mariadb, shop) == whole
    await world.engine.rollback(RollbackRequest(placed.job_id))
    assert told(mariadb, shop) == damaged
    mariadb.sql("DROP DATABASE shop_beside")
    wanted = ("", "SELECT count(*) FROM parents", "4")
    drilled = await world.engine.drill(DrillRequest("shop", checks=(wanted,)))
    assert (drilled.status, drilled.level) == ("passed", "server"), drilled
    assert (await world.engine.show_backup("latest:shop")).proof is Proof.DRILLED


def test_each_kind_of_server_is_known_as_one_before_it_is_opened() -> None:
    """Else its drill would read bytes and call that a drill."""
    kinds = {kind for kind in registry.kinds() if registry.is_database(kind)}
    assert kinds == {"mariadb", "mysql", "postgres", "redis", "sqlite"}
