"""Servers are found by what a host shows of itself: recorded answers, and any other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.hosts import servers
from engine.hosts.servers import FoundServer

UNIX = b"""Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 22917 /var/run/postgresql/.s.PGSQL.5432
0000000000000000: 00000002 00000000 00010000 0001 01 22918 /tmp/my sockets/.s.PGSQL.5433
0000000000000000: 00000002 00000000 00010000 0001 01 23001 /run/mysqld/mysqld.sock
0000000000000000: 00000002 00000000 00010000 0001 01 23002 /run/mysqld/mysqlx.sock
0000000000000000: 00000002 00000000 00010000 0001 01 23100 /tmp/mongodb-27017.sock
0000000000000000: 00000003 00000000 00000000 0001 03 23004 /run/mysqld/mysqld-3307.sock
0000000000000000: 00000002 00000000 00010000 0001 01 23005 @/tmp/.X11-unix/X0
0000000000000000: 00000003 00000000 00000000 0001 03 23006
"""
TCP = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   105        0 22916 1
   1: 0100007F:8D2A 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 31011 1
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:6989 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


def lines(*command_lines: str) -> list[tuple[str, ...]]:
    """Command lines, their words parted by spaces."""
    return [tuple(line.split(" ")) for line in command_lines]


def test_recorded_sockets_and_ports_are_read() -> None:
    """Those that listen, and no others; paths may hold spaces."""
    assert servers.unix_sockets(UNIX) == [
        "/run/mysqld/mysqld.sock",
        "/run/mysqld/mysqlx.sock",
        "/tmp/mongodb-27017.sock",  # noqa: S108 -- where it is
        "/tmp/my sockets/.s.PGSQL.5433",  # noqa: S108 -- as above
        "/var/run/postgresql/.s.PGSQL.5432",
    ]
    assert servers.tcp_ports(TCP) == [5432, 27017]


def test_processes_are_read_word_by_word() -> None:
    """As `grep -azH` tells them."""
    answer = b"/proc/1/cmdline:/sbin/init\0/proc/77/cmdline:redis-server *:6379\0/proc/77/cmdline:\0/proc/8/cmdline:a:b\0"
    assert servers.processes(answer) == [("/sbin/init",), ("redis-server *:6379", ""), ("a:b",)]


def test_a_host_with_one_of_each_is_understood() -> None:
    """Debian's own packages, as they start."""
    found = servers.find(
        ["/var/run/postgresql/.s.PGSQL.5432", "/run/mysqld/mysqld.sock", "/run/mysqld/mysqlx.sock"],
        [3306, 5432, 6379, 27017],
        lines(
            "/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main -c config_file=/etc/postgresql/15/main/postgresql.conf",
            "postgres: 15/main: checkpointer ",
            "/usr/sbin/mariadbd",
            "/usr/bin/redis-server 127.0.0.1:6379",
            "/usr/bin/mongod --config /etc/mongod.conf",
            "grep postgres",
        ),
    )
    assert found == [
        FoundServer(
            "postgres", "/var/run/postgresql", 5432, data="/var/lib/postgresql/15/main", version="15"
        ),
        FoundServer("mariadb", "/run/mysqld/mysqld.sock"),
        FoundServer("redis", port=6379),
        FoundServer("mongodb", port=27017),
    ]
    assert found[0].describe() == (
        "postgres 15, port 5432, socket /var/run/postgresql, data in /var/lib/postgresql/15/main"
    )


@pytest.mark.parametrize(
    ("line", "server"),
    [
        ("redis-server *:6380 [cluster]", FoundServer("redis", port=6380)),
        (
            "redis-server unixsocket:/run/redis/my redis.sock",
            FoundServer("redis", "/run/redis/my redis.sock"),
        ),
        ("valkey-server [::1]:6379  ", FoundServer("redis", port=6379)),
        ("/usr/sbin/mysqld --port=3307 --datadir=/srv/my", FoundServer("mariadb", port=3307, data="/srv/my")),
        ("mariadbd --socket /srv/my.sock", FoundServer("mariadb", "/srv/my.sock")),
        ("mongod --port 27018 --dbpath /srv/mongo", FoundServer("mongodb", port=27018, data="/srv/mongo")),
    ],
)
def test_a_server_tells_its_place_by_its_command_line(line: str, server: FoundServer) -> None:
    """Ports and folders of the administrator's own."""
    assert servers.find([], [], lines(line)) == [server]


@pytest.mark.parametrize(
    "line", ["redis-server *:26379 [sentinel]", "redis-cli -p 6379", "vi mariadbd", "mongodump", ""]
)
def test_what_only_sounds_like_a_server_is_none(line: str) -> None:
    """A sentinel holds no data, an editor no server."""
    assert servers.find([], [], lines(line)) == []


def test_two_servers_of_one_kind_are_two() -> None:
    """And nothing is guessed of whose data folder is whose."""
    found = servers.find(
        [
            "/run/postgresql/.s.PGSQL.5432",
            "/var/run/postgresql/.s.PGSQL.5432",
            "/run/postgresql/.s.PGSQL.5433",
        ],
        [5432, 5433],
        lines("/usr/lib/postgresql/15/bin/postgres -D /a", "/usr/lib/postgresql/16/bin/postgres -D /b"),
    )
    assert found == [
        FoundServer("postgres", "/run/postgresql", 5432),
        FoundServer("postgres", "/run/postgresql", 5433),
    ]


def test_servers_in_containers_are_found_by_their_image() -> None:
    """Their processes may be seen from outside, their sockets not; what serves a server is none."""
    images = servers.parse_containers(
        "docker",
        b"shop-db\tpostgres:16-alpine\nweb\tnginx\ncache\tvalkey/valkey:8\nui\tmongo-express\nbroken\n--all\tredis\n",
    )
    assert servers.find([], [5432], [], images) == [
        FoundServer("postgres", container="docker:shop-db"),
        FoundServer("redis", container="docker:cache"),
    ]


def test_a_default_port_that_nobody_explains_is_told() -> None:
    """An ordinary account sees no command lines where the kernel hides them."""
    assert servers.find([], [22, 3306], []) == [FoundServer("mariadb", port=3306)]


@given(st.binary(max_size=300))
def test_no_answer_breaks_the_readers(answer: bytes) -> None:
    """A host may say anything."""
    servers.find(
        servers.unix_sockets(answer),
        servers.tcp_ports(answer),
        servers.processes(b"/proc/1/cmdline:" + answer),
        servers.parse_containers("docker", answer),
    )
