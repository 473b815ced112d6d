"""storage add|test|usage|recovery-kit|unlock|rotate-password|enable|disable|make-default|list|show|edit|remove."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.cli import asking, definitions, diagnostics, storage_options
from engine.cli.command import (
    Call,
    Command,
    Parser,
    StandardInput,
    add_name,
    declare_name,
    declare_nothing,
    reference,
)
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_yes, seconds
from engine.cli.output import Column, Output, shape
from engine.errors import HoldfastError
from engine.model import text, told
from engine.model.definitions import Storage
from engine.model.requests import Limits, MoveRequest
from engine.model.storage_options import check_taken

if TYPE_CHECKING:
    from engine.model.results import MoveResult
    from engine.model.storage_results import StorageUsage
    from engine.repository.lock_verdicts import LockInfo


def _declare_add(parser: Parser) -> None:
    add_name(parser, "storage")
    parser.add_argument("--kind", required=True, metavar="KIND", help=storage_options.HELP)
    storage_options.declare(parser, "NAME --kind KIND [OPTION ...]")
    parser.add_argument(
        "--password", type=reference, metavar="REF", help="left out: a strong one is made and shown once"
    )
    parser.add_argument(
        "--default", action="store_true", help="use it where no storage is named; the first one is anyway"
    )


async def _add(call: Call) -> int:
    arguments = call.arguments
    options = await storage_options.read(call, arguments.name, arguments.kind)
    storage = Storage(arguments.name, arguments.kind, options, arguments.password or "")
    is_first = not any(each.is_default for each in await call.engine.storages())
    created = await call.engine.add_storage(storage, is_default=arguments.default or is_first)
    fields: dict[str, Any] = shape(created)
    out = call.output
    out.line(
        f"storage {created.name}: repository {created.repository_id[:8]} "
        f"{'created' if created.is_new else 'opened'} at {text.printable(created.location)}"
    )
    if created.password:
        kit = await call.engine.recovery_kit(created.name)
        fields["recovery_kit"] = kit
        out.line()
        out.line(f"Its password, shown this once:  {out.styled(created.password, '1')}")
        out.line(
            f"Keep what follows off this machine; `holdfast storage recovery-kit {created.name}` prints it again."
        )
        out.line()
        out.line(kit.rstrip("\n"))
    else:
        del fields["password"]
    out.result(fields)
    return diagnostics.DONE


async def _test(call: Call) -> int:
    report = await call.engine.test_storage(call.arguments.name)
    definitions.show_pairs(
        call.output,
        [
            ("storage", report.storage),
            ("answers in", f"{report.latency_s * 1000:.1f} ms"),
            ("upload", f"{text.size(report.upload_bytes_s)}/s"),
            ("download", f"{text.size(report.download_bytes_s)}/s"),
            ("free", text.size(report.free_bytes)),
            *([("logged in by", text.printable(report.login))] if report.login else []),
        ],
    )
    call.output.result(shape(report))
    return diagnostics.DONE


async def _usage(call: Call) -> int:
    usage = await call.engine.storage_usage(call.arguments.name)
    definitions.show_pairs(
        call.output,
        [
            ("storage", usage.storage),
            ("used", text.size(usage.used_bytes)),
            ("holds", f"{text.size(usage.raw_bytes)} ({usage.ratio:.1f} times what is used)"),
            *([("of it logs", text.size(usage.log_bytes))] if usage.logs else []),
            *(
                (
                    f"log of {text.printable(each.source)}",
                    f"{text.size(each.size_bytes)}, {text.counted(each.segments, 'segment')}",
                )
                for each in usage.logs
            ),
            ("free", text.size(usage.free_bytes)),
            ("backups", str(usage.backups)),
            *_growth(usage),
        ],
    )
    call.output.result(shape(usage))
    return diagnostics.DONE


def _growth(usage: StorageUsage) -> list[tuple[str, str]]:
    pairs = []
    if usage.growth_bytes_per_day is not None:
        pairs.append(("grows by", f"{text.size(int(usage.growth_bytes_per_day))} a day"))
    if usage.days_until_full is not None:
        pairs.append(("full in", f"{usage.days_until_full:.0f} days"))
    return pairs


def _declare_recovery_kit(parser: Parser) -> None:
    add_name(parser, "storage")
    parser.add_argument(
        "--qr",
        action="store_true",
        help="and a QR code of its place, password and keys, for a telephone to keep",
    )


async def _recovery_kit(call: Call) -> int:
    kit = await call.engine.recovery_kit(call.arguments.name)
    call.output.line(kit.rstrip("\n"))
    if call.arguments.qr:
        from engine.export import qr
        from engine.jobs.recovery_kit import essentials

        call.output.line()
        for each in qr.lines(essentials(kit)):
            call.output.line(call.output.styled(each, "97;40"))
    call.output.result({"storage": call.arguments.name, "recovery_kit": kit})
    return diagnostics.DONE


def _declare_unlock(parser: Parser) -> None:
    add_name(parser, "storage")
    parser.add_argument("--force", action="store_true", help="remove all locks, whoever holds them")
    add_yes(parser)


async def _unlock(call: Call) -> int:
    name = call.arguments.name
    if call.arguments.force:
        locks = await call.engine.storage_locks(name)
        alive = [each for each in locks if not each.verdict.is_removable]
        if alive:
            await asking.require_yes(
                call, f"remove {len(alive)} locks of {name} whose holders may still be writing?"
            )
    removed = await call.engine.unlock_storage(name, is_forced=call.arguments.force)
    left = await call.engine.storage_locks(name)
    call.output.line(f"storage {name}: {len(removed)} locks removed, {len(left)} left")
    for each in left:
        call.output.line(f"  {_lock_line(each)}")
    call.output.result(
        {
            "storage": name,
            "removed": [_lock(each) for each in removed],
            "left": [_lock(each) for each in left],
        }
    )
    return diagnostics.DONE


def _lock(info: LockInfo) -> Mapping[str, Any]:
    fields: dict[str, Any] = {"lock": info.name, "verdict": info.verdict.value, "reason": info.reason}
    if info.lock is not None:
        fields |= {
            "hostname": info.lock.hostname,
            "username": info.lock.username,
            "pid": info.lock.pid,
            "exclusive": info.lock.exclusive,
            "since": info.lock.time.isoformat(),
        }
    return fields


def _lock_line(info: LockInfo) -> str:
    if info.lock is None:
        return f"{info.name[:8]}  {info.verdict.value}: {text.printable(info.reason)}"
    kind = "exclusive" if info.lock.exclusive else "shared"
    who = f"{info.lock.username}@{info.lock.hostname}, process {info.lock.pid}, since {text.instant(info.lock.time)}"
    return text.printable(f"{info.name[:8]}  {kind}  {who}: {info.verdict.value}, {info.reason}")


def _declare_rotate_password(parser: Parser) -> None:
    add_name(parser, "storage")
    parser.add_argument(
        "--password", type=reference, metavar="REF", help="left out: a strong one is made and shown once"
    )
    parser.set_defaults(is_secret_new=True)


async def _rotate_password(call: Call) -> int:
    name = call.arguments.name
    made = await call.engine.rotate_storage_password(name, call.arguments.password or "")
    call.output.line(f"storage {name}: the password is changed; the old one opens it no more")
    if made:
        call.output.line(f"The new one, shown this once:  {call.output.styled(made, '1')}")
    call.output.line(f"print the recovery kit anew: holdfast storage recovery-kit {name}")
    call.output.result({"storage": name, **({"password": made} if made else {})})
    return diagnostics.DONE


def _declare_move(parser: Parser) -> None:
    add_name(parser, "storage")
    parser.add_argument("--kind", required=True, metavar="KIND", help=storage_options.HELP)
    storage_options.declare(parser, "NAME --kind KIND [OPTION ...]")
    parser.add_argument(
        "--password", type=reference, metavar="REF", help="of the new place; left out: the same one"
    )
    parser.add_argument(
        "--wait-lock",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for backups under way",
    )
    add_detach(parser)


async def _move(call: Call) -> int:
    """Secrets that are typed get names of their own: the old place is still to be opened with the old ones."""
    arguments = call.arguments
    is_handed_over = is_detached(call)
    await call.engine.show_storage(arguments.name)
    place = f"{arguments.name}.{secrets.token_hex(3)}"
    options = await storage_options.read(call, place, arguments.kind)
    password = arguments.password or ""
    if isinstance(password, StandardInput):
        password = f"vault:storage.{place}"
        await call.engine.keep_secret(f"storage.{place}", "-")
    new = Storage(arguments.name, arguments.kind, options, password)
    bounds = Limits(wait_lock_s=arguments.wait_lock)
    if is_handed_over:
        request = MoveRequest(new.name, new.kind, new.options, new.password, bounds)
        return await hand_over(call, "storage move", request)
    moved = await call.engine.move_storage(new, bounds)
    tell_move(call.output, moved)
    call.output.result(shape(moved))
    return diagnostics.DONE


def tell_move(output: Output, moved: MoveResult) -> None:
    """Where the storage lies now, and what is to be done next, for people."""
    for each in told.moved(moved):
        output.line(each)


async def _enable(call: Call) -> int:
    return await _switch(call, is_enabled=True)


async def _disable(call: Call) -> int:
    return await _switch(call, is_enabled=False)


async def _switch(call: Call, *, is_enabled: bool) -> int:
    name = call.arguments.name
    await call.engine.enable_storage(name, is_enabled=is_enabled)
    call.output.line(f"storage {name} is switched {'on' if is_enabled else 'off'}")
    call.output.result({"name": name, "enabled": is_enabled})
    return diagnostics.DONE


async def _make_default(call: Call) -> int:
    name = call.arguments.name
    await call.engine.make_default_storage(name)
    call.output.line(f"storage {name} is used where none is named")
    call.output.result({"name": name, "default": True})
    return diagnostics.DONE


async def _list(call: Call) -> int:
    storages = await call.engine.storages()
    heads = [
        Column("STORAGE"),
        Column("KIND"),
        Column("STATE"),
        Column("REPOSITORY"),
        Column("OPTIONS", is_flexible=True),
    ]
    rows = [
        [each.name, each.kind, _state(each), each.repository_id[:8], definitions.shown(each.options)]
        for each in storages
    ]
    return definitions.listed(call, heads, rows, storages)


def _state(storage: Storage) -> str:
    return ("default" if storage.is_default else "on") if storage.is_enabled else "off"


async def _show(call: Call) -> int:
    storage = await call.engine.show_storage(call.arguments.name)
    pairs = [
        ("name", storage.name),
        ("kind", storage.kind),
        ("state", _state(storage)),
        ("repository", storage.repository_id),
        ("password", storage.password),
    ]
    pairs += [(name, str(value)) for name, value in storage.options.items()]
    locks: list[LockInfo] = []
    try:
        locks = list(await call.engine.storage_locks(storage.name))
    except HoldfastError as error:
        pairs.append(("locks", error.message))
    else:
        pairs += [("locked by", _lock_line(each)) for each in locks]
    definitions.show_pairs(call.output, pairs)
    call.output.result({**shape(storage), "locks": [_lock(each) for each in locks]})
    return diagnostics.DONE


def _declare_edit(parser: Parser) -> None:
    add_name(parser, "storage")
    storage_options.declare(parser, "NAME [OPTION ...]")
    parser.add_argument(
        "--password", type=reference, metavar="REF", help="where the password is kept now; it is not changed"
    )
    definitions.add_unset(parser)


async def _edit(call: Call) -> int:
    arguments = call.arguments
    password = arguments.password or ""
    changes = definitions.changes(arguments, storage_options.KEPT, "storage", password)
    old = await call.engine.show_storage(arguments.name)
    check_taken(old.kind, changes)
    changes = await storage_options.shaped(call, old.name, old.kind, changes)
    if isinstance(password, StandardInput):
        password = f"vault:storage.{arguments.name}"
        await call.engine.keep_secret(f"storage.{arguments.name}", "-")
    storage = await call.engine.edit_storage(arguments.name, changes, password)
    return definitions.done(call, f"storage {storage.name} is changed", storage)


ADD = Command(_declare_add, _add)
TEST = Command(declare_name("storage"), _test)
USAGE = Command(declare_name("storage"), _usage)
RECOVERY_KIT = Command(_declare_recovery_kit, _recovery_kit)
UNLOCK = Command(_declare_unlock, _unlock)
ROTATE_PASSWORD = Command(_declare_rotate_password, _rotate_password)
MOVE = Command(_declare_move, _move, is_job=True)
ENABLE = Command(declare_name("storage"), _enable)
DISABLE = Command(declare_name("storage"), _disable)
MAKE_DEFAULT = Command(declare_name("storage"), _make_default)
LIST = Command(declare_nothing, _list)
SHOW = Command(declare_name("storage"), _show)
EDIT = Command(_declare_edit, _edit)
REMOVE = definitions.removal(
    "storage",
    lambda engine, name: engine.remove_storage(name),
    lambda engine, name: engine.show_storage(name),
    asks="? its repository stays as it is, its password is needed to use it again",
    tells="; its repository is left as it is",
)
