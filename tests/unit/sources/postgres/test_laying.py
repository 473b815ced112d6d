"""How a log is laid beside a base, by the script that a host runs."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from engine.model.logs import LogPosition
from engine.sources.logs import Replay
from engine.sources.postgres import laying

BASE = LogPosition("7301", "00000001", 4)


def _lay(folder: Path, replay: Replay, archive: bytes = bytes(10240)) -> str:
    """The settings that a server finds in the folder."""
    (folder / "data").mkdir(exist_ok=True)
    command = laying.laying(replay, str(folder / "data"), "15.4", 0).lay
    subprocess.run(command.words, input=archive, check=True)
    return (folder / "data/postgresql.auto.conf").read_text()


def test_the_beginning_of_a_segment_stands_for_it_where_all_of_it_is_not_there(tmp_path: Path) -> None:
    """A server that is promoted archives the beginning of what the one before it may have archived whole."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in ("both", "both.partial", "begun.partial"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    _lay(tmp_path, Replay(BASE, 100, "00000001"), written.getvalue())
    assert (tmp_path / "wal/both").read_bytes() == b"both"
    assert (tmp_path / "wal/begun").read_bytes() == b"begun.partial".ljust(100, b"\0")


def test_a_folder_that_was_laid_before_is_replayed_to_the_new_target_alone(tmp_path: Path) -> None:
    """A base of a server that was once restored to an instant brings the settings of that along: a server refuses two targets, and one that is left
    out by `--just-before` would be left out again."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/postgresql.conf").write_text(
        "port = 5432\n  recovery_target_name = 'old'\n#recovery_target = ''\narchive_cleanup_command = 'rm -rf /live'\n"
    )
    _lay(tmp_path, Replay(BASE, 1 << 20, "00000001", transaction="4711", is_exclusive=True))
    (tmp_path / "wal").rmdir()
    settings = _lay(tmp_path, Replay(BASE, 1 << 20, "00000001", point="now"))
    assert settings.count("recovery_target_timeline") == 1
    assert "recovery_target_xid" not in settings
    assert "recovery_target_inclusive = off" not in settings
    assert "archive_cleanup_command = ''" in settings
    kept = (tmp_path / "data/postgresql.conf").read_text()
    assert kept.startswith("port = 5432\n")
    assert "recovery_target_name" not in kept
