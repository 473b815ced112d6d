"""The service: units of systemd that run the worker, put in place, taken away, and looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from engine import units
from engine.errors import ConfigurationError, HoldfastError
from engine.model.definitions import LOCAL_HOST
from engine.model.units import UnitChange, UnitsRequest, UnitState
from engine.service.parts import Methods
from engine.units import UnitOptions

_SYSTEM_FOLDER: Final = Path("/etc/systemd/system")
_RUNNING: Final = Path("/run/systemd/system")
"""Is there where systemd runs this machine (sd_booted(3))."""
_TIMEOUT_S: Final = 90


class UnitMethods(Methods):
    """systemd."""

    async def plan_units(self, request: UnitsRequest) -> Sequence[UnitChange]:
        """What `install_units` would write, and which of the other units it would take away. Raises: ConfigurationError."""
        wanted = await self._wanted(request)
        folder = unit_folder(os.environ, is_user=request.is_user)
        return [_change(folder / name, wanted.get(name, "")) for name in units.NAMES]

    async def install_units(self, request: UnitsRequest) -> Sequence[UnitChange]:
        """Writes the units, and starts them where systemd runs. A second time it changes nothing. Raises: ConfigurationError, HoldfastError."""
        changes = [each for each in await self.plan_units(request) if each.is_change]
        gone = [Path(each.path).name for each in changes if not each.after]
        if gone:
            _control(request.is_user, "disable", "--now", *gone)
        _write(changes)
        begun = units.TIMER if request.is_timer else units.WORKER
        if changes:
            _control(request.is_user, "daemon-reload")
            _control(request.is_user, "reenable", begun)
            _control(request.is_user, "restart", begun)
            await self._parts.write_down("service install", begun)
        else:
            _control(request.is_user, "enable", "--now", begun)
        return changes

    async def remove_units(self, *, is_user: bool) -> Sequence[UnitChange]:
        """Stops the units and takes them away. Raises: HoldfastError."""
        folder = unit_folder(os.environ, is_user=is_user)
        changes = [each for each in (_change(folder / name, "") for name in units.NAMES) if each.is_change]
        if changes:
            _control(is_user, "disable", "--now", *(Path(each.path).name for each in changes))
            _write(changes)
            _control(is_user, "daemon-reload")
            await self._parts.write_down(
                "service uninstall", ", ".join(Path(each.path).name for each in changes)
            )
        return changes

    async def unit_states(self, *, is_user: bool) -> Sequence[UnitState]:
        """How each unit is."""
        folder = unit_folder(os.environ, is_user=is_user)
        texts = {
            **await self._wanted(UnitsRequest(is_user, is_timer=True)),
            **await self._wanted(UnitsRequest(is_user)),
        }
        found = []
        for name in units.NAMES:
            before = _change(folder / name, "").before
            active, enabled = (
                _ask(is_user, word, name) if before else "" for word in ("is-active", "is-enabled")
            )
            is_current = _without_key(before) == _without_key(texts[name])
            found.append(UnitState(name, str(folder / name), bool(before), is_current, active, enabled))
        return found

    async def _wanted(self, request: UnitsRequest) -> Mapping[str, str]:
        if request.vault_key and not Path(request.vault_key).is_absolute():
            raise ConfigurationError(
                f"{request.vault_key} is no absolute path", hint="say where the vault's key lies from / on"
            )
        storages = await self._parts.catalog.storages.all()
        paths = [each.options.get("path") for each in storages if each.kind == "local"]
        paths += [
            os.path.dirname(str(each.options.get("path", "")))  # noqa: PTH120 -- of what is no path either
            for each in await self._parts.catalog.sources.all()
            if each.kind == "sqlite" and each.host == LOCAL_HOST
        ]
        spill = self._parts.settings.spill.folder
        options = UnitOptions(
            program(),
            str(self._parts.home.directory),
            request.is_user,
            tuple(sorted(str(each) for each in (*paths, spill) if each)),
            request.vault_key,
            request.is_key_encrypted,
            self._parts.settings.worker.grace_s,
        )
        return units.tick_units(options) if request.is_timer else units.worker_units(options)


def program() -> Sequence[str]:
    """The command of this very installation, from / on."""
    beside = Path(sys.executable).parent / "holdfast"
    return (str(beside),) if beside.exists() else (sys.executable, "-P", "-m", "engine")


def unit_folder(environment: Mapping[str, str], *, is_user: bool) -> Path:
    """Where systemd reads the units of this machine, or of the user. Raises: ConfigurationError where the environment names no home."""
    if not is_user:
        return _SYSTEM_FOLDER
    configuration = environment.get("XDG_CONFIG_HOME", "")
    if configuration.startswith("/"):
        return Path(configuration) / "systemd/user"
    if not environment.get("HOME"):
        raise ConfigurationError("there is no place for a user's units", hint="set HOME")
    return Path(environment["HOME"]) / ".config/systemd/user"


def _change(path: Path, after: str) -> UnitChange:
    try:
        before = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        before = ""
    return UnitChange(str(path), before, after)


def _write(changes: Sequence[UnitChange]) -> None:
    for each in changes:
        path = Path(each.path)
        try:
            if not each.after:
                path.unlink(missing_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}.new")
            aside.write_text(each.after, encoding="utf-8")
            aside.chmod(0o644)
            aside.replace(path)
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be written: {error.strerror}",
                hint="as root; or --user, for a service of your own; or --print, and put it there yourself",
            ) from error


def _without_key(text: str) -> list[str]:
    """What a unit says but for the credential, which only whoever installs it knows."""
    return [line for line in text.splitlines() if not line.startswith("LoadCredential")]


def _control(is_user: bool, *words: str) -> None:
    """Asks systemd for something, where it runs. Raises: HoldfastError with what it answers."""
    if not is_systemd_running():
        return
    command = ["systemctl", *(["--user"] if is_user else []), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise HoldfastError(f"{' '.join(command)} did not end within {_TIMEOUT_S} seconds") from None
    if done.returncode:
        raise HoldfastError(
            f"{' '.join(command)} failed: {' '.join(done.stderr.split())}", hint="holdfast service status"
        )


def _ask(is_user: bool, word: str, name: str) -> str:
    if not is_systemd_running():
        return ""
    command = ["systemctl", *(["--user"] if is_user else []), word, name]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        ).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""


def is_systemd_running() -> bool:
    """Whether units can be started here now."""
    return _RUNNING.is_dir() and shutil.which("systemctl") is not None
