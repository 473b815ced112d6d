"""Forms about backups: how one is taken, how one is downloaded, how one is shared."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.model.archives import FORMATS, USUAL_FORMAT, archive_name
from engine.model.backup import Backup, Scope
from engine.model.definitions import Storage
from engine.model.requests import BackupRequest, DownloadRequest, ShareRequest
from engine.model.secret import Secret
from engine.model.text import instant
from tui.dialogs.form import Field, Form, Values

if TYPE_CHECKING:
    from engine.model.job import Job
    from tui.app import ConsoleApp

_KINDS: Final = ("incremental", "full", "differential")
_SHARING: Final = frozenset(("s3", "azure", "gcs", "gs"))
"""Kinds of storage that mostly hand out links; any other says why it does not."""


class JobForm(Form):
    """A form whose end is a job, which `job` then is."""

    job: Job | None = None


def backup_form(console: ConsoleApp, sources: tuple[str, ...], storages: Sequence[Storage]) -> JobForm:
    """How these sources are backed up, this once."""
    names = [each.name for each in storages if each.is_enabled]

    def request(values: Values) -> BackupRequest:
        expires = values.get("expires", "")
        return BackupRequest(
            sources,
            tuple(values.get("to", "").split()),
            values["type"],
            Scope(values["only"]),
            tuple(values.get("tags", "").split()),
            values.get("before", ""),
            console.engine.instant(expires, is_ahead=True) if expires else None,
        )

    async def save(values: Values) -> None:
        form.job = await console.submit("backup", request(values), f"backing up {', '.join(sources)}")

    async def known(values: Values) -> str:
        for each in values["to"].split():
            await console.engine.show_storage(each)
        return "known"

    async def ahead(values: Values) -> str:
        return instant(console.engine.instant(values["expires"], is_ahead=True)) if values["expires"] else ""

    def preview(values: Values) -> Sequence[str]:
        return _command("backup", sources, {
            "--to": values.get("to", ""), "--type": _unless(values["type"], _KINDS[0]), "--only": _unless(values["only"], "all"),
            "--tag": values.get("tags", ""), "--before": values.get("before", ""), "--expires": values.get("expires", ""),
        }, several=("--to", "--tag"))  # fmt: skip

    fields = [
        Field("type", "type", _KINDS[0], "full reads everything again; what is known already is stored once", _KINDS),
        Field("only", "only", "all", "of a database server: a part of it; such a backup brings nothing else back", [each.value for each in Scope]),
        Field("to", "to", "", f"storages, with spaces between: {', '.join(names)}; the default one if empty", check=known),
        Field("tags", "tags", "", "with spaces between; rules of retention may keep them"),
        Field("before", "before", "", "the change that it is taken before"),
        Field("expires", "expires", "", "may be forgotten from then on: 30d, 2027-01-31", check=ahead),
    ]  # fmt: skip
    form = JobForm(f"Back up {', '.join(sources)}", fields, save, preview)
    return form


def download_form(console: ConsoleApp, backup: Backup, path: str = "/") -> JobForm:
    """One backup, or a part of it, into a file of this machine."""

    def request(values: Values, password: str) -> DownloadRequest:
        file = Path(values["file"]).expanduser().absolute()
        form_name = values["format"]
        if file.is_dir():
            file /= archive_name(backup, form_name, is_sealed=bool(password))
        return DownloadRequest(backup.backup_id, str(file), form_name, values.get("path") or "/", password)

    async def save(values: Values) -> None:
        asked = request(values, await _sealed_by(console, backup, values))
        form.job = await console.submit("download", asked, f"downloading to {asked.file}")

    async def free(values: Values) -> str:
        return await asyncio.to_thread(_room_at, values["file"])

    def preview(values: Values) -> Sequence[str]:
        return _command("download", (backup.backup_id,), {
            "--to": values["file"], "--format": values["format"], "--path": _unless(values.get("path", "/"), "/"),
            "--password": _reference(backup) if values.get("password") else "",
        })  # fmt: skip

    fields = [
        Field("file", "file", str(Path.cwd()), "a file that is not there yet, or a folder: then a name is made", is_needed=True, check=free),
        Field("format", "format", USUAL_FORMAT, "zip cannot hold all that a file system can", FORMATS),
        *_part_and_seal(backup, path),
    ]  # fmt: skip
    form = JobForm(f"Download {backup.backup_id} of {backup.source}", fields, save, preview)
    return form


def share_form(console: ConsoleApp, backup: Backup, storages: Sequence[Storage], path: str = "/") -> JobForm:
    """One backup, or a part of it, where a link leads to it."""
    names = sorted(
        (each.name for each in storages if each.is_enabled),
        key=lambda name: next(each.kind for each in storages if each.name == name) not in _SHARING,
    )

    async def save(values: Values) -> None:
        asked = ShareRequest(
            backup.backup_id,
            values["on"],
            console.engine.instant(values["expires"], is_ahead=True),
            values["format"],
            values.get("path") or "/",
        )
        asked = dataclasses.replace(asked, password=await _sealed_by(console, backup, values))
        form.job = await console.submit("share", asked, f"sharing {backup.backup_id}")

    async def ahead(values: Values) -> str:
        return f"until {instant(console.engine.instant(values['expires'], is_ahead=True))}"

    def preview(values: Values) -> Sequence[str]:
        return _command("share", (backup.backup_id,), {
            "--on": values["on"], "--expires": values["expires"], "--format": _unless(values["format"], USUAL_FORMAT),
            "--path": _unless(values.get("path", "/"), "/"), "--password": _reference(backup) if values.get("password") else "",
        })  # fmt: skip

    fields = [
        Field("on", "on", names[0] if names else "", "a storage that hands out links: s3, azure, google", names, is_needed=True),
        Field("expires", "expires", "2d", "how long the link leads there: 2d, 2027-01-31", is_needed=True, check=ahead),
        Field("format", "format", USUAL_FORMAT, "what the other side can unpack", FORMATS),
        *_part_and_seal(backup, path),
    ]  # fmt: skip
    form = JobForm(f"Share {backup.backup_id} of {backup.source}", fields, save, preview)
    return form


def _part_and_seal(backup: Backup, path: str) -> list[Field]:
    return [
        Field("path", "path", path, "only this file or folder of it; / is all"),
        Field(
            "password", "password", "", f"seals it, `age -d` opens it; the vault keeps it as {_name(backup)}", is_secret=True
        ),
    ]  # fmt: skip


async def _sealed_by(console: ConsoleApp, backup: Backup, values: Values) -> str:
    """The REF of the password that was typed, which the vault keeps for the worker; empty where none was."""
    if not values.get("password"):
        return ""
    await console.engine.set_secret(_name(backup), Secret(values["password"]))
    return _reference(backup)


def _room_at(name: str) -> str:
    file = Path(name).expanduser()
    if file.is_dir():
        return "into this folder"
    return "there is such a file" if file.exists() else "free"


def _name(backup: Backup) -> str:
    return f"archive.{backup.backup_id}"


def _reference(backup: Backup) -> str:
    return f"vault:{_name(backup)}"


def _unless(value: str, usual: str) -> str:
    return "" if value == usual else value


def _command(
    verb: str, names: Sequence[str], options: Mapping[str, str], *, several: Sequence[str] = ()
) -> Sequence[str]:
    words = ["holdfast", verb, *map(shlex.quote, names)]
    for option, value in options.items():
        if value:
            words += [option, value if option in several else shlex.quote(value)]
    return [" ".join(words)]
