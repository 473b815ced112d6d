"""What lets the first screen come sooner: while everything is imported and made, nothing is thrown away, so nobody looks for what could be."""

from __future__ import annotations

import gc


def begin() -> None:
    """To be called before anything is imported that takes long."""
    gc.disable()


def end() -> None:
    """The first screen is there: garbage is looked for again, but not among what was made so far, which stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
