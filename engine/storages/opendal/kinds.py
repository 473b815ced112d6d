"""The table of the kinds: the options of each, how they become opendal's arguments, and how stock restic calls the same place."""

from __future__ import annotations

import base64
import binascii
import datetime
import hmac
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from engine import errors
from engine.clock import Clock
from engine.storages.base import Opening, StockRestic, text_option
from engine.storages.opendal import google_login, room
from engine.storages.opendal.room import Room

Sign = Callable[[str, int], Awaitable[str]]
"""Makes the address of an object below the prefix from which anybody may read it for so many seconds."""
Login = Callable[[], Awaitable[str]]
"""Gives a token with some life left: the same one as long as it has."""


class Told:
    """A storage's options, read as the table needs them."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    @property
    def clock(self) -> Clock:
        """The storage's."""
        return self._opening.clock

    def text(self, name: str) -> str:
        """An option that must be there. Raises: ConfigurationError."""
        return text_option(self._opening.options, name)

    def has(self, name: str) -> bool:
        """Whether an option, or a secret, was given."""
        return bool(self._opening.options.get(name)) or name in self._opening.secrets

    def secret(self, name: str) -> str:
        """The value of a REF. Raises: ConfigurationError where it was not given, is empty, or is no text."""
        flag = f"--{name.replace('_', '-')}"
        if name not in self._opening.secrets:
            raise errors.ConfigurationError(f"the storage needs the option {name}", hint=f"give {flag}")
        try:
            value = self._opening.secrets[name].reveal().decode().strip()
        except UnicodeDecodeError:
            value = ""
        if not value or (name != "credentials" and not value.isprintable()):
            raise errors.ConfigurationError(f"the value of {flag} is empty or no line of text")
        return value

    def one_of(self, *names: str) -> str:
        """The one of these secrets that was given. Raises: ConfigurationError for none, and for several."""
        given = [name for name in names if self.has(name)]
        if len(given) != 1:
            flags = " or ".join(f"--{name.replace('_', '-')}" for name in names)
            raise errors.ConfigurationError(
                f"the storage needs one of {flags}, and was given {len(given)}", hint=f"give {flags}"
            )
        return given[0]

    def prefix(self) -> str:
        """The folder below the container, bucket or account: `a/b`, or empty. Raises: ConfigurationError."""
        value = self._opening.options.get("prefix") or ""
        path = str(value).strip("/")
        parts = path.split("/") if path else []
        if not path.isprintable() or any(part in ("", ".", "..") for part in parts):
            raise errors.ConfigurationError(
                f"the prefix {path!r} is no plain path", hint="give folders with / between them: a/b"
            )
        return path

    def endpoint(self, default: str = "") -> str:
        """An address without anything secret in it. Raises: ConfigurationError."""
        value = str(self._opening.options.get("endpoint") or default) or self.text("endpoint")
        try:
            parts = urlsplit(value)
            is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_whole = False
        if not is_whole or parts.query or parts.fragment or not value.isprintable() or " " in value:
            raise errors.ConfigurationError(
                f"the endpoint {value!r} is no address", hint="give one such as https://storage.example.org"
            )
        if parts.username is not None or parts.password is not None:
            raise errors.ConfigurationError(
                "the endpoint holds a login",
                hint="take it out of the address, and give it by its own options",
            )
        return value.rstrip("/")

    def plain(self, name: str) -> str:
        """A name that stands in an address. Raises: ConfigurationError."""
        value = self.text(name)
        if not value.isprintable() or set(value) & set("/ ?#%:@\\"):
            raise errors.ConfigurationError(f"the option {name} is {value!r}, which is no name")
        return value


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of storage."""

    name: str
    scheme: str
    """opendal's word for it."""
    arguments: Callable[[Told], dict[str, str]]
    """What opendal is given, but for the root."""
    location: Callable[[Told], str]
    """Where it is; stock restic's `-r`, where it can open it."""
    restic: Callable[[Told], StockRestic]
    login: Callable[[Told], Login | None] = lambda _told: None
    """What gets the token that is among the arguments, where opendal cannot keep one for its life."""
    signer: Callable[[Told], Sign | None] = lambda _told: None
    """What makes links, where the service takes signed ones and the key for it was given."""
    room: Callable[[Told], Room | None] = lambda _told: None
    """What asks for the room that there is, where the service tells."""
    longest_link_s: float = 7 * 86400.0
    """The longest life of a link."""
    connections: int = 5
    """Calls at once; restic's number."""
    is_put_atomic: bool = True
    """Whether an object appears whole, with its last byte; else it is written beside its name and renamed."""
    has_conditions: bool = False
    """Whether the service writes an object only where none of its name is, when it is asked to."""
    has_folders: bool = False
    """Whether a repository lies in a folder that somebody made, and is missing where nobody did."""
    holds_empty: bool = True
    """Whether an object may have no bytes. No object of a repository is empty."""
    lists_itself: bool = False
    """Whether a listing of a folder that is there is never empty."""


