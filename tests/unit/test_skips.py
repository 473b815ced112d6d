"""The rule that CI skips nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.tools import PROJECT

_RULE = "from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport\n"
_BODY = "import pytest\ndef test_it() -> None:\n    pytest.skip('no server')\n"
_MODULE = "import pytest\npytest.skip('no server', allow_module_level=True)\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_ci", "status", "ends"),
    [("true", 1, b"1 failed, 1 error in "), ("", 0, b"2 skipped in ")],
    ids=["ci", "at home"],
)
def test_a_skip_is_a_failure_in_ci_alone(tmp_path: Path, is_ci: str, status: int, ends: bytes) -> None:
    """What was not run was not proved; but a person without every server can still run the rest."""
    (tmp_path / "conftest.py").write_text(_RULE, encoding="utf-8")
    (tmp_path / "test_one.py").write_text(_BODY, encoding="utf-8")
    (tmp_path / "test_module.py").write_text(_MODULE, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
    ]
    environment = {**os.environ, "CI": is_ci, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", str(tmp_path)],
        env=environment,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, ends in done.stdout) == (status, True), done.stdout
