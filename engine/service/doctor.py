"""What a bug report needs: versions, the state of home, catalog, worker and storages, and what went wrong lately; no secret, no name.

Connects to nothing, and runs no command that a REF names. The catalog is read whole, to see whether it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import engine
from engine.config import Home
from engine.errors import HoldfastError
from engine.jobs import left_restores
from engine.model.job import JobStatus
from engine.model.secret import Secret
from engine.service import measured
from engine.service.anonymous import Anonymous
from engine.service.parts import Parts

_LIBRARIES: Final = ("asyncssh", "aiosqlite", "croniter", "cryptography", "msgspec", "orjson", "pyfastcdc", "reportlab", "zstandard", "textual", "opendal", "aioboto3", "aiohttp", "aioftp")  # fmt: skip
_TOOLS: Final = {"ssh": "-V", "restic": "version", "rclone": "version", "tar": "--version", "pg_restore": "--version", "mariadb": "--version", "redis-server": "--version", "mongodump": "--version", "systemctl": "--version"}  # fmt: skip
"""Programs of this machine that some verbs use, and how each says its version."""
_TOOL_S: Final = 3.0
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+\w*|\b\d+\b")
_JOBS: Final = 20
_ERRORS: Final = 20
_TAIL_BYTES: Final = 512 << 10
"""Of the log that is looked through, from its end."""


async def examine(parts: Parts) -> dict[str, Any]:
    """All of it."""
    catalog = parts.catalog
    anonymous = await _anonymous(parts)
    jobs = await catalog.jobs.page(limit=_JOBS)
    failed = await catalog.jobs.page(status=JobStatus.FAILED, limit=_ERRORS)
    interrupted = await catalog.jobs.page(status=JobStatus.INTERRUPTED, limit=_ERRORS)
    wrong = sorted([*failed, *interrupted], key=lambda job: job.created_at, reverse=True)[:_ERRORS]
    machine = await asyncio.to_thread(_of_machine, parts.home)
    logged = await asyncio.to_thread(_logged, parts.home, anonymous)
    return {
        **machine,
        "config": _config(parts),
        "catalog_version": await catalog.version(),
        "catalog_findings": [anonymous.text(each) for each in await catalog.check()],
        "catalog_bytes": catalog.path.stat().st_size,
        "workers": [
            {
                "version": each.version,
                "alive": each in await catalog.workers.alive(),
                "lease_until": each.lease_until.isoformat(),
            }
            for each in await catalog.workers.all()
        ],
        **await _defined(parts),
        "jobs_by_status": _by_status(await catalog.history.counts()),
        "jobs": [
            {"verb": job.verb, "status": job.status.value, "error_class": job.error_class} for job in jobs
        ],
        "errors": [
            {
                "at": job.created_at.isoformat(),
                "verb": job.verb,
                "error_class": job.error_class,
                "error": anonymous.text(job.error),
            }
            for job in wrong
        ],
        "restores_left": [
            anonymous.text(f"{each.sentence}: {each.remedy}") for each in await left_restores.left(catalog)
        ],
        "log": logged,
    }


async def examine_closed(home: Home, problem: str) -> dict[str, Any]:
    """What is known without a catalog, `problem` being why there is none: in place of the log the reason why it is not shown."""
    anonymous = Anonymous({"home": [str(home.directory)], "host": [platform.node()]})
    return {
        **await asyncio.to_thread(_of_machine, home),
        "catalog_findings": [anonymous.text(problem)],
        "log": [],
        "left_out": "jobs, errors and the log: without the catalog nobody knows the names in them that are to be masked",
    }


def _by_status(counts: Iterable[Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in counts:
        found[each.status.value] += each.count
    return dict(found)


async def _defined(parts: Parts) -> dict[str, Any]:
    """What is defined, by kind."""
    catalog = parts.catalog
    hosts, sources, storages = (
        await catalog.hosts.all(),
        await catalog.sources.all(),
        await catalog.storages.all(),
    )
    known = [(each, await measured.measured(parts, each.name)) for each in storages]
    return {
        "counts": {
            "hosts": len(hosts),
            "sources": len(sources),
            "storages": len(storages),
            "plans": len(await catalog.plans.all()),
            "backups": await catalog.backups.count(),
            "secrets": len(await parts.vault.names()),
        },
        "host_kinds": dict(Counter(each.kind for each in hosts)),
        "source_kinds": dict(Counter(each.kind for each in sources)),
        "storage_kinds": dict(Counter(each.kind for each in storages)),
        "storages": [
            {
                "kind": storage.kind,
                "enabled": storage.is_enabled,
                "default": storage.is_default,
                "reachable": last.is_reachable if last is not None else None,
                "free_bytes": last.free_bytes if last is not None else None,
            }
            for storage, last in known
        ],
    }


def _config(parts: Parts) -> list[str]:
    """Which settings are not the usual ones; not what they are."""
    usual = type(parts.settings)()
    return [
        f"{section}.{name}"
        for section in parts.settings.__slots__
        for name in getattr(parts.settings, section).__slots__
        if getattr(getattr(parts.settings, section), name) != getattr(getattr(usual, section), name)
    ]


async def _anonymous(parts: Parts) -> Anonymous:
    """Knows every name that is defined, every text of an option, and every secret that can be had without running anything."""
    catalog = parts.catalog
    hosts, sources, storages = (
        await catalog.hosts.all(),
        await catalog.sources.all(),
        await catalog.storages.all(),
    )
    options = [
        *(each.options for each in hosts), *(each.options for each in sources), *(each.options for each in storages)
    ]  # fmt: skip
    values = [text for each in options for text in _texts(each)]
    references = {*values, *(each.password for each in storages)}
    names = {
        "host": [
            *(each.name for each in hosts),
            *(each.address for each in hosts if each.address),
            platform.node(),
        ],
        "source": [each.name for each in sources],
        "storage": [each.name for each in storages],
        "plan": [each.name for each in await catalog.plans.all()],
        "user": [parts.actor.user, parts.actor.login, parts.actor.sudo_user],
        "option": values,
        "home": [str(parts.home.directory)],
    }
    return Anonymous(names, await _secrets(parts, references))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, Sequence):
        yield from (text for each in value for text in _texts(each))


async def _secrets(parts: Parts, references: Iterable[str]) -> list[Secret]:
    found = []
    vault = [f"vault:{name}" for name, _ in await parts.vault.names()]
    for reference in (*vault, *references):
        kind, _, rest = reference.partition(":")
        # What is no plain file may make us wait for ever.
        is_file = kind == "file" and await asyncio.to_thread(_is_file, rest)
        if kind in ("vault", "env", "systemd") or is_file:
            with contextlib.suppress(HoldfastError):
                found.append(await parts.secrets(reference))
    return found


def _is_file(path: str) -> bool:
    return Path(path).expanduser().is_file()


def _of_machine(home: Home) -> dict[str, Any]:
    """What holdfast runs on."""
    return {
        "holdfast": engine.__version__,
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "tools": _tools(),
        "processors": os.cpu_count(),
        "home": _home(home),
    }


def _home(home: Home) -> dict[str, Any]:
    """The home's own state: whom it is open to, and how much room it has."""
    space = shutil.disk_usage(home.directory)
    found: dict[str, Any] = {
        "free_bytes": space.free,
        "total_bytes": space.total,
        "modes": {},
        "findings": [],
    }
    for name, path in (
        ("home", home.directory), ("catalog", home.catalog), ("vault_key", home.vault_key), ("config", home.settings), ("logs", home.logs), ("cache", home.cache),
    ):  # fmt: skip
        try:
            status = path.stat()
        except OSError as error:
            if name in ("home", "catalog"):
                found["findings"].append(f"{name}: {error.strerror}")
            continue
        mode = stat.S_IMODE(status.st_mode)
        found["modes"][name] = f"{mode:04o}"
        if mode & 0o077 and name != "config":
            found["findings"].append(f"{name} is open to others: {mode:04o}")
        if status.st_uid != os.getuid():
            found["findings"].append(f"{name} belongs to another user")
    if space.free < max(space.total // 20, 1 << 30):
        found["findings"].append("little room is left")
    return found


def _logged(home: Home, anonymous: Anonymous) -> list[dict[str, str]]:
    """The last warnings and errors of the log, newest last; of a traceback where in the program it went."""
    try:
        with (home.logs / "holdfast.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(line)
            if record["level"] in ("warning", "error", "critical"):
                found.append(
                    {
                        "at": str(record["at"]),
                        "level": record["level"],
                        "logger": str(record["logger"]),
                        "message": anonymous.text(str(record["message"])),
                        "where": " ".join(
                            re.findall(
                                r"/((?:engine|tui)/[\w/]+\.py\", line \d+)", str(record.get("traceback", ""))
                            )
                        ).replace('", line ', ":"),
                    }
                )
    return found[-_ERRORS:]


def _tools() -> dict[str, str]:
    """Those that are there, with their versions."""
    found = {}
    for name, word in _TOOLS.items():
        path = shutil.which(name)
        if path is None:
            continue
        found[name] = "found"
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                [path, word], capture_output=True, check=False, timeout=_TOOL_S, stdin=subprocess.DEVNULL
            )
            number = _NUMBER.search((done.stdout + done.stderr).decode(errors="replace"))
            found[name] = number[0] if number else "found"
    return found


def _version(name: str) -> str:
    from importlib import metadata  # 14 ms that only a diagnosis pays for

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
