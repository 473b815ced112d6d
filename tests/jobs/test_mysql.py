"""MySQL by its own tools, through whole jobs; and what its binary log says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.model.definitions import Host, OptionValue, Source
from engine.model.requests import DrillRequest, RestoreRequest
from engine.sources.logs import WantedChanges
from engine.sources.mariadb.binlog import BinlogReader
from engine.sources.mariadb.binlog_search import BinlogReading
from tests.families.mariadb import SHOP
from tests.jobs.world import World
from tests.servers.mysql import MysqlServer, running_mysql

pytestmark = pytest.mark.slow

SEQUENCE = "CREATE SEQUENCE numbers START WITH 5;\nSELECT NEXTVAL(numbers);\n"
"""What MySQL has none of."""
ROWS = """
CREATE TABLE rows_of_all (id INT PRIMARY KEY AUTO_INCREMENT, a DECIMAL(30, 7), b DATETIME(6), c CHAR(10), d VARCHAR(500), e BLOB, f JSON, g BIT(13),
  h ENUM('x', 'y'), i GEOMETRY, j TIMESTAMP(2) NULL, k TINYINT);
INSERT INTO rows_of_all (a, b, c, d, e, f, g, h, i, j) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
  SELECT 1.5, NOW(6), 'ü', REPEAT('t', i % 300), REPEAT('w', i), '{"a": 1}', b'101', 'x', POINT(1, 2), NULL FROM n;
UPDATE rows_of_all SET k = 1, f = JSON_SET(f, '$.b', 2) WHERE id <= 777;
SET SESSION binlog_row_image = MINIMAL; DELETE FROM rows_of_all WHERE id > 870;
"""


@pytest.fixture
def mysql() -> Iterator[MysqlServer]:
    """A server of this test's own."""
    with running_mysql() as server:
        yield server


async def test_a_mysql_database_comes_back_by_the_tools_of_its_own(world: World, mysql: MysqlServer) -> None:
    """With its views in whatever order, in place of one with a view that is broken; and a throwaway server of its own takes it."""
    mysql.sql("CREATE DATABASE shop")
    mysql.sql(SHOP.replace(SEQUENCE, ""), "shop")
    mysql.sql(ROWS, "shop")
    await world.add_storages("first")
    path = f"PATH={':'.join(map(str, mysql.programs))}:/usr/bin:/bin"
    await world.engine.add_host(Host("db", "local", options={"environment": (path,)}))
    options: dict[str, OptionValue] = {"socket": str(mysql.socket), "user": "root", "all": True}
    await world.engine.add_source(Source("shop", "mysql", "db", options))
    await world.one_backup("shop")
    drilled = await world.engine.drill(DrillRequest("shop"))
    assert (drilled.status, drilled.level) == ("passed", "server"), (drilled.steps, drilled.checks)
    mysql.sql("DELETE FROM parents; DROP VIEW families", "shop")
    restored = await world.engine.restore(
        RestoreRequest("latest:shop", is_in_place=True, databases=("shop",))
    )
    assert (restored.status, "left out: a_first" in str(world.heard)) == ("completed", True)
    assert mysql.sql("SELECT COUNT(*) FROM a_first; SELECT COUNT(*) FROM parents", "shop") == [["3"], ["4"]]

    mysql.sql("FLUSH BINARY LOGS")
    content = (mysql.data / "log.000001").read_bytes()
    reader = BinlogReader("log.000001")
    reader.feed(content)
    reader.require_whole(len(content))
    found = BinlogReading.changes(WantedChanges(1)).feed("log.000001", content, b"")
    done = [(each.kind, each.rows) for each in found if each.rows and each.tables == ("rows_of_all",)]
    assert done == [("updated", 777), ("deleted", 30)]
