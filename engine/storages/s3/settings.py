"""The options of an S3 storage, as they are understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from engine import errors
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import proxy as proxies
from engine.storages.base import StockRestic, count_option, text_option
from engine.storages.proxy import Proxy

CONNECTIONS: Final = 5
"""Calls at once, as restic's S3 backend has them."""
TIMEOUT_S: Final = 60
"""Without a byte moving; botocore's own default."""
PART_BYTES: Final = 200 << 20
"""Larger objects go up in parts of that size, as restic sends them; a service takes 5 GiB at once, and 10,000 parts."""
DEFAULT_REGION: Final = "us-east-1"
_LOOKUPS: Final = {"auto": "auto", "path": "path", "virtual": "dns"}
"""Addressing style -> what restic calls it."""
_MODES: Final = ("governance", "compliance")
_ENCRYPTIONS: Final = ("AES256", "aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the repository is, and how its objects are kept."""

    bucket: str
    endpoint: str = ""
    """With its scheme, without a path; empty for AWS."""
    region: str = ""
    prefix: str = ""
    """Without a slash at its ends."""
    addressing: str = "auto"
    storage_class: str = ""
    """Of packs. All else stays in the standard class: a restore reads it first, and must not wait for an archive."""
    encryption: str = ""
    kms_key: str = ""
    ca_file: str = ""
    verifies_tls: bool = True
    profile: str = ""
    retention_mode: str = ""
    retention_days: int = 0
    """Of everything but locks, which come and go."""
    has_legal_hold: bool = False
    is_append_only: bool = False
    is_conditional: bool = False
    """Whether nothing is ever written over what is there with the same bytes: a bucket that keeps versions, or locks them, keeps one, and a
    policy may demand the condition of every writer. Ceph 16 heeds the condition in buckets without versions only."""
    proxy: Proxy | None = None
    timeout_s: float = TIMEOUT_S
    connections: int = CONNECTIONS
    part_bytes: int = PART_BYTES

    @property
    def location(self) -> str:
        """What stock restic takes behind its `-r`."""
        host = f"s3.{self.region}.amazonaws.com" if self.region else "s3.amazonaws.com"
        return "/".join(
            ["s3:" + (self.endpoint or f"https://{host}"), self.bucket, *filter(None, [self.prefix])]
        )

    @property
    def is_locking(self) -> bool:
        """Whether objects are protected from being deleted as they are written."""
        return bool(self.retention_mode) or self.has_legal_hold

    def restic(self, options: Mapping[str, OptionValue]) -> StockRestic:
        """How stock restic gets at it."""
        flags = ["-o", f"s3.bucket-lookup={_LOOKUPS[self.addressing]}"] if self.addressing != "auto" else []
        flags += ["--cacert", self.ca_file] if self.ca_file else []
        flags += [] if self.verifies_tls else ["--insecure-tls"]
        environment = {
            "AWS_ACCESS_KEY_ID": "access_key_id",
            "AWS_SECRET_ACCESS_KEY": "secret_key",
            "AWS_SESSION_TOKEN": "session_token",
            "AWS_PROFILE": "profile",
            "AWS_DEFAULT_REGION": "region",
            "HTTPS_PROXY" if not self.endpoint.startswith("http:") else "HTTP_PROXY": "proxy",
        }
        is_archived = self.storage_class.upper() in ("GLACIER", "DEEP_ARCHIVE")
        note = (
            f"Its packs lie in the class {self.storage_class}: bring them back from there first (aws s3api restore-object), which takes hours."
            if is_archived
            else ""
        )
        note = f"{note} {proxies.advice(self.proxy)}".strip()
        has_keys = "access_key_id_ref" in options
        if not has_keys and not self.profile:
            note = f"{note} It was opened with what the machine itself was allowed: find keys that may read the bucket.".strip()
        return StockRestic(environment=environment, flags=flags, note=note)


def read(options: Mapping[str, OptionValue], secrets: Mapping[str, Secret] | None = None) -> Settings:
    """`secrets` are the values of those options that are REFs. Raises: ConfigurationError, naming the option."""
    mode = _choice(options, "retention_mode", _MODES)
    days = count_option(options, "retention_days") or 0
    if bool(mode) != bool(days):
        raise errors.ConfigurationError(
            "a retention needs both its mode and its days", hint="give --retention-mode and --retention-days"
        )
    encryption = _choice(options, "encryption", _ENCRYPTIONS)
    kms_key = _text(options, "kms_key")
    if kms_key and encryption in ("", "AES256"):
        raise errors.ConfigurationError(
            "a key of the key service means nothing without its encryption", hint="give --encryption aws:kms"
        )
    return Settings(
        bucket=_bucket(options),
        endpoint=_endpoint(options),
        region=_text(options, "region"),
        prefix=_text(options, "prefix").strip("/"),
        addressing=_choice(options, "addressing", tuple(_LOOKUPS)) or "auto",
        storage_class=_text(options, "storage_class"),
        encryption=encryption,
        kms_key=kms_key,
        ca_file=_text(options, "ca_file"),
        verifies_tls=options.get("insecure_tls") is not True,
        profile=_text(options, "profile"),
        retention_mode=mode.upper(),
        retention_days=days,
        has_legal_hold=options.get("legal_hold") is True,
        is_append_only=options.get("append_only") is True,
        is_conditional=options.get("conditional_writes") is True,
        proxy=proxies.read(options, secrets or {}),
        timeout_s=float(count_option(options, "timeout") or TIMEOUT_S),
        connections=count_option(options, "connections") or CONNECTIONS,
    )


def _text(options: Mapping[str, OptionValue], name: str) -> str:
    return text_option(options, name) if options.get(name) is not None else ""


def _choice(options: Mapping[str, OptionValue], name: str, choices: tuple[str, ...]) -> str:
    value = _text(options, name)
    if value and value not in choices:
        raise errors.ConfigurationError(
            f"the option {name} is {value!r}, but must be one of {', '.join(choices)}"
        )
    return value


def _bucket(options: Mapping[str, OptionValue]) -> str:
    bucket = text_option(options, "bucket")
    if "/" in bucket:
        raise errors.ConfigurationError(
            f"{bucket!r} is no bucket's name", hint="what stands behind the slash is the --prefix"
        )
    return bucket


def _endpoint(options: Mapping[str, OptionValue]) -> str:
    endpoint = _text(options, "endpoint")
    if not endpoint:
        return ""
    parsed = _url(endpoint if "://" in endpoint else f"https://{endpoint}", "endpoint")
    if parsed.path.strip("/") or parsed.query:
        raise errors.ConfigurationError(
            f"the endpoint {endpoint} holds more than a host", hint="the bucket is given by --bucket, the rest by --prefix"
        )  # fmt: skip
    return f"{parsed.scheme}://{parsed.netloc}"


def _url(text: str, name: str) -> SplitResult:
    try:
        parsed = urlsplit(text)
        is_good = parsed.scheme in ("http", "https") and bool(parsed.hostname) and (parsed.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise errors.ConfigurationError(
            f"the option {name} is no address of a server", hint="as in https://s3.example.org or http://127.0.0.1:9000"
        )  # fmt: skip
    if parsed.username is not None or parsed.password is not None:
        raise errors.ConfigurationError(
            f"the option {name} holds a name or password, which everybody would see", hint="leave it out"
        )
    return parsed
