"""What a user of Redis needs to back it up, and to be restored, as commands to type. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.hosts.grants import Grant

BACKUP = "+ping +info +psync +sync +replconf"
"""Rights of a user that takes dumps."""
_RESTORE = "~* +select +restore +echo +flushall +flushdb +function +eval +dump +type +pttl"


def statements(user: str) -> Sequence[Grant]:
    """For that user; none for the default one, who may do everything. A name with a space or a quote is quoted for redis-cli."""
    if not user:
        return []
    name = (
        '"' + user.replace("\\", "\\\\").replace('"', '\\"') + '"' if set(user) & set(" \"'\\\n\t") else user
    )
    return [
        Grant(
            "sql",
            f"ACL SETUSER {name} on >PASSWORD {BACKUP}",
            "Redis 6 or newer: takes a dump as a replica does; write the password in its place",
        ),
        Grant(
            "sql",
            f"ACL SETUSER {name} {_RESTORE}",
            "Empties the server, and fills it again key by key",
            "restore",
        ),
    ]
