"""protect, unprotect, hold, delete, recover: which backups stay, which go, and how lost ones are found again."""

from __future__ import annotations

from engine.cli import asking, diagnostics, logs, storage_options
from engine.cli.browse import backup_item
from engine.cli.command import Call, Command, Parser, StandardInput, declare_nothing, reference
from engine.cli.detach import add_detach, hand_over, is_detached
from engine.cli.options import add_limits, add_yes, limits
from engine.cli.output import Output, shape
from engine.cli.upkeep import tell_forget
from engine.model import text, told
from engine.model.definitions import Storage
from engine.model.requests import CopyCatalogRequest, DeleteRequest, RecoverRequest
from engine.model.results import CopyCatalogResult, ForgetResult, Recovered


def _declare_backup(parser: Parser) -> None:
    parser.add_argument("backup", metavar="BACKUP", help="an id, the beginning of one, or latest:SOURCE")


async def _protect(call: Call) -> int:
    found = await call.engine.show_backup(call.arguments.backup)
    return await _set(call, found.backup_id, is_protected=True, reason=found.hold_reason, said="is protected")


async def _unprotect(call: Call) -> int:
    found = await call.engine.show_backup(call.arguments.backup)
    return await _set(call, found.backup_id, is_protected=False, reason="", said="is protected no more")


def _declare_hold(parser: Parser) -> None:
    _declare_backup(parser)
    parser.add_argument(
        "--reason",
        required=True,
        metavar="TEXT",
        help="why it must stay; shown to whoever wants to delete it",
    )


async def _hold(call: Call) -> int:
    found = await call.engine.show_backup(call.arguments.backup)
    return await _set(
        call, found.backup_id, is_protected=found.is_protected, reason=call.arguments.reason, said="is held"
    )


async def _set(call: Call, backup_id: str, *, is_protected: bool, reason: str, said: str) -> int:
    backup = await call.engine.protect_backup(backup_id, is_protected=is_protected, hold_reason=reason)
    call.output.line(f"backup {backup.backup_id} of {backup.source} {said}")
    call.output.result(backup_item(backup))
    return diagnostics.DONE


def _declare_delete(parser: Parser) -> None:
    parser.add_argument(
        "backups", nargs="+", metavar="BACKUP", help="ids, beginnings of ids, or latest:SOURCE"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what only these backups hold, and delete nothing"
    )
    add_detach(parser)
    add_yes(parser)


async def _delete(call: Call) -> int:
    is_handed_over, is_dry_run = is_detached(call), call.arguments.dry_run
    found = [await call.engine.show_backup(each) for each in call.arguments.backups]
    named = ", ".join(
        f"{each.backup_id} of {each.source} from {text.instant(each.created_at)}" for each in found
    )
    if not is_dry_run:
        if asking.has_person():
            logs.tell_lost(
                call.output, await call.engine.lost_without(tuple(call.arguments.backups)), is_done=False
            )
            call.output.flush()
        await asking.require_yes(call, f"delete in every storage: {named}?")
    ids = tuple(each.backup_id for each in found)
    if is_handed_over:
        return await hand_over(call, "delete", DeleteRequest(ids, is_dry_run=is_dry_run))
    result = await call.engine.delete_backups(ids, is_dry_run=is_dry_run)
    tell_delete(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell_delete(output: Output, result: ForgetResult) -> None:
    """What was deleted, for people."""
    tell_forget(output, result)
    for each in result.only:
        output.line(
            f"{text.size(each.size_bytes)} in storage {each.storage} only these hold: a prune would free it"
        )
    if not result.is_dry_run:
        output.line("`holdfast prune STORAGE` gives the space back")


def _declare_recover(parser: Parser) -> None:
    parser.add_argument("--storage-kind", required=True, metavar="KIND", help=storage_options.HELP)
    usage = "--storage-kind KIND [OPTION ...] --password REF"
    storage_options.declare(parser, usage)
    parser.add_argument("--password", required=True, type=reference, metavar="REF", help="of the repository")
    parser.add_argument(
        "--vault-key",
        default="",
        type=reference,
        metavar="REF",
        help="of the lost home, from its recovery kit; without it no secret comes back",
    )
    parser.add_argument(
        "--name", default="recovered", metavar="NAME", help="what the storage is called from now on"
    )
    add_detach(parser)


async def _recover(call: Call) -> int:
    arguments = call.arguments
    is_handed_over = is_detached(call)
    options = await storage_options.read(call, arguments.name, arguments.storage_kind)
    password = str(arguments.password)
    if isinstance(arguments.password, StandardInput):
        await call.engine.keep_secret(f"storage.{arguments.name}", "-")
        password = f"vault:storage.{arguments.name}"
    definition = Storage(arguments.name, arguments.storage_kind, options, password, is_default=True)
    key = str(arguments.vault_key)
    if is_handed_over:
        return await hand_over(
            call,
            "recover",
            RecoverRequest(definition.name, definition.kind, options, password, key, is_default=True),
        )
    result = await call.engine.recover(definition, key)
    tell_recover(call.output, result)
    fields = {**shape(result), "backups": [backup_item(each) for each in result.backups]}
    call.output.result(fields)
    return diagnostics.DONE


def tell_recover(output: Output, result: Recovered) -> None:
    """What came back and what did not, for people."""
    for each in told.recovered(result):
        output.line(each)


def _declare_copy_catalog(parser: Parser) -> None:
    parser.add_argument(
        "storages", nargs="*", metavar="STORAGE", help="all that are enabled where none is named"
    )
    add_detach(parser)
    add_limits(parser)


async def _copy_catalog(call: Call) -> int:
    request = CopyCatalogRequest(tuple(call.arguments.storages), limits(call.arguments))
    if is_detached(call):
        return await hand_over(call, "copy_catalog", request)
    result = await call.engine.copy_catalog(request)
    tell_copy_catalog(call.output, result)
    call.output.result(shape(result))
    return diagnostics.exit_of(result.status)


def tell_copy_catalog(output: Output, result: CopyCatalogResult) -> None:
    """Where the catalog lies now, and where it does not, for people."""
    if result.storages:
        output.line(
            f"the catalog is copied into {', '.join(result.storages)}; its recovery kit brings it back"
        )
    for name, why in result.failed.items():
        output.line(text.printable(f"storage {name} has no copy: {why}"))


async def _publish(call: Call) -> int:
    is_new = await call.engine.refresh_reading_copy()
    place = call.engine.home.reading_copy
    if not place.exists():
        call.output.line(
            'nobody but you reads the catalog; config.toml names a group: [readers] group = "NAME"'
        )
    else:
        said = "is renewed" if is_new else "is as new as the catalog"
        call.output.line(
            text.printable(
                f"the copy for readers {place} {said}; they say --home {call.engine.home.directory}"
            )
        )
    call.output.result({"file": str(place), "renewed": is_new})
    return diagnostics.DONE


PUBLISH = Command(declare_nothing, _publish)
COPY_CATALOG = Command(_declare_copy_catalog, _copy_catalog, is_job=True)
PROTECT = Command(_declare_backup, _protect)
UNPROTECT = Command(_declare_backup, _unprotect)
HOLD = Command(_declare_hold, _hold)
DELETE = Command(_declare_delete, _delete, is_job=True)
RECOVER = Command(_declare_recover, _recover, is_job=True)
