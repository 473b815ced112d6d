"""What a restore of a whole server leaves where its process is killed: home and data folders, as they were at each of its steps.

One restore runs to its end; after each change its catalog is copied, and of the folders beside the server's that which matters: which of
them is what was live, whether it has still to replay, whether a server runs in it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.jobs import left_restores, restore_server
from engine.process import ProcessIdentity
from tests.jobs.world import World

_WHOLE = restore_server._Whole


@dataclass(slots=True)
class HalfWay:
    """The steps of the restore that runs meanwhile, each copied."""

    world: World
    data: Path
    """Of the live server."""
    to: Path
    """Where the copies go; whatever account a server has may write there."""
    live: int = 0
    steps: list[str] = field(default_factory=list)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on."""
        self.live = self.data.stat().st_ino
        monkeypatch.setattr(left_restores, "put", self._around("note", left_restores.put))
        monkeypatch.setattr(_WHOLE, "feed", self._around("feed", _WHOLE.feed))
        monkeypatch.setattr(_WHOLE, "run", self._around("run", _WHOLE.run))
        monkeypatch.setattr(restore_server, "_recovered", self._around("recover", restore_server._recovered))

    def _around(self, what: str, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def done(*words: Any) -> Any:
            name = f"{what} {words[1].stage}" if what == "note" else what
            if what == "recover":
                self.keep(f"before {name}")
            result = await work(*words)
            self.keep(f"after {name}")
            return result

        return done

    def keep(self, step: str) -> None:
        """Copies what there is."""
        place = self.to / str(len(self.steps))
        self.steps.append(step)
        home = place / "home"
        home.mkdir(parents=True, mode=0o700)
        theirs = self.world.directory / "home"
        for name in ("config.toml", "vault.key"):
            if (theirs / name).exists():
                shutil.copy(theirs / name, home / name)
        dead = str(dataclasses.replace(ProcessIdentity.current(), started=1))
        with sqlite3.connect(theirs / "catalog.db") as source, sqlite3.connect(home / "catalog.db") as copy:
            source.backup(copy)
            copy.execute("UPDATE jobs SET owner = ? WHERE status = 'running'", (dead,))
            copy.execute(
                "UPDATE settings SET value = replace(value, ?, ?)", (f"{self.data}", f"{place}/data")
            )
        copy.close()
        source.close()
        for each in self.data.parent.glob("data*"):
            made = place / each.name
            made.mkdir()
            if each.stat().st_ino == self.live:
                (made / "live").touch()
            if (each / "recovery.signal").exists():
                (made / "recovery.signal").touch()
            if (each / "postmaster.pid").exists():
                (made / "postmaster.pid").write_text(
                    f"{os.getpid()}\n"
                )  # of one that runs until the test ends
        for each in (place, *place.glob("data*")):
            each.chmod(0o777)

    def keep_between(self, step: str) -> None:
        """As the newest step that is called so, with what was live aside, and nothing in its place yet."""
        number = max(at for at, each in enumerate(self.steps) if each == step)
        place = self.to / str(len(self.steps))
        shutil.copytree(self.to / str(number), place)
        with sqlite3.connect(place / "home/catalog.db") as copy:
            copy.execute(
                "UPDATE settings SET value = replace(value, ?, ?)", (f"{self.to}/{number}/", f"{place}/")
            )
            (aside,) = copy.execute("SELECT json_extract(value, '$.aside') FROM settings WHERE name GLOB 'whole-server.*'").fetchone()  # fmt: skip
        copy.close()
        (place / "data").rename(aside)
        self.steps.append("between two names")
        for each in (place, *place.glob("data*")):
            each.chmod(0o777)
