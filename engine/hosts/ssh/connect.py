"""Opening a connection: addresses, ssh_config, keys, jumps."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncssh

from engine.errors import ConfigurationError, HostError, LoginRefusedError
from engine.hosts import options
from engine.hosts.base import HostKey, ResolveSecret
from engine.hosts.ssh import receiving, trust
from engine.hosts.ssh.failures import translate, translated
from engine.hosts.ssh.process import Session
from engine.model.definitions import Host

WINDOW_BYTES = 8 << 20
"""Receive window of a channel: 2 MiB, asyncssh's own, gives a third of the speed at 100 ms (measured)."""
KEEPALIVE_S = 15
KEEPALIVE_COUNT = 3
"""A peer that is silent for 45 s is lost; without keepalive a stalled stream hangs for ever."""
CONNECT_TIMEOUT_S = 20
FIRST_CIPHERS = (b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com")
"""The default of both programs is chacha20, which costs 1.5 times the CPU."""
PLAIN_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

_ADDRESS = re.compile(
    r"(?:(?P<user>[^@]+)@)?(?:\[(?P<inside>[^\]]+)\]|(?P<host>[^:@]+|[0-9a-fA-F:]+:[0-9a-fA-F:]*))(?::(?P<port>\d{1,5}))?\Z"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host is."""

    host: str
    user: str | None
    port: int | None


def parse_address(text: str) -> Address:
    """Reads [USER@]HOST[:PORT]; an IPv6 address with a port stands in brackets. Raises: ConfigurationError."""
    matched = _ADDRESS.match(text)
    if matched is None or not 0 < int(matched["port"] or 22) < 65536:
        raise ConfigurationError(f"{text!r} is no address of a host", hint="write [USER@]HOST[:PORT]")
    return Address(
        matched["inside"] or matched["host"],
        matched["user"],
        int(matched["port"]) if matched["port"] else None,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one hop needs, with the ssh_config already read."""

    name: str
    address: Address
    arguments: Mapping[str, Any]
    known_hosts: trust.KnownHosts
    jumps: Sequence[str]
    resolved: asyncssh.SSHClientConnectionOptions


class Connector:
    """Makes connections to one host, again and again with the same settings. Safe to use concurrently."""

    def __init__(
        self, definition: Host, resolve_secret: ResolveSecret, environment: Mapping[str, str]
    ) -> None:
        self.name = definition.name
        self._given = options.Reader(definition)
        self._address = parse_address(definition.address or definition.name)
        self._resolve_secret = resolve_secret
        self._home = Path(environment.get("HOME") or "~").expanduser()
        self._login: Mapping[str, Any] | None = None
        self.shown_key: HostKey | None = None
        """The host's key, as it was shown and found to be right at the last connection."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """A connection, through the jumps where there are any; all are closed on leaving. Raises: HostError and those below it, ConfigurationError."""
        async with self._route(self._address) as (plan, tunnel), _opened(plan, tunnel) as connection:
            key = connection.get_server_host_key()
            self.shown_key = None if key is None else _described(plan, key)
            yield connection

    async def fetch_host_key(self) -> HostKey:
        """The key that the host shows now, trusted or not, to be put before a person. Logs in to jumps, not to the host. Raises: HostError."""
        async with self._route(self._address) as (plan, tunnel):
            key = await _shown_key(plan, tunnel)
        if key is None:
            raise HostError(f"{self.name} showed no key")
        return _described(plan, key)

    @asynccontextmanager
    async def _route(
        self, target: Address
    ) -> AsyncIterator[tuple[_Plan, asyncssh.SSHClientConnection | None]]:
        """The plan for the target, and the open connection to the last jump before it."""
        plan = await self._plan(self.name, target)
        async with self._through(list(plan.jumps)) as tunnel:
            yield plan, tunnel

    @asynccontextmanager
    async def _through(self, jumps: list[str]) -> AsyncIterator[asyncssh.SSHClientConnection | None]:
        if not jumps:
            yield None
            return
        *before, last = jumps
        async with self._through(before) as tunnel:
            plan = await self._plan(f"{last} (the jump to {self.name})", parse_address(last))
            async with _opened(plan, tunnel) as connection:
                yield connection

    async def _plan(self, name: str, address: Address) -> _Plan:
        config = self._config_files()
        with translated(name):
            basic = {
                "config": config,
                "host": address.host,
                "port": address.port or (),
                "username": address.user or (),
            }
            probe = await _options({**basic, "client_keys": None})
            login = await self._credentials()
        known = trust.KnownHosts(
            trust.find_files(
                self._given.texts("known_hosts"), cast("Sequence[str] | None", probe.known_hosts), self._home
            ),
            self._given.texts("host_key") if address == self._address else (),
        )
        jumps = self._given.texts("jump") if "jump" in self._given else str(probe.tunnel or "").split(",")
        arguments = {**basic, **login, **self._settings(probe)}
        return _Plan(
            name, address, arguments, known, [jump for jump in jumps if jump and jump != "none"], probe
        )

    def _config_files(self) -> list[str]:
        given = self._given.text("ssh_config")
        if given == "none":
            return []
        if given is not None:
            if not Path(given).is_file():
                raise ConfigurationError(f"the ssh_config {given} of host {self.name} is not there")
            return [given]
        return [
            str(file)
            for file in (self._home / ".ssh" / "config", Path("/etc/ssh/ssh_config"))
            if file.is_file()
        ]

    def _settings(self, probe: asyncssh.SSHClientConnectionOptions) -> dict[str, Any]:
        ciphers = list(probe.encryption_algs)
        if not probe.config.get("Ciphers"):
            ciphers.sort(
                key=lambda name: FIRST_CIPHERS.index(name) if name in FIRST_CIPHERS else len(FIRST_CIPHERS)
            )
        interval = probe.keepalive_interval or KEEPALIVE_S
        return {
            "encryption_algs": [name.decode() for name in ciphers],
            "compression_algs": None,
            "keepalive_interval": self._given.number("keepalive", int(interval)),
            "keepalive_count_max": self._given.number("keepalive_count", KEEPALIVE_COUNT),
            "connect_timeout": self._given.number(
                "connect_timeout", int(probe.connect_timeout or CONNECT_TIMEOUT_S)
            ),
            "window": WINDOW_BYTES,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "request_pty": False,
            "send_env": [],
            "encoding": None,
        }

    async def _credentials(self) -> Mapping[str, Any]:
        """Keys, certificates, agent and password as asyncssh takes them. Read once."""
        if self._login is not None:
            return self._login
        login: dict[str, Any] = {}
        passphrase = await self._secret("passphrase")
        if passphrase is not None:
            login["passphrase"] = passphrase
        password = await self._secret("password")
        if password is not None:
            login["password"] = password
        agent = self._given.text("agent")
        if agent is not None:
            login["agent_path"] = agent
        identities = [
            str(self._home / name[2:] if name.startswith("~/") else name)
            for name in self._given.texts("identity")
        ]
        certificates = list(self._given.texts("certificate"))
        if identities:
            login["client_keys"] = await asyncio.to_thread(_load_keys, identities, passphrase, certificates)
            login.setdefault("agent_path", None)
        elif certificates:
            login["client_certs"] = certificates
        self._login = login
        return login

    async def _secret(self, option: str) -> str | None:
        reference = self._given.text(option)
        return (
            None
            if reference is None
            else (await self._resolve_secret(reference)).reveal().decode(errors="surrogateescape")
        )


def _described(plan: _Plan, key: asyncssh.SSHKey) -> HostKey:
    named = plan.resolved.host_key_alias or plan.resolved.host
    return trust.describe(key, named, plan.resolved.port or trust.DEFAULT_PORT)


async def _options(arguments: Mapping[str, Any]) -> asyncssh.SSHClientConnectionOptions:
    """Reads ssh_config and the rest in a thread, because it reads files."""
    return await asyncio.get_running_loop().run_in_executor(
        None, partial(asyncssh.SSHClientConnectionOptions, **arguments)
    )


@asynccontextmanager
async def _opened(
    plan: _Plan, tunnel: asyncssh.SSHClientConnection | None
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    verifier = trust.Verifier(plan.name, plan.known_hosts)
    try:
        connection = await asyncssh.connect(
            tunnel=tunnel, known_hosts=verifier.match, client_factory=lambda: verifier, **plan.arguments
        )
    except asyncssh.HostKeyNotVerifiable as error:
        shown = verifier.shown or await _shown_key(plan, tunnel)
        raise verifier.refusal(error.reason, shown) from error
    except (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost, ConnectionResetError) as error:
        # A host that no longer has a key of the known kind hangs up before it shows one.
        shown = await _shown_key(plan, tunnel) if verifier.known and verifier.shown is None else None
        if shown is None or shown in verifier.known:
            raise translate(error, plan.name) from error
        raise verifier.refusal(str(error), shown) from error
    except (asyncssh.Error, asyncssh.PasswordChangeRequired, OSError, ValueError) as error:
        raise translate(error, plan.name) from error
    try:
        receiving.shorten(connection, Session)
        yield connection
    finally:
        connection.close()
        try:
            async with asyncio.timeout(2):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()


async def _shown_key(plan: _Plan, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHKey | None:
    with translated(plan.name):
        async with asyncio.timeout(plan.arguments["connect_timeout"]):
            return await asyncssh.get_server_host_key(
                plan.address.host,
                plan.address.port or (),
                tunnel=tunnel,
                config=plan.arguments["config"],
                server_host_key_algs=PLAIN_HOST_KEYS,
            )


def _load_keys(
    paths: Sequence[str], passphrase: str | None, certificates: Sequence[str]
) -> Sequence[asyncssh.SSHKeyPair]:
    """Raises: LoginRefusedError naming the key."""
    keys: list[asyncssh.SSHKeyPair] = []
    for path in paths:
        try:
            keys += asyncssh.load_keypairs([path], passphrase, list(certificates))
        except asyncssh.KeyEncryptionError as error:
            raise LoginRefusedError(
                f"the key {path} does not open with the passphrase that was given"
            ) from error
        except asyncssh.KeyImportError as error:
            needs = passphrase is None and "assphrase" in str(error)
            hint = (
                "give its passphrase with --passphrase REF, or add it to the agent and leave out --identity"
                if needs
                else None
            )
            raise LoginRefusedError(f"the key {path} cannot be used: {error}", hint=hint) from error
        except OSError as error:
            raise LoginRefusedError(f"the key {path} cannot be read: {error.strerror}") from error
    return keys
