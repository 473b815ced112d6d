"""systemd units: the worker as a service, or one that looks every minute. Pure texts; `service.units` puts them in place.

A service may read all that its user may, since sources lie anywhere, and write nothing but the home and the storages of this machine. What
it is kept from besides is what no backup needs: devices, kernel settings, other namespaces, system calls beyond a service's own.
Source: systemd.exec(5), systemd.service(5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

WORKER: Final = "holdfast-worker.service"
TICK: Final = "holdfast-tick.service"
TIMER: Final = "holdfast-tick.timer"
NAMES: Final = (WORKER, TICK, TIMER)
HEAD: Final = (
    "# Written by `holdfast service install`; what is changed here it shows before it takes it back.\n"
)
_WATCHDOG_S: Final = 300
"""Over twice the span after which the worker calls itself stuck."""
_ENDING_S: Final = 45
"""After the time of grace: for jobs that are cancelled to take their locks away."""
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 -- what PrivateTmp hides

_ANY_USER: Final = """\
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""

# Files of any user are read, and given back to it; a drill starts a database server as that server's own user.
_ROOT: Final = """\
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateMounts=yes
"""


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """What the units are to say."""

    program: Sequence[str]
    """The command, absolute; what follows is the home and the verb."""
    home: str
    is_user: bool = False
    """For a person's own service manager, which can keep a service from less."""
    writable: Sequence[str] = ()
    """Folders besides the home: the storages of this machine, and what SQLite databases lie in, which no reader reads without writing."""
    vault_key: str = ""
    """The file that is handed over as the credential holdfast-vault-key; empty: the home's key is read."""
    is_key_encrypted: bool = False
    """By systemd-creds."""
    grace_s: int = 60


def worker_units(options: UnitOptions) -> Mapping[str, str]:
    """The service that stays. Name -> text."""
    service = f"""\
Type=notify
NotifyAccess=main
{_start(options, "worker")}
Restart=always
RestartSec=5
WatchdogSec={_WATCHDOG_S}
KillMode=mixed
TimeoutStopSec={options.grace_s + _ENDING_S}
{_guarded(options)}"""
    head = _unit("holdfast worker: runs the jobs that wait and those that are due", options)
    wanted = "default.target" if options.is_user else "multi-user.target"
    return {WORKER: f"{HEAD}{head}[Service]\n{service}\n[Install]\nWantedBy={wanted}\n"}


def tick_units(options: UnitOptions) -> Mapping[str, str]:
    """A worker every minute in place of the service, which ends when there is nothing to do: while it has something the timer starts no other.

    No worker outlives its unit: systemd takes the credential with the vault's key away with it. Name -> text.
    """
    service = f"""\
Type=exec
{_start(options, "worker", "--once")}
KillMode=mixed
TimeoutStopSec={options.grace_s + _ENDING_S}
{_guarded(options)}"""
    head = _unit("holdfast tick: runs the jobs that are due, and ends", options)
    timer = """\
[Unit]
Description=holdfast tick, every minute

[Timer]
OnCalendar=*:0/1
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
    return {TICK: f"{HEAD}{head}[Service]\n{service}", TIMER: HEAD + timer}


def _unit(description: str, options: UnitOptions) -> str:
    # A person's manager knows no network target.
    network = "" if options.is_user else "Wants=network-online.target\nAfter=network-online.target\n"
    return f"[Unit]\nDescription={description}\n{network}\n"


def _start(options: UnitOptions, *verb: str) -> str:
    words = (*options.program, "--home", options.home, *verb)
    return "ExecStart=" + " ".join(_quoted(each).replace("$", "$$") for each in words)


def _guarded(options: UnitOptions) -> str:
    lines = []
    if options.vault_key:
        directive = "LoadCredentialEncrypted" if options.is_key_encrypted else "LoadCredential"
        # From behind the colon on all is the path, spaces too.
        lines.append(f"{directive}=holdfast-vault-key:{options.vault_key.replace('%', '%%')}")
    if not options.is_user:
        folders = [options.home, *(each for each in options.writable if not _is_below(each, options.home))]
        if any(_is_below(each, base) for each in folders for base in _TEMPORARY):
            folders += _TEMPORARY
        else:
            lines.append("PrivateTmp=yes")
        lines.append("ReadWritePaths=" + " ".join(_quoted(f"-{each}") for each in dict.fromkeys(folders)))
        lines.append(_ROOT.rstrip("\n"))
    return "\n".join([*lines, _ANY_USER])


def _is_below(path: str, folder: str) -> bool:
    return PurePath(path).is_relative_to(folder)


def _quoted(word: str) -> str:
    """As systemd.syntax(7) has it: percent signs doubled, and quotes where there is anything that parts or joins words."""
    text = word.replace("%", "%%")
    if not any(each in text for each in " \t\"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
