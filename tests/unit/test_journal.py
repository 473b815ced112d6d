"""The experts' log holds everything but secrets."""

from __future__ import annotations

import base64
import json
import logging
import stat
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from engine.journal import JournaldLines, Redactor, SharedFileHandler, open_logs
from engine.model.secret import Secret
from tests.servers.tools import PROJECT

HIDDEN = 'hunter2/"\\ü'


def _lines(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "holdfast.jsonl").read_text().splitlines()]


def test_a_line_says_when_who_and_what(tmp_path: Path) -> None:
    """An expert filters by job."""
    with open_logs(tmp_path, Redactor(), file_bytes=1_000_000, files=2, environment={}):
        logging.getLogger("engine.jobs").debug("read %s", "/etc\udcff", extra={"job_id": "1a"})
    [line] = _lines(tmp_path)
    expected = ("debug", "engine.jobs", "read /etc\udcff", "1a")
    assert tuple(line[name] for name in ("level", "logger", "message", "job_id")) == expected
    assert stat.S_IMODE((tmp_path / "holdfast.jsonl").stat().st_mode) == 0o600


def test_no_registered_secret_reaches_the_log_in_any_form(tmp_path: Path) -> None:
    """A library that logs its arguments must not publish a password."""
    redactor = Redactor()
    redactor.register(Secret(HIDDEN))
    redactor.register(Secret(b"abc"))
    forms = [HIDDEN, base64.b64encode(HIDDEN.encode()).decode(), urllib.parse.quote(HIDDEN, safe="")]
    with open_logs(tmp_path, redactor, file_bytes=1_000_000, files=2, environment={}):
        logger = logging.getLogger("engine.x")
        for form in forms:
            logger.info("login with %s failed", form, extra={"url": f"https://u:{form}@host"})
        try:
            raise ValueError(HIDDEN)
        except ValueError:
            logger.exception("abc failed")
    text = (tmp_path / "holdfast.jsonl").read_text()
    assert [form for form in forms if form in text or json.dumps(form)[1:-1] in text] == []
    assert _lines(tmp_path)[-1]["message"] == "abc failed", "too short to blot out"
    assert text.count("(secret)") == 7


def test_a_log_that_has_grown_is_moved_aside(tmp_path: Path) -> None:
    """A log must not fill the disk that backups need."""
    with open_logs(tmp_path, Redactor(), file_bytes=2_000, files=3, environment={}):
        for number in range(100):
            logging.getLogger("engine.x").info("line %d", number)
    names = sorted(path.name for path in tmp_path.glob("holdfast*"))
    assert names == ["holdfast.jsonl", "holdfast.jsonl.1", "holdfast.jsonl.2"]
    assert all(path.stat().st_size < 2_300 for path in tmp_path.glob("holdfast*"))
    assert _lines(tmp_path)[-1]["message"] == "line 99"


@pytest.mark.slow
def test_processes_that_share_a_log_lose_no_line(tmp_path: Path) -> None:
    """Worker and console write to one file, and either may move it aside."""
    program = (
        "import logging, pathlib, sys\nfrom engine.journal import Redactor, open_logs\n"
        "with open_logs(pathlib.Path(sys.argv[1]), Redactor(), file_bytes=20_000, files=50, environment={}):\n"
        " for number in range(500): logging.getLogger('x').info('%s-%d', sys.argv[2], number)\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], cwd=PROJECT) for name in "abcd"
    ]
    assert [child.wait() for child in children] == [0] * 4
    texts = "".join(path.read_text() for path in tmp_path.glob("holdfast.jsonl*"))
    messages = [json.loads(line)["message"] for line in texts.splitlines()]
    assert sorted(messages) == sorted(f"{name}-{number}" for name in "abcd" for number in range(500))


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A backup matters more than its log."""
    with open_logs(tmp_path / "not there", Redactor(), file_bytes=10_000, files=2, environment={}):
        logging.getLogger("engine.x").info("nobody reads this")
    full = SharedFileHandler(Path("/dev/full"), file_bytes=10_000, files=2)
    full.handle(logging.makeLogRecord({"msg": "x" * 100_000}))
    full.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    full.close()
    assert capfd.readouterr().err == ""


def test_journald_gets_priorities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`journalctl -p warning` shows what matters."""
    with open_logs(tmp_path, Redactor(), file_bytes=10_000, files=2, environment={"JOURNAL_STREAM": "8:1"}):
        logging.getLogger("engine.x").info("quiet")
        logging.getLogger("engine.x").warning("two\nlines")
    assert capsys.readouterr().err == "<4>engine.x: two\n<4>lines\n"
    record = logging.makeLogRecord({"levelno": logging.CRITICAL, "name": "n", "msg": "m"})
    assert JournaldLines(Redactor()).format(record) == "<2>n: m"


def test_logging_is_as_before_when_the_log_is_closed(tmp_path: Path) -> None:
    """A program that embeds the engine keeps its own logging."""
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    with open_logs(tmp_path, Redactor(), file_bytes=10_000, files=2, environment={}):
        pass
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
