"""Kind `rclone`: whatever rclone reaches, through `rclone serve restic` as a child of ours."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

import orjson

from engine import errors
from engine.scope import task_scope
from engine.storages import proxy as proxies
from engine.storages.base import Opening, Space, StockRestic, Traits, count_option, text_option
from engine.storages.rest import bridge
from engine.storages.rest.bridge import Bridge, Rclone
from engine.storages.rest.client import Behind, RestStorage

CONNECTIONS = 5
_REMOTE = re.compile(r":?[\w.+@][\w.+@ -]*(?:,[^:]*)?:.*", re.ASCII | re.DOTALL)
"""NAME:PATH, or :BACKEND,OPTION=VALUE:PATH."""


@contextlib.asynccontextmanager
async def open_rclone(opening: Opening) -> AsyncIterator[RestStorage]:
    """Options: `remote` (NAME:PATH), `rclone_config`, `rclone_program`, `connections`, `proxy`, `proxy_user`, `proxy_secret` (REF).

    Two servers, so that nothing is ever overwritten: one adds, and is started now; the other deletes, and is started when something is to
    be deleted. Raises: ConfigurationError, StorageError.
    """
    rclone = _rclone(opening)
    connections = count_option(opening.options, "connections", CONNECTIONS) or CONNECTIONS
    async with task_scope() as group:
        adding = Bridge(rclone, group, is_append_only=True)
        deleting = Bridge(rclone, group, is_append_only=False)

        def last_log() -> str:
            return deleting.last_error() or adding.last_error()

        async def space() -> Space:
            return await _space(rclone)

        try:
            await adding.door()
            yield RestStorage(
                Behind(
                    rclone.remote.partition(":")[0] or rclone.remote,
                    f"rclone:{rclone.remote}",
                    Traits(connections=connections, restic=_restic(rclone)),
                    adding.door,
                    deleting.door,
                    last_log,
                    space,
                )
            )
        finally:
            await adding.close()
            await deleting.close()


def _rclone(opening: Opening) -> Rclone:
    """Raises: ConfigurationError."""
    remote = text_option(opening.options, "remote").removeprefix("rclone:")
    if not _REMOTE.fullmatch(remote):
        raise errors.ConfigurationError(
            f"{remote!r} is no remote of rclone",
            hint="write --remote NAME:PATH; `rclone listremotes` names them",
        )
    config = opening.options.get("rclone_config")
    program = opening.options.get("rclone_program") or "rclone"
    proxy = proxies.read(opening.options, opening.secrets)
    return Rclone(str(program), remote, None if config is None else str(config), proxy)


def _restic(rclone: Rclone) -> StockRestic:
    program = () if rclone.program == "rclone" else ("-o", f"rclone.program={rclone.program}")
    config = rclone.config or "~/.config/rclone/rclone.conf"
    return StockRestic(
        environment={"RCLONE_CONFIG": "rclone_config", "HTTPS_PROXY": "proxy"},
        flags=program,
        note=f"The program rclone is needed, and its configuration {config}, which holds the login: keep a copy of that, too. "
        f"{proxies.advice(rclone.proxy)}".rstrip(),
    )


async def _space(rclone: Rclone) -> Space:
    """What `rclone about` says; not known where the remote does not tell."""
    said = await bridge.run(rclone, "about", "--json", rclone.remote)
    try:
        found = orjson.loads(said or b"{}")
        free, total = found.get("free"), found.get("total")
    except (orjson.JSONDecodeError, AttributeError):
        return Space(None, None)
    is_known = isinstance(free, int) and free >= 0
    return Space(
        free if is_known else None, total if is_known and isinstance(total, int) and total >= free else None
    )
