"""Completion scripts, in the shells that they are for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.cli import completion
from engine.cli.verbs import VERBS

_TRY = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_holdfast 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash."""
    path = tmp_path_factory.mktemp("completion") / "holdfast.bash"
    path.write_text(completion.bash(), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["back"], {"backup", "backups"}),
        (["storage", "re"], {"recovery-kit", "remove"}),
        (["--home", "/x", "host", "a"], {"add"}),
        (["restore", "--over"], {"--overwrite"}),
        (["restore", "--overwrite", "if"], {"if-changed"}),
        (["host", "add", "--acc"], {"--accept-key"}),
        (["completion", "b"], {"bash"}),
    ],
)
def test_bash_completes(script: Path, words: list[str], expected: set[str]) -> None:
    """A wrong completion is worse than none."""
    bash = shutil.which("bash")
    assert bash is not None
    ran = subprocess.run(
        [bash, "-c", _TRY, "bash", str(script), "holdfast", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(ran.stdout.splitlines()) == expected


def test_fish_and_zsh_know_every_verb() -> None:
    """A verb that does not complete is not found."""
    for text in (completion.fish(), completion.zsh()):
        assert all(name.split()[-1] in text for name in VERBS)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_their_script(shell: str, tmp_path: Path) -> None:
    """A mistake in quoting breaks the shell's start."""
    program = shutil.which(shell)
    text = {"zsh": completion.zsh, "fish": completion.fish}[shell]()
    path = tmp_path / "script"
    path.write_text(text, encoding="utf-8")
    if program is None:  # not installed everywhere: then at least the quotes are even
        assert text.replace(r"'\''", "").count("'") % 2 == 0
        return
    subprocess.run([program, "-n", str(path)], check=True)
