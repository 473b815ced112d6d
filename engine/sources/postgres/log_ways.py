"""The ways by which a server's log comes here, and what a source must say for each."""

from __future__ import annotations

from engine.errors import ConfigurationError
from engine.hosts.base import OpenHost
from engine.sources import container
from engine.sources.postgres.connection import Connection
from engine.sources.postgres.slot import NAME, Slot
from engine.sources.postgres.spool import Spool


def chosen(
    source: str, spool: str, slot: str, host: OpenHost, connection: Connection, *, is_physical: bool
) -> Spool | Slot | None:
    """By the options `log_spool` and `log_slot`; None where neither is given. Raises: ConfigurationError."""
    for option, value in (("--log-spool", spool), ("--log-slot", slot)):
        if value and not is_physical:
            raise ConfigurationError(
                f"option {option} of source {source} is for copies of the whole cluster: add --physical"
            )
    if spool and slot:
        raise ConfigurationError(
            f"options --log-slot and --log-spool of source {source} exclude each other: they are two ways of the same log"
        )
    if slot:
        return _slot(source, slot, host, connection)
    return _spool(source, spool, host, connection) if spool else None


def _spool(source: str, folder: str, host: OpenHost, connection: Connection) -> Spool:
    if not folder.startswith("/") or "%" in folder:
        raise ConfigurationError(
            f"option --log-spool of source {source} must be an absolute folder without %, not {folder!a}"
        )
    return Spool(host, connection, folder)


def _slot(source: str, name: str, host: OpenHost, connection: Connection) -> Slot:
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"option --log-slot of source {source} must be of small letters, digits and _, not {name!a}"
        )
    if connection.service:
        raise ConfigurationError(
            f"option --log-slot of source {source} cannot go by --service, which clients on the host alone can read",
            hint="say --db-host or --socket, --port, --user and --secret",
        )
    if isinstance(host, container.ContainerHost):
        raise ConfigurationError(
            f"option --log-slot of source {source} cannot reach into a container",
            hint="publish the server's port to the host, and say --db-host and --port in place of --in-container",
        )
    return Slot(host, connection, name)
