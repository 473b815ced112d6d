"""Locks: who works on the repository, since when, and whether alone. Stored as unpacked JSON.

Source: restic doc/design.rst, "Locks".
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.format import strict_json, timestamps
from engine.format.ids import Buffer


class _LockJson(msgspec.Struct):
    time: str
    exclusive: bool
    hostname: str = ""
    username: str = ""
    pid: int = 0
    uid: int = 0
    gid: int = 0
    boot_id: str = msgspec.field(default="", name="holdfast_boot_id")
    started: int = msgspec.field(default=0, name="holdfast_started")


_DECODER: Final = msgspec.json.Decoder(_LockJson)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as its file has it."""

    time: datetime.datetime
    exclusive: bool
    hostname: str
    username: str
    pid: int
    uid: int = 0
    gid: int = 0
    boot_id: str = ""
    """Of the machine since its last start; empty in restic's own locks, which ignore the field."""
    started: int = 0
    """When the process started, in the kernel's clock ticks since the machine did: tells it from a later one of the same number."""


def encode(lock: Lock) -> bytes:
    """The JSON; zeros and empty texts are left out as restic does."""
    numbers = "".join(f',"{name}":{value}' for name, value in (("uid", lock.uid), ("gid", lock.gid)) if value)
    proof = b',"holdfast_boot_id":%b,"holdfast_started":%d' % (
        strict_json.quote(lock.boot_id.encode()),
        lock.started,
    )
    return b'{"time":"%b","exclusive":%b,"hostname":%b,"username":%b,"pid":%d%b%b}' % (
        timestamps.to_text(lock.time).encode(),
        b"true" if lock.exclusive else b"false",
        strict_json.quote(lock.hostname.encode()),
        strict_json.quote(lock.username.encode()),
        lock.pid,
        numbers.encode(),
        proof if lock.boot_id else b"",
    )


def decode(json: Buffer) -> Lock:
    """Read a lock of any origin.

    Raises:
        DamagedError: not a lock.
    """
    parsed = strict_json.decode(_DECODER, json, "lock")
    return Lock(
        timestamps.from_text(parsed.time),
        parsed.exclusive,
        parsed.hostname,
        parsed.username,
        parsed.pid,
        parsed.uid,
        parsed.gid,
        parsed.boot_id,
        parsed.started,
    )
