"""The options of sources, as they are typed, and which of them a kind takes. What a kind makes of them, it says itself (engine/sources)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.errors import UsageError
from engine.model.definitions import LOCAL_HOST, OptionValue
from engine.model.options import Option

OPTIONS: Final = (
    Option("path", "files: what is backed up (may be repeated); sqlite: the database", "PATH", is_many=True, is_file=True),
    Option("exclude", "files: leave out, as restic understands it (may be repeated)", "PATTERN", is_many=True),
    Option("one_file_system", "files: stay on the file system of each path", is_flag=True),
    Option("run", "command: its output is the content", "COMMAND"),
    Option("filename", "command: what the content is called in the backup", "NAME"),
    Option(
        "objective",
        "duration=2h of a backup, success=95 percent of them, recovery-point=1d, recovery-time=1h of a drill: missed, it is an alert (may be repeated)",
        "NAME=VALUE",
        "objective",
        is_many=True,
    ),
)  # fmt: skip
DATABASES: Final = (
    Option("database", "dump this one (may be repeated)", "NAME", is_many=True),
    Option("all", "dump every database but the server's own", is_flag=True),
    Option("table", "dump this table alone (may be repeated)", "T", is_many=True),
    Option("schema_only", "no rows", is_flag=True),
    Option("physical", "postgres, mariadb: the whole server's files, not a dump", is_flag=True),
    Option("log_spool", "postgres, with --physical: ship the log from this folder of the host, which archive_command fills", "FOLDER"),
    Option("log_slot", "postgres, with --physical: ship the log by streaming it from this replication slot, which a base makes", "NAME"),
    Option("log_binlog", "mariadb, with --physical: ship the server's binary logs", is_flag=True),
    Option("jobs", "postgres: dump a large database by N dumps at once, in one snapshot", "N", "count"),
    Option("user", "log in to the database as this user", "U"),
    Option("secret", "where its password is kept", "REF", is_secret=True),
    Option("socket", "postgres: its folder; mariadb, redis: the file", "PATH"),
    Option("db_host", "where the database listens, as the host sees it", "H"),
    Option("port", "the port that it listens on", "N", "count"),
    Option("service", "postgres: an entry of the host's pg_service.conf", "NAME"),
    Option("tls", "verify-full: certificate and name are checked", choices=("disable", "require", "verify-ca", "verify-full")),
    Option("tls_ca", "certificates that are trusted, a file of the host", "FILE"),
    Option("uri_from", "mongodb: where its URI is kept", "REF", is_secret=True),
    Option("oplog", "mongodb: a dump of one instant (replica sets alone)", is_flag=True),
    Option("log_oplog", "mongodb, with --oplog: ship the oplog by the minute (untested against a real server)", is_flag=True),
    Option("read_preference", "mongodb: secondary, for one", "MODE"),
    Option("as_user", "run the client as this user of the host", "USER", typed_as="as"),
    Option(
        "mask",
        "hash, null or replace:TEXT, whenever it is restored to a staging environment (may be repeated)",
        "TABLE.COLUMN=RULE",
        is_many=True,
    ),
    Option("in_container", "docker:NAME, podman:NAME or kubectl:NAMESPACE/POD", "KIND:NAME"),
)  # fmt: skip
ALL: Final = (*OPTIONS, *DATABASES)
KEPT: Final = tuple(each.kept_as for each in ALL)
_SQL: Final = ("database", "all", "user", "secret", "socket", "db_host", "port", "tls", "tls_ca", "as_user", "in_container", "physical", "table", "schema_only", "mask")  # fmt: skip
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "files": ("path", "exclude", "one_file_system"),
    "sqlite": ("path", "mask"),
    "postgres": (*_SQL, "service", "jobs", "log_slot", "log_spool"),
    "mariadb": (*_SQL, "log_binlog"),
    "mysql": _SQL,
    "redis": ("socket", "db_host", "port", "user", "secret", "tls", "tls_ca", "as_user", "in_container"),
    "mongodb": ("uri_from", "oplog", "log_oplog", "read_preference", "as_user", "in_container"),
    "command": ("run", "filename"),
}
"""Those of each kind that can be defined by its options, most wanted first; every kind has `objective`."""


def taken_by(kind: str) -> tuple[Option, ...]:
    """The options that a source of that kind takes; of a kind that another package adds, all."""
    if kind not in KINDS:
        return ALL
    known = {each.name: each for each in ALL}
    return tuple(known[name] for name in (*KINDS[kind], "objective"))


def shaped(
    kind: str, host: str, options: Mapping[str, OptionValue], absolute: Callable[[str], str]
) -> dict[str, OptionValue]:
    """The options as the kind takes them; `absolute` makes a path of this machine begin at its root.

    Raises: UsageError for several paths where one is meant.
    """
    paths = options.get("path")
    if not isinstance(paths, tuple):
        return dict(options)
    if host == LOCAL_HOST:
        paths = tuple(absolute(path) for path in paths)
    if kind == "files":
        return {**options, "path": paths}
    if len(paths) > 1:
        raise UsageError(f"a source of kind {kind} has one --path", hint="define a source for each")
    return {**options, "path": paths[0]}
