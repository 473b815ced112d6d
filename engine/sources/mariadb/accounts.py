"""Users, roles and grants: `globals.sql`, and what a backup's own account must be allowed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress

from engine.errors import HostError, IncompleteDumpError, SourceError
from engine.hosts.base import Command, require_started
from engine.hosts.grants import Grant
from engine.sources.base import RolesMade
from engine.sources.mariadb import roles
from engine.sources.mariadb.answers import parse_results, texts
from engine.sources.mariadb.connection import (
    ANSWER_LIMIT_BYTES,
    STATEMENT_TIMEOUT_S,
    Connection,
    Tools,
    error_number,
    reason,
)

GLOBALS_PATH = "globals.sql"
DENIED = frozenset({1044, 1142, 1143, 1227, 1356, 1410})
"""Errors that say: this account may not."""
DENIED_SCRIPT = b"-- The account of the backup may not read users and grants.\n"
_NO_SUCH_USER, _NO_SUCH_GRANT = 1133, 1141
_PASSED_OVER = frozenset({_NO_SUCH_USER, _NO_SUCH_GRANT})
_NOT_THERE = frozenset({1049, 1054, 1146, 1305})
"""Errors that say: what a right is on is not there."""
_MODE = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';"
"""That a dump is written for: a backslash in a text escapes."""
_LIST = "SELECT user, host FROM mysql.user ORDER BY 1, 2"
_SYSTEM_SINCE = {(10, 2): 37, (10, 3): 28, (10, 4): 18, (10, 5): 9}


def dumps_users(tools: Tools) -> bool:
    """Whether the dumper writes users itself. Source: MariaDB's manual, mariadb-dump, `--system`."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)-MariaDB", tools.dumper_version)
    if not found:
        return False
    major, minor, patch = map(int, found.groups())
    return patch >= _SYSTEM_SINCE.get((major, minor), 0) if (major, minor) >= (10, 2) else False


def globals_command(connection: Connection, tools: Tools) -> Command:
    """Writes users, roles and grants so that those who are there already stay as they are."""
    return connection.command(tools.dumper, "--comments", "--insert-ignore", "--system=users", is_mysql=False)


async def read_globals(connection: Connection, tools: Tools) -> tuple[bytes, Sequence[str]]:
    """The script, and warnings: an account that may not read the users backs up its databases all the same.

    Raises: SourceError, HostError.
    """
    if not dumps_users(tools):
        return await _written_here(connection)
    command = globals_command(connection, tools)
    done = await connection.host.run(command, limit_bytes=ANSWER_LIMIT_BYTES, timeout_s=STATEMENT_TIMEOUT_S)
    if not done.exit.is_success:
        words = reason(done.exit.stderr)
        if error_number(words) == _NO_SUCH_USER:
            return await _written_here(connection)
        if error_number(words) not in DENIED:
            raise connection.failure(command, done.exit, IncompleteDumpError)
        return _denied(connection, words)
    if b"\n-- Dump completed" not in done.stdout[-4096:]:
        raise IncompleteDumpError(f"the users of {connection.place} came without the end marker of a dump")
    return done.stdout, ()


async def _written_here(connection: Connection) -> tuple[bytes, Sequence[str]]:
    """For dumpers that know no users (MySQL's, MariaDB's older ones), or stumble over accounts that the server itself passes over: those of
    host names, where it resolves none (skip_name_resolve)."""
    try:
        (rows,) = await connection.results(_LIST)
    except SourceError as error:
        if error_number(error.message) not in DENIED:
            raise
        return _denied(connection, error.message)
    names = [(quote_account(user), quote_account(host) if host else "") for user, host in map(texts, rows)]
    accounts = [f"{user}@{host}" for user, host in names if host]
    roles = [user for user, host in names if not host]
    statements = ["/*!80017 SET SESSION print_identified_with_as_hex = ON */"]
    statements += [f"SHOW CREATE USER {each}" for each in accounts]
    statements += [f"SHOW GRANTS FOR {each}" for each in (*roles, *accounts)]
    command = await connection.client_command("--xml", "--force")
    done = await connection.host.run(
        command,
        input_bytes=";\n".join(statements).encode("utf-8", "surrogateescape"),
        limit_bytes=ANSWER_LIMIT_BYTES,
        timeout_s=STATEMENT_TIMEOUT_S,
    )
    errors = [line for line in done.exit.stderr.decode(errors="replace").splitlines() if error_number(line)]
    if not done.stdout or any(error_number(line) not in _PASSED_OVER for line in errors):
        raise connection.failure(command, done.exit, IncompleteDumpError)
    lines = ["-- Users, roles and grants, as SHOW CREATE USER and SHOW GRANTS tell them"]
    lines += [f"CREATE ROLE IF NOT EXISTS {role};" for role in roles]
    lines += [
        re.sub(r"\ACREATE USER ", "CREATE USER IF NOT EXISTS ", text) + ";"
        for result in parse_results(done.stdout)
        for (text,) in map(texts, result)
    ]
    warnings = [
        f"an account of {connection.place} is not in this backup: {line[:300]}" for line in errors[:5]
    ]
    return ("\n".join([*lines, "", "-- Dump completed", ""])).encode("utf-8", "surrogateescape"), warnings


