"""What went wrong with single entries while a tree was read, and what people should be told. Pure."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.entry import Failure

_WARNING_LIMIT = 100
"""More sentences than that nobody reads; the rest are counted."""


class Journal:
    """Gathered by the listing and by the fetching alike."""

    def __init__(self, leaves_out: Callable[[bytes], bool]) -> None:
        """`leaves_out` says of a path whether it was asked to be left out: what went wrong there is of no interest."""
        self._leaves_out = leaves_out
        self._failures: dict[tuple[bytes, str], Failure] = {}
        self._warnings: list[str] = []
        self._passed_over = 0

    def fail(self, failure: Failure) -> None:
        """Notes a failure once; that the content is spoiled counts, whenever it is said."""
        if self._leaves_out(failure.path):
            return
        key = failure.path, failure.reason
        known = self._failures.setdefault(key, failure)
        if failure.is_spoiled and not known.is_spoiled:
            self._failures[key] = failure

    def warn(self, sentence: str) -> None:
        """Notes a warning once."""
        if sentence in self._warnings:
            return
        if len(self._warnings) < _WARNING_LIMIT:
            self._warnings.append(sentence)
        else:
            self._passed_over += 1

    def failed_paths(self) -> set[bytes]:
        """Paths with any failure."""
        return {path for path, _ in self._failures}

    def failures(self) -> list[Failure]:
        """All of them, in the order in which they were noted."""
        return list(self._failures.values())

    def warnings(self) -> list[str]:
        """All that are kept, and how many more there were."""
        more = [f"{self._passed_over} more warnings were passed over"] if self._passed_over else []
        return self._warnings + more
