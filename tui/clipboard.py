"""The terminal's clipboard: OSC 52, wrapped where tmux or screen stand between, as their manuals say."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

MOST_BYTES: Final = 74_994
"""Of base64 text: what xterm and most others take (xterm's own bound is 100,000 with its framing; 74,994 is the one that is safe everywhere)."""
_SCREEN_CHUNK: Final = 76
"""screen cuts device control strings at 768 bytes; its users wrap at 76, as base64 does."""


def sequence(text: str, environment: Mapping[str, str]) -> str:
    """What to write to the terminal so that it copies a text; empty where the text is too long."""
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    if len(encoded) > MOST_BYTES:
        return ""
    plain = f"\x1b]52;c;{encoded}\x07"
    if environment.get("TMUX"):
        return "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("TERM", "").startswith("screen"):
        chunks = [plain[start : start + _SCREEN_CHUNK] for start in range(0, len(plain), _SCREEN_CHUNK)]
        return "".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks)
    return plain
