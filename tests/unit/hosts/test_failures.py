"""Every exception of asyncssh has a sentence of ours."""

from __future__ import annotations

import inspect
import socket

import asyncssh
import pytest

from engine.errors import ConnectionLostError, HostError, HostUnreachableError, LoginRefusedError
from engine.hosts.ssh.failures import TABLE, translate, translated

PUBLIC = sorted(
    (one for one in vars(asyncssh).values() if inspect.isclass(one) and issubclass(one, Exception)),
    key=lambda one: one.__name__,
)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: str(kind.__name__))
def test_every_public_exception_of_asyncssh_is_mapped(kind: type[Exception]) -> None:
    """A new version's new exception must not reach a person as a traceback."""
    assert any(issubclass(kind, known) for known, _, _ in TABLE)


def test_the_more_specific_row_comes_first() -> None:
    """A row behind its parent would never be taken."""
    for position, (kind, _, _) in enumerate(TABLE):
        assert not [earlier for earlier, _, _ in TABLE[:position] if issubclass(kind, earlier)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncssh.PermissionDenied("no"), LoginRefusedError),
        (asyncssh.ProtocolError("Too many authentication failures"), LoginRefusedError),
        (asyncssh.ConnectionLost("gone"), ConnectionLostError),
        (asyncssh.ChannelOpenError(2, "open failed"), HostError),
        (ConnectionRefusedError(111, "Connection refused"), HostUnreachableError),
        (ConnectionResetError(104, "reset"), ConnectionLostError),
        (socket.gaierror(-2, "Name or service not known"), HostUnreachableError),
        (TimeoutError(), HostUnreachableError),
        (asyncssh.KeyImportError("bad"), LoginRefusedError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_a_failure_names_the_host(error: Exception, expected: type[HostError]) -> None:
    """Among fifty hosts the sentence must say which."""
    ours = translate(error, "db1")
    assert type(ours) is expected
    assert "db1" in ours.message


def test_other_exceptions_pass_through() -> None:
    """A mistake in the program is no trouble of the host's."""
    with pytest.raises(ZeroDivisionError), translated("db1"):
        raise ZeroDivisionError
