"""`make screens`: the pictures of the README, each scene at 80x24 and 200x60. The same bytes each time."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

os.environ["TEXTUAL_ANIMATIONS"] = "none"

from tests.tui import scenes

SIZES: Final = ((80, 24), (200, 60))


async def _draw(home: Path, folder: Path) -> None:
    for name, scene in scenes.SCENES.items():
        for width, height in SIZES:
            async with scenes.opened(home, name, (width, height)) as seat:
                title = f"holdfast: {scene.title}"
                picture = seat.app.export_screenshot(title=title, simplify=True)
                (folder / f"{name}-{width}x{height}.svg").write_text(picture, encoding="utf-8")


def main(folder: Path) -> None:
    """Draws all of them there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, scenes.fixed_zone():
        home = scenes.make_home(Path(temporary) / "home")
        asyncio.run(_draw(home, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
