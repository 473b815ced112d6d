"""The edge at which every exception of asyncssh and of sockets becomes one of ours."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from engine.errors import (
    ConfigurationError,
    ConnectionLostError,
    HoldfastError,
    HostError,
    HostKeyUnknownError,
    HostUnreachableError,
    LoginRefusedError,
    PathMissingError,
)

TABLE: tuple[tuple[type[Exception], type[HoldfastError], str], ...] = (
    (asyncssh.SFTPNoSuchFile, PathMissingError, "a path is not there on {host}: {error}"),
    (asyncssh.SFTPNoSuchPath, PathMissingError, "a path is not there on {host}: {error}"),
    (asyncssh.SFTPNoConnection, ConnectionLostError, "the connection to {host} was lost: {error}"),
    (asyncssh.SFTPConnectionLost, ConnectionLostError, "the connection to {host} was lost: {error}"),
    (asyncssh.SFTPError, HostError, "{host} could not do what was asked of its files: {error}"),
    (asyncssh.HostKeyNotVerifiable, HostKeyUnknownError, "the key of {host} cannot be trusted: {error}"),
    (asyncssh.PermissionDenied, LoginRefusedError, "{host} refused the login: {error}"),
    (asyncssh.IllegalUserName, LoginRefusedError, "{host} refused the login: {error}"),
    (asyncssh.PasswordChangeRequired, LoginRefusedError, "{host} wants the password changed first"),
    (asyncssh.ConnectionLost, ConnectionLostError, "the connection to {host} was lost: {error}"),
    (asyncssh.ServiceNotAvailable, HostUnreachableError, "{host} takes no connection now: {error}"),
    (asyncssh.MACError, ConnectionLostError, "the connection to {host} was damaged on the way: {error}"),
    (
        asyncssh.CompressionError,
        ConnectionLostError,
        "the connection to {host} was damaged on the way: {error}",
    ),
    (asyncssh.KeyExchangeFailed, HostError, "{host} and we have no way to encrypt in common: {error}"),
    (asyncssh.ProtocolNotSupported, HostError, "{host} does not speak SSH 2: {error}"),
    (asyncssh.DisconnectError, HostError, "{host} ended the connection: {error}"),
    (asyncssh.ChannelOpenError, HostError, "{host} refused to run a command: {error}"),
    (asyncssh.ChannelListenError, HostError, "{host} refused to listen: {error}"),
    (asyncssh.Error, HostError, "{host}: {error}"),
    (
        asyncssh.KeyEncryptionError,
        LoginRefusedError,
        "a key for {host} does not open with its passphrase: {error}",
    ),
    (asyncssh.KeyImportError, LoginRefusedError, "a key for {host} cannot be read: {error}"),
    (asyncssh.KeyExportError, HostError, "a key of {host} cannot be written: {error}"),
    (asyncssh.KeyGenerationError, HostError, "a key for {host} cannot be made: {error}"),
    (asyncssh.ConfigParseError, ConfigurationError, "the ssh_config for {host} holds a mistake: {error}"),
    (asyncssh.BreakReceived, HostError, "{host} sent a break"),
    (asyncssh.SignalReceived, HostError, "{host} sent a signal"),
    (asyncssh.TerminalSizeChanged, HostError, "{host} sent a terminal's size"),
    (socket.gaierror, HostUnreachableError, "the name of {host} cannot be found: {error}"),
    (ConnectionResetError, ConnectionLostError, "the connection to {host} was lost: {error}"),
    (BrokenPipeError, ConnectionLostError, "the connection to {host} was lost: {error}"),
    (TimeoutError, HostUnreachableError, "{host} did not answer in time"),
    (OSError, HostUnreachableError, "{host} cannot be reached: {error}"),
)
"""Most specific first; the first that fits is taken."""

_CAUGHT = tuple(dict.fromkeys(kind for kind, _, _ in TABLE))
_HINTS: dict[type[HoldfastError], str] = {
    LoginRefusedError: "check the user, the key and its passphrase; is the public key in authorized_keys on the host?",
    HostUnreachableError: "check the address and the port; does `ssh` reach it from here?",
}


def translate(error: Exception, host: str) -> HoldfastError:
    """The error of ours for one of asyncssh's or a socket's."""
    if isinstance(error, asyncssh.DisconnectError) and "Too many authentication failures" in error.reason:
        return LoginRefusedError(
            f"{host} refused the login: {error.reason}", hint="name the one key to use with --identity"
        )
    for kind, ours, sentence in TABLE:
        if isinstance(error, kind):
            return ours(sentence.format(host=host, error=_words(error)), hint=_HINTS.get(ours))
    return HostError(f"{host}: {_words(error)}")


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Turns what asyncssh raises inside into errors of ours. Only around calls of asyncssh, never around a caller's code."""
    try:
        yield
    except _CAUGHT as error:
        raise translate(error, host) from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
