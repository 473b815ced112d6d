"""Logging in to OpenSSH's server: keys, certificates, agent, jumps, and the host's own key, which is always checked."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from engine.errors import (
    ConfigurationError,
    ConnectionLostError,
    HostKeyChangedError,
    HostKeyUnknownError,
    HostUnreachableError,
    LoginRefusedError,
)
from engine.hosts.base import Command
from engine.hosts.registry import fetch_host_key
from engine.model.definitions import Host
from tests.families.hosts import opened, resolve_secret, ssh_definition
from tests.servers.sshd import PASSPHRASE, Sshd
from tests.servers.tools import free_port, require_tool


async def says_hello(definition: Host) -> bool:
    """Whether a command runs there."""
    async with opened(definition) as host:
        return (await host.run(Command(("echo", "hello")))).stdout == b"hello\n"


@pytest.fixture
def agent(sshd: Sshd, tmp_path: Path) -> Iterator[str]:
    """The socket of an ssh-agent that holds the encrypted key."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen([str(require_tool("ssh-agent")), "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not os.path.exists(path):  # noqa: PTH110 -- a socket
            assert process.poll() is None
        ask = tmp_path / "ask"
        ask.write_text(f"#!/bin/sh\necho '{PASSPHRASE}'\n")
        ask.chmod(0o700)
        environment = {
            **os.environ,
            "SSH_AUTH_SOCK": path,
            "SSH_ASKPASS": str(ask),
            "SSH_ASKPASS_REQUIRE": "force",
        }
        subprocess.run(
            ["ssh-add", "-q", str(sshd.encrypted_key)], env=environment, check=True, stdin=subprocess.DEVNULL
        )
        yield path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def test_an_encrypted_key_opens_with_its_passphrase(sshd: Sshd) -> None:
    """Keys should not lie about in plain."""
    assert await says_hello(ssh_definition(sshd, identity=str(sshd.encrypted_key), passphrase=PASSPHRASE))


async def test_a_wrong_passphrase_is_said_to_be_wrong(sshd: Sshd) -> None:
    """Not `permission denied`: the person would look on the wrong machine."""
    with pytest.raises(LoginRefusedError, match="does not open with the passphrase"):
        await says_hello(ssh_definition(sshd, identity=str(sshd.encrypted_key), passphrase="wrong"))


async def test_a_key_without_its_passphrase_says_what_is_missing(sshd: Sshd) -> None:
    """The hint names the option."""
    with pytest.raises(LoginRefusedError, match="encrypted_key") as failure:
        await says_hello(ssh_definition(sshd, identity=str(sshd.encrypted_key)))
    assert "--passphrase" in str(failure.value.hint)


async def test_a_missing_key_file_is_named(sshd: Sshd) -> None:
    """A typing mistake in --identity."""
    with pytest.raises(LoginRefusedError, match="/no/such/key cannot be read"):
        await says_hello(ssh_definition(sshd, identity="/no/such/key"))


async def test_a_key_that_the_host_does_not_know_is_refused(sshd: Sshd) -> None:
    """The commonest mistake when a host is added."""
    with pytest.raises(LoginRefusedError, match="box refused the login") as failure:
        await says_hello(ssh_definition(sshd, identity=str(sshd.unknown_key)))
    assert "authorized_keys" in str(failure.value.hint)


async def test_a_user_certificate_logs_in(sshd: Sshd) -> None:
    """Sites with an authority have no authorized_keys at all."""
    assert await says_hello(ssh_definition(sshd, identity=str(sshd.certified_key)))


async def test_a_user_certificate_may_lie_elsewhere(sshd: Sshd, tmp_path: Path) -> None:
    """Short-lived certificates are written where a tool puts them."""
    key, certificate = tmp_path / "key", tmp_path / "today.pub"
    key.write_bytes(sshd.certified_key.read_bytes())
    certificate.write_bytes(Path(f"{sshd.certified_key}-cert.pub").read_bytes())
    assert await says_hello(ssh_definition(sshd, identity=str(key), certificate=str(certificate)))


