"""Restores to a transaction and to a named point of a PostgreSQL server's log, through whole jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.errors import RestoreError
from engine.model.definitions import Source
from engine.model.instants import Target
from engine.model.requests import RestoreRequest, ShipRequest
from tests.jobs.world import World
from tests.servers.postgres import Postgres, running_postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Postgres]:
    """A server of this test's own, whose log goes into its spool, in short segments."""
    with running_postgres(is_archiving=True, segment_mib=1) as server:
        yield server


async def _begin(world: World, cluster: Postgres) -> None:
    await world.add_storages("first")
    options = cluster.options(physical=True, log_spool=str(cluster.spool))
    await world.engine.add_source(Source("shop", "postgres", options=options))
    await world.one_backup("shop")


async def test_a_transaction_and_a_named_point_are_found_in_the_log_by_themselves(
    world: World, cluster: Postgres
) -> None:
    """The newest base before them is taken, also where a newer one is there; what is not in the log is refused with what is nearest."""
    early = cluster.psql("begin; create table early (); select pg_current_xact_id(); commit")
    await _begin(world, cluster)
    cluster.psql("create table stamps (n int)")
    ids = [
        cluster.psql(f"begin; insert into stamps values ({n}); select pg_current_xact_id(); commit")
        for n in range(3)
    ]
    cluster.psql("select pg_switch_wal(); select pg_create_restore_point('before deploying')")
    cluster.psql("insert into stamps select generate_series(10, 9000)")
    await world.engine.ship(ShipRequest(("shop",)))
    await world.one_backup("shop")
    await world.engine.ship(ShipRequest(("shop",)))

    async def count(into: str, **target: object) -> str:
        request = RestoreRequest("", into=into, source="shop", databases=("postgres",), **target)  # type: ignore[arg-type]
        restored = await world.engine.restore(request)
        assert restored.status == "completed"
        return cluster.psql("select count(*) from stamps", into)

    planned = await world.engine.plan_instant("shop", Target(transaction=ids[1]))
    assert planned.found_at is not None
    assert planned.base_at < planned.found_at < planned.ends_at
    whole = await world.engine.plan_instant("shop", Target(planned.found_at))
    assert planned.segments < whole.segments
    assert await count("with_it", at_transaction=ids[1]) == "2"
    assert await count("without_it", at_transaction=ids[1], is_before=True) == "1"
    assert await count("at_point", at_point="before deploying") == "3"
    for target, words in (
        (Target(transaction=early), "the log's first is"),
        (Target(transaction="4000000000"), f"its last {int(ids[2]) + 1}"),
        (Target(point="before deployin"), "did you mean before deploying"),
    ):
        with pytest.raises(RestoreError, match="cannot be brought back") as error:
            await world.engine.plan_instant("shop", target)
        assert words in str(error.value.hint)