def _azure(told: Told) -> dict[str, str]:
    account = told.plain("account")
    arguments = {
        "container": told.plain("container"),
        "account_name": account,
        "endpoint": told.endpoint(f"https://{account}.blob.core.windows.net"),
    }
    if told.one_of("account_key", "sas_token") == "sas_token":
        return arguments | {"sas_token": told.secret("sas_token").removeprefix("?")}
    key = told.secret("account_key")
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise errors.ConfigurationError(
            "the value of --account-key is no key of an Azure account",
            hint="it is base64, as the portal shows it",
        ) from None
    return arguments | {"account_key": key}


def _azure_restic(told: Told) -> StockRestic:
    is_key = told.has("account_key")
    secret = {"AZURE_ACCOUNT_KEY": "account_key"} if is_key else {"AZURE_ACCOUNT_SAS": "sas_token"}
    copied = "copy the container's objects into a folder (azcopy, rclone), and give restic that folder"
    is_elsewhere = told.has("endpoint")
    return StockRestic(
        can_open=not is_elsewhere,
        environment={"AZURE_ACCOUNT_NAME": "account", **secret},
        note=f"restic reaches Azure's own addresses only: {copied}."
        if is_elsewhere
        else f"Debian builds newer restics without Azure: take restic's own build, or {copied}.",
    )


def _azure_signer(told: Told) -> Sign | None:
    """A service SAS for one blob, as version 2018-11-09 has it (Azure's documentation, Create a service SAS)."""
    if not told.has("account_key"):
        return None
    arguments = _azure(told)
    key = base64.b64decode(arguments["account_key"])
    endpoint, container, prefix = arguments["endpoint"], arguments["container"], told.prefix()

    async def signed(path: str, expires_s: int) -> str:
        expires_at = told.clock.now() + datetime.timedelta(seconds=expires_s)
        blob = f"{container}/{prefix}/{path}" if prefix else f"{container}/{path}"
        query = {
            "sp": "r",
            "se": f"{expires_at.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "spr": "https" if endpoint.startswith("https:") else "https,http",
            "sv": "2018-11-09",
            "sr": "b",
        }
        resource = f"/blob/{arguments['account_name']}/{blob}"
        fields = (query["sp"], "", query["se"], resource, "", "", query["spr"], query["sv"], query["sr"])
        text = "\n".join((*fields, *[""] * 6))
        signature = hmac.digest(key, text.encode(), "sha256")
        query["sig"] = base64.b64encode(signature).decode()
        return f"{endpoint}/{quote(blob)}?{urlencode(query)}"

    return signed


def _gcs(told: Told) -> dict[str, str]:
    arguments = {
        "bucket": told.plain("bucket"),
        "endpoint": told.endpoint("https://storage.googleapis.com"),
        # Nothing is taken from this machine that the definition does not name.
        "disable_vm_metadata": "true",
        "disable_config_load": "true",
    }
    if told.one_of("credentials", "token") == "token":
        return arguments | {"token": told.secret("token")}
    return arguments


def _gcs_login(told: Told) -> Login | None:
    if told.has("token"):
        return None
    return google_login.ServiceAccount(told.secret("credentials"), told.clock).token


