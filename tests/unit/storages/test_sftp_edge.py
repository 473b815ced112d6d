"""What an SFTP storage says of itself, and of what goes wrong: pure functions at its edge."""

from __future__ import annotations

import inspect

import asyncssh
import pytest

from engine import errors
from engine.hosts.base import HostKey
from engine.model.definitions import Host, OptionValue
from engine.storages.sftp import failures, folders, way

RETRYABLE = {"SFTPNoConnection", "SFTPConnectionLost"}
KINDS = sorted(
    (one for one in vars(asyncssh).values() if inspect.isclass(one) and issubclass(one, asyncssh.SFTPError)),
    key=lambda one: one.__name__,
)
KEY = HostKey("[nas]:2022 ssh-ed25519 AAAA", "SHA256:abc")


def made(kind: type[asyncssh.SFTPError]) -> asyncssh.SFTPError:
    """An error of that class; the classes differ in what they are made from."""
    needed = [name for name in inspect.signature(kind).parameters if name in ("code", "reason")]
    return kind(*[4 if name == "code" else "Because" for name in needed])  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_only_a_lost_connection_is_worth_another_try(kind: type[asyncssh.SFTPError]) -> None:
    """Trying for a quarter of an hour against a missing right helps nobody."""
    error = failures.translated(made(kind), "far: x could not be written")
    assert error.retryable == (kind.__name__ in RETRYABLE)
    assert error.message.startswith("far: x could not be written: ")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (errors.HostUnreachableError("gone"), errors.StorageUnreachableError),
        (errors.ConnectionLostError("cut"), errors.StorageUnreachableError),
        (errors.LoginRefusedError("no"), errors.StorageDeniedError),
        (errors.HostKeyChangedError("other"), errors.StorageError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_host_that_is_not_reached_fails_the_storage(
    host: errors.HostError, expected: type[errors.StorageError]
) -> None:
    """A backup to several storages goes on with the others."""
    assert type(failures.of_host(host)) is expected


@pytest.mark.parametrize(
    ("address", "path", "expected"),
    [
        ("nas", "/srv/x", "sftp:nas:/srv/x"),
        ("me@nas", "backups", "sftp:me@nas:backups"),
        ("me@nas:2022", "/srv/x", "sftp://me@nas:2022//srv/x"),
        ("me@nas:2022", "backups", "sftp://me@nas:2022/backups"),
        ("me@[::1]:22", "/x", "sftp://me@[::1]:22//x"),
        ("::1", "/x", "sftp://[::1]//x"),
    ],
)
def test_the_location_is_what_restic_takes(address: str, path: str, expected: str) -> None:
    """Copied into `restic -r`, it must lead to the same directory."""
    assert way.location(Host("nas", address=address), path) == expected


def test_restic_is_told_all_that_the_host_is_reached_by() -> None:
    """On a foreign machine nothing of it is known."""
    given: dict[str, OptionValue] = {
        "identity": ("/k/my key",),
        "jump": "gate",
        "ssh_config": "none",
        "passphrase": "vault:p",
    }
    restic = way.stock_restic(Host("nas", address="me@nas:2022", options=given), KEY)
    assert restic.first == ("echo '[nas]:2022 ssh-ed25519 AAAA' > known_hosts.nas",)
    assert restic.flags == (
        "-o",
        "sftp.command=ssh -F none -i '/k/my key' -o IdentitiesOnly=yes -J gate -p 2022 "
        "-o UserKnownHostsFile=known_hosts.nas me@nas -s sftp",
    )
    assert "the private key /k/my key and its passphrase" in restic.note
    assert way.host_add(Host("nas", address="me@nas:2022", options=given), KEY) == (
        "host add nas --address me@nas:2022 --identity '/k/my key' --passphrase - --jump gate --ssh-config none "
        "--accept-key SHA256:abc"
    )


@pytest.mark.parametrize(
    ("permissions", "kind", "expected"),
    [
        (0o100600, asyncssh.FILEXFER_TYPE_REGULAR, False),
        (0o040700, asyncssh.FILEXFER_TYPE_DIRECTORY, True),
        (0o120777, asyncssh.FILEXFER_TYPE_SYMLINK, True),
        (0o600, asyncssh.FILEXFER_TYPE_UNKNOWN, False),
        (None, asyncssh.FILEXFER_TYPE_UNKNOWN, False),
        (None, asyncssh.FILEXFER_TYPE_DIRECTORY, True),
    ],
)
def test_what_is_no_file_is_no_object(permissions: int | None, kind: int, expected: bool) -> None:
    """A folder with an object's name must not be taken for the object."""
    assert folders.is_other(asyncssh.SFTPAttrs(type=kind, permissions=permissions)) is expected
