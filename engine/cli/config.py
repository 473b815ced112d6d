"""config export|check|apply|schema: the fleet in one file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine.cli import asking, diagnostics
from engine.cli.command import Call, Command, Parser, declare_nothing
from engine.cli.options import add_yes
from engine.cli.output import Output, shape
from engine.errors import ConfigurationError
from engine.model import text
from engine.model.fleet import Change

_MOST_BYTES: Final = 32 << 20
_SIGNS: Final = {"add": ("+", "32"), "change": ("~", "33"), "remove": ("-", "31")}
_STANDARD_INPUT: Final = "standard input"


def _declare_file(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="the document; - is standard input")


def _declare_export(parser: Parser) -> None:
    parser.add_argument(
        "--to",
        default="",
        metavar="FILE",
        help="into this file; one that is there keeps its comments and order, only what differs is changed",
    )


async def _export(call: Call) -> int:
    file = call.arguments.to
    old = _read(file) if file and _is_there(file) else ""
    document = await call.engine.export_config(old, file)
    if not file:
        call.output.line(document.rstrip("\n"))
        call.output.result({"document": document})
        return diagnostics.DONE
    if document != old:
        _write(Path(file), document)
    said = "is written" if document != old else "says it all already"
    call.output.line(text.printable(f"{file} {said}"))
    call.output.result({"file": file, "changed": document != old})
    return diagnostics.DONE


def _is_there(file: str) -> bool:
    return Path(file).exists()


def _write(place: Path, document: str) -> None:
    """Whole or not at all; the file keeps its mode. Raises: ConfigurationError."""
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o644
        beside.write_text(document, encoding="utf-8")
        beside.chmod(mode)
        beside.replace(place.resolve())
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{place} cannot be written: {error.strerror}",
            hint="the folder must be there, and this user's to write to",
        ) from error


def _read(file: str) -> str:
    """The text of a document. Raises: ConfigurationError."""
    if file == "-" and sys.stdin.isatty():
        raise ConfigurationError(
            "the document is to come from standard input", hint="pipe it in, or name a file"
        )
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
        found = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ConfigurationError(f"{_named(file)} cannot be read: {reason}") from error
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(f"{_named(file)} is over {_MOST_BYTES >> 20} MiB long")
    return found


def _named(file: str) -> str:
    return _STANDARD_INPUT if file == "-" else file


async def _check(call: Call) -> int:
    file = call.arguments.file
    plan = await call.engine.plan_config(_read(file), _named(file))
    changed = f"{text.counted(len(plan.changes), 'change')} to what is defined here"
    call.output.line(
        text.printable(f"{_named(file)} is sound: {text.counted(plan.defined, 'definition')}, {changed}")
    )
    _tell_rest(call.output, plan.unlisted, plan.missing_secrets)
    call.output.result(shape(plan))
    return diagnostics.DONE


def _declare_apply(parser: Parser) -> None:
    _declare_file(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be changed")
    parser.add_argument(
        "--prune", action="store_true", help="and forget what is defined and does not stand in its tables"
    )
    add_yes(parser)


async def _apply(call: Call) -> int:
    arguments, output = call.arguments, call.output
    document, file = _read(arguments.file), _named(arguments.file)
    plan = await call.engine.plan_config(document, file, is_pruning=arguments.prune)
    tell_changes(output, plan.changes)
    _tell_rest(output, plan.unlisted, plan.missing_secrets)
    if arguments.dry_run:
        for name in plan.opened:
            output.line(f"the repository of storage {name} would be opened, or made where there is none")
        output.result({**shape(plan), "dry_run": True})
        return diagnostics.DONE
    removed = sum(1 for each in plan.changes if each.what == "remove")
    if removed or (plan.changes and asking.has_person()):
        output.flush()
        rest = f", {removed} of them removals" if removed else ""
        await asking.require_yes(call, f"make {text.counted(len(plan.changes), 'change')}{rest}?")
    done = await call.engine.apply_config(document, file, is_pruning=arguments.prune)
    fields: dict[str, Any] = shape(done)
    kits = {each.name: await call.engine.recovery_kit(each.name) for each in done.storages if each.password}
    for each in done.storages:
        made = "created" if each.is_new else "opened"
        output.line(f"storage {each.name}: repository {each.repository_id[:8]} {made}")
        if each.password:
            output.line(f"  its password, shown this once:  {output.styled(each.password, '1')}")
            output.line(
                f"  keep the recovery kit off this machine: holdfast storage recovery-kit {each.name}"
            )
    for each in fields["storages"]:
        if each["name"] in kits:
            each["recovery_kit"] = kits[each["name"]]
        else:
            del each["password"]
    output.line(f"{text.counted(len(done.changes), 'change')} made")
    output.result({**fields, "dry_run": False})
    return diagnostics.DONE


def tell_changes(output: Output, changes: Sequence[Change]) -> None:
    """The difference, for people: one line a definition, one line a key below it."""
    for each in changes:
        sign, colour = _SIGNS[each.what]
        output.line(output.styled(f"{sign} {each.noun} {each.name}", colour))
        for key in each.fields:
            if each.what == "add":
                output.line(f"    {key.key} = {_shown(key.new)}")
            else:
                output.line(f"    {key.key}: {_shown(key.old)} -> {_shown(key.new)}")


def _shown(value: object) -> str:
    return "(nothing)" if value is None else text.printable(json.dumps(value, ensure_ascii=False))


def _tell_rest(output: Output, unlisted: Sequence[tuple[str, str]], missing: Sequence[str]) -> None:
    if unlisted:
        named = ", ".join(f"{noun} {name}" for noun, name in unlisted[:5]) + (
            ", …" if len(unlisted) > 5 else ""
        )
        output.line(f"not in the document, and left as it is without --prune: {named}")
    for name in missing:
        output.line(f"the secret vault:{name} is not set: holdfast vault set {name}")


async def _schema(call: Call) -> int:
    schema = await call.engine.config_schema()
    call.output.line(json.dumps(schema, indent=2))
    call.output.result({"schema": schema})
    return diagnostics.DONE


EXPORT = Command(_declare_export, _export)
CHECK = Command(_declare_file, _check)
APPLY = Command(_declare_apply, _apply)
SCHEMA = Command(declare_nothing, _schema)
