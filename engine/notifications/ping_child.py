"""The process that pings: one request on standard input, one reply on standard output.

Request: url, body, timeout_s. Reply: is_sent, why. Nothing of the address is in it.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Posts the body; what is no answer of 2xx is a failure."""
    asked = urllib.request.Request(  # noqa: S310 -- the parent saw to it that this is http or https
        request["url"],
        data=request["body"].encode(),
        method="POST",
        headers={"Content-Type": "text/plain; charset=utf-8", "User-Agent": "holdfast"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=request["timeout_s"]):  # noqa: S310 -- as above
            return {"is_sent": True, "why": ""}
    except urllib.error.HTTPError as error:
        return {"is_sent": False, "why": f"it answered {error.code} {error.reason}"}
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
        return {"is_sent": False, "why": said}


def main() -> None:
    """Answers one request."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
