"""The lines that `host grants` prints, laid before the real sudo."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import LoginRefusedError
from engine.hosts import script
from engine.hosts.base import Command
from engine.hosts.grants import doas_line, sudoers_line
from engine.model.secret import Secret
from tests.families.hosts import opened, ssh_definition
from tests.servers.sshd import STRANGER, Sshd
from tests.servers.tools import missing, require_tool

COMMANDS = {
    "plain": Command(("echo", "hello"), as_user="root"),
    "signs": Command(("printf", "%s|", r"a\0b\\c", "*?[x]!^,:=#", "two  spaces ", "'\"$x`"), as_user="root"),
    "stream": Command(("cat",), as_user="root", input="stream"),
    "secret": Command(("sh", "-c", 'echo "$PASSWORD"'), as_user="root", secrets={"PASSWORD": Secret("x")}),
    "find": Command(("find", "/", "-maxdepth", "0", "-printf", r"%y %m %s %T@ %P\0%l\0"), as_user="root"),
}


@pytest.fixture
def guarded_sshd(start_sshd: Callable[..., Sshd]) -> Sshd:
    """A server where `stranger` may become nobody else at first."""
    server = start_sshd()
    if not server.has_guests:
        missing("logging in as another user needs root and mount namespaces")
    require_tool("sudo")
    return server


@pytest.mark.parametrize("name", COMMANDS)
async def test_the_printed_line_allows_that_command_and_no_other(guarded_sshd: Sshd, name: str) -> None:
    """Least privilege that does not work is none, and one that allows more is a trap."""
    command = COMMANDS[name]
    line = sudoers_line(STRANGER, "root", command)
    (guarded_sshd.directory / "sudoers").write_text(f"{line}\n")
    subprocess.run(
        ["visudo", "-cf", str(guarded_sshd.directory / "sudoers")], check=True, capture_output=True
    )
    async with opened(ssh_definition(guarded_sshd, STRANGER)) as host:
        assert (await host.run(command)).exit.is_success
        with pytest.raises(LoginRefusedError):
            await host.run(
                Command(
                    (*command.words, "more"), as_user="root", input=command.input, secrets=command.secrets
                )
            )


@pytest.mark.parametrize("name", COMMANDS)
async def test_the_line_allows_it_however_it_is_sent(guarded_sshd: Sshd, name: str) -> None:
    """Priority and compression are not the rule's business: else a slow link would break it."""
    command = COMMANDS[name]
    (guarded_sshd.directory / "sudoers").write_text(f"{sudoers_line(STRANGER, 'root', command)}\n")
    async with opened(ssh_definition(guarded_sshd, STRANGER, nice=True, compress="always")) as host:
        assert (await host.run(replace(command, compress=True))).exit.is_success


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_for_doas_is_understood_by_doas(tmp_path: Path, name: str) -> None:
    """`doas -C` reads the file and says whether the command is permitted."""
    require_tool("doas")
    file = tmp_path / "doas.conf"
    file.write_text(f"{doas_line('root', 'root', COMMANDS[name])}\n")
    words = [
        "doas",
        "-C",
        str(file),
        "-u",
        "root",
        "/bin/sh",
        "-c",
        script.privileged(COMMANDS[name]).decode(),
    ]
    assert subprocess.run(words, capture_output=True, check=False, text=True).stdout == "permit nopass\n"
    assert subprocess.run([*words, "more"], capture_output=True, check=False, text=True).stdout == "deny\n"
