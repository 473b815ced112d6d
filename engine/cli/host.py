"""host add|test|grants|list|show|edit|remove."""

from __future__ import annotations

import dataclasses

from engine.cli import asking, definitions, diagnostics
from engine.cli.command import (
    Call,
    Command,
    Parser,
    StandardInput,
    add_name,
    declare_name,
    declare_nothing,
)
from engine.cli.options import add_option
from engine.cli.output import Column, shape
from engine.errors import HostKeyUnknownError
from engine.model import host_options, text
from engine.model.definitions import Host, OptionValue
from engine.model.names import check_name
from engine.model.spans import span


def _declare_options(parser: Parser) -> None:
    for each in host_options.OPTIONS:
        add_option(parser, each)


def _declare_add(parser: Parser) -> None:
    add_name(parser, "host")
    parser.add_argument(
        "--address", required=True, metavar="[USER@]HOST[:PORT]", help="or an alias of the ssh_config"
    )
    _declare_options(parser)
    parser.add_argument("--accept-key", metavar="SHA256:…", help="trust the key of this fingerprint")
    parser.add_argument(
        "--no-connect", action="store_true", help="define it without connecting; its key must be known later"
    )


async def _add(call: Call) -> int:
    arguments = call.arguments
    check_name("host", arguments.name)
    host = Host(
        arguments.name,
        "ssh",
        arguments.address,
        host_options.staged(definitions.given(arguments, host_options.KEPT)),
    )
    host = await _keep_passphrase(call, host)
    accepted = "" if arguments.no_connect else await _accepted_key(call, host)
    added = await call.engine.add_host(host, accepted_key=accepted)
    said = f"host {added.name} is defined; `holdfast host test {added.name}` says what is there"
    return definitions.done(call, said, added)


async def _keep_passphrase(call: Call, host: Host) -> Host:
    """A passphrase that was typed is sealed in the vault: each connection needs it."""
    if not isinstance(call.arguments.passphrase, StandardInput):
        return host
    name = f"host.{host.name}"
    await call.engine.keep_secret(name, "-")
    return dataclasses.replace(host, options={**host.options, "passphrase": f"vault:{name}"})


async def _accepted_key(call: Call, host: Host) -> str:
    """Connects. The known_hosts line of a key that nobody knew and that a person accepts now; empty where the key is known.

    Raises: HostKeyUnknownError where nobody is there to accept it; HostError.
    """
    try:
        await call.engine.connect_host(host)
    except HostKeyUnknownError as error:
        fingerprint, line = await call.engine.host_key(host)
        wanted = call.arguments.accept_key
        if wanted == fingerprint:
            return line
        if wanted:
            raise HostKeyUnknownError(
                f"the host shows the key {fingerprint}, not {wanted}",
                hint="do not connect before you know why",
            ) from None
        if call.output.is_json or not asking.has_person():
            raise HostKeyUnknownError(
                error.message,
                hint=f"compare it with the host's own, then say --accept-key {fingerprint}, or --known-hosts FILE",
            ) from None
        diagnostics.tell(text.printable(f"{error.message}\n").rstrip("\\n"))
        diagnostics.tell(
            "on the host itself, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints the same if it is the one"
        )
        if not await asking.is_yes("trust this key from now on?"):
            raise HostKeyUnknownError("the key was not accepted; nothing was defined") from None
        return line
    return ""


async def _test(call: Call) -> int:
    report = await call.engine.test_host(call.arguments.name)
    out = call.output
    out.line(f"{report.name}: connected as {report.user} to {report.hostname} in {span(report.duration_s)}")
    for tool, version in report.tools:
        out.line(f"  {tool:<12} {text.printable(version) or 'missing'}")
    if report.proposals:
        out.line("could be backed up:")
    for proposal in report.proposals:
        out.line(f"  {text.printable(proposal)}")
    if report.uncovered:
        out.line("no source takes:")
    for each in report.uncovered:
        out.line(f"  {text.printable(each)}")
    for lacks in report.logs:
        out.line(f"the log of {lacks.source} lacks:")
        for line in (*lacks.lines, *filter(None, (lacks.note,))):
            out.line(f"  {text.printable(line)}")
    tools = [{"tool": tool, "version": version} for tool, version in report.tools]
    out.result({**shape(report), "tools": tools})
    return diagnostics.DONE


async def _grants(call: Call) -> int:
    grants = await call.engine.host_grants(call.arguments.name)
    call.output.line(grants.rstrip("\n"))
    call.output.result({"host": call.arguments.name, "grants": grants})
    return diagnostics.DONE


async def _list(call: Call) -> int:
    hosts = await call.engine.hosts()
    heads = [Column("HOST"), Column("ADDRESS", is_flexible=True), Column("OPTIONS", is_flexible=True)]
    rows = [[each.name, each.address or "(this machine)", definitions.shown(_plain(each))] for each in hosts]
    return definitions.listed(call, heads, rows, hosts)


def _plain(host: Host) -> dict[str, OptionValue]:
    """The options without what is too long for a line."""
    return {name: value for name, value in host.options.items() if name != "host_key"}


async def _show(call: Call) -> int:
    host = await call.engine.show_host(call.arguments.name)
    pairs = [("name", host.name), ("address", host.address or "(this machine)")]
    pairs += [
        (name, " ".join(value) if isinstance(value, tuple | list) else str(value))
        for name, value in host.options.items()
    ]
    definitions.show_pairs(call.output, pairs)
    call.output.result(shape(host))
    return diagnostics.DONE


def _declare_edit(parser: Parser) -> None:
    add_name(parser, "host")
    parser.add_argument("--address", default="", metavar="[USER@]HOST[:PORT]")
    _declare_options(parser)
    definitions.add_unset(parser)


async def _edit(call: Call) -> int:
    arguments = call.arguments
    changes = host_options.staged(
        definitions.changes(arguments, host_options.KEPT, "host", arguments.address)
    )
    if isinstance(arguments.passphrase, StandardInput):
        await call.engine.keep_secret(f"host.{arguments.name}", "-")
        changes["passphrase"] = f"vault:host.{arguments.name}"
    host = await call.engine.edit_host(arguments.name, arguments.address, changes)
    return definitions.done(call, f"host {host.name} is changed", host)


def _declare_retire(parser: Parser) -> None:
    add_name(parser, "host")
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why it is out of use; shown from then on"
    )


async def _retire(call: Call) -> int:
    name = call.arguments.name
    host = await call.engine.retire_host(name, call.arguments.reason)
    sources = [each.name for each in await call.engine.sources() if each.host == name]
    kept = f"; {', '.join(sources)}: no new backups, all that there are stay" if sources else ""
    return definitions.done(call, f"host {name} is retired{kept}", host)


async def _unretire(call: Call) -> int:
    host = await call.engine.unretire_host(call.arguments.name)
    return definitions.done(call, f"host {host.name} is in use again", host)


ADD = Command(_declare_add, _add)
TEST = Command(declare_name("host"), _test)
GRANTS = Command(declare_name("host"), _grants)
LIST = Command(declare_nothing, _list)
SHOW = Command(declare_name("host"), _show)
EDIT = Command(_declare_edit, _edit)
RETIRE = Command(_declare_retire, _retire)
UNRETIRE = Command(declare_name("host"), _unretire)
REMOVE = definitions.removal(
    "host", lambda engine, name: engine.remove_host(name), lambda engine, name: engine.show_host(name)
)
