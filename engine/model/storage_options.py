"""The options of storages, by kind: what each takes, what it must have, and which of them are secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it is typed; a secret is kept as a REF, under its name with `_ref` behind it."""

    name: str
    """With `_` for `-`."""
    help: str
    metavar: str | None = None
    type: str = "text"
    """text, count, size or hours."""
    choices: tuple[str, ...] = ()
    is_secret: bool = False
    is_flag: bool = False

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def kept_as(self) -> str:
        """What the catalog calls it."""
        return f"{self.name}_ref" if self.is_secret else self.name


OPTIONS: Final = (
    Option("path", "the directory of the repository", "DIR"),
    Option("host", "the host that it lies on; `holdfast host add` makes it known", "HOST"),
    Option("bucket", "the bucket; in S3 it is made where there is none", "BUCKET"),
    Option("bucket_id", "the bucket's id, as Backblaze shows it", "ID"),
    Option("container", "the container", "NAME"),
    Option(
        "endpoint",
        "s3, azure, gcs: another address than AWS's, Azure's or Google's; webdav: the folder's; swift: the storage's",
        "URL",
    ),
    Option("address", "where the server is", "HOST[:PORT]"),
    Option("url", "where the server is, without the login", "URL"),
    Option("remote", "one of its remotes and the folder there", "NAME:PATH"),
    Option("rclone_config", "its configuration, where that is not in its usual place", "FILE"),
    Option("rclone_program", "the program, where it is not in PATH", "FILE"),
    Option("prefix", "the folder below the bucket, container or account", "PREFIX"),
    Option("region", "where the bucket lies", "REGION"),
    Option(
        "addressing",
        "the name of the bucket in the path, or in the host; auto",
        choices=("auto", "path", "virtual"),
    ),
    Option(
        "access_key_id",
        "s3: left out: the keys or role of this machine; b2: the id of the application key",
        is_secret=True,
    ),
    Option("secret_key", "the key itself", is_secret=True),
    Option("session_token", "of temporary keys", is_secret=True),
    Option("profile", "the profile in ~/.aws instead of keys", "PROFILE"),
    Option("account", "the storage account", "NAME"),
    Option("account_key", "the account's key", is_secret=True),
    Option("sas_token", "a shared access signature instead of the key", is_secret=True),
    Option("credentials", "the JSON key of a service account", is_secret=True),
    Option("user", "who logs in", "NAME"),
    Option("secret", "the login's password", is_secret=True),
    Option("token", "an access token", is_secret=True),
    Option("client_id", "the id of the registered application", "ID"),
    Option("client_secret", "the application's secret", is_secret=True),
    Option("refresh_token", "gets an access token for each run", is_secret=True),
    Option("storage_class", "of packs; all else stays standard", "CLASS"),
    Option(
        "encryption",
        "by the service, beside that of holdfast",
        choices=("AES256", "aws:kms", "aws:kms:dsse"),
    ),
    Option("kms_key", "with aws:kms", "KEY"),
    Option("retention_mode", "object lock of all that is written", choices=("governance", "compliance")),
    Option("retention_days", "how long it is locked", "DAYS", "count"),
    Option("legal_hold", "all that is written is held until somebody lets it go", is_flag=True),
    Option(
        "conditional_writes",
        "nothing is written over the same bytes: a bucket with versions keeps one, and its policy may demand it",
        is_flag=True,
    ),
    Option("append_only", "nothing is ever deleted but locks", is_flag=True),
    Option(
        "ca_file",
        "the authorities that sign the server's certificate, in PEM, where the system does not know them",
        "FILE",
    ),
    Option("insecure_tls", "trust any certificate", is_flag=True),
    Option("plain", "without TLS, so that the login is there for all to read", is_flag=True),
    Option("proxy", "a proxy of its own: http://HOST:PORT or socks5://HOST:PORT", "URL"),
    Option("proxy_user", "who logs in to the proxy", "NAME"),
    Option("proxy_secret", "the password for it", is_secret=True),
    Option("timeout", "seconds without a byte moving; 60, for rest 600, for ftp 120", "SECONDS", "count"),
    Option("connections", "calls at once", "N", "count"),
    Option("limit_upload", "KiB a second, always", "KIB", "count"),
    Option("limit_download", "KiB a second, always", "KIB", "count"),
    Option("limit_hours", "the local hours in which these limits hold: 08:00-18:00", "HOURS", "hours"),
    Option("max_size", "packs beyond this are refused: 500G", "SIZE", "size"),
)
OF_EVERY_KIND: Final = ("connections", "limit_upload", "limit_download", "limit_hours", "max_size")
_SHARED: Final = ("prefix", "append_only", "timeout")
PROXY: Final = ("proxy", "proxy_user", "proxy_secret")
_BY_TOKEN: Final = (*_SHARED, "token", "refresh_token", "client_id", "client_secret")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the storages of one kind are told."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, without those of every kind."""
        return self.needed + self.optional


KINDS: Final[Mapping[str, Kind]] = {
    "local": Kind(needed=("path",)),
    "s3": Kind(
        needed=("bucket",),
        optional=(
            "endpoint",
            "region",
            "prefix",
            "addressing",
            "access_key_id",
            "secret_key",
            "session_token",
            "profile",
            "storage_class",
            "encryption",
            "kms_key",
            "retention_mode",
            "retention_days",
            "legal_hold",
            "conditional_writes",
            "append_only",
            "ca_file",
            "insecure_tls",
            *PROXY,
            "timeout",
        ),
    ),
    "ftp": Kind(needed=("address", "path"), optional=("user", "secret", "ca_file", "plain", "timeout")),
    "rclone": Kind(needed=("remote",), optional=("rclone_config", "rclone_program", *PROXY)),
    "rest": Kind(needed=("url",), optional=("user", "secret", "ca_file", "plain", *PROXY, "timeout")),
    "sftp": Kind(needed=("host", "path")),
    "azure": Kind(
        needed=("container", "account"),
        optional=(*_SHARED, "account_key", "sas_token", "endpoint"),
    ),
    "b2": Kind(needed=("bucket", "bucket_id", "access_key_id", "secret_key"), optional=_SHARED),
    "dropbox": Kind(needed=(), optional=_BY_TOKEN),
    "gcs": Kind(needed=("bucket",), optional=(*_SHARED, "credentials", "token", "endpoint")),
    "gdrive": Kind(needed=(), optional=_BY_TOKEN),
    "onedrive": Kind(needed=(), optional=_BY_TOKEN),
    "swift": Kind(needed=("container", "endpoint", "token"), optional=_SHARED),
    "webdav": Kind(needed=("endpoint",), optional=(*_SHARED, "user", "secret", "token")),
}
"""Kinds that other packages add take every option."""
FILES: Final = ("ca_file", "rclone_config")
"""Options that name a file of this machine."""
BY_NAME: Final = {each.name: each for each in OPTIONS}


def taken_by(kind: str) -> tuple[Option, ...]:
    """The options that storages of that kind take."""
    known = KINDS.get(kind)
    return OPTIONS if known is None else tuple(BY_NAME[each] for each in (*known.names, *OF_EVERY_KIND))


def missing(kind: str, given: Mapping[str, object]) -> tuple[Option, ...]:
    """The options that such a storage must have and that are not among what the catalog would keep."""
    needed = KINDS[kind].needed if kind in KINDS else ()
    return tuple(BY_NAME[each] for each in needed if BY_NAME[each].kept_as not in given)


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds that take the option of that name; none where it is one of every kind."""
    return tuple(kind for kind, known in KINDS.items() if name in known.names)
