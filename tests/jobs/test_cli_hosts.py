"""Hosts by the command line: keys that nobody knows are never taken in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.command_line import CommandLine
from tests.jobs.terminal import Terminal
from tests.servers.sshd import Sshd


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """An empty home, and a person who has never seen any host."""
    (tmp_path / "person").mkdir()
    return CommandLine(tmp_path)


def adding(server: Sshd, *more: str) -> list[str]:
    """`host add` of that server."""
    address = f"{server.user}@{server.address}:{server.port}"
    return [
        "host",
        "add",
        "web",
        "--address",
        address,
        "--identity",
        str(server.client_key),
        "--ssh-config",
        "none",
        *more,
    ]


def test_an_unknown_key_is_shown_and_refused(line: CommandLine, sshd: Sshd) -> None:
    """Whoever sits in between would be believed for ever."""
    ran = line.run(*adding(sshd, "--json"))
    assert (ran.code, ran.error["error"]) == (1, "HostKeyUnknownError")
    assert sshd.fingerprint() in ran.error["message"]
    assert f"--accept-key {sshd.fingerprint()}" in ran.error["hint"]
    assert [each["name"] for each in line.json("host", "list")["items"]] == ["localhost"]


def test_a_fingerprint_that_a_person_gives_is_accepted_for_good(line: CommandLine, sshd: Sshd) -> None:
    """A script can be given the fingerprint by who set the host up."""
    line.done(*adding(sshd, "--accept-key", sshd.fingerprint()))
    report = line.json("host", "test", "web")
    assert report["name"] == "web"
    assert {"find", "tar"} <= {each["tool"] for each in report["tools"]}
    assert line.run(*adding(sshd, "--accept-key", "SHA256:another")).code == 1


def test_a_person_at_a_terminal_may_accept_the_key(line: CommandLine, sshd: Sshd) -> None:
    """As with ssh: shown, asked, kept."""
    terminal = Terminal(line, *adding(sshd))
    terminal.wait_for("[y/N] ")
    assert sshd.fingerprint().encode() in terminal.shown
    terminal.type("y\n")
    assert terminal.end() == 0
    assert line.json("host", "test", "web")["name"] == "web"


def test_known_hosts_accepts_without_a_question_and_a_changed_key_is_refused(
    line: CommandLine, sshd: Sshd
) -> None:
    """What ssh knows need not be said again; what ssh refuses is refused."""
    line.done(*adding(sshd, "--known-hosts", str(sshd.known_hosts)))
    ran = line.run("host", "edit", "web", "--known-hosts", str(sshd.known_hosts_wrong))
    assert ran.code == 0
    ran = line.run("host", "test", "web", "--json")
    assert (ran.code, ran.error["error"]) == (1, "HostKeyChangedError")


def test_an_unreachable_host_is_not_defined(line: CommandLine) -> None:
    """A mistyped port is best noticed now; who knows better says --no-connect."""
    words = ["host", "add", "web", "--address", "127.0.0.1:1"]
    ran = line.run(*words, "--json")
    assert (ran.code, ran.error["error"]) == (1, "HostUnreachableError")
    line.done(*words, "--no-connect")
    assert line.json("host", "show", "web")["address"] == "127.0.0.1:1"


def test_grants_can_be_pasted(line: CommandLine, sshd: Sshd) -> None:
    """The least privilege is of no use if nobody can put it in place."""
    line.done(*adding(sshd, "--known-hosts", str(sshd.known_hosts)))
    line.done("source", "add", "etc", "--kind", "files", "--host", "web", "--path", "/etc")
    assert "web" in line.done("host", "grants", "web").out
