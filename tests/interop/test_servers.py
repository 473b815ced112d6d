"""The test servers themselves: what other tests stand on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.restic import Restic, ResticProgram
from tests.servers.sshd import Sshd


def _say(
    sshd: Sshd, *words: str, user: str | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    command = sshd.ssh(*words, user=user)
    return subprocess.run(
        [command[0], *options, *command[1:]], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )


def test_the_server_lets_a_key_in(sshd: Sshd) -> None:
    """Everything about hosts is tested through this door."""
    assert _say(sshd, "echo", "here").stdout == b"here\n"


def _with_key(sshd: Sshd, key: Path, known_hosts: Path) -> subprocess.CompletedProcess[bytes]:
    options = ("BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={known_hosts}", "LogLevel=ERROR")
    command = [
        "ssh",
        "-F",
        "none",
        "-p",
        str(sshd.port),
        "-i",
        str(key),
        *(f"-o{option}" for option in options),
    ]
    return subprocess.run(
        [*command, f"{sshd.user}@{sshd.address}", "true"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_server_lets_a_certificate_in(sshd: Sshd) -> None:
    """Sites with an authority have neither authorized_keys nor known host keys."""
    done = _with_key(sshd, sshd.certified_key, sshd.known_hosts_by_authority)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_server_refuses_an_unknown_key(sshd: Sshd) -> None:
    """A test of refusal needs a server that refuses."""
    done = _with_key(sshd, sshd.unknown_key, sshd.known_hosts)
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_wrong_host_key_is_seen(sshd: Sshd) -> None:
    """The file that knows another key must really be another."""
    done = _say(sshd, "true", options=("-o", f"UserKnownHostsFile={sshd.known_hosts_wrong}"))
    assert done.returncode == 255
    assert b"verification failed" in done.stderr


def test_guests_have_their_own_rights(sshd_with_guests: Sshd) -> None:
    """Permission errors can be tested although the tests run as root."""
    assert _say(sshd_with_guests, "id -un; cat /etc/shadow", user="stranger").stdout == b"stranger\n"


@pytest.mark.parametrize(("user", "status"), [("guest", 0), ("stranger", 1)])
def test_sudo_is_for_the_guest_alone(sshd_with_guests: Sshd, user: str, status: int) -> None:
    """Running as another user is tested both ways."""
    assert _say(sshd_with_guests, "sudo -n id -u", user=user).returncode == status


def test_a_dropped_connection_ends_the_client(start_sshd: Callable[..., Sshd]) -> None:
    """Tests of a lost link need one that is lost at once."""
    server = start_sshd()
    with subprocess.Popen(
        server.ssh("echo started; sleep 60"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"started\n"
        server.stop()
        assert client.wait(10) == 255


def test_restic_backs_up_and_restores(restic_program: ResticProgram, tmp_path: Path) -> None:
    """The judge must be able to do the work itself."""
    restic = Restic(restic_program, tmp_path / "repository", tmp_path / "work")
    restic.init()
    (tmp_path / "file").write_bytes(b"content")
    assert restic.backup(tmp_path / "file")["files_new"] == 1
    restic.check()
    assert restic.dump("latest", str(tmp_path / "file")) == b"content"
