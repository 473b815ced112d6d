"""Which databases no source takes, and what would."""

from __future__ import annotations

import pytest

from engine.hosts.servers import FoundServer
from engine.jobs.found_databases import Found, proposals, takes, uncovered
from engine.model import command_lines
from engine.model.definitions import OptionValue, Source

POSTGRES = FoundServer("postgres", "/run/postgresql", 5432)
MARIADB = FoundServer("mariadb", "/run/mysqld/mysqld.sock")
REDIS = FoundServer("redis", port=6379)
MONGODB = FoundServer("mongodb", port=27017)
DOCKER = FoundServer("postgres", container="docker:shop")


def source(kind: str, **options: OptionValue) -> Source:
    """A source of this host."""
    return Source("one", kind, "web", options)


@pytest.mark.parametrize(
    ("taking", "server", "expected"),
    [
        (source("postgres", all=True), POSTGRES, True),
        (source("postgres", all=True, socket="/var/run/postgresql", port=5432), POSTGRES, True),
        (source("postgres", all=True, port="5433"), POSTGRES, False),
        (source("postgres", all=True, socket="/tmp/elsewhere"), POSTGRES, False),  # noqa: S108 -- a name
        (source("postgres", all=True, db_host="db.example.org"), POSTGRES, False),
        (source("postgres", all=True, db_host="localhost"), POSTGRES, True),
        (source("postgres", in_container="docker:shop"), DOCKER, True),
        (source("postgres", in_container="docker:other"), DOCKER, False),
        (source("postgres"), DOCKER, False),
        (source("mysql", all=True), MARIADB, True),
        (source("mariadb", socket="/var/run/mysqld/mysqld.sock"), MARIADB, True),
        (source("mariadb", port=3307), MARIADB, False),
        (source("redis"), REDIS, True),
        (source("redis", socket="/run/redis/redis.sock"), REDIS, False),
        (source("redis", port=6380), REDIS, False),
        (source("mongodb", uri_from="vault:m"), MONGODB, True),
        (source("files", path=["/"]), MONGODB, False),
    ],
    ids=str,
)
def test_a_source_takes_the_server_that_it_names(taking: Source, server: FoundServer, expected: bool) -> None:
    """A copy of the files is no backup of the server, and another server's backup none of this one."""
    assert takes(taking, server) is expected


def test_databases_that_are_left_out_are_named() -> None:
    """A new database is missed by a source that names others."""
    found = [Found(POSTGRES, ["new", "shop"]), Found(MARIADB, []), Found(REDIS, wants_password=True)]
    chosen = [source("postgres", database=["shop"])]
    assert uncovered(found, chosen) == [
        "postgres database new, postgres, port 5432, socket /run/postgresql",
        "mariadb, socket /run/mysqld/mysqld.sock: no database of its own",
        "redis, port 6379",
    ]
    for takes_all in ("all", "physical"):
        assert uncovered(found[:1], [source("postgres", **{takes_all: True})]) == []
    assert uncovered(found[:1], []) == ["postgres, port 5432, socket /run/postgresql: new, shop"]


def test_proposals_are_ready_to_run() -> None:
    """Quoted, with the account that the socket knows, and a password only where one is wanted."""
    found = [
        Found(POSTGRES),
        Found(MARIADB),
        Found(FoundServer("redis", "/run/my redis.sock"), wants_password=True),
        Found(FoundServer("redis", port=6380)),
        Found(MONGODB),
        Found(DOCKER),
    ]
    proposed = proposals("web", "root", found, [])
    assert [command_lines.line(command_lines.adding(each)) for each in proposed] == [
        f"holdfast source add {line}"
        for line in (
            "web-postgres --kind postgres --host web --all --socket /run/postgresql --port 5432 --as postgres",
            "web-mariadb --kind mariadb --host web --all --socket /run/mysqld/mysqld.sock",
            "web-redis --kind redis --host web --secret - --socket '/run/my redis.sock'",
            "web-redis-6380 --kind redis --host web --db-host 127.0.0.1 --port 6380",
            "web-mongodb --kind mongodb --host web --uri-from -",
            "web-postgres-shop --kind postgres --host web --all --in-container docker:shop",
        )
    ]
    assert proposals("web", "root", found[:1], [source("postgres", database="shop")]) == []
