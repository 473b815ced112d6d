"""Names of users and groups, asked of the host once and not by find.

GNU find's %u and %g read /etc/passwd and /etc/group anew for every file, 24 us each: four times the cost of all other fields together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.hosts.base import Command, OpenHost
from engine.model.entry import Entry

ALL = Command(
    (
        "/bin/sh",
        "-c",
        "if command -v getent >/dev/null; then getent passwd; echo :; getent group; else cat /etc/passwd; echo :; cat /etc/group; fi",
        "owners",
    )
)
"""What the host lists of its own accord. A directory service may list nobody, and still know each by number: see `complete`."""

_LIMIT_BYTES = 16 << 20


class Owners:
    """Names by number. A number without a name has an empty one, as restic has it."""

    def __init__(self) -> None:
        self._users: dict[int, bytes] = {}
        self._groups: dict[int, bytes] = {}
        self._unknown_users: set[int] = set()
        self._unknown_groups: set[int] = set()

    def user(self, uid: int) -> bytes:
        """The user's name as far as it is known."""
        name = self._users.get(uid)
        if name is None:
            self._unknown_users.add(uid)
        return name or b""

    def group(self, gid: int) -> bytes:
        """The group's name as far as it is known."""
        name = self._groups.get(gid)
        if name is None:
            self._unknown_groups.add(gid)
        return name or b""

    @property
    def is_complete(self) -> bool:
        """Whether every number that was asked for has been looked up."""
        return not (self._unknown_users or self._unknown_groups)

    async def load(self, host: OpenHost) -> None:
        """Asks for everybody. A host that cannot say leaves the names empty. Raises: HostError."""
        ended = await host.run(ALL, limit_bytes=_LIMIT_BYTES)
        users, _, groups = ended.stdout.partition(b"\n:\n")
        _take(self._users, users.splitlines())
        _take(self._groups, groups.splitlines())

    async def complete(self, host: OpenHost) -> None:
        """Looks up the numbers that were asked for and not known, each once. Raises: HostError."""
        for table, unknown, names in (
            ("passwd", self._unknown_users, self._users),
            ("group", self._unknown_groups, self._groups),
        ):
            if unknown:
                numbers = sorted(unknown)
                unknown.clear()
                names.update(dict.fromkeys(numbers, b""))
                words = ("/bin/sh", "-c", 'command -v getent >/dev/null && getent "$@"', "owners", table)
                ended = await host.run(Command((*words, *map(str, numbers))), limit_bytes=_LIMIT_BYTES)
                _take(names, ended.stdout.splitlines())

    def named(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with the names that are known by now."""
        return [each._replace(user=self.user(each.uid), group=self.group(each.gid)) for each in entries]


def _take(names: dict[int, bytes], lines: Iterable[bytes]) -> None:
    """Lines of passwd(5) or group(5). The first of several names of a number counts, as in getpwuid(3)."""
    for line in lines:
        fields = line.split(b":")
        if (
            len(fields) >= 3
            and fields[2].isdigit()
            and len(fields[2]) <= 10
            and not names.get(int(fields[2]))
        ):
            names[int(fields[2])] = fields[0]
