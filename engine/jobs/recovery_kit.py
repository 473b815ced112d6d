"""The recovery kit: what a person needs on a foreign machine with nothing but the storage and stock restic."""

from __future__ import annotations

import datetime
import re
import shlex
from dataclasses import dataclass, field

from engine.errors import UsageError
from engine.model.definitions import Storage
from engine.model.secret import Secret
from engine.repository.repository import Repository

_WHERE = re.compile(r"^where {7}(.+)  \(kind ([a-z0-9-]+)\)$", re.MULTILINE)
_REPOSITORY = re.compile(r"^repository  ([0-9a-f]{64})$", re.MULTILINE)
_PASSWORD = re.compile(r"^password    (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Kit:
    """What a kit's text says."""

    location: str
    kind: str
    repository_id: str
    password: Secret = field(repr=False)


def read(kit: str) -> Kit:
    """What a person reads off the page. Raises: UsageError where it is no kit."""
    where, repository, password = (each.search(kit) for each in (_WHERE, _REPOSITORY, _PASSWORD))
    if where is None or repository is None or password is None:
        raise UsageError("that is no recovery kit", hint="`holdfast storage recovery-kit NAME` prints one")
    return Kit(where[1], where[2], repository[1], Secret(password[1]))


def text(storage: Storage, repository: Repository, password: Secret, now: datetime.datetime) -> str:
    """The kit as plain text, made to be printed and locked away."""
    place = shlex.quote(repository.location)
    return f"""\
RECOVERY KIT of the holdfast storage {storage.name}, made {now:%Y-%m-%d %H:%M} UTC
Whoever holds this page can read every backup of this storage. Keep it where the storage is not.

where       {repository.location}  (kind {storage.kind})
repository  {repository.id}
password    {password.reveal().decode(errors="backslashreplace")}

To restore without holdfast, install restic 0.14 or newer and type, giving the password when it asks:

  restic -r {place} snapshots
  restic -r {place} restore latest --target /some/empty/folder
  restic -r {place} check --read-data

A snapshot's tag holdfast:source=NAME says what it is of; a database lies in it as /KIND/NAME/databases/*.
To bring holdfast's own catalog back:

  holdfast recover --storage-kind {storage.kind} --path {place} --password -
"""
