"""Whether a listing is a walk: each entry lies in a directory that is open, itself listed and not left since. So nothing leads out of the
roots, and nothing into a loop. Pure, and a hot path.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import HostileListingError

_FEW = 6
"""So few entries are looked at one by one as quickly as together."""
_NO_NAMES = (b"", b".", b"..")


class Walk:
    """Takes the paths of a listing in batches of any size."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        """`roots` are the absolute paths that were asked for: normalised, none below another, in the order in which they are walked.
        `/` comes alone, and is not listed itself.
        """
        self._roots = tuple(roots)
        self._pending = list(reversed(roots))
        self._open: list[bytes] = []
        """The chain of directories, each with a slash at its end, that the last entry lies in."""
        if self._roots == (b"/",):
            self._pending.clear()
            self._open.append(b"/")

    def check(self, paths: Sequence[bytes], types: Sequence[str]) -> None:
        """Absolute paths without a NUL, and find's letters for their types. Raises: HostileListingError."""
        begin = 0
        while begin < len(paths):
            end = _next_directory(types, begin)
            if end - begin <= _FEW or not self._is_in_one_directory(paths[begin:end]):
                for path in paths[begin:end]:
                    self._check(path)
            if end < len(paths):
                self._check(paths[end])
                self._open.append(paths[end] + b"/")
            begin = end + 1

    def _is_in_one_directory(self, run: Sequence[bytes]) -> bool:
        """Whether all lie in the directory that the first one lies in: what `_check` looks at, for all of them together."""
        self._leave(run[0])
        if not self._open:
            return False
        above = self._open[-1]
        # What sorts between two paths of one beginning begins so too; and none has a slash more than the directory if all together have not.
        return (
            min(run).startswith(above)
            and max(run).startswith(above)
            and b"".join(run).count(b"/") == len(run) * above.count(b"/")
            and {above + name for name in _NO_NAMES}.isdisjoint(run)
        )

    def _check(self, path: bytes) -> None:
        self._leave(path)
        if not self._open:
            self._begin_root(path)
            return
        begin = len(self._open[-1])
        if path.find(b"/", begin) >= 0 or path[begin:] in _NO_NAMES:
            self._refuse(path)

    def _leave(self, path: bytes) -> None:
        """Closes directories until the path lies below the last one."""
        directories = self._open
        while directories and not path.startswith(directories[-1]):
            directories.pop()

    def _begin_root(self, path: bytes) -> None:
        while self._pending:
            if self._pending.pop() == path:
                return
        self._refuse(path)

    def _refuse(self, path: bytes) -> None:
        if not any((path + b"/").startswith(root.rstrip(b"/") + b"/") for root in self._roots):
            raise HostileListingError(f"the listing holds a path that was not asked for: {shown(path)}")
        if any(part in _NO_NAMES for part in path[1:].split(b"/")):
            raise HostileListingError(
                f"the listing holds a path with an empty part, `.` or `..`: {shown(path)}"
            )
        raise HostileListingError(
            f"the listing holds an entry before its directory, or out of order: {shown(path)}"
        )


def _next_directory(types: Sequence[str], begin: int) -> int:
    """Where the next directory stands, or the end."""
    try:
        return types.index("d", begin)
    except ValueError:
        return len(types)


def shown(record: bytes) -> str:
    """For a message: printable, on one line, not longer than a line."""
    text = ascii(record[:120].decode("utf-8", "surrogateescape"))
    return text + "…" if len(record) > 120 else text
