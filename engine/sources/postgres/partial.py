"""Backups of a part of a PostgreSQL server: its schema, its rows, its roles, its configuration files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from engine.errors import SourceError
from engine.model.backup import Scope
from engine.sources import configuration
from engine.sources.base import Item
from engine.sources.postgres.dumping import DumpItem, Gathered, GlobalsItem, Wanted, manifest_item
from engine.sources.postgres.session import Session

SCOPES = frozenset({Scope.SCHEMA, Scope.CONTENT, Scope.ROLES, Scope.CONFIGURATION})
_MAIN_FILES = """
select setting as path from pg_settings where name in ('config_file', 'hba_file', 'ident_file') and setting <> ''"""
_SOURCE_FILES = """
select distinct sourcefile as path from pg_settings where sourcefile is not null order by 1"""
_ALL_FILES = """
select distinct sourcefile as path from pg_file_settings where sourcefile is not null order by 1"""
_MAY_LIST = "select has_function_privilege('pg_show_all_file_settings()', 'execute') as may"


def items(
    scope: Scope, wanted: Wanted, names: Sequence[str], gathered: Gathered, maintenance: str
) -> list[Item]:
    """The items of that part; those of the configuration are `configuration_items`. `gathered` knows the server already."""
    part = dataclasses.replace(wanted, scope=scope)
    assert gathered.server is not None
    if scope is Scope.ROLES:
        return [
            GlobalsItem(part, maintenance, gathered.server.has_passwords),
            manifest_item(part, gathered),
        ]
    return [*(DumpItem(part, name, gathered) for name in names), manifest_item(part, gathered)]


async def configuration_items(asked: Session, wanted: Wanted, gathered: Gathered) -> list[Item]:
    """postgresql.conf, what it includes, postgresql.auto.conf, pg_hba.conf, pg_ident.conf. Raises: SourceError, HostError."""
    if not wanted.connection.is_on_host:
        raise SourceError(
            f"the server's configuration files are not on {wanted.host.name}",
            hint="back it up from the machine where the server runs",
        )
    rows = await asked.rows(_MAIN_FILES)
    may_list = (await asked.row(_MAY_LIST))["may"]
    rows += await asked.rows(_ALL_FILES if may_list else _SOURCE_FILES)
    if not rows:
        raise SourceError(
            f"this account may not know where the configuration of the server on {wanted.host.name} is",
            hint="GRANT pg_read_all_settings TO the account",
        )
    part = dataclasses.replace(wanted, scope=Scope.CONFIGURATION)
    files = configuration.items(wanted.host, [row["path"] for row in rows], wanted.connection.as_user)
    return [*files, manifest_item(part, gathered)]