def _gcs_signer(told: Told) -> Sign | None:
    """Version 4 of its signatures, by the service account's key (Google's documentation, V4 signing process). No request is sent."""
    if told.has("token"):
        return None
    arguments = _gcs(told)
    account = google_login.ServiceAccount(told.secret("credentials"), told.clock)
    endpoint, prefix = arguments["endpoint"], told.prefix()

    async def signed(path: str, expires_s: int) -> str:
        place = "/".join(filter(None, [arguments["bucket"], prefix, path]))
        return account.link(endpoint, f"/{quote(place)}", expires_s)

    return signed


def _gcs_restic(told: Told) -> StockRestic:
    if told.has("token"):
        return StockRestic(environment={"GOOGLE_ACCESS_TOKEN": "token"})
    return StockRestic(
        can_open=False,
        note=_typed(
            "restic 0.14 or newer opens this bucket, and reads the service account's key from a file",
            'printf %s "$HOLDFAST_CREDENTIALS" > key.json',
            'GOOGLE_APPLICATION_CREDENTIALS="$PWD/key.json"; export GOOGLE_APPLICATION_CREDENTIALS',
            *_restic_lines(KINDS["gcs"].location(told)),
        ),
    )


def _typed(what: str, *lines: str) -> str:
    """A note whose lines are typed by a person: they need what the kit exports below them, and more than the exports."""
    return "\n".join((f"{what}. After the exports below, type:", *(f"    {line}" for line in lines)))


def _restic_lines(place: str) -> list[str]:
    begin = f"restic -r {shlex.quote(place)}"
    return [
        f"{begin} snapshots",
        f"{begin} restore latest --tag holdfast:source=NAME --target /some/empty/folder",
        f"{begin} check --read-data",
    ]


def _b2(told: Told) -> dict[str, str]:
    return {
        "bucket": told.plain("bucket"),
        "bucket_id": told.plain("bucket_id"),
        "application_key_id": told.secret("access_key_id"),
        "application_key": told.secret("secret_key"),
    }


def _webdav(told: Told) -> dict[str, str]:
    arguments = {"endpoint": told.endpoint(), "disable_create_dir": "true"}
    if told.has("token"):
        return arguments | {"token": told.secret("token")}
    if told.has("user"):
        return arguments | {"username": told.text("user"), "password": told.secret("secret")}
    return arguments


def _webdav_room(told: Told) -> Room:
    folder = f"{told.endpoint()}/{quote(told.prefix())}/" if told.prefix() else f"{told.endpoint()}/"
    if told.has("token"):
        return room.of_webdav(folder, room.bearer(told.secret("token")))
    login = room.basic(told.text("user"), told.secret("secret")) if told.has("user") else {}
    return room.of_webdav(folder, login)


def _webdav_restic(told: Told) -> StockRestic:
    words = ["url=" + told.endpoint(), "vendor=other"]
    if told.has("user"):
        words.append("user=" + told.text("user"))
    line = "rclone config create holdfast webdav " + shlex.join(words)
    if told.has("token"):
        line += ' bearer_token="$HOLDFAST_TOKEN"'
    elif told.has("user"):
        line += ' pass="$(rclone obscure "$HOLDFAST_SECRET")"'
    return _by_rclone(line, told)


def _by_rclone(line: str, told: Told) -> StockRestic:
    """restic has no such backend of its own; `line` makes rclone's remote `holdfast`."""
    return StockRestic(
        can_open=False,
        note=_typed(
            "restic 0.14 or newer opens this place through rclone, which is needed, too",
            line,
            *_restic_lines(f"rclone:holdfast:{told.prefix()}"),
        ),
    )


def _by_token(told: Told) -> dict[str, str]:
    """Dropbox, Google Drive, OneDrive: an access token, which lasts for hours, or what gets one anew for each run."""
    if told.one_of("refresh_token", "token") == "token":
        return {"access_token": told.secret("token")}
    arguments = {"refresh_token": told.secret("refresh_token"), "client_id": told.text("client_id")}
    if told.has("client_secret"):
        arguments["client_secret"] = told.secret("client_secret")
    return arguments


