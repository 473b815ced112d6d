"""A child process for one blocking call: what it may not do in time is ended with it, and its memory goes with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from engine.errors import NotificationError

_PASSED_ON: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
"""Of our environment: the rest is nobody's business."""


async def ask(module: str, request: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
    """Runs `python -m module`, gives it the request as JSON on its standard input, and returns the JSON object that it prints.

    Cancelled or late, the child is killed. Raises: NotificationError where it did not end in time, or printed nothing.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate(json.dumps(request).encode())
    except TimeoutError as error:
        raise NotificationError(f"it did not answer within {timeout_s:g} seconds") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    try:
        return cast("Mapping[str, Any]", json.loads(said))
    except ValueError as error:
        raise NotificationError(f"the process that sends ended with status {process.returncode}") from error