async def test_a_host_certificate_is_enough_to_be_trusted(sshd: Sshd) -> None:
    """With @cert-authority nobody keeps a list of host keys."""
    assert await says_hello(ssh_definition(sshd, known_hosts=str(sshd.known_hosts_by_authority)))


async def test_the_agent_holds_the_key(sshd: Sshd, agent: str) -> None:
    """A person's own agent, for backups by hand."""
    assert await says_hello(ssh_definition(sshd, identity=None, agent=agent))


async def test_an_unknown_host_key_is_refused_and_shown(sshd: Sshd, tmp_path: Path) -> None:
    """Never trusted in silence: a person compares the fingerprint first."""
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(HostKeyUnknownError, match=re.escape(sshd.fingerprint())) as failure:
        await says_hello(ssh_definition(sshd, known_hosts=str(empty)))
    assert "--known-hosts" in str(failure.value.hint)


async def test_a_changed_host_key_is_refused_with_both_keys_shown(sshd: Sshd) -> None:
    """This is what somebody in the middle looks like."""
    with pytest.raises(HostKeyChangedError, match="has changed") as failure:
        await says_hello(ssh_definition(sshd, known_hosts=str(sshd.known_hosts_wrong)))
    known = asyncssh.read_public_key(f"{sshd.directory}/other_host_key.pub").get_fingerprint()
    assert known in failure.value.message
    assert sshd.fingerprint() in failure.value.message


async def test_a_known_key_of_another_kind_is_a_changed_key(sshd: Sshd, tmp_path: Path) -> None:
    """A machine set up anew without the old kind of key must not pass as unknown."""
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key("openssh").decode()
    file = tmp_path / "known"
    file.write_text(f"[127.0.0.1]:{sshd.port} {key}")
    with pytest.raises(HostKeyChangedError, match=re.escape(sshd.fingerprint())):
        await says_hello(ssh_definition(sshd, known_hosts=str(file)))


async def test_a_revoked_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    """A stolen key stays listed as such."""
    line = sshd.known_hosts.read_text()
    file = tmp_path / "known"
    file.write_text(line + f"@revoked {line}")
    with pytest.raises(HostKeyChangedError, match="revoked"):
        await says_hello(ssh_definition(sshd, known_hosts=str(file)))


async def test_hashed_known_hosts_are_understood(sshd: Sshd, tmp_path: Path) -> None:
    """Debian's default hashes the names."""
    file = tmp_path / "known"
    file.write_bytes(sshd.known_hosts.read_bytes())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert b"127.0.0.1" not in file.read_bytes()
    assert await says_hello(ssh_definition(sshd, known_hosts=str(file)))


async def test_no_setting_switches_the_check_off(sshd: Sshd, tmp_path: Path) -> None:
    """`UserKnownHostsFile none` makes the library trust everybody; not us."""
    config = tmp_path / "config"
    config.write_text("Host *\n  UserKnownHostsFile none\n  StrictHostKeyChecking no\n")
    with pytest.raises(HostKeyUnknownError):
        await says_hello(ssh_definition(sshd, known_hosts=None, ssh_config=str(config)))


async def test_a_missing_known_hosts_file_is_an_error(sshd: Sshd) -> None:
    """What was named must be there; else a typing mistake would look like an unknown host."""
    with pytest.raises(ConfigurationError, match="/no/such is not there"):
        await says_hello(ssh_definition(sshd, known_hosts="/no/such"))


