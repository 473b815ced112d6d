"""The line that a shell gets: every word comes back unchanged, and nothing secret is in it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from engine.errors import UsageError
from engine.hosts import script
from engine.hosts.base import Command
from engine.model.secret import Secret

WORDS = some.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))


@given(some.lists(WORDS, min_size=1, max_size=5))
@example([b"'", b"'\\''", b"\n", b"", b"-e", b"$(id)", b"\xff"])
@settings(max_examples=60)
def test_a_shell_reads_every_word_back(words: list[bytes]) -> None:
    """No file name can become a command."""
    line = b"printf '%s\\0' " + b" ".join(script.quote(word) for word in words)
    said = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout
    assert said == b"".join(word + b"\0" for word in words)


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("user", [None, "postgres"])
@pytest.mark.parametrize("direction", ["none", "stream"])
def test_a_secret_is_nowhere_in_the_line(is_compressed: bool, user: str | None, direction: str) -> None:
    """Whoever lists processes sees the line."""
    command = Command(("x",), secrets={"PGPASSWORD": Secret("hunter2")}, as_user=user, input=direction)  # type: ignore[arg-type]
    line = script.compose(command, is_gentle=True, is_compressed=is_compressed)
    assert b"hunter2" not in line
    assert b"read -r PGPASSWORD" in line
    assert script.preamble(command) == b"hunter2\n"


def test_the_privileged_script_is_one_line_that_depends_on_the_command_alone() -> None:
    """A sudoers rule names it exactly."""
    command = Command(("find", "/srv"), as_user="root")
    assert b"\n" not in script.privileged(command)
    for is_gentle in (True, False):
        for is_compressed in (True, False):
            line = script.compose(command, is_gentle=is_gentle, is_compressed=is_compressed)
            assert script.quote(script.privileged(command)) in line


@pytest.mark.parametrize(
    "command",
    [
        Command(("x",), as_user="root; reboot"),
        Command(("x",), as_user="-x"),
        Command(("x",), settings={"A;B": "x"}),
        Command(("x",), secrets={"A B": Secret("x")}),
        Command((b"x\0",)),
        Command(("x", "y" * (200 << 10))),
    ],
    ids=["user", "user-option", "setting", "secret", "nul", "long"],
)
def test_what_no_shell_can_carry_is_refused(command: Command) -> None:
    """An error before anything runs, and never a line that means something else."""
    with pytest.raises(UsageError):
        script.compose(command)
