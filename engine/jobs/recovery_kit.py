"""The recovery kit: what a person needs on a foreign machine with nothing but the storage and stock restic."""

from __future__ import annotations

import contextlib
import datetime
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from engine.errors import UsageError
from engine.jobs import kit_databases
from engine.jobs.log_store import LOGS_TAG
from engine.jobs.snapshot_tags import SOURCE_TAG
from engine.model.definitions import Host, OptionValue, Source, Storage
from engine.model.secret import Secret
from engine.repository.repository import Repository
from engine.storages.base import StockRestic

_KIND = re.compile(r"^where {7}.+  \(kind ([a-z0-9-]+)\)$", re.MULTILINE)
_REPOSITORY = re.compile(r"^repository  ([0-9a-f]{64})$", re.MULTILINE)
_PASSWORD = re.compile(r"^password    (.+)$", re.MULTILINE)
_EXPORT = re.compile(r"^  export ([A-Z0-9_]+)=(.+)$", re.MULTILINE)
_HOST = re.compile(r"^  holdfast host add (.+)$", re.MULTILINE)
_FIRST = re.compile(r"^  (echo .+)$", re.MULTILINE)
_HOST_KEY = re.compile(r"^  echo '\S+ (\S+ \S+)' > known_hosts\.", re.MULTILINE)
_RESTIC = re.compile(r"^  (restic .+) snapshots$", re.MULTILINE)
_RECOVER = re.compile(r"^  holdfast recover (.+) --password -(?: --vault-key -)?$", re.MULTILINE)
_VAULT_KEY = re.compile(r"^vault key   (\S+)$", re.MULTILINE)

_SHOWN = 20
"""Sources that a line is printed for."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a kit's text says."""

    kind: str
    options: Mapping[str, OptionValue]
    """How the storage is defined, without what is secret."""
    secrets: Mapping[str, Secret] = field(repr=False)
    """By the option's name."""
    repository_id: str
    password: Secret = field(repr=False)
    vault_key: Secret | None = field(default=None, repr=False)
    """Opens the secrets in the storage's copy of the catalog."""
    restic: Sequence[str] = ()
    """The words before stock restic's verb; none where it cannot open the storage."""
    environment: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    """What is exported for it, besides the password."""
    first: Sequence[str] = ()
    """Lines of shell that are typed before it."""
    host: Host | None = None
    """That the storage lies on, with the key that it shows; a passphrase is not in the kit, and is `-`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the repository of a kit is."""

    location: str
    repository_id: str
    restic: StockRestic
    vault_key: Secret | None = None
    """Of the home that the storage belongs to."""
    sources: Sequence[Source] = ()
    """Of which it holds backups."""
    recover_first: Sequence[str] = ()


def place_of(
    repository: Repository, vault_key: Secret | None = None, sources: Sequence[Source] = ()
) -> Place:
    """That of a repository that is open."""
    traits = repository.storage.traits
    return Place(repository.location, repository.id, traits.restic, vault_key, sources, traits.recover_first)


def read(kit: str) -> Kit:
    """What a person reads off the page. Raises: UsageError where it is no kit."""
    kind, repository, password, recover = (
        each.search(kit) for each in (_KIND, _REPOSITORY, _PASSWORD, _RECOVER)
    )
    if kind is None or repository is None or password is None or recover is None:
        raise UsageError("that is no recovery kit", hint="`holdfast storage recovery-kit NAME` prints one")
    exported = {name: "".join(shlex.split(value)) for name, value in _EXPORT.findall(kit)}
    options: dict[str, OptionValue] = {}
    secrets = {}
    for name, value in _options(shlex.split(recover[1])[2:]):
        if isinstance(value, str) and value.startswith("env:"):
            variable = value.removeprefix("env:")
            if variable not in exported:
                raise UsageError(f"the kit exports no {variable}", hint="it was cut: print it again")
            secrets[name] = Secret(exported[variable])
        else:
            options[name] = value
    key = _VAULT_KEY.search(kit)
    restic = _RESTIC.search(kit)
    return Kit(
        kind[1],
        options,
        secrets,
        repository[1],
        Secret(password[1]),
        None if key is None else Secret(key[1]),
        shlex.split(restic[1]) if restic else (),
        {name: Secret(value) for name, value in exported.items()},
        _FIRST.findall(kit),
        _host(kit),
    )


def _options(words: Sequence[str]) -> Iterator[tuple[str, str | bool]]:
    """Name and value of each option of a command line; True for one without."""
    left = list(words)
    while left:
        name = left.pop(0).removeprefix("--").replace("-", "_")
        yield name, True if not left or left[0].startswith("--") else left.pop(0)


def _host(kit: str) -> Host | None:
    """The host that the kit has a person define, trusted by the key that the kit shows."""
    found, key = _HOST.search(kit), _HOST_KEY.search(kit)
    if found is None:
        return None
    name, *words = shlex.split(found[1])
    given: dict[str, OptionValue] = {"host_key": (key[1],)} if key else {}
    identities: tuple[str, ...] = ()
    address = name
    for option, value in _options(words):
        if option == "address":
            address = str(value)
        elif option == "identity":
            given["identity"] = identities = (*identities, str(value))
        elif option != "accept_key":
            given[option] = value
    return Host(name, "ssh", address, given)


