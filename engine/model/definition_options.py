"""The options of hosts and sources, by their types, as the catalog keeps them. Those of storages are in storage_options.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOST_OPTIONS: Final[Mapping[str, str]] = {
    "as_user": "text",
    "nice": "switch",
    "environment": "texts",
    "stage": "text",
    "max_channels": "count",
    "identity": "texts",
    "certificate": "texts",
    "passphrase": "reference",
    "password": "reference",
    "agent": "text",
    "jump": "texts",
    "known_hosts": "texts",
    "host_key": "texts",
    "ssh_config": "text",
    "compress": "text",
    "keepalive": "count",
    "connect_timeout": "count",
    "keepalive_count": "count",
    "retired": "text",
}
SOURCE_OPTIONS: Final[Mapping[str, str]] = {
    "path": "texts",
    "exclude": "texts",
    "one_file_system": "flag",
    "run": "text",
    "filename": "text",
    "database": "texts",
    "all": "flag",
    "table": "texts",
    "schema_only": "flag",
    "log_binlog": "flag",
    "log_spool": "text",
    "log_slot": "text",
    "physical": "flag",
    "jobs": "count",
    "user": "text",
    "secret": "reference",
    "socket": "text",
    "db_host": "text",
    "port": "count",
    "service": "text",
    "tls": "text",
    "tls_ca": "text",
    "uri_from": "reference",
    "oplog": "flag",
    "log_oplog": "flag",
    "read_preference": "text",
    "as_user": "text",
    "in_container": "text",
    "mask": "texts",
    "objective": "texts",
}
SOURCE_KINDS: Final = (
    "files", "sqlite", "postgres", "mariadb", "mysql", "redis", "mongodb", "command", "stdin",
)  # fmt: skip
"""Kinds that other packages add take any option."""
