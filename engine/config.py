"""The home: where catalog, vault key, cache and logs lie; and config.toml in it, which holds what a machine's administrator decides.

Environment and user are arguments. Nothing in here is a secret: config.toml says where the vault's key comes from, never what it is.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError
from engine.model.alerts import AlertSettings
from engine.model.names import nearest
from engine.model.toml_lines import line_of

ROOT_HOME = Path("/var/lib/holdfast")


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that holds all that holdfast keeps on this machine."""

    directory: Path

    @classmethod
    def locate(cls, option: str | None, environment: Mapping[str, str], uid: int) -> Home:
        """The home by `--home`, else HOLDFAST_HOME, else root's own, else $XDG_DATA_HOME/holdfast. Nothing is created.

        Raises: ConfigurationError where the environment names neither a home nor a home directory.
        """
        named = option or environment.get("HOLDFAST_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        if uid == 0:
            return cls(ROOT_HOME)
        data = environment.get("XDG_DATA_HOME", "")
        if data.startswith("/"):  # the specification says that a relative one is ignored
            return cls(Path(data) / "holdfast")
        if environment.get("HOME"):
            return cls(Path(environment["HOME"]) / ".local/share/holdfast")
        raise ConfigurationError(
            "there is no place for holdfast's home", hint="set HOLDFAST_HOME, or say --home"
        )

    def ensure(self) -> None:
        """Creates the folder for its owner alone, with those above it. Raises: ConfigurationError."""
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self.directory.mkdir(mode=0o700, exist_ok=True)
            if not stat.S_ISDIR(self.directory.stat().st_mode):
                raise NotADirectoryError(20, "Not a directory")
            self.cache.mkdir(mode=0o700, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the home {self.directory} cannot be used: {error.strerror}",
                hint="say another one by --home or HOLDFAST_HOME",
            ) from error

    @property
    def catalog(self) -> Path:
        """The catalog's file."""
        return self.directory / "catalog.db"

    @property
    def reading_copy(self) -> Path:
        """The copy of the catalog for readers: beside the home, which they cannot enter."""
        return self.directory.with_name(f"{self.directory.name}.readers") / "catalog.db"

    @property
    def evidence(self) -> Path:
        """The folder of what drills leave; made by the first one."""
        return self.directory / "evidence"

    @property
    def vault_key(self) -> Path:
        """The file of the vault's key, where it is no other place's."""
        return self.directory / "vault.key"

    @property
    def settings(self) -> Path:
        """config.toml; it need not be there."""
        return self.directory / "config.toml"

    @property
    def cache(self) -> Path:
        """Copies of what repositories hold; may be deleted at any time."""
        return self.directory / "cache"

    @property
    def logs(self) -> Path:
        """The log files."""
        return self.directory / "logs"


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """[limits]: how much at once, and how fast."""

    jobs: int = 8
    """Jobs at once, beyond which no worker takes another; what a person runs waits for none."""
    host_jobs: int = 2
    """Jobs at one host."""
    storage_jobs: int = 4
    """Jobs at one storage."""
    hosts: Mapping[str, int] = field(default_factory=dict)
    """Name -> jobs, where it is not host_jobs."""
    storages: Mapping[str, int] = field(default_factory=dict)
    """Name -> jobs, where it is not storage_jobs."""
    upload_kib_s: int = 0
    """KiB a second; 0 is no limit."""
    download_kib_s: int = 0


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """[vault]: where its key comes from."""

    key: str = ""
    """env:NAME, file:PATH, command:CMD or systemd:NAME; empty for the file in the home."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """[logs]: how much of the experts' log is kept."""

    file_bytes: int = 10_000_000
    files: int = 5


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """[catalog]: what is done that it is never lost."""

    copies: bool = True
    """Whether a backup seals a copy of it into its storages, when something was defined or changed since the last one."""


@dataclass(frozen=True, slots=True)
class SpillSettings:
    """[spill]: the buffer on disk of backups to several storages, for those that are slower than the others."""

    folder: str = ""
    """A folder that is there, on a disk with room; empty for the home's cache."""
    limit_bytes: int = 10 << 30
    """At most so much, and at most half of what is free there; 0 for no buffer: then a slow storage slows the others down."""
    wait_s: int = 3600
    """How long a job goes on, in all, for storages that are behind when the others are done. Who would need longer is dropped."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """[worker]: how jobs that wait are run."""

    grace_s: int = 60
    """Told to stop, a worker lets jobs go on for so long; those that are not over then are cancelled, and tried again by the next worker."""
    attempts: int = 3
    """How often a job that may be repeated is tried, where nothing else was said."""
    retry_s: int = 60
    """Before the second attempt; four times as long before each further one, an hour at most."""
    schedules: bool = True
    """Whether it starts what is due, and looks at hosts and storages. Where not, it runs what people ask for alone."""


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """[readers]: who may look at the catalog without owning the home."""

    group: str = ""
    """A Unix group; the worker keeps a copy of the catalog for it, beside the home, without secrets. Empty: nobody."""


@dataclass(frozen=True, slots=True)
class Settings:
    """config.toml."""

    limits: LimitSettings = field(default_factory=LimitSettings)
    vault: VaultSettings = field(default_factory=VaultSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    catalog: CatalogSettings = field(default_factory=CatalogSettings)
    spill: SpillSettings = field(default_factory=SpillSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    readers: ReaderSettings = field(default_factory=ReaderSettings)


_LEAST: Mapping[str, int] = {
    "upload_kib_s": 0,
    "download_kib_s": 0,
    "file_bytes": 10_000,
    "limit_bytes": 0,
    "wait_s": 0,
    "low_percent": 0,
    "quiet_minutes": 0,
    "grace_s": 0,
    "retry_s": 0,
}
"""The least value of a number; 1 where none is named."""


def read_settings(path: Path) -> Settings:
    """Reads config.toml; a file that is not there is an empty one. Raises: ConfigurationError, with file and line."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ConfigurationError(f"{path} cannot be read: {reason}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from error
    return _Reader(path, text).settings(document)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns a parsed document into settings."""

    path: Path
    text: str

    def settings(self, document: Mapping[str, Any]) -> Settings:
        self._refuse_unknown("", document, Settings)
        parts: dict[str, Any] = {}
        kinds: Mapping[str, type[Any]] = {
            "limits": LimitSettings,
            "vault": VaultSettings,
            "logs": LogSettings,
            "catalog": CatalogSettings,
            "spill": SpillSettings,
            "worker": WorkerSettings,
            "alerts": AlertSettings,
            "readers": ReaderSettings,
        }
        for name, kind in kinds.items():
            table = document.get(name, {})
            if not isinstance(table, dict):
                raise self._mistake("", name, "is a table")
            self._refuse_unknown(name, table, kind)
            defaults: Any = kind()
            values: dict[str, Any] = {
                key: self._value(name, key, value, getattr(defaults, key)) for key, value in table.items()
            }
            parts[name] = kind(**values)
        return Settings(**parts)

    def _value(self, table: str, key: str, value: object, default: object) -> object:
        if isinstance(default, dict):
            if not isinstance(value, dict):
                raise self._mistake(table, key, "is a table of names and whole numbers")
            return {name: self._value(f"{table}.{key}", name, each, 1) for name, each in value.items()}
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise self._mistake(table, key, "is true or false")
            return value
        if isinstance(default, str):
            if not isinstance(value, str):
                raise self._mistake(table, key, "is a text")
            return value
        least = _LEAST.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._mistake(table, key, f"is a whole number, at least {least}")
        return value

    def _refuse_unknown(self, table: str, given: Mapping[str, Any], kind: type[Any]) -> None:
        known = [each.name for each in fields(kind)]
        for key in given:
            if key not in known:
                near = nearest(key, known)
                raise ConfigurationError(
                    f"{self.path}, line {line_of(self.text, table, key)}: there is no setting {_dotted(table, key)}",
                    hint=f"did you mean {_dotted(table, near)}?"
                    if near
                    else f"there are: {', '.join(known)}",
                )

    def _mistake(self, table: str, key: str, expectation: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path}, line {line_of(self.text, table, key)}: {_dotted(table, key)} {expectation}"
        )


def _dotted(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key
