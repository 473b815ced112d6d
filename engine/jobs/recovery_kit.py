"""The recovery kit: what a person needs on a foreign machine with nothing but the storage and stock restic."""

from __future__ import annotations

import datetime
import shlex

from engine.model.definitions import Storage
from engine.model.secret import Secret
from engine.repository.repository import Repository


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