async def test_the_key_fetched_for_a_person_is_the_line_that_lets_us_in(sshd: Sshd, tmp_path: Path) -> None:
    """What `host add` shows and stores must be what is checked later."""
    fetched = await fetch_host_key(ssh_definition(sshd), resolve_secret=resolve_secret)
    assert fetched.fingerprint == sshd.fingerprint()
    file = tmp_path / "accepted"
    file.write_text(fetched.line + "\n")
    assert await says_hello(ssh_definition(sshd, known_hosts=str(file)))
    empty = tmp_path / "empty"
    empty.touch()
    assert await says_hello(ssh_definition(sshd, known_hosts=str(empty), host_key=[fetched.line]))


async def test_an_alias_of_the_ssh_config_leads_to_its_host(sshd: Sshd) -> None:
    """People have their hosts described there already."""
    assert await says_hello(Host("box", address="here", options={"ssh_config": str(sshd.ssh_config)}))


async def test_a_login_goes_through_jumps_each_with_its_key_checked(
    sshd: Sshd, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """Servers behind a bastion; the bastion's key is checked as well."""
    middle, last = start_sshd(), start_sshd()
    known = tmp_path / "known"
    known.write_text("".join(server.known_hosts.read_text() for server in (sshd, middle, last)))
    identities = [str(server.client_key) for server in (sshd, middle, last)]
    jumps: list[str] = [f"{server.user}@127.0.0.1:{server.port}" for server in (sshd, middle)]
    definition = ssh_definition(last, known_hosts=str(known), identity=identities, jump=jumps)
    assert await says_hello(definition)
    key = await fetch_host_key(definition, resolve_secret=resolve_secret)
    assert key.fingerprint == last.fingerprint()
    with pytest.raises(HostKeyUnknownError, match="the jump to box"):
        await says_hello(ssh_definition(last, identity=identities, jump=jumps))


async def test_a_jump_of_the_ssh_config_is_taken(
    sshd: Sshd, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """ProxyJump is how most people reach theirs."""
    last = start_sshd()
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text() + last.known_hosts.read_text())
    config = tmp_path / "config"
    config.write_text(
        f"Host *\n UserKnownHostsFile {known}\n User {sshd.user}\n IdentityFile {sshd.client_key}\n IdentityFile {last.client_key}\n"
        f"Host bastion\n HostName 127.0.0.1\n Port {sshd.port}\n"
        f"Host inner\n HostName 127.0.0.1\n Port {last.port}\n ProxyJump bastion\n"
    )
    before = sshd.read_log().count("Accepted publickey")
    assert await says_hello(Host("box", address="inner", options={"ssh_config": str(config)}))
    assert sshd.read_log().count("Accepted publickey") == before + 1


async def test_a_port_where_nobody_listens_is_unreachable(sshd: Sshd) -> None:
    """The sentence names the host, and a retry may help."""
    definition = Host("box", address=f"127.0.0.1:{free_port()}", options=ssh_definition(sshd).options)
    with pytest.raises(HostUnreachableError, match="box cannot be reached") as failure:
        await says_hello(definition)
    assert failure.value.retryable


async def test_a_name_that_does_not_exist_is_unreachable(sshd: Sshd) -> None:
    """Without a route out the answer is the same: unreachable."""
    definition = Host("box", address="no-such-host.invalid", options=ssh_definition(sshd).options)
    with pytest.raises(HostUnreachableError):
        await says_hello(definition)


async def test_a_server_that_never_answers_is_given_up(sshd: Sshd) -> None:
    """A port that is open but silent, as behind a broken firewall."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        definition = Host(
            "box", address=address, options={**ssh_definition(sshd).options, "connect_timeout": 1}
        )
        with pytest.raises((HostUnreachableError, ConnectionLostError)):
            await says_hello(definition)


@pytest.mark.parametrize("address", ["", "a b@", "host:99999", "host:x"], ids=repr)
async def test_an_address_that_is_none_is_a_configuration_mistake(sshd: Sshd, address: str) -> None:
    """Told before anything is tried."""
    with pytest.raises(ConfigurationError, match="is no address"):
        await says_hello(Host("", address=address, options=ssh_definition(sshd).options))