def _with_client_secret(told: Told) -> dict[str, str]:
    if told.has("refresh_token"):
        told.secret("client_secret")
    return _by_token(told)


def _drive_restic(backend: str, more: str = "") -> Callable[[Told], StockRestic]:
    """`backend` and `more` are rclone's words. A refresh token beside an access token that is over makes rclone get a new one."""

    def told_restic(told: Told) -> StockRestic:
        line = f"rclone config create holdfast {backend}{more}"
        if told.has("token"):
            shell = _rclone_token('"access_token":"\'"$HOLDFAST_TOKEN"\'"', 2100)
            return _by_rclone(line + shell, told)
        line += f" client_id={shlex.quote(told.text('client_id'))}"
        if told.has("client_secret"):
            line += ' client_secret="$HOLDFAST_CLIENT_SECRET"'
        shell = _rclone_token('"access_token":"","refresh_token":"\'"$HOLDFAST_REFRESH_TOKEN"\'"', 2000)
        return _by_rclone(line + shell, told)

    return told_restic


def _rclone_token(fields: str, expiry_year: int) -> str:
    """A word for the shell, which fills in the secret."""
    return f' token=\'{{{fields},"token_type":"Bearer","expiry":"{expiry_year}-01-01T00:00:00Z"}}\''


def _swift(told: Told) -> dict[str, str]:
    return {
        "endpoint": told.endpoint(),
        "container": told.plain("container"),
        "token": told.secret("token"),
    }


def _swift_room(told: Told) -> Room:
    return room.of_swift(told.endpoint(), told.plain("container"), told.secret("token"))


def _at(word: str, name: str | None = None) -> Callable[[Told], str]:
    """`gs:BUCKET:/PREFIX`, as restic writes it; without a container `dropbox:/PREFIX`."""
    if name is None:
        return lambda told: f"{word}:/{told.prefix()}"
    return lambda told: f"{word}:{told.plain(name)}:/{told.prefix()}"


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "azure",
            "azblob",
            _azure,
            _at("azure", "container"),
            _azure_restic,
            signer=_azure_signer,
            longest_link_s=365 * 86400.0,  # Azure sets no bound; the account's policy may
            has_conditions=True,
        ),
        Kind("gcs", "gcs", _gcs, _at("gs", "bucket"), _gcs_restic, login=_gcs_login, signer=_gcs_signer),
        # B2 lends tokens for links, but opendal 0.47 cannot put an archive of unknown length there: its large files end with a list of
        # checksums that are empty, and B2 holds each against its part.
        Kind(
            "b2",
            "b2",
            _b2,
            _at("b2", "bucket"),
            lambda _told: StockRestic(
                environment={"B2_ACCOUNT_ID": "access_key_id", "B2_ACCOUNT_KEY": "secret_key"}
            ),
        ),
        Kind(
            "swift",
            "swift",
            _swift,
            _at("swift", "container"),
            lambda _told: StockRestic(
                environment={"OS_STORAGE_URL": "endpoint", "OS_AUTH_TOKEN": "token"},
                note="The token is as old as this page, and tokens expire: `openstack token issue` gives a new one.",
            ),
            room=_swift_room,
        ),
        Kind(
            "webdav",
            "webdav",
            _webdav,
            lambda told: f"{told.endpoint()}/{told.prefix()}",
            _webdav_restic,
            room=_webdav_room,
            is_put_atomic=False,
            has_folders=True,
            lists_itself=True,
        ),
        Kind(
            "dropbox",
            "dropbox",
            _with_client_secret,
            _at("dropbox"),
            _drive_restic("dropbox"),
            has_folders=True,
        ),
        Kind(
            "gdrive",
            "gdrive",
            _with_client_secret,
            _at("gdrive"),
            _drive_restic("drive", " scope=drive"),
            has_folders=True,
            holds_empty=False,
        ),
        Kind(
            "onedrive",
            "onedrive",
            _by_token,
            _at("onedrive"),
            _drive_restic("onedrive"),
            has_folders=True,
            holds_empty=False,
        ),
    )
}
