"""The table of storages, and the one place where a storage gets its wrappers: connections, bandwidth limits, retries."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import cast

from engine import errors, events
from engine.clock import Clock
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages.base import Member, Opening, OpenStorage, Reach, count_option, text_option
from engine.storages.quota import QuotaStorage
from engine.storages.retry import Patience, RetryingStorage
from engine.storages.throttle import Hours, LimitedStorage, ThrottledStorage

MEMBERS: Mapping[str, str] = {
    "azure": "engine.storages.opendal:open_azure",
    "b2": "engine.storages.opendal:open_b2",
    "dropbox": "engine.storages.opendal:open_dropbox",
    "gcs": "engine.storages.opendal:open_gcs",
    "gdrive": "engine.storages.opendal:open_gdrive",
    "local": "engine.storages.local:open_local",
    "s3": "engine.storages.s3.storage:open_s3",
    "ftp": "engine.storages.ftp.storage:open_ftp",
    "rest": "engine.storages.rest.server:open_rest",
    "rclone": "engine.storages.rest.rclone:open_rclone",
    "sftp": "engine.storages.sftp.storage:open_sftp",
    "onedrive": "engine.storages.opendal:open_onedrive",
    "swift": "engine.storages.opendal:open_swift",
    "webdav": "engine.storages.opendal:open_webdav",
}
"""Kind -> "module:callable" (a `base.Member`), loaded on use: a script pays at each start for what is imported."""

ENTRY_POINTS = "holdfast.storages"
"""The entry-point group by which other packages add kinds; none replaces one of ours."""


def kinds() -> tuple[str, ...]:
    """All kinds that can be opened here, sorted."""
    return tuple(sorted({*MEMBERS, *_strangers()}))


def load(kind: str) -> Member:
    """What opens storages of that kind. Raises: UnknownNameError; ConfigurationError where a package that it needs is not installed."""
    target = MEMBERS.get(kind) or _strangers().get(kind)
    if target is None:
        raise errors.UnknownNameError(
            f"there is no kind of storage named {kind}", hint=f"known kinds: {', '.join(kinds())}"
        )
    module, _, name = target.partition(":")
    try:
        return cast("Member", getattr(importlib.import_module(module), name))
    except ModuleNotFoundError as error:
        raise errors.ConfigurationError(
            f"storages of kind {kind} need the package {error.name}", hint=f"pip install {error.name}"
        ) from error


def _strangers() -> Mapping[str, str]:
    """The kinds that other packages add. Loads importlib.metadata on use: it costs more than the rest of this module."""
    from importlib import metadata

    return {point.name: point.value for point in metadata.entry_points(group=ENTRY_POINTS)}


@contextlib.asynccontextmanager
async def open_storage(  # noqa: PLR0913 -- what a member is opened with, and how its wrappers wait and tell
    kind: str,
    options: Mapping[str, OptionValue],
    *,
    clock: Clock,
    secrets: Mapping[str, Secret] | None = None,
    reach: Reach | None = None,
    emit: events.Emit = events.ignore,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[OpenStorage]:
    """Opens a storage, with its wrappers on; leaving the context closes it. `emit` hears of each retry; `sleep` is how retries and limits wait.

    Options of every kind: `connections` (calls at once), `limit_upload` and `limit_download` (KiB/s, as restic's flags of that name),
    `limit_hours` (HH:MM-HH:MM, the local hours in which those limits hold), `max_size` (bytes of packs that it may hold), `retry_limit` (seconds that one call is retried, default 900). `secrets` holds the values of those options that are REFs;
    `reach` is the host that the option `host` names.

    Raises: UnknownNameError for the kind; ConfigurationError for an option; what the member raises.
    """
    member = load(kind)
    upload = count_option(options, "limit_upload")
    download = count_option(options, "limit_download")
    max_bytes = count_option(options, "max_size")
    hours = Hours.parse(text_option(options, "limit_hours")) if options.get("limit_hours") else None
    patience = Patience(limit_s=float(count_option(options, "retry_limit") or Patience().limit_s))
    async with member(Opening(options=options, clock=clock, secrets=secrets or {}, reach=reach)) as opened:
        storage: OpenStorage = LimitedStorage(
            opened, count_option(options, "connections") or opened.traits.connections
        )
        if upload is not None or download is not None:
            storage = ThrottledStorage(
                storage, upload_kib_s=upload, download_kib_s=download, clock=clock, sleep=sleep, hours=hours
            )
        storage = RetryingStorage(storage, patience, clock=clock, sleep=sleep, draw=random.random, emit=emit)
        yield storage if max_bytes is None else QuotaStorage(storage, max_bytes)
