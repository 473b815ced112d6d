"""Puts a fresh database in the place of the live one.

`RENAME TABLE` moves tables to another database, all in one step, but none that has a trigger (error 1435), and no view (1450). So the
programs of both (triggers, views, routines, events) are dropped first and made again from what the dumper says of them. What belongs to the
name and not to the tables stays with the name: the database's settings and all grants, but for those of routines, which the server takes
away with the routine (measured, 10.11), and which are given again.

The host gets all of it at once, with what undoes it: once begun it comes to one of its two ends, whether we are still there or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from engine.errors import HostError, RefusedError, SourceError, UnknownNameError
from engine.hosts.base import Command, Completed
from engine.model.manifest import DatabaseFacts
from engine.sources.mariadb.accounts import quote_account
from engine.sources.mariadb.answers import texts
from engine.sources.mariadb.connection import (
    ANSWER_LIMIT_BYTES,
    Connection,
    error_number,
    hides_events,
    quote_name,
    reason,
)
from engine.sources.mariadb.dump_text import DumpScanner
from engine.sources.mariadb.facts import is_name, look, stored_names
from engine.sources.mariadb.rewriting import EventChange, Rewriter, programs
from engine.sources.mariadb.sessions import LOCK_TIMEOUT_S, end_sessions

_TIMEOUT_S = 3600.0
_ATTEMPTS = 3
_BUSY = 1205
"""Lock wait timeout: somebody came back after his session was ended."""

_BROKEN_VIEW = frozenset({1356, 1146, 1449})

_UNDO = b"-- holdfast: what follows undoes what stands above\n"
_WHOLE = b"-- holdfast: whole\n"
# $1 and more is the client. It reads from files, in a session of its own where that can be had: nothing that ends us ends it.
_SCRIPT = (
    'umask 077; d=$(mktemp -d "${TMPDIR:-/tmp}/holdfast.XXXXXXXX") || exit 73; cat >"$d/all"; '
    'if [ "$(tail -n 1 "$d/all")" != "-- holdfast: whole" ]; then rm -rf "$d"; exit 74; fi; '
    'sed "/^-- holdfast: what follows/,\\$d" "$d/all" >"$d/do"; sed "1,/^-- holdfast: what follows/d" "$d/all" >"$d/undo"; '
    "s=; command -v setsid >/dev/null 2>&1 && s=setsid; "
    '$s sh -c \'trap "" HUP INT PIPE TERM; d=$1; shift; '
    '"$@" <"$d/do" >/dev/null 2>"$d/err" || { "$@" --force <"$d/undo" >/dev/null 2>&1; exit 75; }\' '
    'sh "$d" "$@" & wait $!; r=$?; cat "$d/err" >&2; rm -rf "$d"; exit $r'
)


@dataclass(frozen=True, slots=True)
class _Side:
    """One database before the swap."""

    facts: DatabaseFacts
    kept: DatabaseFacts
    """Without its broken views."""
    triggers: bytes
    others: bytes
    """Its views, routines and events."""
    triggers_moved: bytes
    others_moved: bytes
    """The same as they are where it goes."""
    warnings: Sequence[str] = ()


async def swap(connection: Connection, fresh: str, live: str, aside: str) -> Sequence[str]:
    """See `base.Database.swap`. Raises: RefusedError, UnknownNameError, SourceError, HostError."""
    await _require_absent(connection, aside)
    new = await _read(connection, fresh, "resume", may_be_broken=False)
    old = await _read(connection, live, "pause", may_be_broken=True)
    await _require_no_strangers(connection, live)
    script = _whole_script(new, old, aside, await _routine_grants(connection, live, new.facts))
    settings = f"CHARACTER SET {old.facts.encoding} COLLATE {old.facts.collation}"
    await connection.run(f"CREATE DATABASE {quote_name(aside)} {settings}")
    for attempt in range(1, _ATTEMPTS + 1):
        await end_sessions(connection, live)
        done = await _to_its_end(connection, script)
        words = reason(done.exit.stderr)
        if done.exit.is_success:
            return [*old.warnings, *new.warnings]
        if error_number(words) != _BUSY or attempt == _ATTEMPTS:
            break
    raise await _failure(connection, old.kept, aside, done, words)


async def _failure(
    connection: Connection, before: DatabaseFacts, aside: str, done: Completed, words: str
) -> SourceError:
    """What is told of a swap that failed: whether the live database is as it was is looked at, not supposed."""
    said = words or f"status {done.exit.status}"
    with suppress(UnknownNameError):
        now = (await look(connection, before.name)).facts
        if _names(now) == _names(before):
            await _drop_if_empty(connection, aside)
            return SourceError(f"{before.name!a} could not be put in place, and is as it was: {said}")
    return SourceError(
        f"{before.name!a} could not be put in place, nor be left as it was: {said}",
        hint=f"see what is in the databases {before.name!a} and {aside!a}; nothing was deleted",
    )


def _names(facts: DatabaseFacts) -> tuple[object, ...]:
    tables = [table.name for table in facts.tables]
    return tables, facts.views, facts.triggers, facts.routines, facts.events


async def _require_absent(connection: Connection, name: str) -> None:
    with suppress(UnknownNameError):
        await look(connection, name)
        raise RefusedError(f"a database named {name!a} is there already")


async def _require_no_strangers(connection: Connection, live: str) -> None:
    """Foreign keys of other databases would go with the old tables."""
    (rows,) = await connection.results(
        "SELECT constraint_schema, table_name FROM information_schema.referential_constraints"
        f" WHERE {is_name('unique_constraint_schema', live)} AND BINARY constraint_schema <> BINARY unique_constraint_schema"
    )
    if rows:
        schema, table = texts(rows[0])
        raise RefusedError(
            f"table {table!a} of database {schema!a} refers to tables of {live!a}, and would refer to the old ones after a swap",
            hint="restore beside it, and move the rows by hand",
        )


async def _read(connection: Connection, name: str, events: EventChange, *, may_be_broken: bool) -> _Side:
    """What the dumper says of its programs. A view that no longer works, for want of a table, ends the dumper: those are left out where
    that may be, since none can be made again."""
    facts = (await look(connection, name)).facts
    tools = await connection.tools()
    if facts.events and hides_events(name):
        raise RefusedError(
            f"events of {name!a} cannot be moved: mariadb-dump cannot read those of a database with quotes in its name"
        )
    words = ["--no-data", "--comments", "--routines", "--triggers", "--single-transaction", "--hex-blob"]
    words += ["--events"] if facts.events else ["--skip-events"]
    words += (
        ["--set-gtid-purged=OFF", "--loose-column-statistics=0", "--no-tablespaces"] if tools.is_mysql else []
    )
    # MySQL's dumper passes a broken view on as if nothing were wrong with it (measured, 9.7).
    may_be_hidden = may_be_broken and tools.is_mysql and facts.views
    broken = await _broken_views(connection, facts) if may_be_hidden else frozenset()
    for force in ((), ("--force",)):
        command = connection.command(tools.dumper, *words, *force, "--", name, is_mysql=tools.is_mysql)
        done = await connection.host.run(command, limit_bytes=ANSWER_LIMIT_BYTES, timeout_s=_TIMEOUT_S)
        if done.exit.is_success or (broken and force):
            break
        if not may_be_broken or error_number(reason(done.exit.stderr)) not in _BROKEN_VIEW:
            raise connection.failure(command, done.exit)
        broken = await _broken_views(connection, facts)
    scanner = DumpScanner()
    spans = [*scanner.feed(done.stdout), *scanner.end()]
    if not scanner.is_complete:
        raise SourceError(f"the programs of {name!a} came without the end marker of a dump")
    spans = [span for span in spans if span.kind != "view" or span.name not in broken]
    as_is = programs(spans, Rewriter(keeps_sandbox=False, events="keep"))
    moved = programs(spans, Rewriter(keeps_sandbox=False, events=events))
    warnings = [f"views of {name!a} were broken already, and are left out: {', '.join(sorted(broken))}"]
    kept = replace(facts, views=[view for view in facts.views if view not in broken])
    return _Side(facts, kept, *as_is, *moved, warnings if broken else ())


async def _broken_views(connection: Connection, facts: DatabaseFacts) -> frozenset[str]:
    database = quote_name(facts.name)
    statements = "".join(f"CHECK TABLE {database}.{quote_name(view)};\n" for view in facts.views)
    results = await connection.results(statements)
    return frozenset(
        view
        for view, rows in zip(facts.views, results, strict=True)
        if any(kind.lower() == "error" for _table, _operation, kind, _message in map(texts, rows))
    )


async def _routine_grants(connection: Connection, live: str, new: DatabaseFacts) -> str:
    """Grants of routines that will be there again. None are known to an account that may not read them."""
    try:
        (rows,) = await connection.results(
            f"SELECT user, host, routine_type, routine_name, proc_priv FROM mysql.procs_priv WHERE {is_name('db', live)}"
        )
    except SourceError:
        return ""
    statements = []
    for user, host, kind, routine, rights in map(texts, rows):
        if f"{kind.lower()} {routine}" not in new.routines:
            continue
        listed = [right for right in rights.split(",") if right != "Grant"] or ["USAGE"]
        option = " WITH GRANT OPTION" if "Grant" in rights.split(",") else ""
        account = f"{quote_account(user)}@{quote_account(host)}" if host else quote_account(user)
        statements.append(
            f"GRANT {', '.join(listed)} ON {kind} {quote_name(live)}.{quote_name(routine)} TO {account}{option};\n"
        )
    return "".join(statements)


def _whole_script(new: _Side, old: _Side, aside: str, routine_grants: str) -> bytes:
    """What is to be done, and behind it what undoes it from wherever it stopped."""
    fresh, live = new.facts.name, old.facts.name
    settings = f"SET SESSION lock_wait_timeout = {LOCK_TIMEOUT_S};\n"
    forth = [(live, aside, old.facts), (fresh, live, new.facts)]
    back = [(live, fresh, new.facts), (aside, live, old.facts)]
    gone = [_dropped(live, old.facts), _dropped(fresh, new.facts)]
    return b"".join([
        _bytes(settings, *gone, _rename(forth)),
        _within(live, new.others_moved, new.triggers_moved),
        _within(aside, old.others_moved, old.triggers_moved),
        _bytes(routine_grants, _drop_empty(fresh)),
        b"\n",
        _UNDO,
        _bytes(settings, *(_dropped(name, each.facts) for name in (live, aside, fresh) for each in (old, new)), _rename(back)),
        _within(live, old.others, old.triggers),
        _within(fresh, new.others, new.triggers),
        _bytes(routine_grants),
        b"\n",
        _WHOLE,
    ])  # fmt: skip


def _dropped(name: str, facts: DatabaseFacts) -> str:
    """Drops the programs of those facts from a database, where they are."""
    database = quote_name(name)
    objects = [("TRIGGER", each) for each in facts.triggers]
    objects += [("EVENT", each) for each in facts.events]
    objects += [("VIEW", each) for each in facts.views]
    for routine in facts.routines:
        for kind in ("package body", "package", "procedure", "function"):
            if routine.startswith(f"{kind} "):
                objects.append((kind.upper(), routine.removeprefix(f"{kind} ")))
                break
    return "".join(f"DROP {kind} IF EXISTS {database}.{quote_name(each)};\n" for kind, each in objects)


def _rename(moves: Sequence[tuple[str, str, DatabaseFacts]]) -> str:
    pairs = [
        f"{quote_name(source)}.{quote_name(each)} TO {quote_name(target)}.{quote_name(each)}"
        for source, target, facts in moves
        for each in stored_names(facts)
    ]
    return f"RENAME TABLE {', '.join(pairs)};\n" if pairs else ""


def _within(name: str, *scripts: bytes) -> bytes:
    """Scripts that are run in a database."""
    return _bytes(f"USE {quote_name(name)};\n") + b"\n".join(scripts) + b"\n"


def _drop_empty(name: str) -> str:
    """Drops a database only if no table is in it."""
    condition = f"SELECT COUNT(*) FROM information_schema.tables WHERE {is_name('table_schema', name)}"
    text = f"DROP DATABASE IF EXISTS {quote_name(name)}"
    quoted = f"CONVERT(0x{text.encode('utf-8', 'surrogateescape').hex()} USING utf8mb4)"
    return f"SET @holdfast = IF(({condition}) = 0, {quoted}, 'DO 0');\nPREPARE holdfast FROM @holdfast;\nEXECUTE holdfast;\n"


async def _drop_if_empty(connection: Connection, name: str) -> None:
    with suppress(SourceError):
        await connection.run(_drop_empty(name))


def _bytes(*parts: str) -> bytes:
    return "".join(parts).encode("utf-8", "surrogateescape")


async def _to_its_end(connection: Connection, script: bytes) -> Completed:
    """Runs it. Where we are cancelled its end is waited for first: nothing must come between its steps."""
    client = await connection.client_command()
    words = ("sh", "-c", _SCRIPT, "sh", *client.words)
    command = Command(words, client.settings, client.secrets, as_user=client.as_user)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(
                connection.host.run(command, input_bytes=script, timeout_s=_TIMEOUT_S)
            )
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])
                raise
    except* HostError as failures:
        raise failures.exceptions[0] from None
    return running.result()