def text(
    storage: Storage,
    place: Place,
    password: Secret,
    secrets: Mapping[str, Secret],
    now: datetime.datetime,
) -> str:
    """The kit as plain text, made to be printed and locked away. `secrets` are those of the storage's options, by the option's name."""
    variables = _variables(place.restic, secrets)
    return f"""\
RECOVERY KIT of the holdfast storage {storage.name}, made {now:%Y-%m-%d %H:%M} UTC
Whoever holds this page can read every backup of this storage, and what the vault keeps. Keep it where the storage is not.

where       {place.location}  (kind {storage.kind})
repository  {place.repository_id}
password    {_revealed(password)}
{_key_line(place)}
{_without_us(place, _exports(place.restic, storage.options, secrets, variables))}
A snapshot's tag holdfast:source=NAME says what it is of; one with holdfast:logs-of=NAME is the log between its backups.

{_live_again(place)}To bring holdfast's own catalog back, with all that was defined, into an empty home:

{_recover_first(place)}  holdfast recover --storage-kind {storage.kind}{_typed(storage.options, variables)} --password -{" --vault-key -" if place.vault_key else ""}
"""


def _live_again(place: Place) -> str:
    return "".join(kit_databases.lines(each) for each in place.sources[:_SHOWN])


def essentials(kit: str) -> str:
    """What of a kit's text cannot be found out again, in few enough letters for a code that a telephone reads off a terminal."""
    kept = [
        each
        for each in kit.splitlines()
        if each.startswith(("where ", "repository ", "password ", "vault key "))
    ]
    exports = [each.strip() for each in kit.splitlines() if each.startswith("  export ")]
    return "\n".join([*kept, *exports]) + "\n"


def _key_line(place: Place) -> str:
    return f"vault key   {_revealed(place.vault_key)}\n" if place.vault_key else ""


def _recover_first(place: Place) -> str:
    return "".join(f"  holdfast {each}\n" for each in place.recover_first)


def _without_us(place: Place, exports: Sequence[str]) -> str:
    """How stock restic gets at it."""
    restic = place.restic
    lines = [restic.note] if restic.note else []
    if restic.can_open:
        lines.append(
            "To restore without holdfast, install restic 0.14 or newer and type, giving the password when it asks:"
        )
    elif exports:
        lines.append("What holdfast needs:")
    lines += ["", *(f"  {each}" for each in (*restic.first, *exports))]
    if restic.can_open:
        begin = shlex.join(["restic", *restic.flags, "-r", place.location])
        shown = place.sources[:_SHOWN]
        tags = [
            *(f"{SOURCE_TAG}{name}" for name in [each.name for each in shown] or ["NAME"]),
            *(f"{LOGS_TAG}{each.name}" for each in shown if kit_databases.has_log(each)),
        ]
        restores = [
            f"restore latest --tag {shlex.quote(tag)} --target {kit_databases.FOLDER}" for tag in tags
        ]
        lines += [f"  {begin} {verb}" for verb in ("snapshots", *restores, "check --read-data")]
    return "\n".join(lines) + "\n"


def _variables(restic: StockRestic, secrets: Mapping[str, Secret]) -> dict[str, str]:
    """The variable that each secret option's value is exported in: restic's own, where it has one."""
    by_option = {option: variable for variable, option in restic.environment.items()}
    return {name: by_option.get(name, f"HOLDFAST_{name.upper()}") for name in secrets}


def _exports(
    restic: StockRestic,
    options: Mapping[str, OptionValue],
    secrets: Mapping[str, Secret],
    variables: Mapping[str, str],
) -> list[str]:
    values = {variable: _on_one_line(_revealed(secrets[name])) for name, variable in variables.items()}
    for variable, option in restic.environment.items():
        if option in options:
            values[variable] = str(options[option])
    return [f"export {variable}={shlex.quote(value)}" for variable, value in values.items()]


def _on_one_line(secret: str) -> str:
    """A key that is a file of JSON, as those of Google's service accounts are, without its line breaks."""
    if "\n" not in secret:
        return secret
    with contextlib.suppress(ValueError):
        return orjson.dumps(orjson.loads(secret)).decode()
    return secret


def _typed(options: Mapping[str, OptionValue], variables: Mapping[str, str]) -> str:
    """The options as they are typed, each behind a blank."""
    words = []
    for name, value in options.items():
        if value in (None, False):
            continue
        option = name.removesuffix("_ref")
        words.append("--" + option.replace("_", "-"))
        if option in variables and name != option:
            words.append(f"env:{variables[option]}")
        elif value is not True:
            words.append(str(value))
    return "".join(f" {shlex.quote(each)}" for each in words)


def _revealed(secret: Secret) -> str:
    return secret.reveal().decode(errors="backslashreplace")
