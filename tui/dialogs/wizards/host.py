"""A host: where it is, who logs in, and what else a connection needs; its key is shown before it is trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from engine.errors import HostError, HostKeyUnknownError
from engine.model import host_options
from engine.model.definitions import Host
from engine.model.secret import Secret
from engine.model.trials import HostTrial
from tui.dialogs.confirm import Confirm
from tui.dialogs.fields import Field, Values
from tui.dialogs.form import Left
from tui.dialogs.wizards import option_fields
from tui.dialogs.wizards.wizard import Wizard

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_WANTED: Final = ("identity", "jump", "known_hosts", "as_user", "nice", "environment")


class HostWizard(Wizard[Host]):
    """Of a host over SSH."""

    noun = "host"

    def __init__(
        self,
        console: ConsoleApp,
        old: Host | None = None,
        taken: Sequence[str] = (),
        begun: Host | None = None,
    ) -> None:
        super().__init__(console, old, taken)
        self._begun = old or begun or Host("")

    def fields(self) -> list[Field]:
        """Address first: it names the host too."""
        begun = self._begun
        options = host_options.unstaged(begun.options)
        given = [
            Field(
                "address",
                "address",
                begun.address,
                "[USER@]HOST[:PORT], or an alias of the ssh_config",
                is_needed=True,
                check=self.check_address,
                is_checked_by_all=True,
            )
        ]
        if self.old is None:
            given.append(
                Field(
                    "name",
                    "name",
                    begun.name,
                    explained="left empty: after the machine",
                    check=self.check_name_field,
                    is_checked_by_all=True,
                )
            )
        return [
            *given,
            *option_fields.fields_of(host_options.OPTIONS, options, wanted=_WANTED),
            option_fields.more_field(),
        ]

    def definition(self, values: Values) -> tuple[Host, Mapping[str, Secret]]:
        """Raises: UsageError."""
        address = values.get("address", "")
        name = self.old.name if self.old is not None else values.get("name") or host_options.name_of(address)
        given = option_fields.read(host_options.OPTIONS, values, lambda _option: f"host.{name}")
        options = host_options.staged(given.options)
        if self.old is not None:
            kept = {key: value for key, value in self.old.options.items() if key not in host_options.KEPT}
            if address != self.old.address:
                kept.pop("host_key", None)
            options = {**kept, **options}
        return Host(name, "ssh", address, options), given.typed

    async def check_address(self, values: Values) -> str:
        """Logs in."""
        host, typed = self.definition(values)
        if not host.address:
            return ""
        try:
            return trial_text(await self.engine.try_host(host, typed))
        except HostKeyUnknownError:
            fingerprint, _ = await self.engine.host_key(host, typed)
            return f"answers; ctrl+s shows its key {fingerprint}"

    async def save(self, values: Values) -> None:
        """Raises: errors of the engine; Left."""
        host, typed = self.definition(values)
        self.require_name(host.name)
        host = await with_accepted_key(self.console, host, typed)
        if self.old is None:
            self.done = await self.engine.add_host(host, typed=typed)
        else:
            known = (*host_options.KEPT, "host_key")
            changes = option_fields.differences(self.old.options, host.options, known)
            self.done = await self.engine.edit_host(host.name, host.address, changes, typed=typed)


def trial_text(trial: HostTrial) -> str:
    """`ssh ok 41 ms, root`."""
    return f"ssh ok {trial.login_s * 1000:.0f} ms, {trial.user}"


async def with_accepted_key(console: ConsoleApp, host: Host, typed: Mapping[str, Secret]) -> Host:
    """The host, with the key that it shows where nobody knew it and a person accepts it now. One that cannot be reached is asked about.

    Raises: Left where a person does not go on.
    """
    try:
        await console.engine.try_host(host, typed)
    except HostKeyUnknownError:
        fingerprint, line = await console.engine.host_key(host, typed)
        lines = [
            f"{host.address} shows a key that nobody knows:",
            "",
            f"  {fingerprint}",
            "",
            "On the host itself this prints the same if it is the one:",
            "  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        ]
        if not await console.ask(Confirm("Trust this key from now on?", lines, yes="trust it")):
            raise Left from None
        host = dataclasses.replace(host, options={**host.options, "host_key": (line,)})
        return await _logged_in(console, host, typed)
    except HostError as error:
        return await _confirmed(console, host, error)
    return host


async def _logged_in(console: ConsoleApp, host: Host, typed: Mapping[str, Secret]) -> Host:
    """The key is known now; whether one may log in shows only then."""
    try:
        await console.engine.try_host(host, typed)
    except HostError as error:
        return await _confirmed(console, host, error)
    return host


async def _confirmed(console: ConsoleApp, host: Host, error: HostError) -> Host:
    lines = [error.message, *([f"-> {error.hint}"] if error.hint else [])]
    if not await console.ask(Confirm(f"{host.name} cannot be used now", lines, yes="define it all the same")):
        raise Left
    return host


async def add_host(console: ConsoleApp, begun: Host | None = None, *, title: str = "") -> Host | None:
    """A new host; `begun` fills the fields."""
    taken = [each.name for each in await console.engine.hosts()]
    done = await HostWizard(console, taken=taken, begun=begun).run(title)
    if done is not None:
        console.tell(f"host {done.name} is defined")
    return done


async def edit_host(console: ConsoleApp, name: str) -> Host | None:
    """Another address, other options. Raises: UnknownNameError."""
    done = await HostWizard(console, await console.engine.show_host(name)).run()
    if done is not None:
        console.tell(f"host {name} is changed")
    return done
