"""The options of storages, by kind: what each takes, what it must have, and which of them are secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import UsageError
from engine.model.definitions import OptionValue
from engine.model.options import Option


def _secret(name: str, help: str) -> Option:  # noqa: A002 -- what an Option calls it
    return Option(name, help, is_secret=True, suffix="_ref")


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
    Option("rclone_config", "its configuration, where that is not in its usual place", "FILE", is_file=True),
    Option("rclone_program", "the program, where it is not in PATH", "FILE", is_file=True),
    Option("prefix", "the folder below the bucket, container or account", "PREFIX"),
    Option("region", "where the bucket lies", "REGION"),
    Option(
        "addressing",
        "the name of the bucket in the path, or in the host; auto",
        choices=("auto", "path", "virtual"),
    ),
    _secret(
        "access_key_id", "s3: left out: the keys or role of this machine; b2: the id of the application key"
    ),
    _secret("secret_key", "the key itself"),
    _secret("session_token", "of temporary keys"),
    Option("profile", "the profile in ~/.aws instead of keys", "PROFILE"),
    Option("account", "the storage account", "NAME"),
    _secret("account_key", "the account's key"),
    _secret("sas_token", "a shared access signature instead of the key"),
    _secret("credentials", "the JSON key of a service account"),
    Option("user", "who logs in", "NAME"),
    _secret("secret", "the login's password"),
    _secret("token", "an access token"),
    Option("client_id", "the id of the registered application", "ID"),
    _secret("client_secret", "the application's secret"),
    _secret("refresh_token", "gets an access token for each run"),
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
        is_file=True,
    ),
    Option("insecure_tls", "trust any certificate", is_flag=True),
    Option("plain", "without TLS, so that the login is there for all to read", is_flag=True),
    Option("proxy", "a proxy of its own: http://HOST:PORT or socks5://HOST:PORT", "URL"),
    Option("proxy_user", "who logs in to the proxy", "NAME"),
    _secret("proxy_secret", "the password for it"),
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


def check(kind: str, options: Mapping[str, object]) -> None:
    """Raises: UsageError for an option that storages of that kind do not take, and for one that is missing."""
    if lacking := missing(kind, options):
        flags = " ".join(each.flag for each in lacking)
        raise UsageError(f"a storage of kind {kind} needs {flags}", hint="holdfast storage add --help")
    check_taken(kind, options)


def check_taken(kind: str, options: Mapping[str, object]) -> None:
    """Raises: UsageError for an option that storages of that kind do not take."""
    if kind not in KINDS:
        return
    known = taken_by(kind)
    kept = {each.kept_as for each in known}
    for option in options:
        if option not in kept:
            name = option.removesuffix("_ref")
            takers = kinds_of(name)
            who = f"{', '.join(takers)} {'takes' if len(takers) == 1 else 'take'} it"
            flags = " ".join(each.flag for each in known)
            raise UsageError(
                f"--{name.replace('_', '-')} means nothing to a storage of kind {kind}: {who}",
                hint=_instead(kind) if name in PROXY else f"it takes {flags}",
            )


def _instead(kind: str) -> str:
    """How a storage of that kind goes by way of a proxy."""
    if kind == "sftp":
        return "its host is reached by way of another one: holdfast host edit HOST --jump OTHER"
    if kind in ("local", "ftp"):
        return "it goes by way of none"
    return "one for all storages of such kinds stands in the environment: HTTPS_PROXY or ALL_PROXY"


def shaped(
    kind: str, options: Mapping[str, OptionValue], absolute: Callable[[str], str]
) -> dict[str, OptionValue]:
    """As the catalog keeps them: paths on this machine from its root on, which `absolute` makes them."""
    kept = dict(options)
    for option in ("path", *FILES) if kind == "local" else FILES:
        path = kept.get(option)
        if isinstance(path, str):
            kept[option] = absolute(path)
    return kept
