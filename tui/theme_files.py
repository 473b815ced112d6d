"""The files of themes, in `themes/` beside the program and in `themes/` of the home: where they lie, which is wanted, whether one changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from engine.errors import UsageError

BUILT_IN: Final = Path(__file__).parents[1] / "themes"
SUFFIX: Final = ".toml"
SIXTEEN: Final = "sixteen"
"""The theme of a terminal that is not known to show more."""
DEFAULT: Final = "dark"


def usual(environment: Mapping[str, str]) -> str:
    """Where no theme is wanted: the terminal's own colours, where it is not known to show more, or is not to show any."""
    has_many = environment.get("COLORTERM", "") in ("truecolor", "24bit")
    return DEFAULT if has_many and not environment.get("NO_COLOR") else SIXTEEN


def require_theme(home: Path, name: str) -> None:
    """Raises: UsageError where there is no theme of that name; an empty one is no name."""
    names = sorted({path.stem for folder in folders(home) for path in folder.glob(f"*{SUFFIX}")})
    if name and name not in names:
        raise UsageError(f"there is no theme {name}", hint=f"there are {', '.join(names)}")


def folders(home: Path) -> Sequence[Path]:
    """Where themes lie; one of a later folder takes the place of one of the same name."""
    return (BUILT_IN, home / "themes")


def stamp(home: Path) -> Sequence[tuple[str, int]]:
    """Changes when a theme's file or the preferences do: a few looks at files."""
    found = [
        home / "console.toml",
        *(path for folder in folders(home) for path in sorted(folder.glob(f"*{SUFFIX}"))),
    ]
    return [(str(path), _changed_at(path)) for path in found]


def _changed_at(path: Path) -> int:
    """Nanoseconds; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