def quote_account(part: str) -> str:
    """The user or the host of an account as SQL takes it, in any SQL mode."""
    return "`" + part.replace("`", "``") + "`"


def _denied(connection: Connection, words: str) -> tuple[bytes, Sequence[str]]:
    return (
        DENIED_SCRIPT,
        (f"users and grants of {connection.place} are not in this backup: {words}",),
    )


async def read_roles(connection: Connection) -> list[str]:
    """Users and roles by name, for the manifest; none where the account may not read them. Raises: HostError."""
    try:
        (rows,) = await connection.results(_LIST)
    except SourceError:
        return []
    return [f"{user}@{host}" if host else user for user, host in map(texts, rows)]


def backup_grants(user: str, *, is_mysql: bool) -> list[Grant]:
    """The least that the account of a backup needs, to be run by the server's administrator."""
    account = _backup_account(user)
    monitor = "REPLICATION CLIENT" if is_mysql else "BINLOG MONITOR"
    return [
        _reading(account),
        Grant(
            "sql",
            f"GRANT RELOAD, {monitor} ON *.* TO {account};",
            "Only where the server keeps a binary log: its position belongs to the dump",
        ),
    ]


def restore_grants(user: str, *, is_mysql: bool) -> list[Grant]:
    """What that account needs besides for a restore, in place or beside, masked or not, and to roll it back."""
    account = _backup_account(user)
    server = "SET_USER_ID, CONNECTION_ADMIN" if is_mysql else "SET USER, CONNECTION ADMIN"
    return [
        Grant(
            "sql",
            "GRANT INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE "
            f"ON *.* TO {account};\nGRANT {server} ON *.* TO {account};",
            "Makes databases under names of its own, moves tables between them, ends the sessions of those that are replaced, and gives views and "
            "routines to whom they belonged. Grants of single routines come back only where it holds those itself, WITH GRANT OPTION",
            "restore",
        ),
        Grant(
            "sql",
            f"GRANT {'SESSION_VARIABLES_ADMIN' if is_mysql else 'BINLOG ADMIN'} ON *.* TO {account};",
            "Only where columns are masked: what was in them is not to stay in the binary log",
            "restore",
        ),
        Grant(
            "sql",
            f"GRANT CREATE USER ON *.* TO {account};",
            "Only where missing users and roles are made (--roles): it can give them those rights alone that it holds itself, WITH GRANT OPTION",
            "restore",
        ),
    ]


def physical_grants(user: str) -> list[Grant]:
    """The same for a copy of the server's files. Source: MariaDB's manual, "mariadb-backup: Authentication and Privileges"."""
    account = _backup_account(user)
    return [
        _reading(account),
        Grant(
            "sql",
            f"GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO {account};\n"
            f"-- before MariaDB 10.5: GRANT RELOAD, PROCESS, REPLICATION CLIENT ON *.* TO {account};",
            "To hold changes for a moment at the end of the copy, and to know the position of the binary log",
        ),
        Grant(
            "note",
            "# mariadb-backup reads the data folder: give the source --as mysql, or --as root",
            "What the account of the host must be able to read",
        ),
    ]


def _backup_account(user: str) -> str:
    return f"{quote_account(user or 'holdfast')}@localhost"


def _reading(account: str) -> Grant:
    return Grant(
        "sql",
        f"CREATE USER IF NOT EXISTS {account};\n"
        f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.* TO {account};",
        "To read every database with its views, triggers, routines and events, and the users",
    )


async def missing(connection: Connection, script: bytes) -> roles.RolePlan:
    """What makes those of a backup's users and roles that the server does not have. Raises: SourceError, HostError."""
    (rows,) = await connection.results(_LIST)
    there = frozenset(roles.Account(user, host or None) for user, host in map(texts, rows))
    return roles.plan(script, there, is_mysql=(await connection.tools()).is_mysql)


async def create(connection: Connection, script: bytes) -> RolesMade:
    """Makes them; where one cannot be made, or a right of theirs not granted, they all go again. Raises: SourceError, HostError."""
    planned = await missing(connection, script)
    names = [each.sql for each in planned.accounts]
    if not names:
        return RolesMade(())
    try:
        await connection.run("\n".join([_MODE, *planned.statements]))
        return RolesMade(names, await _grant_objects(connection, planned.object_grants))
    except BaseException:
        with suppress(SourceError, HostError):
            await asyncio.shield(connection.run(roles.drop(names)))
        raise


async def _grant_objects(connection: Connection, statements: Sequence[str]) -> list[str]:
    """Grants what is on tables and routines that are there; a sentence for each that is not."""
    if not statements:
        return []
    command = await connection.client_command("--force")
    text = "\n".join([_MODE, *statements]).encode("utf-8", "surrogateescape")
    done = await connection.host.run(command, input_bytes=text, timeout_s=STATEMENT_TIMEOUT_S)
    require_started(connection.host.name, command, done.exit)
    lines = [line for line in done.exit.stderr.decode(errors="replace").splitlines() if error_number(line)]
    if done.exit.status is None or any(error_number(line) not in _NOT_THERE for line in lines):
        raise connection.failure(command, done.exit)
    return [f"a right was not granted: {line[:300]}" for line in lines]
